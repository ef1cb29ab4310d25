"""Parties come and go while Twilio's answers and callbacks go wrong, workers die over requests, and people leave.

The customer never hears a whispering supervisor, and no one is dialed twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from conferral.sandbox.faults import Faults
from tests.flows.group_call import BOB, EVE, GroupCall, two
from tests.flows.interruptions import SmallSystem, Stage, gives, hangs_up, one_by_one, side_by_side, small_world
from tests.support.local_system import AGENT, LocalSystem
from tests.worker.test_dials_end_to_end import Breaking

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]
__all__ = ["one_by_one"]

#: Worlds that are played side by side (count).
AT_ONCE = 8
#: How long a coach may be heard by all after the agent has hung up by himself, and a busy machine.
AWAY_S = 0.6
PLOT = (
    ("add", {"to": BOB, "party": "bob"}),
    ("hold", {"party": "customer"}),
    ("unhold", {"party": "customer"}),
    ("mute", {"party": "bob"}),
    ("supervise", {"to": EVE, "mode": "whisper"}),
    ("remove", {"party": "bob"}),
)
PARTICIPANT, CREATE = "/Conferences/*/Participants/*", "/Conferences/*/Participants.json"
Arm = Callable[[Faults], None]


async def play(redis_url: str, arm: Arm, **policy: int) -> list[tuple[str, str]]:
    """The story with a fault; returns what became of each command."""
    async with small_world(redis_url, policy={"hold_timeout_ms": 3_000, **policy}) as system:
        system.answered_by(BOB, EVE)
        crowd = await two(system)
        arm(system.sandbox.faults)
        return await played(crowd)


async def played(crowd: GroupCall) -> list[tuple[str, str]]:
    """Gives all the commands and lets everyone go at the end; returns what became of each of them."""
    found = [await crowd.outcome(await crowd.say(kind, **fields)) for kind, fields in PLOT]
    assert not crowd.system.sandbox.faults.pending_count(), "the fault has not happened"
    await crowd.comes("supervisor", EVE, 1)
    await crowd.expect_heard(customer="agent", agent=["customer", "supervisor"], supervisor=["customer", "agent"])
    bob = await crowd.system.dialed(BOB)
    assert bob.status == "completed"
    assert crowd.never_heard("customer", "supervisor"), crowd.heard()
    assert crowd.system.dials_to(BOB) == crowd.system.dials_to(EVE) == 1
    await crowd.let_go()
    return found


async def play_all(redis_url: str, arms: dict[str, Arm], **policy: int) -> dict[str, Any]:
    """Many stories side by side."""
    results = await side_by_side((play(redis_url, arm, **policy) for arm in arms.values()), AT_ONCE)
    return dict(zip(arms, results, strict=True))


DONE = [("done", "")] * len(PLOT)

# ---- requests ----------------------------------------------------------------------------------------------------

#: By what it is: the request that is hit.
REQUESTS: dict[str, tuple[str, dict[str, str]]] = {
    "clear the flag": (PARTICIPANT, {"EndConferenceOnExit": "false"}),
    "dial": (CREATE, {"To": BOB}),
    "hold": (PARTICIPANT, {"Hold": "true"}),
    "unhold": (PARTICIPANT, {"Hold": "false", "EndConferenceOnExit": ""}),
    "mute": (PARTICIPANT, {"Muted": "true"}),
    "dial the supervisor": (CREATE, {"To": EVE}),
    "whisper": (PARTICIPANT, {"Coaching": "true"}),
    "hang up": ("/Calls/*", {"Status": "completed"}),
}
FAULTS: dict[str, dict[str, Any]] = {
    "after-effect": {"cut": "after"},
    "before-effect": {"cut": "before"},
    "500": {"status": 500},
    "429": {"status": 429},
}


@pytest.mark.parametrize("fault", [
    "after-effect",
    *(pytest.param(name, marks=pytest.mark.soak) for name in list(FAULTS)[1:]),
])  # fmt: skip
async def test_request_that_goes_wrong_once_costs_time_and_nothing_else(redis_server, fault):
    def arming(path: str, params: dict[str, str]) -> Arm:
        return lambda faults: faults.next_rest("POST", path, **FAULTS[fault], **params)

    found = await play_all(redis_server.url, {name: arming(*request) for name, request in REQUESTS.items()})
    assert found == dict.fromkeys(REQUESTS, DONE)


# ---- callbacks ---------------------------------------------------------------------------------------------------

#: Event and whose it is: a label, or a phone.
CALLBACKS = [
    ("participant-modify", "agent-1"), ("participant-modify", "customer-1"), ("participant-join", "bob-1"),
    ("participant-hold", "customer-1"), ("participant-unhold", "customer-1"), ("participant-mute", "bob-1"),
    ("participant-join", "supervisor-2"), ("participant-unmute", "supervisor-2"), ("participant-leave", "bob-1"),
    ("initiated", BOB), ("ringing", BOB), ("answered", BOB), ("completed", BOB),
    ("initiated", EVE), ("ringing", EVE), ("answered", EVE),
]  # fmt: skip


def of(who: str) -> dict[str, str]:
    return {"To": who} if who in (BOB, EVE) else {"ParticipantLabel": who}


@pytest.mark.soak
async def test_any_one_callback_may_be_lost(redis_server):
    def arming(event: str, who: str) -> Arm:
        return lambda faults: faults.lose_callbacks(event, **of(who))

    arms = {f"{event} {who[-2:]}": arming(event, who) for event, who in CALLBACKS}
    found = await play_all(redis_server.url, arms, ring_timeout_ms=1_000)
    assert found == dict.fromkeys(arms, DONE)


@pytest.mark.parametrize("kind", ["doubled", "late", "overtaken"])
@pytest.mark.system(policy={"hold_timeout_ms": 3_000})
async def test_callbacks_may_come_twice_late_or_in_another_order(system, kind):
    system.answered_by(BOB, EVE)
    crowd = await two(system)
    faults = system.sandbox.faults
    if kind == "doubled":
        faults.callback_duplication = 1.0
    elif kind == "late":
        faults.callback_delay_s = (0.0, 0.2)
    else:
        faults.callback_reordering = 0.5
    assert await played(crowd) == DONE


@pytest.mark.system(policy={"leave_timeout_ms": 600_000}, CONFERRAL_SWEEP_INTERVAL=3_600)
async def test_hang_up_of_a_call_whose_end_no_callback_reported_is_settled_by_a_read(system):
    """Twilio answers 21220. The timer and the sweep that read after lost callbacks are far away."""
    system.answered_by(BOB)
    crowd = await two(system)
    bob = await crowd.add("bob", BOB)
    faults = system.sandbox.faults
    faults.lose_callbacks("completed", CallSid=bob.sid)
    faults.lose_callbacks("participant-leave", CallSid=bob.sid)
    bob.hang_up()
    await system.sandbox.wait_until(lambda: not faults.pending_count())
    del crowd.people["bob"]
    await crowd.done("remove", party="bob")
    await crowd.party("bob", status="left")
    await crowd.let_go()


# ---- workers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["create_participant", "update_participant", "hang_up_call"])
@pytest.mark.parametrize("point", ["before_request", "after_request"])
async def test_successor_continues_where_a_worker_died_during_a_request(redis_server, point, kind):
    system = LocalSystem(redis_server.url, policy={"hold_timeout_ms": 3_000})
    breaking = system.worker_options["effect_checkpoint"] = Breaking(point, kind)
    async with system:
        system.answered_by(BOB, EVE)
        customer, agent = await system.talking()
        crowd = GroupCall(system, customer.sid, {"customer": customer, "agent": agent})
        playing = asyncio.create_task(played(crowd))
        await system.eventually(breaking.has_broken, "it broke off")
        await system.stop_worker()
        system.start_worker()
        assert await playing == DONE


# ---- people ------------------------------------------------------------------------------------------------------


async def both_phones_answer(cast: SmallSystem) -> None:
    cast.system.answered_by(EVE)


async def remaining_parties_are_not_alone(cast: SmallSystem) -> None:
    """Two or more who talk, or no one; everyone knows what became of the commands, and the coach was not overheard."""
    system, ears = cast.system, cast.system.listening

    async def has_ended() -> bool:
        return (await system.session(cast.id))["state"] == "ended"

    async def is_well() -> bool:
        coaches = {call.sid for call in system.sandbox.calls_of(EVE)}
        talking = [
            call for call in system.sandbox.live_calls() if call.sid not in coaches and call.hears_now is not None
        ]
        return await has_ended() or len(talking) >= 2

    # Once everything is decided it still has to be so: what was under way may have been someone's leaving.
    for _ in range(2):
        await system.eventually(is_well, "it is over, or two are left")
        await cast.is_quiet()
    await system.eventually(is_well, "it is over, or two are left")
    if not await has_ended():
        await cast.give("end")
    await cast.ends((await system.until(cast.id, state="ended"))["end_reason"])
    for coach in system.sandbox.calls_of(EVE):
        assert ears.seconds(cast.customer, coach) < AWAY_S, ears.described()
        assert cast.target is None or ears.seconds(cast.target, coach) < AWAY_S, ears.described()
    assert system.dials_to(EVE) <= 1


def gives_later(kind: str, **fields: str) -> Callable[[SmallSystem], Awaitable[None]]:
    async def act(cast: SmallSystem) -> None:
        await cast.say(kind, **fields)

    return act


ACTS = {
    "customer-leaves": hangs_up("customer"),
    "agent-leaves": hangs_up("agent"),
    "bob-leaves": hangs_up("target"),
    "agent-and-bob-leave": hangs_up("agent", "target"),
    "agent-is-removed": gives_later("remove", party="agent"),
    "customer-is-removed": gives_later("remove", party="customer"),
    "all-are-released": gives_later("end"),
    "it-is-handed-on": gives_later("transfer", to=AGENT, mode="warm"),
}


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("act", ACTS)
async def test_anything_may_happen_at_any_step(redis_server, act):
    stage = Stage(redis_server.url, both_phones_answer, gives(PLOT), ACTS[act], remaining_parties_are_not_alone)
    await stage.play_at_every_step()


@pytest.mark.system(policy={"ring_timeout_ms": 1_000, "dial_slack_ms": 100})
async def test_everything_about_an_added_party_may_be_lost(system):
    """A read shows the answer, and the end reaches a party that no callback ever reported."""
    crowd = await two(system)
    for fields in ({"To": BOB}, {"ParticipantLabel": "bob-1"}):
        system.sandbox.faults.lose_callbacks("*", count=1_000, **fields)
    await crowd.add("bob", BOB)
    await crowd.talk()
    await crowd.let_go()
