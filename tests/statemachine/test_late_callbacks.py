"""Callbacks that are out of date, or about parties and conferences that are over, change nothing."""

import pytest

from conferral.statemachine.events import ConfirmOverdue
from tests.statemachine.command_scenarios import supervised
from tests.statemachine.conference_scenarios import waiting
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, converted, dialing, ringing, talking


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


def test_target_that_was_given_up_and_reaches_the_gate_is_hung_up():
    story = dialing("warm", BOB, CAROL).placed("target-1").call("target-1", "no-answer")
    story.gate("target-1").expect("transferring", "hang up target-1").expect_transfer("dialing")


def test_late_change_of_the_target_before_does_not_hold_the_target_now():
    story = ringing("warm").call("target", "busy").expect("conferenced", "flag agent")
    story.confirms("agent").transfer("warm", CAROL, command_id="transfer-2").confirms("agent")
    story.expect("transferring", "dial target").takes_part("target").expect_transfer("merged")
    story.legs["former target"].held = True
    story.changes("former target").expect("transferring", outcome="stale").expect_held()


def test_flag_that_is_never_confirmed_is_read_for_three_times_whatever_was_read_before():
    story = converted().fires(ConfirmOverdue).is_unknown("read_calls").confirms("customer", "agent")
    story.leaves("agent", status="in-progress").joins("agent", sequence=None, token="back")
    story.expect("conferenced", "flag agent")
    for _ in range(3):
        story.fires(ConfirmOverdue).expect("conferenced", "look").is_unknown("read_calls")
        assert story.session.parties["agent"].desired_end_on_exit
    story.fires(ConfirmOverdue).expect("conferenced", "look")
    assert not story.session.parties["agent"].desired_end_on_exit


def test_no_ones_leaving_ends_the_conference_while_someone_supervises():
    story = supervised(begin=lambda: talking("warm")).complete().leaves("agent").expect("conferenced")
    assert not any(party.desired_end_on_exit for party in story.session.parties.values())
