"""What Twilio does only once a conference has started, and leaves that are no hang-ups."""

import pytest

from conferral.statemachine.events import OpeningOverdue
from tests.statemachine.conference_scenarios import called, received, waiting
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS

TWO = {"other_agents": (BOB,)}


@pytest.mark.parametrize("code", [16001, 16099])
def test_dial_that_is_refused_before_the_start_is_placed_once_more_as_a_call_of_its_own(code):
    story = waiting()
    before = story.last.effects[0]
    story.refused("agent", code=code).expect("conferenced", "dial agent to the gate", phase="ringing")
    (dial,) = story.last.effects
    assert (dial.to, dial.timeout_s, dial.is_urgent) == (before.to, before.timeout_s, True)
    assert dial.effect_id != before.effect_id
    story.placed("agent").call("agent", "ringing").call("agent", "in-progress")
    story.gate("agent").gate("agent", "accepted").joins("agent").expect("conferenced", *FLAGS, phase="")


def test_call_that_is_refused_too_is_not_placed_again():
    story = waiting(**TWO).refused("agent", code=16099).expect("conferenced", "dial agent to the gate")
    story.refused("agent", code=16099).expect("conferenced", "dial agent")
    assert story.last.effects[0].to == BOB


def test_dial_whose_call_has_shown_itself_is_not_placed_again():
    """An earlier copy of the request was carried out: the phone rings."""
    waiting().call("agent", "ringing").refused("agent", code=16099).expect("conferenced", phase="ringing")


def test_leave_of_a_caller_whose_call_continues_is_no_hang_up():
    """Twilio may report so that the wait document could not be fetched; the dial action leads the caller back."""
    story = waiting().placed("agent").leaves("customer", status="in-progress")
    story.expect("conferenced", phase="ringing").expect_timers("dial", "opening")
    story.dial_ends("failed", dial="conference").expect("conferenced", phase="ringing")
    story.conference_ends().expect("conferenced", "hang up agent", phase="ringing")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")


def test_leave_of_a_caller_who_has_hung_up_ends_it_as_ever():
    story = waiting().placed("agent").leaves("customer")
    story.expect("ended", "end room", "hang up agent", reason="customer-left")
    assert not story.session.parties["customer"].waits_for_start


def test_leave_of_someone_who_talks_is_a_hang_up_though_the_call_is_still_in_progress():
    """The dial action is answered with a hang-up then."""
    story = received().leaves("agent", status="in-progress").expect("conferenced").expect_timers("lone")
    assert story.session.parties["agent"].is_gone


# ---- a request of wait audio shows the join ------------------------------------------------------------------


def test_request_of_wait_audio_is_enough_to_dial_the_agent():
    story = called().joins("customer", starts=False, sequence=None, token="waits")
    story.expect("conferenced", "dial agent", phase="ringing").expect_timers()
    story.sequences[CONFERENCE] = 1
    story.placed("agent").call("agent", "in-progress").joins("agent").expect("conferenced", *FLAGS, phase="")
    # The callback of the first join comes last, and undoes nothing.
    story.joins("customer", starts=False, sequence=1).expect("conferenced", outcome="stayed")
    assert story.session.parties["customer"].pending_update == "set-end-on-exit"
    assert story.session.parties["customer"].conference_sequence == 1


def test_late_callback_of_a_join_undoes_nothing_during_a_transfer():
    story = Scenario().answered().transfer("blind").call("agent", "completed").dial_ends("completed")
    story.joins("customer", starts=False, sequence=None, token="waits").expect("transferring", "dial target")
    story.sequences[CONFERENCE] = 1
    story.joins("customer", starts=False, sequence=1).expect("transferring", outcome="stayed")
    assert story.session.parties["customer"].conference_sequence == 1


def test_join_after_the_party_has_left_is_a_new_one():
    story = called().joins("customer", starts=False, sequence=None, token="waits")
    story.sequences[CONFERENCE] = 1
    story.leaves("customer", status="in-progress").joins("customer", starts=False).expect("conferenced")
    assert story.session.parties["customer"].in_conference
    assert story.session.parties["customer"].conference_sequence == 3


def test_caller_who_was_received_hears_no_music_and_may_be_moved_away():
    story = received()
    assert {party.wait_audio for party in story.session.parties.values()} == {""}
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api")
    assert story.session.parties["customer"].is_gone


def test_caller_in_a_conference_that_no_list_shows_is_left_there():
    """Twilio need not list one that has not started: a read that finds none proves nothing."""
    story = waiting().placed("agent").conference_ends().expect("conferenced", "hang up agent").call("agent", "canceled")
    story.fires(OpeningOverdue).reads(customer="in-progress").expect("conferenced", "move customer")
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    for _ in range(3):
        story.fires(OpeningOverdue).expect("conferenced", "look").reads(customer="in-progress")
        story.expect("conferenced").expect_timers("opening")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")


@pytest.mark.parametrize("first, second", [(1, None), (None, 1)])
def test_join_reported_by_callback_and_wait_request_leaves_the_customer_waiting(first, second):
    """A customer who were taken for one in a started conference would be held, which Twilio refuses."""
    story = Scenario().answered().transfer("blind").call("agent", "completed")
    story.joins("customer", starts=False, sequence=first).expect("transferring", "dial target")
    story.joins("customer", starts=False, sequence=second).expect("transferring")
    assert story.session.parties["customer"].waits_for_start
