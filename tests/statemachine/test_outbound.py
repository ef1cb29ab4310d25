"""Calls that are placed by command: the agent is dialed to our gate first, which then rings the customer."""

import pytest

from conferral.statemachine.events import DialOverdue, End, LeaveOverdue, RingOverdue
from tests.statemachine.call_legs import unanswered
from tests.statemachine.conference_scenarios import as_conference, called_in
from tests.statemachine.scenario import AGENT_CALL, ALICE, CUSTOMER_NUMBER, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, outbound
from tests.support.each import each


def called(**options) -> Scenario:
    return Scenario(session_id=OUTBOUND).calls_out(**options)


def taken(**options) -> Scenario:
    """The agent has taken the call; the customer is being rung."""
    story = called(**options).placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted")
    return story.expect("bridged", phase="ringing").expect_timers("ring")


def test_agent_is_dialed_first_and_the_gate_document_dials_the_customer():
    story = called(brief="a customer", timeout_s=20, digits="w1").expect("bridged", "dial agent to the gate")
    effect = story.last.effects[0]
    assert (effect.to, effect.timeout_s, effect.digits, effect.is_urgent) == (ALICE, 20, "w1", False)
    assert story.session.direction == "outbound"
    assert story.session.parties["customer"].address == CUSTOMER_NUMBER
    story.expect_command("call-1", "accepted").expect_timers().placed("agent").expect_timers("dial").call(
        "agent", "ringing"
    )
    story.expect_parties(customer="dialing", agent="ringing").gate("agent").gate("agent", "accepted")
    story.expect_parties(customer="dialing", agent="connected").expect_timers("ring")
    story.call("customer", "initiated").call("customer", "ringing").expect_parties(
        customer="ringing", agent="connected"
    )
    story.call("customer", "in-progress").expect("bridged", phase="connected").expect_timers()
    story.expect_command("call-1", "accepted", "done").expect_parties(customer="connected", agent="connected")


def test_who_placed_the_call_is_kept_and_named_in_its_outcome():
    story = called(by="desk 7").placed("agent").call("agent", "busy", sip=486).expect("ended")
    assert story.session.by == "desk 7"
    assert [(one.kind, one.by) for one in story.outcome_records] == [("session", "desk 7")]


def test_who_asked_for_a_transfer_is_kept_and_named_in_its_outcome():
    story = outbound().transfer("warm", by="desk 7").command(End, "end-1", by="desk 8")
    assert story.session.transfer.by == "desk 7"
    assert [(one.kind, one.by) for one in story.outcome_records] == [("transfer", "desk 7"), ("session", "")]


def test_session_that_exists_is_not_opened_twice():
    story = called().calls_out("call-2")
    story.expect_refused("call-2", "the session already exists", "end")


@unanswered
def test_agent_who_is_not_reached_ends_it_before_the_customer_is_rung(status, sip, reason):
    story = called().placed("agent").call("agent", "ringing").call("agent", status, sip=sip).expect("ended")
    assert story.session.end_reason == f"agent-{reason}"
    story.expect_command("call-1", "accepted", "failed", reason=f"agent-{reason}")


@pytest.mark.parametrize("decision, reason", [
    ("rejected", "agent-rejected"), ("no-confirmation", "agent-no-confirmation"),
])  # fmt: skip
def test_agent_who_does_not_press_1_ends_it(decision, reason):
    story = called(confirm=True).placed("agent").gate("agent").gate("agent", decision).expect("ended", reason=reason)
    story.expect_command("call-1", "accepted", "failed", reason=reason)


def test_refused_dial_ends_it():
    called().refused("agent").expect("ended", reason="agent-failed").expect_command("call-1", "accepted", "failed")


def test_dial_of_unknown_outcome_is_resolved_by_a_callback():
    story = called().unknown_outcome("agent").expect("bridged").later(1_000).call("agent", "ringing").expect("bridged")
    story.gate("agent").gate("agent", "accepted").call("customer", "in-progress").expect("bridged", phase="connected")


def test_dial_of_unknown_outcome_is_searched_for():
    story = called().unknown_outcome("agent").fires(DialOverdue).expect("bridged", "find agent").found("agent")
    story.expect("bridged").gate("agent").gate("agent", "accepted").expect("bridged")


