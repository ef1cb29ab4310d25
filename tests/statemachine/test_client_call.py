"""`/voice/client`: a browser or app user calls someone; no one's leaving ends it until one is left."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import DialOverdue, LoneOverdue, OpeningOverdue
from tests.statemachine.call_legs import unanswered
from tests.statemachine.conference_scenarios import CLIENT_SESSION, ConferenceScenario, browser, browser_talks
from tests.statemachine.scenario import AGENT_CALL, BOB, CONFERENCE, CUSTOMER_NUMBER, OTHER_CONFERENCE

# ---- the way it should go ----------------------------------------------------------------------------------------


def test_browser_hears_ringback_while_the_callee_is_dialed():
    story = browser()
    dial = story.last.effects[0]
    assert (dial.to, dial.conference, dial.early_media, dial.is_urgent) == (CUSTOMER_NUMBER, CONFERENCE, False, True)
    agent = story.session.parties["agent"]
    assert (agent.wait_audio, agent.call_sid, story.session.direction) == ("ringback", AGENT_CALL, "outbound")
    story.takes_part("customer").expect("conferenced", phase="").expect_timers()
    story.expect_parties(customer="connected", agent="connected")


def test_no_party_is_set_to_end_the_conference_on_leaving():
    story = browser_talks()
    assert not any(effect.kind == "update_participant" for effect in story.effects)


# ---- ids ---------------------------------------------------------------------------------------------------------


def test_second_call_that_asks_for_the_same_session_is_hung_up():
    for begin in (browser, browser_talks):
        story = begin()
        parties = story.session.parties
        story.calls_from_browser("guest", token="second").expect("conferenced", "hang up a call", outcome="unexpected")
        assert story.session.parties == parties


def test_second_call_is_hung_up_in_every_state():
    story = (
        ConferenceScenario()
        .answered()
        .calls_from_browser("guest")
        .expect("bridged", "hang up a call", outcome="unexpected")
    )
    story.convert().calls_from_browser("guest").expect("converting", "hang up a call")
    story.joins("agent").joins("customer").confirms("customer", "agent").transfer("warm")
    story.calls_from_browser("guest").expect("transferring", "hang up a call")
    story.end().calls_from_browser("guest").expect("ended", "hang up a call")


def test_repeated_request_of_the_first_call_changes_nothing():
    for begin in (browser, browser_talks):
        story = begin().calls_from_browser(token="again").expect("conferenced", outcome="stale")
        assert story.session.parties["agent"].call_sid == CLIENT_SESSION


# ---- the callee --------------------------------------------------------------------------------------------------


@unanswered
def test_callee_who_does_not_take_it_ends_it(status, sip, reason):
    story = browser().placed("customer").call("customer", status, sip=sip)
    story.expect("ended", "say goodbye to agent", reason=f"customer-{reason}")


def test_failed_closing_message_hangs_up_only_the_caller():
    story = browser().placed("customer").call("customer", "busy").expect("ended", "say goodbye to agent")
    story.fails("say_and_hang_up", "agent", effect_id=story.last.effects[0].effect_id)
    story.expect("ended", "hang up agent")
    assert story.last.effects[0].call_sid == AGENT_CALL


def test_undialable_callee_ends_the_call():
    browser().refused("customer").expect("ended", "say goodbye to agent", reason="customer-failed")


def test_callee_without_callbacks_is_given_up():
    story = browser().placed("customer").fires(DialOverdue).expect("conferenced", "look")
    story.rings_on("customer").fires(DialOverdue)
    story.expect("ended", "hang up customer", "say goodbye to agent", reason="customer-no-answer")


# ---- the caller --------------------------------------------------------------------------------------------------


def test_caller_who_leaves_before_the_callee_picks_up_cancels_the_pending_call():
    story = browser().placed("customer").call("customer", "ringing").leaves("agent")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_callers_own_callback_is_enough():
    story = browser().call("agent", "completed").expect("ended", "end room", reason="agent-left")
    story.placed("customer").expect("ended", "hang up a call")


def test_late_status_callbacks_of_the_callers_own_call_change_nothing():
    browser().call("agent", "in-progress").expect("conferenced", outcome="stale", phase="ringing")


def test_failing_wait_url_leads_the_caller_into_another_conference():
    story = browser().placed("customer").dial_ends("completed", dial="conference", party="agent")
    story.expect("conferenced").expect_timers("opening", "dial").joins("agent", conference=OTHER_CONFERENCE)
    story.expect("conferenced", "hang up customer", "dial customer")
    story.takes_part_in(OTHER_CONFERENCE, "customer").expect("conferenced", phase="")


def test_caller_who_does_not_arrive_is_searched_for():
    story = (
        ConferenceScenario(session_id=CLIENT_SESSION)
        .calls_from_browser()
        .fires(OpeningOverdue)
        .expect("conferenced", "look")
    )
    story.reads(agent="in-progress", conference=CONFERENCE, inside=("agent",)).expect("conferenced", "dial customer")


def test_removing_the_caller_before_the_callee_answers_ends_it():
    story = browser().placed("customer").remove("agent").expect("conferenced", "hang up agent").leaves("agent")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")
    story.expect_command("remove-1", "accepted", "done")


def test_callee_is_not_dialed_for_a_caller_removed_before_joining():
    story = (
        ConferenceScenario(session_id=CLIENT_SESSION)
        .calls_from_browser()
        .remove("agent")
        .expect("conferenced", "hang up agent")
    )
    story.joins("agent").expect("conferenced").call("agent", "completed")
    story.expect("ended", "end room", reason="agent-left")


# ---- until one is left -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaver, reason", [("agent", "agent-left"), ("customer", "customer-left")])
def test_last_party_is_released_after_the_grace(leaver, reason):
    story = browser_talks().leaves(leaver).expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason=reason)
    assert story.last.ended_lone_conference


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_anyone_may_leave_a_conference_of_three(leaver):
    story = browser_talks().joins("guest").leaves(leaver).expect("conferenced").expect_timers()
    story.leaves("guest").expect("conferenced").expect_timers("lone").fires(LoneOverdue).expect("ended", "end room")


def test_all_who_leave_at_once_end_it_at_once():
    browser_talks().leaves("customer").leaves("agent").expect("ended", "end room", reason="customer-left")


def test_callee_kicked_externally_is_not_waited_for():
    """He was dialed by REST, took part, and is out of the conference: that is not being dialed."""
    story = browser_talks().leaves("customer", status="in-progress", reason="participant_kicked")
    story.expect("conferenced").expect_timers("lone").fires(LoneOverdue).expect("conferenced", "look")
    story.reads(agent="in-progress", conference=CONFERENCE, inside=("agent",)).fires(LoneOverdue)
    story.expect("ended", "end room")  # the answer to the kicked party's `<Dial>` action ends the call


def test_leave_without_callbacks_is_found_by_the_sweep():
    story = browser_talks().later(30_000).sweep_finds("call-missing", "customer").expect("conferenced", "look")
    story.reads(agent="in-progress", customer="completed", conference=CONFERENCE, inside=("agent",)).expect(
        "conferenced"
    )
    story.expect_timers("lone").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")


def test_conference_that_is_over_is_the_end():
    browser_talks().conference_ends(by="customer").expect("ended", reason="customer-left")


def test_callee_continues_at_the_url_from_the_directory():
    """The agent was dialed by REST; a late callback about the answer does not hang them up."""
    story = ConferenceScenario(session_id=CLIENT_SESSION)
    story.calls_from_browser(attributes=ConferenceAttributes(after_url="https://example.com/survey")).joins("agent")
    story.placed("customer").joins("customer").leaves("agent").fires(LoneOverdue)
    story.expect("ended", "send away customer", reason="agent-left").call("customer", "in-progress").expect("ended")


# ---- a transfer out of it ----------------------------------------------------------------------------------------


def test_transfer_needs_no_flag_cleared():
    story = browser_talks().transfer("warm").expect("transferring", "dial target", phase="warm").takes_part("target")
    story.complete().expect("transferring", "hang up agent").leaves("agent").expect("conferenced", phase="")
    story.expect_parties(customer="connected", agent="connected", agent_1="left")
    assert story.session.parties["agent"].address == BOB
