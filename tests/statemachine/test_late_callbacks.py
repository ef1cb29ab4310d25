"""Callbacks that are out of date, or about parties and conferences that are over, change nothing."""

import pytest

from conferral.statemachine.events import ReadOverdue
from tests.statemachine.command_scenarios import supervised
from tests.statemachine.conference_scenarios import waiting
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, converted, dialing, ringing, talking
from tests.support.each import each


def test_late_join_of_the_first_conference_does_not_hang_up_the_customer():
    """The wait music failed, and the agent took the call in the second conference."""
    story = waiting().conference_ends().joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="connected")
    story.joins("customer", conference=CONFERENCE).expect("conferenced", outcome="stale", phase="connected")
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert [party.name for party in story.session.participants] == ["customer", "agent"]


@pytest.mark.parametrize(
    ("begin", "leg", "party"), [(lambda: talking("warm"), "target", "target"), (conferenced, "guest", "guest-1")]
)
def test_late_leave_does_not_undo_a_newer_join(begin, leg, party):
    story = begin()
    state, last = story.session.state.value, story.sequences[CONFERENCE]
    story.joins(leg, sequence=last + 2)
    story.leaves(leg, status="in-progress", sequence=last + 1).expect(state, outcome="stale")
    assert story.session.parties[party].in_conference


@each("name, other", [("customer", "agent"), ("agent", "customer")])
def test_late_join_does_not_undo_a_leave_that_was_the_first_event_of_the_conference(name, other):
    story = Scenario().answered().convert()
    story.leaves(name, status="in-progress", reason="participant_updated_via_api", sequence=4).expect("converting")
    story.joins(other, sequence=1).conference_starts().joins(name, sequence=2).expect("converting", outcome="stale")
    assert [party.name for party in story.session.participants] == [other]


def test_late_join_into_a_conference_whose_end_was_its_first_event_changes_nothing():
    story = Scenario().answered().convert()
    story.sequences[CONFERENCE] = 2
    story.conference_ends().expect("converting")
    story.joins("customer", sequence=1).expect("converting", outcome="stale")
    story.joins("agent", conference=OTHER_CONFERENCE).joins("customer", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS, phase="connected")


def test_late_join_into_another_conference_that_has_ended_does_not_leave_this_one():
    story = Scenario().answered().convert().joins("customer", conference=OTHER_CONFERENCE)
    story.sequences[CONFERENCE] = 2
    story.conference_ends().joins("agent", sequence=1).expect("converting", outcome="stale")
    assert story.session.conference_sid == OTHER_CONFERENCE


def test_late_start_of_a_conference_that_has_ended_does_not_return_to_it():
    story = waiting().conference_ends().conference_starts().expect("conferenced")
    story.joins("customer").expect("conferenced", outcome="stale")


def test_late_change_in_the_conference_before_does_not_hide_a_leave():
    story = waiting().conference_ends().joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.changes("customer", sequence=9).expect("conferenced", outcome="stale")
    story.leaves("customer", conference=OTHER_CONFERENCE).expect("ended", "end room")


def test_late_change_in_the_conference_before_changes_nothing_while_a_bridge_converts():
    story = Scenario().answered().convert().joins("agent", conference=OTHER_CONFERENCE)
    story.changes("agent", sequence=9).expect("converting", outcome="stale")
    assert story.session.conference_sid == OTHER_CONFERENCE


def test_target_that_was_given_up_and_reaches_the_gate_is_hung_up():
    story = dialing("warm", BOB, CAROL).placed("target-1").call("target-1", "no-answer")
    story.gate("target-1").expect("transferring", "hang up target-1").expect_transfer("dialing")


@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_late_decision_about_a_target_who_hung_up_in_the_gate_changes_nothing(decision):
    story = dialing("warm", confirm=True).placed("target").call("target", "ringing").gate("target")
    story.call("target", "completed").expect("conferenced", "flag agent").expect_transfer("failed", "hung-up")
    before = story.session.parties
    story.gate("target", decision).expect("conferenced").expect_transfer("failed", "hung-up")
    assert story.session.parties == before


def test_late_change_of_the_target_before_does_not_hold_the_target_now():
    story = ringing("warm").call("target", "busy").expect("conferenced", "flag agent")
    story.confirms("agent").transfer("warm", CAROL, command_id="transfer-2").confirms("agent")
    story.expect("transferring", "dial target").takes_part("target").expect_transfer("merged")
    story.legs["former target"].held = True
    story.changes("former target").expect("transferring", outcome="stale").expect_held()


def test_flag_that_is_never_confirmed_is_given_up_after_seven_seconds_whatever_was_read_before():
    story = converted().fires(ReadOverdue).is_unknown("read_calls").confirms("customer", "agent")
    story.leaves("agent", status="in-progress").joins("agent", sequence=None, token="back")
    story.expect("conferenced", "flag agent")
    for _ in range(3):
        story.fires(ReadOverdue).expect("conferenced", "look").is_unknown("read_calls")
        assert story.session.parties["agent"].desired_end_on_exit
    story.fires(ReadOverdue).expect("conferenced")
    assert not story.session.parties["agent"].desired_end_on_exit


def test_no_ones_leaving_ends_the_conference_while_someone_supervises():
    story = supervised(begin=lambda: talking("warm")).complete().leaves("agent").expect("conferenced")
    assert not any(party.desired_end_on_exit for party in story.session.parties.values())
