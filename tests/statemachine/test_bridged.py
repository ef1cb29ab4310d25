"""An inbound call in an ordinary `<Dial>`: it rings, is answered, refused, busy or not answered, and is hung up."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import AgeOverdue, LeaveOverdue, RingOverdue
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import AGENT_CALL, CUSTOMER_CALL, Scenario
from tests.statemachine.transfer_scenarios import outbound
from tests.support.each import each

HANG_UP_BOTH = ("hang up customer", "hang up agent")


def test_inbound_call_rings_and_is_answered():
    story = Scenario().comes_in().expect("bridged", phase="ringing").expect_timers("ring")
    story.call("agent", "initiated").expect("bridged", phase="ringing")
    assert story.session.parties["agent"].call_sid == AGENT_CALL
    story.call("agent", "ringing").expect("bridged", phase="ringing")
    assert story.session.parties["agent"].status == "ringing"
    story.call("agent", "in-progress").expect("bridged", phase="connected").expect_timers()
    assert story.session.parties["customer"].status == story.session.parties["agent"].status == "connected"
    assert story.session.parties["customer"].call_sid == story.session.id == CUSTOMER_CALL


def test_repeated_inbound_request_changes_nothing():
    story = Scenario().comes_in()
    timers = story.session.timers
    story.later(500).comes_in().expect("bridged", outcome="stale")
    assert story.session.timers == timers


@pytest.mark.parametrize("status, sip, dial_status, reason", [
    ("busy",      486, "busy",      "agent-busy"),
    ("busy",      603, "busy",      "agent-rejected"),
    ("busy",      607, "busy",      "agent-rejected"),
    ("no-answer", 487, "no-answer", "agent-no-answer"),
    ("failed",    404, "failed",    "agent-failed"),
    ("canceled",  487, "canceled",  "agent-failed"),
])  # fmt: skip
@pytest.mark.parametrize("action_first", [True, False], ids=["action-first", "callback-first"])
def test_agent_who_does_not_take_the_call_ends_the_session(status, sip, dial_status, reason, action_first):
    """The action's document speaks to the caller and hangs up, so no request is needed for that."""
    story = Scenario().comes_in().call("agent", "initiated").call("agent", "ringing")
    if action_first:
        story.dial_ends(dial_status, call_status="ringing").expect("bridged").expect_timers("leave")
        story.call("agent", status, sip=sip)
    else:
        story.call("agent", status, sip=sip).expect("bridged").expect_timers("leave")
        story.dial_ends(dial_status, call_status="ringing")
    if status == "canceled" and action_first:  # by whom is not known
        story.expect("bridged").call("customer", "completed")
    story.expect("ended", reason=reason)
    assert story.session.timers == {}


def test_dial_action_alone_ends_the_session_when_the_agents_callback_is_lost():
    story = Scenario().comes_in().call("agent", "ringing")
    story.dial_ends("busy", call_status="ringing").expect("bridged")
    story.fires(LeaveOverdue).expect("ended", reason="agent-busy")


def test_dial_action_alone_ends_the_session_when_every_callback_is_lost():
    story = Scenario().comes_in()
    story.dial_ends("no-answer", call_status="ringing").fires(LeaveOverdue).expect("ended", reason="agent-no-answer")


@pytest.mark.parametrize("call_status", ["completed", "no-answer", "canceled"])
def test_caller_who_hangs_up_while_it_rings_ends_the_session(call_status):
    story = Scenario().comes_in().call("agent", "ringing")
    story.dial_ends("canceled", call_status=call_status)
    story.expect("ended", reason="customer-left")  # Twilio stops the agent's phone itself


def test_dial_action_distinguishes_caller_hang_up_from_agent_hang_up():
    """Twilio hangs the agent's leg up too, and its callback may come first."""
    story = Scenario().answered()
    story.call("agent", "completed").expect("bridged").expect_timers("leave")
    story.dial_ends("completed", call_status="completed").expect("ended", reason="customer-left")


def test_agent_who_hangs_up_ends_the_session_once_the_actions_answer_has_ended_the_call():
    story = Scenario().answered()
    story.dial_ends("completed").expect("bridged").expect_timers("leave")
    story.convert().expect("bridged", outcome="refused")
    story.call("agent", "completed").expect("bridged")
    story.call("customer", "completed").expect("ended", reason="agent-left")


