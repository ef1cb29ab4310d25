"""What may be left out under load decides nothing: read from the table, and tried in every situation."""

from dataclasses import fields, replace

from conferral.statemachine.events import EVENTS, ConferenceEventIgnored, ParticipantLeft
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from conferral.statemachine.step import Outcome
from conferral.statemachine.table import TABLE
from tests.statemachine.scenario import AGENT_CALL, CONFERENCE
from tests.statemachine.test_grid import BEGINNINGS
from tests.statemachine.transfer_scenarios import conferenced
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


@each("situation", BEGINNINGS)
def test_ignored_event_changes_only_the_version(situation: str):
    before = BEGINNINGS[situation]().session
    taken = step(before, noted(900, before.id), before.updated_at_ms + 1000)

    assert what_decides(taken.session) == what_decides(before)
    assert taken.session.version == (before.version + 1 if before.version else 0)
    assert (taken.effects, taken.timers, taken.reports, taken.outcome_records) == ((), (), (), ())
    assert taken.outcome is (Outcome.STALE if before.version else Outcome.UNEXPECTED)


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
    assert taken.outcome is not Outcome.STALE, taken.reason
    again = step(taken.session, replace(left, entry_id="9600000-0"), session.updated_at_ms + 40)
    assert (again.outcome, again.reason) == (Outcome.STALE, "duplicate, ignored")
