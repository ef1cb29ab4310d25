"""Bridges whose caller gives up while the agent's phone rings: Twilio may report the agent's leg first."""

import pytest

from conferral.statemachine.events import CallsOverdue
from tests.statemachine.scenario import OUTBOUND, Scenario


def rings() -> Scenario:
    return Scenario().comes_in().call("agent", "initiated").call("agent", "ringing")


def expect_caller_gave_up(story: Scenario) -> None:
    story.expect("ended", reason="customer-left")
    (record,) = story.conclusions
    assert (record.landed_on, [one.result for one in record.attempts]) == ("", ["cancelled"])


@pytest.mark.parametrize("word", ["canceled", "no-answer", "failed", "busy"])
def test_agent_whose_leg_is_reported_first_is_not_to_blame(word):
    story = rings().call("agent", word, ended_s=100).expect("bridged", phase="ringing")
    expect_caller_gave_up(story.call("customer", "no-answer", ended_s=101))


@pytest.mark.parametrize("word", ["canceled", "no-answer"])
def test_read_of_both_calls_shows_the_same(word):
    story = rings().call("agent", word).fires(CallsOverdue).expect("bridged", "look")
    expect_caller_gave_up(story.reads(customer="no-answer", agent=word))


def test_caller_gave_up_although_all_callbacks_are_lost():
    story = Scenario().comes_in().fires(CallsOverdue).expect("bridged", "look")
    expect_caller_gave_up(story.reads(customer="completed", agent="canceled"))


def test_caller_who_is_reported_first_ends_it_at_once():
    expect_caller_gave_up(rings().call("customer", "completed"))


def test_agent_who_ended_clearly_earlier_by_twilios_clock_left_first():
    story = rings().call("agent", "busy", ended_s=100).call("customer", "completed", ended_s=102)
    story.expect("ended", reason="agent-busy")


def test_agent_who_ended_earlier_is_known_from_a_read_as_well():
    story = (
        rings().fires(CallsOverdue).reads(customer="completed", agent="no-answer", ends={"agent": 100, "customer": 103})
    )
    story.expect("ended", reason="agent-no-answer")


def test_fallback_url_shows_that_the_caller_outlived_the_agents_call():
    """Our webhooks were unreachable when Twilio requested the action."""
    story = rings().call("agent", "busy", ended_s=100).dial_ends("").call("customer", "completed", ended_s=100)
    story.expect("ended", reason="agent-busy")


def test_agent_who_gives_up_a_call_of_their_own_left_first():
    story = Scenario(session_id=OUTBOUND).calls_out().placed("agent").call("agent", "ringing")
    story.call("agent", "in-progress").gate("agent").gate("agent", "accepted").call("customer", "ringing")
    story.call("customer", "canceled").call("agent", "completed").expect("ended", reason="agent-left")


@pytest.mark.parametrize(("customer_s", "reason"), [(100, "customer-left"), (101, "agent-left")])
def test_talking_parties_whose_action_was_never_requested(customer_s, reason):
    story = Scenario().answered().call("agent", "completed", ended_s=100)
    story.call("customer", "completed", ended_s=customer_s).expect("ended", reason=reason)
    (record,) = story.conclusions
    assert [one.result for one in record.attempts] == ["answered"]