def test_customer_who_goes_on_after_the_dial_action_was_moved_by_another_app():
    """No request names the call, at the end or when the sweep finds it live."""
    story = Scenario().answered().call("agent", "completed").dial_ends("completed").expect("bridged")
    story.fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="completed").expect("ended", reason="moved")
    assert story.session.parties["customer"].left_reason == "redirected-away"
    story = as_conference(story).sweep_finds("call-live", "customer").expect("ended")
    story.sweep_finds("call-live", "agent").expect("ended")


def test_both_parties_who_go_on_after_the_dial_action_were_moved_by_another_app():
    story = Scenario().answered().dial_ends("completed").fires(LeaveOverdue)
    story.reads(customer="in-progress", agent="in-progress").expect("ended", reason="moved")
    as_conference(story).sweep_finds("call-live", "agent").expect("ended")


def test_agent_who_goes_on_after_the_customers_end_was_moved_by_another_app():
    story = Scenario().answered().dial_ends("completed").fires(LeaveOverdue)
    story.reads(customer="completed", agent="in-progress").expect("ended", reason="agent-left")
    assert story.session.parties["agent"].left_reason == "redirected-away"


def test_end_after_the_dial_action_leaves_the_call_to_the_actions_answer():
    story = Scenario().answered().dial_ends("completed").end().expect("ended", reason="command")
    story.expect_command("end-1", "accepted", "done")


def test_call_of_a_bridge_is_not_moved_before_a_second_read_shows_it():
    """The sweep reads first: the action's answer may be on its way."""
    story = as_conference(Scenario().answered()).sweep_finds("call-missing", "agent").expect("bridged", "look")
    story.reads(customer="in-progress", agent="completed").expect("bridged").expect_timers("leave")
    story.fires(LeaveOverdue).reads(customer="completed", agent="completed").expect("ended", reason="agent-left")


def test_message_of_the_action_is_spoken_to_its_end_before_the_call_counts_as_moved():
    story = Scenario().comes_in().call("agent", "ringing").dial_ends("canceled").expect("bridged")
    assert story.session.timers["leave"] == story.now_ms + story.policy.reread_interval_ms
    story.fires(LeaveOverdue).reads(customer="in-progress", agent="canceled").expect("ended", reason="moved")


def test_read_that_a_later_one_replaces_shows_no_one_moved():
    story = as_conference(Scenario().answered()).sweep_finds("call-missing", "agent").call("agent", "completed")
    story.fires(LeaveOverdue).expect("bridged")
    story.reads(customer="in-progress", agent="completed").expect("bridged", "look")


def test_caller_who_hangs_up_is_known_by_the_numbers_status_callback_alone():
    story = Scenario().answered().call("customer", "completed")
    story.expect("ended", reason="customer-left")


def test_both_callbacks_without_the_dial_action_are_settled_by_a_read():
    story = Scenario().answered().call("agent", "completed").call("customer", "completed").expect("bridged")
    story.fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="completed", agent="completed").expect("ended", reason="agent-left")


def test_customer_who_goes_on_without_an_action_was_moved_by_another_app():
    story = Scenario().answered().call("agent", "completed").fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="completed")
    story.expect("ended", reason="moved")


def test_failed_read_is_repeated():
    story = Scenario().answered().call("agent", "completed").fires(LeaveOverdue)
    story.fails("read_calls", status=503).expect("bridged").expect_timers("leave")
    story.fires(LeaveOverdue).expect("bridged", "look")
    story.is_unknown("read_calls").expect("bridged").expect_timers("leave")


