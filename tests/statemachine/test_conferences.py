"""Conferences: what flows and exploration do not reach."""

import pytest

from conferral.statemachine.events import LoneOverdue, ReadOverdue
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import Orders, added
from tests.statemachine.conference_scenarios import (
    as_conference,
    browser_talks,
    called,
    called_in,
    received,
    retrieving,
    waiting,
)
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, conferenced, dialing


def test_guest_whose_join_is_reported_after_the_end_leaves_the_conference_and_is_not_hung_up():
    story = as_conference(conferenced().end()).joins("guest").expect("ended", "end room")
    story.sweep_finds("call-live", "guest").expect("ended").joins("guest").expect("ended")


def test_unknown_call_with_the_label_of_a_retrieval_is_hung_up_after_the_end():
    """The session's only dial had `agent-2`: TwiML dialed the agent who parked the call as `agent-1`."""
    story = retrieving().placed("agent").end()
    assert story.session.parties["agent"].label == "agent-2"
    story.legs["guest"].label = "agent-2"
    story.joins("guest").expect("ended", "hang up a call")


def refused_by_ended_conference(story):
    dial = story.legs["target"].dial
    return story.fails("create_participant", "target", gone=True, code=16022, effect_id=dial)


def test_target_refused_by_an_ended_conference_is_dialed_to_the_gate_for_the_next_one():
    story = refused_by_ended_conference(blind_from_bridge()).expect("transferring", "dial target to the gate")
    story.placed("target").joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("transferring")
    story.gate("target").gate("target", "accepted").joins("target", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS, phase="connected")


def test_target_of_an_agent_who_stays_is_not_dialed_again_into_an_ended_conference():
    refused_by_ended_conference(dialing("warm")).expect("conferenced", "flag agent").expect_transfer("failed", "failed")


def test_customer_whose_conference_the_agent_ended_is_followed_before_the_end_is_reported():
    """The agent hung up before Twilio knew that this must not end the conference; the join comes first."""
    story = conferenced().transfer("warm").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "hang up agent", "dial target", phase="blind")
    assert (story.session.conference_sid, story.session.former_conferences) == (OTHER_CONFERENCE, (CONFERENCE,))
    assert not story.session.parties["customer"].desired_end_on_exit
    story.conference_ends(by="agent").expect("transferring", phase="blind")
    story.joins("customer", conference=CONFERENCE).expect("transferring", outcome="stale", phase="blind")
    assert [party.name for party in story.session.participants] == ["customer"]
    conferenced().transfer("warm").joins("agent", conference=OTHER_CONFERENCE).expect("transferring", "hang up a call")


def test_guest_of_another_app_may_join_another_conference():
    story = conferenced().joins("guest").expect("conferenced", "unflag customer", "unflag agent")
    story.joins("guest", conference=OTHER_CONFERENCE).expect("conferenced", outcome="unexpected")


def test_customer_whom_reads_show_in_a_conference_that_ended_is_there_from_the_second_read_on():
    story = blind_from_bridge().placed("target").conference_ends().expect("transferring", "hang up target")
    for effects in ([], ["hold customer"]):
        story.fires(ReadOverdue).reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
        story.expect("transferring", *effects)


def test_one_who_remains_alone_on_hold_is_taken_off_once_someone_joins():
    story = added().leaves("lawyer").hold("customer").confirms("customer").leaves("agent").expect("conferenced")
    story.joins("guest").expect("conferenced", "unhold customer")


def test_hold_that_twilio_has_not_confirmed_fails_as_the_agent_leaves():
    story = added().hold("customer").leaves("agent").expect("conferenced", "unhold customer")
    story.expect_command("hold-1", "accepted", "failed", reason="agent-left")


def test_all_who_remain_on_hold_are_taken_off():
    story = added().hold("agent").confirms("agent").hold("lawyer", "hold-2").confirms("lawyer").leaves("customer")
    story.expect("conferenced", "unhold agent", "unhold lawyer")
    added().hold("customer").leaves("agent").expect("conferenced", "unhold customer")
    story = added().mute("customer").hold("customer").leaves("agent").expect("conferenced")
    story.expect_command("hold-1", "accepted", "failed").confirms("customer").expect_held()
    story.expect_command("mute-1", "accepted", "done")


