"""The invariants of a run: each violation is found, and a failing run says how to play it again."""

import msgspec
import pytest

from conferral.statemachine.events import ConferenceStarted
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.text_codec import to_iso
from conferral.worker.partition.log_entry import changes_of
from tests.simulation.audibility_rules import Supervision, apart, note_supervision, supervised
from tests.simulation.reads import too_many_reads, wrong_read_timer
from tests.simulation.replay import Replays
from tests.simulation.worker_deaths import excused_s
from tests.support.decisions import Kept
from tests.support.flat_sessions import in_bytes

# ---- who must not be heard -------------------------------------------------------------------------------------------

SUPERVISED = {
    b"state": b"conferenced",
    b"party.agent.call_sid": b"CA2",
    b"party.supervisor.call_sid": b"CA3",
    b"party.supervisor.status": b"connected",
    b"party.supervisor.in_conference": b"true",
    b"party.supervisor.muted": b"true",
}


@pytest.mark.parametrize(
    "modes, confirmed, heard_by",
    [
        (["monitor"], {}, set()),
        (["whisper"], {}, {"CA2"}),
        (["monitor", "whisper"], {b"muted": b"false", b"coaches": b"CA2"}, {"CA2"}),
        (["barge"], {b"muted": b"false"}, {"CA1", "CA2"}),
        (["barge", "monitor"], {b"muted": b"false", b"asked": b"monitor"}, {"CA1", "CA2"}),
        (["barge", "monitor"], {}, set()),
        (["barge", "whisper"], {b"muted": b"false", b"coaches": b"CA2"}, {"CA2"}),
    ],
)
def test_supervisor_is_heard_according_to_the_mode(
    modes: list[str], confirmed: dict[bytes, bytes], heard_by: set[str]
) -> None:
    known: Supervision | None = None
    record = SUPERVISED | {b"party.supervisor." + name: value for name, value in confirmed.items()}
    for mode in modes:
        record |= {b"party.supervisor.supervises": mode.encode()}
        known = note_supervision(record, known)
    rules = supervised(record, known)
    assert {listener for listener in ("CA1", "CA2") if not any(one.forbids(listener) for one in rules)} == heard_by
    assert all(one.while_live == ({"CA2"} if "whisper" in one.why else set()) for one in rules)
    assert note_supervision(record | {b"party.supervisor.status": b"left"}, known) is None


@pytest.mark.parametrize(
    "changes, while_live",
    [
        ({b"party.supervisor.pending_update": b"whisper"}, {"CA2", "CA4"}),
        ({b"party.supervisor.pending_update": b"whisper", b"party.agent-1.is_leaving": b"true"}, {"CA4"}),
        ({b"party.supervisor.coaches": b"CA4"}, {"CA4"}),
        ({}, {"CA4"}),
    ],
)
def test_whisper_is_heard_after_an_agent_has_hung_up_until_the_next_one_is_coached(
    changes: dict[bytes, bytes], while_live: set[str]
) -> None:
    record = SUPERVISED | {b"party.supervisor.supervises": b"whisper"}
    known = note_supervision(record, None)
    record |= {b"party.agent-1.call_sid": b"CA2", b"party.agent.call_sid": b"CA4"} | changes
    (rule,) = supervised(record, note_supervision(record, known))
    assert rule.while_live == while_live


def test_customer_and_target_of_a_consult_do_not_hear_each_other() -> None:
    record = {
        b"state": b"transferring", b"phase": b"consult", b"transfer.status": b"consulting",
        b"transfer.stage": b"talking", b"party.customer.call_sid": b"CA1", b"party.target.call_sid": b"CA3",
    }  # fmt: skip
    pairs = {(one.speaker, other) for one in apart(record) for other in ("CA1", "CA2", "CA3") if one.forbids(other)}
    assert pairs == {("CA1", "CA3"), ("CA3", "CA1")}
    assert apart(record | {b"transfer.stage": b"unholding"})
    assert apart(record | {b"transfer.stage": b"unholding", b"transfer.step_name": b"merge"}) == []


# ---- decided again ---------------------------------------------------------------------------------------------------


def test_log_that_comes_to_something_else_is_complained_about() -> None:
    event = ConferenceStarted(session_id="s1", entry_id="1-0", conference_sid="CF1")
    decided = step(Session("s1"), event, 5_000, Policy())
    stored = in_bytes(session_codec.encode(decided.session))
    other = in_bytes(session_codec.encode(replace(decided.session, updated_at_ms=6_000)))
    logged = {
        "version": str(decided.session.version),
        "to": decided.session.state.value,
        "changes": msgspec.json.encode(changes_of(decided.session, Session("s1"))).decode(),
    }
    entry = {name.encode(): value.encode() for name, value in logged.items()}

    def complaint(record: dict[bytes, bytes], *log: dict[bytes, bytes]) -> str:
        replays = Replays(1)
        replays.keep(Kept("s1", decided.session.version, event, 5_000, Policy(), logged))
        return replays.complaint("s1", log, record)

    assert complaint(stored, entry) == ""
    assert "updated_at" in complaint(other, entry)
    assert "nobody has decided" in complaint(stored, entry | {b"at": b"another time"})
    assert Replays(0).complaint("s1", [entry], {}) == ""


# ---- when Twilio is asked --------------------------------------------------------------------------------------------


def entry(at_s: int, event: str, reads: int = 0) -> dict[bytes, bytes]:
    effects = msgspec.json.encode([{"kind": "read_calls"}] * reads)
    return {b"at": to_iso(at_s * 1000).encode(), b"event": event.encode(), b"effects": effects}


def test_reads_of_a_minute_are_counted_and_each_command_allows_two_and_each_dial_one_more() -> None:
    often = [entry(at_s, "read_overdue", 1) for at_s in range(0, 64, 4)]
    assert not too_many_reads(often)
    problem = "16 reads within a minute, but its commands, dials, and losses allow 0 more"
    assert too_many_reads([*often[:15], entry(59, "read_overdue", 1)]) == problem
    assert not too_many_reads([entry(1, "hold"), *often[:15], entry(59, "read_overdue", 2)])
    assert too_many_reads([entry(1, "hold"), *often[:15], entry(59, "read_overdue", 3)])
    dial = entry(1, "recall_overdue") | {b"effects": b'[{"kind": "create_call"}]'}
    assert not too_many_reads([dial, *often[:15], entry(59, "read_overdue", 1)])


@pytest.mark.parametrize("timers, is_wrong", [(b'{"age":1,"read":2}', False), (b'{"age":1}', True)])
def test_timer_of_reads_is_set_while_something_is_unsettled(timers: bytes, is_wrong: bool) -> None:
    assert bool(wrong_read_timer({b"timers": timers, b"unsettled_since_ms": b'{"suspicion anyone":1}'})) is is_wrong
    assert bool(wrong_read_timer({b"timers": timers})) is not is_wrong


# ---- how long someone may be alone -----------------------------------------------------------------------------------


def test_each_death_of_an_owner_beyond_two_excuses_two_seconds() -> None:
    log = [entry(at_s, "account_swept") | {b"details": b'{"finding":"writes-lost"}'} for at_s in range(1, 7)]
    assert excused_s(log, 0.0, 2.0) == 0.0
    assert excused_s([*log, entry(4, "account_swept")], 2.0, 5.0) == 4.0