def test_answer_whose_callback_was_lost_is_found_when_the_ring_time_is_over():
    story = Scenario().comes_in().fires(RingOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", phase="connected")
    assert story.session.parties["agent"].call_sid == AGENT_CALL
    story.convert().expect("converting", "move agent")


def test_agent_ringing_past_the_ring_timeout_is_read_again():
    story = Scenario().comes_in().call("agent", "ringing").fires(RingOverdue)
    story.reads(customer="ringing", agent="ringing").expect("bridged", phase="ringing").expect_timers("ring")


def test_call_that_vanished_while_ringing_is_found_by_a_read():
    story = Scenario().comes_in().fires(RingOverdue)
    story.reads(customer="completed").expect("ended", reason="customer-left")


def test_agent_whose_call_only_that_read_shows_is_left_to_twilio():
    story = Scenario().comes_in().fires(RingOverdue).reads(customer="completed", agent="in-progress")
    story.expect("ended", reason="customer-left")


def test_read_older_than_the_bridged_session_is_discarded():
    story = Scenario().comes_in().fires(RingOverdue)
    version = story.session.version
    story.call("agent", "in-progress").expect("bridged", phase="connected")
    story.reads(customer="completed", agent="completed", version=version).expect("bridged", phase="connected")


def test_read_counts_if_nothing_but_the_recording_has_changed_since():
    story = as_conference(Scenario().answered().later(30_000)).sweep_finds("call-missing", "customer")
    version = story.expect("bridged", "look").session.version
    ordering(lambda: story).record("start").expect("bridged", "record customer")
    story.reads(customer="completed", version=version).expect("ended", reason="customer-left")


def test_late_and_doubled_callbacks_change_nothing():
    story = Scenario().answered()
    parties = story.session.parties
    story.call("agent", "ringing").expect("bridged", outcome="stale")
    story.call("agent", "initiated", sequence=0).expect("bridged", outcome="stale")
    assert story.session.parties == parties


def test_callbacks_in_reverse_order_lead_to_the_same_place():
    story = Scenario().comes_in()
    story.call("agent", "in-progress", sequence=2).call("agent", "ringing", sequence=1).call(
        "agent", "initiated", sequence=0
    )
    story.expect("bridged", phase="connected")


def test_callback_of_a_strange_call_is_unexpected():
    story = Scenario().answered().call("guest", "completed")
    story.expect("bridged", outcome="unexpected")


def test_session_that_was_never_stored_is_rebuilt_from_the_agents_callback():
    story = Scenario().call("agent", "in-progress").expect("bridged", phase="connected", outcome="moved")
    assert story.session.parties["customer"].address == "+14155550123"
    story.convert().expect("converting", "move agent")


def test_rebuilt_session_takes_the_inbound_call_as_late():
    story = Scenario().call("agent", "ringing")
    assert story.session.timers["ring"] - story.now_ms == 40_000
    story.comes_in().expect("bridged", phase="ringing", outcome="stale")


@pytest.mark.parametrize("status", ["completed", "busy"])
def test_final_callback_of_an_unknown_session_opens_none(status):
    story = Scenario().call("agent", status)
    assert story.session.version == 0
    assert story.last.outcome == "unexpected"


def test_convert_is_refused_while_it_rings_and_says_what_is_allowed():
    story = Scenario().comes_in().call("agent", "ringing").convert().expect("bridged", outcome="refused")
    story.expect_refused("convert-1", "no one has answered yet", "end")


def test_convert_is_refused_once_one_of_the_two_has_hung_up():
    story = Scenario().answered().call("agent", "completed").convert().expect("bridged", outcome="refused")
    assert story.reports["convert-1"][0][1].startswith("one of the two parties has hung up")


@pytest.mark.parametrize("command", ["convert", "end"])
def test_command_for_an_unknown_session_is_rejected(command):
    story = Scenario()
    getattr(story, command)("c-1")
    assert story.reports["c-1"] == [("rejected", "no such session")]
    assert story.session.version == 0


def test_end_while_it_rings_hangs_up_the_caller_and_the_agent():
    story = Scenario().comes_in().call("agent", "ringing").end()
    story.expect("ended", *HANG_UP_BOTH, reason="command").expect_command("end-1", "accepted")


def test_end_is_done_when_twilio_has_confirmed_every_hang_up():
    story = Scenario().answered().end().expect("ended", *HANG_UP_BOTH, reason="command")
    first, second = story.last.effects
    story.succeeds("hang_up_call", "customer", first.effect_id).expect_command("end-1", "accepted")
    story.succeeds("hang_up_call", "agent", second.effect_id).expect_command("end-1", "accepted", "done")


def test_end_whose_hang_up_is_refused_has_failed():
    story = Scenario().answered().end()
    story.fails("hang_up_call", "customer", status=401, code=20003, effect_id=story.last.effects[0].effect_id)
    assert story.reports["end-1"][-1] == ("failed", "Twilio refused (HTTP 401, code 20003)")


def test_session_older_than_a_day_is_ended_once_a_read_shows_no_one():
    Scenario().answered().fires(AgeOverdue).reads().expect("ended", *HANG_UP_BOTH, reason="too-old")


def test_people_who_talk_for_more_than_a_day_are_not_hung_up():
    story = Scenario().answered().fires(AgeOverdue).expect("bridged", "look")
    story.fails("read_calls").fires(AgeOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged")
    assert "age" in story.session.timers


def test_timer_that_was_cancelled_is_stale():
    story = Scenario().comes_in()
    due_ms = story.session.timers["ring"]
    story.call("agent", "in-progress")
    story.take(RingOverdue(session_id=CUSTOMER_CALL, entry_id="9-9", token="late", due_ms=due_ms))
    story.expect("bridged", outcome="stale")


def test_end_of_unknown_outcome_has_failed():
    story = Scenario().answered().end()
    story.is_unknown("hang_up_call", "customer", story.last.effects[0].effect_id)
    assert story.reports["end-1"][-1] == ("failed", "unknown: Twilio gave no answer")


@each("begin, party, left_reason", [
    (lambda: Scenario().answered(), "customer", "released"),
    (lambda: with_survey("in-progress"), "customer", "redirected-away"),
    (lambda: with_survey("busy"), "customer", "released"),
    (outbound, "agent", "released"),
])  # fmt: skip
def test_parent_of_a_bridge_that_is_over_continues_only_after_a_talk_and_with_a_url(begin, party, left_reason):
    story = begin()
    status = "busy" if story.session.child.is_gone else "completed"
    story.dial_ends(status, party=party)
    if story.session.state == "bridged":
        story.call(party, "completed").call("agent" if party == "customer" else "customer", "completed")
    story.expect("ended")
    assert story.session.parties[party].left_reason == left_reason


def with_survey(status: str) -> Scenario:
    story = Scenario().comes_in(attributes=ConferenceAttributes(after_url="https://example.com/survey"))
    return story.call("agent", "ringing").call("agent", status)


def test_call_that_a_read_shows_over_is_known_by_its_sid():
    story = Scenario().comes_in().fires(RingOverdue).reads(customer="in-progress", agent="busy")
    assert story.expect("bridged").session.parties["agent"].call_sid == AGENT_CALL
    story.call("customer", "completed").fires(LeaveOverdue).reads(customer="completed", agent="busy")
    story.expect("ended", reason="agent-busy")


@pytest.mark.parametrize("duration_s, reason", [
    (14_398, "agent-left"), (14_399, "time-limit"), (14_400, "time-limit"), (14_401, "time-limit"),
    (14_402, "agent-left"), (0, "agent-left"),
])  # fmt: skip
def test_bridge_that_twilio_ends_at_its_time_limit_names_the_limit(duration_s, reason):
    story = Scenario().answered().call("agent", "completed", duration_s=duration_s).expect("bridged")
    story.dial_ends("completed", duration_s=duration_s).expect("bridged")
    story.call("customer", "completed", duration_s=duration_s).expect("ended", reason=reason)


def at_its_limit(name, story):
    return story.call(name, "completed", duration_s=14_400)


LIMIT_REPORTS = {
    "action first": lambda story: at_its_limit(
        "customer", at_its_limit("agent", story.dial_ends("completed", duration_s=14_400))
    ),
    "no callback of the child": lambda story: at_its_limit(
        "customer", story.dial_ends("completed", duration_s=14_400)
    ).fires(LeaveOverdue).reads(customer="completed", agent="completed"),
    "no callback of the parent": lambda story: at_its_limit(
        "agent", story.dial_ends("completed", duration_s=14_400)
    ).fires(LeaveOverdue).reads(customer="completed", agent="completed"),
    "action alone": lambda story: story.dial_ends("completed", duration_s=14_400)
    .fires(LeaveOverdue).reads(customer="completed", agent="completed"),
    "no action": lambda story: at_its_limit("agent", story)
    .fires(LeaveOverdue).reads(customer="completed", agent="completed"),
    "parent's callback alone": lambda story: at_its_limit("customer", story),
    "action of a parent that is gone": lambda story: story.dial_ends(
        "completed", call_status="completed", duration_s=14_400
    ),
}  # fmt: skip


@pytest.mark.parametrize("reports", LIMIT_REPORTS.values(), ids=list(LIMIT_REPORTS))
def test_each_report_of_a_bridge_at_its_time_limit_names_the_limit(reports):
    reports(Scenario().answered()).expect("ended", reason="time-limit")


def test_agent_whose_duration_is_the_limits_but_who_was_busy_was_busy():
    story = Scenario().comes_in().call("agent", "busy", duration_s=14_400)
    story.dial_ends("busy", call_status="ringing").expect("ended", reason="agent-busy")
