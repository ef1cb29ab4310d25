"""`call` with mode `conference`: the agent is called first, waits in a conference, and the customer is dialed."""

import pytest

from conferral.statemachine.events import DialOverdue, LoneOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import unanswered
from tests.statemachine.conference_scenarios import called_in, calling
from tests.statemachine.scenario import ALICE, CONFERENCE, CUSTOMER_NUMBER, OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import FLAGS


def test_agent_passes_the_gate_and_the_customer_is_dialed():
    story = calling(brief="a call for you", confirm=True)
    assert (story.last.effects[0].to, story.last.effects[0].is_urgent) == (ALICE, False)
    story = called_in()
    dial = story.last.effects[0]
    assert (dial.to, dial.conference, dial.is_urgent, dial.early_media) == (CUSTOMER_NUMBER, CONFERENCE, True, False)
    assert story.session.parties["agent"].wait_audio == "ringback"
    story.takes_part("customer").expect("conferenced", *FLAGS, phase="").expect_command("call-1", "accepted", "done")
    story.confirms("customer", "agent").expect("conferenced").expect_timers()


def test_call_of_a_session_that_exists_is_refused():
    calling().calls_out("call-2", mode="conference").expect("conferenced", outcome="refused")


@pytest.mark.parametrize("sequence", ["gate last", "join only"])
def test_join_may_be_reported_before_the_gate_result(sequence):
    story = calling().placed("agent").joins("agent").expect("conferenced", "dial customer")
    if sequence == "gate last":
        story.gate("agent").gate("agent", "accepted").expect("conferenced", phase="ringing")
    story.takes_part("customer").expect("conferenced", *FLAGS, phase="")


# ---- the agent ---------------------------------------------------------------------------------------------------


@unanswered
def test_unanswered_agent_ends_the_call_and_no_one_else_is_dialed(status, sip, reason):
    story = calling().placed("agent").call("agent", "ringing").call("agent", status, sip=sip)
    story.expect("ended", reason=f"agent-{reason}").expect_command(
        "call-1", "accepted", "failed", reason=f"agent-{reason}"
    )


@pytest.mark.parametrize("decision, reason", [
    ("rejected", "agent-rejected"), ("no-confirmation", "agent-no-confirmation"),
])  # fmt: skip
def test_agent_who_does_not_press_1_ends_it_as_in_a_bridged_call(decision, reason):
    story = calling(confirm=True).placed("agent").gate("agent").gate("agent", decision)
    story.expect("ended", reason=reason).expect_command("call-1", "accepted", "failed", reason=reason)


def test_agent_who_hangs_up_at_the_gate_has_left():
    calling(confirm=True).placed("agent").gate("agent").call("agent", "completed").expect("ended", reason="agent-left")


def test_agent_at_the_gate_is_not_moved_past_it():
    """A read shows the call in progress and not in the conference, as expected."""
    story = calling(confirm=True).placed("agent").gate("agent").later(20_000).sweep_finds("call-missing", "agent")
    story.expect("conferenced", "look").reads(agent="in-progress").expect("conferenced", phase="ringing")
    story.fires(DialOverdue).expect("conferenced", "look").reads(agent="in-progress").expect("conferenced")
    story.later(60_000).fires(DialOverdue).expect("ended", "hang up agent", reason="agent-failed")


def test_dial_of_the_agent_that_is_refused_ends_it():
    calling().refused("agent").expect("ended", reason="agent-failed")


def test_agent_dial_of_unknown_outcome_is_searched_for_and_never_repeated():
    story = calling().unknown_outcome("agent").expect("conferenced").expect_timers("dial")
    story.fires(DialOverdue).expect("conferenced", "find agent").found("agent").expect("conferenced")
    story.gate("agent").gate("agent", "accepted").joins("agent").expect("conferenced", "dial customer")


def test_dial_of_the_agent_that_is_not_found_ends_it():
    story = calling().unknown_outcome("agent").fires(DialOverdue).found("agent", call_sid="")
    story.expect("ended", reason="agent-failed").call("agent", "ringing").expect("ended", "hang up a call")


def test_agent_who_leaves_while_the_customer_rings_stops_it():
    story = called_in().placed("customer").call("customer", "ringing").leaves("agent")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")
    story.expect_command("call-1", "accepted", "failed", reason="agent-left")


def test_end_while_the_agents_phone_rings():
    story = calling().placed("agent").end().expect("ended", "hang up agent", reason="command")
    story.expect_command("call-1", "accepted", "failed", reason="command")


def test_end_before_the_agents_dial_was_placed_is_done_at_once():
    story = calling().end().expect("ended", reason="command").expect_command("end-1", "accepted", "done")
    story.placed("agent").expect("ended", "hang up a call")


# ---- the customer ------------------------------------------------------------------------------------------------


@unanswered
def test_customer_who_is_not_reached_ends_it(status, sip, reason):
    story = called_in().placed("customer").call("customer", status, sip=sip)
    story.expect("ended", "say goodbye to agent", reason=f"customer-{reason}")
    story.expect_command("call-1", "accepted", "failed", reason=f"customer-{reason}")


@pytest.mark.parametrize("decision, reason", [
    ("rejected",        "customer-rejected"),
    ("no-confirmation", "customer-no-confirmation"),
])  # fmt: skip
def test_customer_who_does_not_press_1_ends_it(decision, reason):
    story = calling(Policy(confirm_phones=True)).placed("agent").gate("agent").gate("agent", "accepted").joins("agent")
    story.expect("conferenced", "dial customer to the gate").placed("customer").gate("customer")
    story.gate("customer", decision).expect("ended", "say goodbye to agent", reason=reason)
    story.expect_command("call-1", "accepted", "failed", reason=reason)


@pytest.mark.parametrize("leaver, reason", [("agent", "agent-left"), ("customer", "customer-left")])
def test_last_party_is_released(leaver, reason):
    story = called_in().takes_part("customer").confirms("customer", "agent").leaves(leaver)
    story.expect("conferenced").expect_timers("lone").fires(LoneOverdue).expect("ended", "end room", reason=reason)


def test_no_one_is_left_alone_when_the_agent_is_kicked_externally():
    story = called_in().takes_part("customer").confirms("customer", "agent")
    story.leaves("agent", status="in-progress", reason="participant_kicked").expect_timers("lone")
    story.fires(LoneOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
    story.fires(LoneOverdue).expect("ended", "end room")


def test_customer_of_a_lost_conference_is_dialed_into_the_next():
    story = called_in().placed("customer").conference_ends().expect("conferenced", "hang up customer")
    story.joins("agent", conference=OTHER_CONFERENCE).expect("conferenced", "dial customer")
    story.takes_part_in(OTHER_CONFERENCE, "customer").expect("conferenced", *FLAGS, phase="")