@pytest.mark.parametrize("decision", ["", "accepted"])
@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_agent_missing_from_rolled_back_end_is_hung_up_at_the_gate(mode, decision):
    """Redis has forgotten that the agent answered, and `end` is decided again before the gate's event."""
    story = called(mode=mode).unknown_outcome("agent").end().expect("ended", "find agent")
    story.gate("agent", decision).expect("ended", "hang up a call")
    assert story.last.effects[0].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_check_after_a_rollback_searches_for_an_unknown_dial_of_an_ended_session(mode):
    """Redis has lost the gate's event, too: nothing else names the call."""
    story = called(mode=mode).unknown_outcome("agent").end()
    story = as_conference(story).sweep_finds("rolled-back", conference="").expect("ended", "find agent")
    assert story.last.effects[0].dial_id == story.legs["agent"].dial
    story.found("agent").expect("ended", "hang up a call")
    assert story.last.effects[0].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_end_after_a_rollback_searches_for_a_dial_whose_call_is_unknown(mode):
    """The check comes before the dial's outcome, and the end right after it."""
    story = (
        as_conference(called(mode=mode)).sweep_finds("rolled-back", conference="").end().expect("ended", "find agent")
    )
    search = story.last.effects[0].effect_id
    story.expect_command("end-1", "accepted").succeeds("find_call", "agent", search, call_sid=AGENT_CALL)
    story.expect("ended", "hang up a call").expect_command("end-1", "accepted")
    assert story.last.effects[0].call_sid == AGENT_CALL
    story.succeeds("hang_up_call", "", story.last.effects[0].effect_id).expect_command("end-1", "accepted", "done")


def test_end_after_a_rollback_is_done_when_the_search_finds_no_call():
    story = as_conference(called()).sweep_finds("rolled-back", conference="").end().expect("ended", "find agent")
    story.succeeds("find_call", "agent", story.last.effects[0].effect_id)
    story.expect("ended").expect_command("end-1", "accepted", "done")


@pytest.mark.parametrize("is_reported_before", [True, False])
def test_agent_whose_call_a_rollback_has_lost_is_searched_for_while_the_two_talk(is_reported_before):
    """Redis has lost all of the gate's events; only the customer's answer arrives after that."""
    story = called().unknown_outcome("agent") if is_reported_before else called()
    story.call("customer", "in-progress").expect("bridged", phase="connected")
    story = story if is_reported_before else story.unknown_outcome("agent")
    story.convert().expect_refused("convert-1", "Conferral is still looking for the agent's call", "end")
    story.fires(DialOverdue).expect("bridged", "find agent").found("agent").expect("bridged", phase="connected")
    assert story.session.parties["agent"].call_sid == story.legs["agent"].call_sid
    story.expect_timers().convert("convert-2").expect_command("convert-2", "accepted")


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown", "no answer"])
def test_agent_who_talks_is_searched_for_until_the_call_is_found(how):
    story = called().unknown_outcome("agent").call("customer", "in-progress").fires(DialOverdue)
    story.expect("bridged", "find agent")
    if how == "nothing":
        story.found("agent", call_sid="")
    elif how != "no answer":
        (story.fails if how == "refused" else story.is_unknown)("find_call", "agent")
    story.fires(DialOverdue).expect("bridged", "find agent", phase="connected").found("agent")
    assert story.session.parties["agent"].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_check_after_a_rollback_searches_for_no_call_that_the_end_hung_up(mode):
    story = called(mode=mode).placed("agent").call("agent", "ringing").end().expect("ended", "hang up agent")
    as_conference(story).sweep_finds("rolled-back", conference="").expect("ended")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation", "taken", "too-late"])
def test_agent_rejected_at_the_gate_after_end_is_not_hung_up_again(decision):
    called().unknown_outcome("agent").end().gate("agent", decision).expect("ended", outcome="stale")


@pytest.mark.parametrize("decision", ["", "accepted"])
def test_agent_hung_up_by_end_is_not_hung_up_again_at_the_gate(decision):
    story = called().placed("agent").call("agent", "ringing").end().expect("ended", "hang up agent")
    story.gate("agent", decision).expect("ended", outcome="stale")


@pytest.mark.parametrize("decision", ["", "accepted"])
def test_late_gate_event_does_not_hang_up_a_call_that_continues_elsewhere(decision):
    story = called_in().leaves("agent", reason="participant_updated_via_api").expect("ended", "end room")
    story.gate("agent", decision).expect("ended", outcome="stale")


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown"])
def test_dial_that_is_not_found_ends_it_and_is_never_repeated(how):
    story = called().unknown_outcome("agent").fires(DialOverdue)
    if how == "nothing":
        story.found("agent", call_sid="")
    elif how == "refused":
        story.fails("find_call", "agent", status=401)
    else:
        story.is_unknown("find_call", "agent")
    story.expect("ended", reason="agent-failed")
    assert [effect.kind for effect in story.effects].count("create_call") == 1
    story.call("agent", "ringing").expect("ended", "hang up a call")


def test_agent_without_callbacks_is_read_and_given_up():
    story = called().placed("agent").fires(DialOverdue).expect("bridged", "look")
    story.fires(DialOverdue).expect("bridged")
    story.is_unknown("read_calls").fires(DialOverdue).expect("bridged", "look").reads(agent="ringing")
    story.fires(DialOverdue).expect("ended", "hang up agent", reason="agent-no-answer")


def test_agent_who_hangs_up_while_the_customer_is_rung_ends_it():
    story = taken().call("customer", "ringing").call("agent", "completed")
    story.expect("ended", reason="agent-left").expect_command("call-1", "accepted", "failed")


