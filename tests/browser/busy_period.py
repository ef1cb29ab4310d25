"""A busy quarter of an hour: sessions of every kind, some of them in trouble, and how the last transfers went."""

import json
from dataclasses import replace

from redis import Redis

from conferral.outcomes.outcome import encode_outcome
from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import (
    PartyStatus,
    Phase,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import Conclusion
from conferral.storage.keys import Keys
from tests.browser.many_sessions import put_all, session_id
from tests.conferral.cli_helpers import KEYS, conferenced, make_session

PEOPLE = ("alice", "bob", "carol", "erin", "frank", "grace")
NUMBERS = ("+12025550145", "+12025550162")
TRANSFERS, FAILED = 24, 2


def _session(number: int, made: Session, now_ms: int, age_s: int, **changes: object) -> Session:
    """A session with people of its own, that began so long ago."""
    customer = replace(made.parties["customer"], address=f"+1415555{100 + number * 7 % 100:04d}")
    agent = replace(
        made.parties["agent"], address=f"client:{PEOPLE[number % len(PEOPLE)]}", call_sid=f"CA{number:031x}a"
    )
    at_ms = now_ms - age_s * 1_000
    parties = {**made.parties, "customer": customer, "agent": agent}
    return replace(
        made,
        parties=parties,
        created_at_ms=at_ms,
        state_since_ms=at_ms + 2_000,
        number=NUMBERS[number % len(NUMBERS)],
        updated_at_ms=now_ms - 4_000,
        **changes,
    )


def _with_target(session: Session, mode: TransferMode, reached: TransferStatus, **of_party: object) -> Session:
    """With a transfer to `client:dave`, on its way or under way."""
    is_there = reached is TransferStatus.CONSULTING
    target = Party("target", "target-2", f"CA{'d' * 30}{len(session.id):02x}", "client:dave", dial_id="d1")
    target = replace(target, answered=is_there, in_conference=is_there, **of_party)
    customer = replace(
        session.parties["customer"],
        held=True,
        desired_hold=True,
        wait_audio=WaitAudio.MUSIC,
        since_ms=session.created_at_ms + 20_000,
    )
    transfer = TransferState(
        1, mode, ("client:dave",), reached, stage=TransferStage.TALKING if is_there else TransferStage.DIALING
    )
    parties = {**session.parties, "customer": customer, "target": target}
    phase = Phase.CONSULT if mode is TransferMode.CONSULT else Phase.WARM
    return replace(session, state=State.TRANSFERRING, phase=phase, parties=parties, transfer=transfer)


def sessions(now_ms: int) -> list[Session]:
    """The live ones; the first two need attention, the worst first, and the third has recovered."""

    def talking(number: int, age_s: int) -> Session:
        return _session(number, make_session(session_id(0xC0FFEE00 + number)), now_ms, age_s)

    def in_a_conference(number: int, age_s: int) -> Session:
        return _session(number, conferenced(session_id(0xC0FFEE00 + number)), now_ms, age_s)

    overdue = _with_target(in_a_conference(1, 190), TransferMode.CONSULT, TransferStatus.DIALING)
    overdue = replace(overdue, timers={**overdue.timers, "dial": now_ms - 9_000})
    lone = in_a_conference(2, 421)
    gone = replace(lone.parties["agent"], status=PartyStatus.LEFT, in_conference=False, left_reason="participant-left")
    lone = replace(lone, parties={**lone.parties, "agent": gone})
    busy = Attempt(
        "target", "client:dave", "d1", result="busy", started_at_ms=now_ms - 40_000, ended_at_ms=now_ms - 31_000
    )
    failed = TransferState(
        1,
        TransferMode.CONSULT,
        ("client:dave",),
        TransferStatus.FAILED,
        "busy",
        stage=TransferStage.OVER,
        attempts=(busy,),
    )
    consulting = {"status": PartyStatus.CONNECTED}
    return [
        overdue,
        lone,
        replace(in_a_conference(3, 306), transfer=failed),
        _with_target(in_a_conference(4, 97), TransferMode.CONSULT, TransferStatus.CONSULTING, **consulting),
        _with_target(in_a_conference(5, 64), TransferMode.WARM, TransferStatus.RINGING, status=PartyStatus.RINGING),
        *(talking(6 + number, 12 + number * 47) for number in range(6)),
        *(in_a_conference(12 + number, 33 + number * 71) for number in range(5)),
    ]


def outcomes(now_ms: int) -> list[dict[str, str]]:
    """How the transfers of the last minutes went, as they stand on the stream."""
    found = []
    for number in range(TRANSFERS):
        result = "failed" if number < FAILED else "completed"
        began_ms = now_ms - 60_000 - number * 45_000
        answered_ms = 0 if result == "failed" else began_ms + 3_000 + number * 200
        attempt = Attempt(
            "target", "client:dave", "d1", result="busy" if result == "failed" else "answered",
            started_at_ms=began_ms, answered_at_ms=answered_ms, ended_at_ms=began_ms + 30_000,
        )  # fmt: skip
        conclusion = Conclusion(
            id=f"o{number}", kind="transfer", session_id=session_id(number), result=result, mode="consult",
            to=("client:dave",), attempts=(attempt,), started_at_ms=began_ms, ended_at_ms=began_ms + 30_000,
        )  # fmt: skip
        found.append(encode_outcome(conclusion))
    return found


def talks(now_ms: int) -> list[dict[str, str]]:
    """Today's ended calls of each agent, some of which rang in vain before."""
    found = []
    for number, person in enumerate((*PEOPLE, "dave", "heidi", "ivan")):
        address, at_ms = f"client:{person}", now_ms - 1_000
        rung = ["answered", *["no-answer"] * (number % 3)]
        attempts = tuple(
            Attempt("agent", address, f"d{place}", result=result, started_at_ms=at_ms - 9_000, ended_at_ms=at_ms)
            for place, result in enumerate(rung)
        )
        conclusion = Conclusion(
            id=f"t{number}", kind="session", session_id=session_id(900 + number), result="completed",
            attempts=attempts, started_at_ms=at_ms - 3_600_000, ended_at_ms=at_ms,
        )  # fmt: skip
        agents = [{"address": address, "talk_s": 2_700 + 431 * number, "holds": 1}]
        found.append(encode_outcome(conclusion) | {"agents": json.dumps(agents)})
    return found


def put_busy_period(redis: Redis, keys: Keys = KEYS) -> list[Session]:
    """All of it, as a worker leaves it; returns the sessions."""
    now_ms = redis.time()[0] * 1000
    live = sessions(now_ms)
    put_all(redis, live, keys)
    for fields in outcomes(now_ms):
        redis.xadd(keys.outcomes, fields)
    return live
