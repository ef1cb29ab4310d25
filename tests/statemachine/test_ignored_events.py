"""What may be left out under load decides nothing: read from the table, and tried in every situation."""

from dataclasses import MISSING, fields, replace

from conferral.statemachine.actions import ignore_late, log_only
from conferral.statemachine.events import EVENTS, ConferenceEventIgnored, Event, ParticipantLeft, TimerExpired
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import DecisionKind
from conferral.statemachine.table import TABLE
from tests.statemachine.scenario import AGENT_CALL, CONFERENCE, Scenario
from tests.statemachine.test_grid import BEGINNINGS
from tests.statemachine.transfer_scenarios import conferenced, talking
from tests.support.each import each

#: What a log and a count of events show, and nothing is decided by.
SHOWN_ONLY = {"version"}


def noted(number: int, session_id: str = "S") -> ConferenceEventIgnored:
    return ConferenceEventIgnored(
        session_id=session_id, entry_id=f"9000000-{number}", source=CONFERENCE, sequence=number,
        conference_sid=CONFERENCE,
        kind="participant-speech-start", call_sid=AGENT_CALL,
    )  # fmt: skip


def what_decides(session: Session) -> dict[str, object]:
    return {one.name: getattr(session, one.name) for one in fields(session) if one.name not in SHOWN_ONLY}


def test_exactly_what_no_state_asks_for_decides_nothing():
    assert {event for event in EVENTS if event.ignored_because} == {*EVENTS} - {row.event for row in TABLE}


IN_STATE = {
    State.BRIDGED: lambda: Scenario().answered(),
    State.CONVERTING: lambda: Scenario().answered().convert(),
    State.CONFERENCED: conferenced,
    State.TRANSFERRING: lambda: talking("consult"),
    State.ENDED: lambda: conferenced().end(),
}
#: Pairs whose only row ignores the event.
NOT_ASKED_FOR = [
    (row.source, row.event) for row in TABLE
    if row.is_unconditional and set(row.actions) <= {ignore_late, log_only}
    and sum((other.source, other.event) == (row.source, row.event) for other in TABLE) == 1
]  # fmt: skip


@each("pair", NOT_ASKED_FOR)
def test_event_that_no_one_in_its_state_has_asked_for_changes_nothing(pair: tuple[State, type[Event]]):
    state, kind = pair
    before = IN_STATE[state]().session
    now_ms = before.updated_at_ms
    values = {one.name: "x" for one in fields(kind) if one.default is one.default_factory is MISSING}
    event = kind(**values | {"session_id": before.id, "entry_id": f"{now_ms}-7", "token": "another"})
    if isinstance(event, TimerExpired):
        event = replace(event, due_ms=now_ms)
        taken = step(replace(before, timers={**before.timers, event.timer: now_ms}), event, now_ms)
    else:
        taken = step(before, event, now_ms)

    assert before.state is state
    assert what_decides(replace(taken.session, seen=before.seen)) == what_decides(before)
    assert (taken.effects, taken.reports, taken.conclusions) == ((), (), ())


@each("situation", BEGINNINGS)
def test_ignored_event_changes_only_the_version(situation: str):
    before = BEGINNINGS[situation]().session
    taken = step(before, noted(900, before.id), before.updated_at_ms + 1000)

    assert what_decides(taken.session) == what_decides(before)
    assert taken.session.version == (before.version + 1 if before.version else 0)
    assert (taken.effects, taken.timers, taken.reports, taken.conclusions) == ((), (), (), ())
    assert taken.kind is (DecisionKind.STALE if before.version else DecisionKind.UNEXPECTED)


def test_leaving_that_comes_late_is_taken_though_many_have_spoken_meanwhile():
    """Two people who speak cause events by the dozen, with numbers of the same conference."""
    session = conferenced().session
    first = max(session.seen.numbers[CONFERENCE]) + 1
    left = ParticipantLeft(
        session_id=session.id, entry_id="9500000-0", source=CONFERENCE, sequence=first, conference_sid=CONFERENCE,
        call_sid=AGENT_CALL, call_status="completed", left_reason="participant_hung_up",
    )  # fmt: skip
    for number in range(first + 1, first + 2 * 256):
        session = step(session, noted(number, session.id), session.updated_at_ms + 20).session

    taken = step(session, left, session.updated_at_ms + 20)
    assert taken.kind is not DecisionKind.STALE, taken.reason
    again = step(taken.session, replace(left, entry_id="9600000-0"), session.updated_at_ms + 40)
    assert (again.kind, again.reason) == (DecisionKind.STALE, "duplicate, ignored")