@pytest.mark.parametrize("action_first", [True, False], ids=["action-first", "callback-first"])
@unanswered
def test_customer_who_is_not_reached_ends_it(status, sip, reason, action_first):
    story = taken().call("customer", "ringing")
    if action_first:
        story.dial_ends(status, party="agent").call("customer", status, sip=sip)
    else:
        story.call("customer", status, sip=sip).dial_ends(status, party="agent")
    if status == "canceled":  # another app may have moved the agent; by the action's answer, the call ends
        story.expect("bridged").call("agent", "completed")
    story.expect("ended", reason=f"customer-{reason}").expect_command(
        "call-1", "accepted", "failed", reason=f"customer-{reason}"
    )


@pytest.mark.parametrize("leaver, reason", [("agent", "agent-left"), ("customer", "customer-left")])
def test_either_may_hang_up_first(leaver, reason):
    story = outbound()
    if leaver == "agent":
        story.dial_ends("completed", party="agent", call_status="completed").expect("ended")
    else:
        story.call("customer", "completed").dial_ends("completed", party="agent").expect("bridged")
        story.call("agent", "completed").expect("ended")
    assert story.session.end_reason == reason


def test_customer_hang_up_is_found_by_a_read_when_the_action_is_lost():
    story = outbound().call("customer", "completed").fires(LeaveOverdue).expect("bridged", "look")
    story.reads(agent="completed", customer="completed").expect("ended", reason="customer-left")


def test_agent_who_goes_on_after_the_dial_was_moved_by_another_app():
    story = outbound().dial_ends("completed", party="agent").expect("bridged").fires(LeaveOverdue)
    story.reads(agent="in-progress", customer="completed").expect("ended", reason="moved")
    story.call("agent", "in-progress").expect("ended", outcome="stale")


def test_customer_who_goes_on_after_the_agents_end_was_moved_by_another_app():
    story = outbound().dial_ends("completed", party="agent").expect("bridged").call("agent", "completed")
    story.expect("bridged").fires(LeaveOverdue)
    story.reads(agent="completed", customer="in-progress").expect("ended", reason="moved")


def test_customer_answer_without_callback_is_found_by_a_read():
    story = taken().call("customer", "ringing").fires(RingOverdue).expect("bridged", "look")
    story.reads(agent="in-progress", customer="in-progress").expect("bridged", phase="connected")
    story.expect_command("call-1", "accepted", "done")


def test_outbound_conversion_moves_the_customer_first_as_the_child_call():
    story = outbound().convert().expect("converting", "move customer").joins("customer")
    story.dial_ends("completed", party="agent").joins("agent").expect("conferenced", *FLAGS)
    story.expect_command("convert-1", "accepted", "done")


def test_outbound_call_is_transferred_warm():
    story = outbound().transfer("warm").expect("converting", "move customer").joins("customer").joins("agent")
    story.expect("transferring", "dial target", "flag customer").confirms("customer").takes_part("target")
    story.complete().expect("transferring", "hang up agent").leaves("agent").expect("conferenced", "flag agent")


def test_former_agent_of_an_outbound_call_is_no_stranger():
    """His leg ends after the target has taken his name."""
    story = outbound().transfer("warm").joins("customer").joins("agent").confirms("customer").takes_part("target")
    story.complete().leaves("agent").confirms("target").call("agent", "completed")
    story.expect("conferenced", outcome="stale").expect_parties(customer="connected", agent="connected", agent_1="left")


def test_end_during_the_agent_dial_hangs_up_the_call_once_it_appears():
    story = called().end().expect("ended", reason="command").call("agent", "ringing")
    story.expect("ended", "hang up a call").expect_command("call-1", "accepted", "failed", reason="command")


def test_transfer_is_refused_until_the_customer_has_answered():
    for story in (called(), taken()):
        story.transfer("blind").expect_refused("transfer-1", "no one has answered yet", "end")


def test_number_that_twilio_refuses_for_the_agent_is_not_shown_to_the_customer_either():
    story = called(caller_id="+14155550177").refused("agent", code=21210).expect("bridged", "dial agent to the gate")
    assert story.last.effects[0].caller_id == ""
    assert story.session.options.caller_id == ""


@each("status, code, is_redialed", [
    (400, 21210, True), (499, 0, True), (399, 0, False), (429, 20429, False), (500, 20500, False),
])  # fmt: skip
def test_only_a_dial_that_twilio_refuses_is_repeated_with_another_number(status, code, is_redialed):
    story = called(caller_id="+14155550177").refused("agent", status=status, code=code)
    assert story.words() == ["dial agent to the gate"] * is_redialed


def test_number_that_twilio_takes_for_the_agent_is_shown_to_the_customer():
    assert taken(caller_id="+14155550177").session.options.caller_id == "+14155550177"


def test_call_that_the_sweep_finds_after_the_end_is_hung_up_although_a_dial_is_still_unknown():
    story = as_conference(called().unknown_outcome("agent").end()).sweep_finds("call-live", "agent")
    story.expect("ended", "hang up a call")