TWO = {"other_agents": (BOB,)}


def test_late_callbacks_of_the_former_agent_do_not_touch_the_next():
    story = waiting(**TWO).placed("agent").call("agent", "busy").placed("agent").call("agent", "ringing")
    story.call("former agent", "completed").expect("conferenced", outcome="stale")
    story.leaves("former agent", status="busy", reason="participant_add_failed")
    story.expect("conferenced", outcome="stale").expect_parties(customer="connected", agent="ringing")


def lost():
    """The conference in which the caller waited is over, and the caller has not come into another."""
    story = waiting().placed("agent").conference_ends().expect("conferenced", "hang up agent")
    return story.call("agent", "canceled").expect("conferenced").expect_timers("read")


def moved():
    story = lost().fires(ReadOverdue).expect("conferenced", "look")
    return story.reads(customer="in-progress").expect("conferenced", "move customer").expect_timers("read")


def test_move_that_has_come_to_nothing_ends_it():
    story = moved()
    story.fails("redirect_call", "customer", status=500, effect_id=story.last.effects[0].effect_id)
    story.expect("conferenced", "look").reads(customer="in-progress", conference=CONFERENCE)
    story.expect("ended", "hang up customer", reason="convert-failed")


def conference_is_over(story):
    """Twilio refuses to dial into a conference that has ended; no callback has reported the end yet."""
    return story.fails("create_participant", "agent", gone=True, status=404, effect_id=story.legs["agent"].dial)


def test_customers_number_is_not_what_the_dial_came_too_late_for():
    story = called(Policy(shows_customer_number=True), call_token="token").joins("customer", starts=False)
    conference_is_over(story.expect("conferenced", "dial agent")).expect("conferenced", "dial agent to the gate")
    assert story.last.effects[0].options.caller_id == story.session.customer.address


def test_dial_into_the_first_conference_that_is_placed_after_the_second_began_is_hung_up():
    story = waiting().joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")
    story.placed("former agent").expect("conferenced", "hang up a call")
    story.call("former agent", "ringing").expect("conferenced")
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="connected")


def test_someone_who_is_no_party_does_not_count_as_the_agent():
    story = waiting().placed("agent").joins("guest").expect("conferenced", phase="ringing")
    story.call("agent", "busy").expect("ended", "say goodbye to customer", reason="agent-busy")
    story.succeeds("say_and_hang_up", "customer").expect("ended", "end room")


AFTER = {"attributes": ConferenceAttributes(after_url="https://example.com/survey")}


def with_survey():
    story = waiting(**AFTER).takes_part("agent").expect("conferenced", "flag customer", phase="connected")
    return story.confirms("customer").expect("conferenced").expect_timers()


@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_caller_who_can_not_be_sent_on_does_not_stay_there_alone(outcome):
    """The end of the conference leads the caller on by the action, should Twilio not have taken the request."""
    story = with_survey().leaves("agent").fires(LoneOverdue).expect("ended", "send away customer")
    effect_id = story.last.effects[0].effect_id
    if outcome == "refused":
        story.fails("redirect_to_url", "customer", code=21205, effect_id=effect_id)
    else:
        story.is_unknown("redirect_to_url", "customer", effect_id)
    story.expect("ended", "end room")


def talks_to_customer():
    return called_in().takes_part("customer").confirms("customer", "agent")


BEGINNINGS = pytest.mark.parametrize("begin", [conferenced, received, talks_to_customer, browser_talks])


def orders(story):
    """The same story, with the commands about parties."""
    story.__class__ = Orders
    return story


def with_held_customer(begin):
    story = orders(begin()).hold("customer").confirms("customer")
    return story.expect_command("hold-1", "accepted", "done").expect_held("customer")


@BEGINNINGS
def test_held_customer_is_alone_when_the_agent_leaves(begin):
    story = with_held_customer(begin)
    assert "lone" not in story.session.timers, "a held party is company"
    story.leaves("agent").expect("conferenced")
    assert "lone" in story.session.timers
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")
