"""Stories of someone who is added: no one's leaving may end the conference any more."""

from dataclasses import replace

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import (
    CallReceived,
    ConfirmOverdue,
    DialOverdue,
    LoneOverdue,
    Park,
    ParkOverdue,
    PendingCommandOverdue,
    StageOverdue,
)
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Party
from conferral.statemachine.transfer import DialOptions
from tests.statemachine.call_legs import unanswered
from tests.statemachine.command_scenarios import LAWYER, Orders, added, ordering, refused_because
from tests.statemachine.scenario import ALICE, CAROL, CONFERENCE, CUSTOMER_CALL, CUSTOMER_NUMBER, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, outbound

UNFLAGS = ("unflag customer", "unflag agent")


def clearing() -> Orders:
    """Twilio was asked that no one's leaving ends the conference; no one is dialed yet."""
    return ordering().add().expect("conferenced", *UNFLAGS).expect_command("add-1", "accepted")


def dialed(**options) -> Orders:
    return ordering().add(**options).confirms("customer", "agent")


def rings(**options) -> Orders:
    return dialed(**options).placed("lawyer").call("lawyer", "ringing")


# ---- as it should go ---------------------------------------------------------------------------------------------


def test_party_is_dialed_once_no_leave_ends_the_conference_anymore():
    story = clearing().expect_timers("confirm", "pending_command").confirms("agent").expect("conferenced")
    story.confirms("customer").expect("conferenced", "dial lawyer").expect_timers()
    dial = story.last.effects[0]
    assert (dial.to, dial.label, dial.early_media, dial.conference) == (LAWYER, "lawyer-1", False, CONFERENCE)
    story.takes_part("lawyer").expect("conferenced").expect_command("add-1", "accepted", "done").expect_no_orders()
    story.expect_parties(customer="connected", agent="connected", lawyer="connected").expect_timers()


def test_no_one_carries_the_flag_once_only_two_are_left():
    story = added().leaves("lawyer").expect("conferenced").expect_timers()
    assert not any(party.desired_end_on_exit or party.end_on_exit for party in story.session.parties.values())


def test_several_parties_are_dialed_in_parallel():
    story = ordering().add().add("expert", "add-2", to=CAROL).expect("conferenced").confirms("customer", "agent")
    story.expect("conferenced", "dial lawyer", "dial expert")
    story.takes_part("expert").expect_command("add-2", "accepted", "done").expect_command("add-1", "accepted")
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done").expect_no_orders()


def test_second_party_is_dialed_at_once_when_the_flags_are_clear():
    story = added().add("expert", "add-2", to=CAROL).expect("conferenced", "dial expert")
    story.takes_part("expert").expect_command("add-2", "accepted", "done")


def test_bridged_call_is_converted_first():
    story = ordering(Scenario().answered).add().expect("converting", "move agent").expect_command("add-1", "accepted")
    story.joins("agent").joins("customer").expect("conferenced", "dial lawyer")
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done").expect_timers()


def test_outbound_call_is_converted_first():
    story = ordering(outbound).add().expect("converting", "move customer")
    story.joins("customer").joins("agent").expect("conferenced", "dial lawyer")
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done")


def test_several_parties_added_during_conversion_are_dialed_once_both_have_joined():
    story = ordering(Scenario().answered().convert).add().expect("converting").add("expert", "add-2")
    story.joins("agent").joins("customer").expect("conferenced", "dial lawyer", "dial expert")
    story.expect_command("convert-1", "accepted", "done")


@pytest.mark.parametrize("options", [{"brief": "a case"}, {"confirm": True}, {"digits": "1"}], ids=str)
def test_added_party_that_hears_something_first_goes_through_the_gate(options):
    story = dialed(**options).expect("conferenced", "dial lawyer to the gate").takes_part("lawyer")
    story.expect_command("add-1", "accepted", "done")


def test_phone_that_has_to_confirm_comes_by_our_gate():
    story = ordering(policy=Policy(confirm_phones=True)).add(to="+14155550199").confirms("customer", "agent")
    story.expect("conferenced", "dial lawyer to the gate").takes_part("lawyer")
    story.expect_command("add-1", "accepted", "done")


def test_ring_time_of_the_command_holds():
    story = dialed(timeout_s=7)
    assert story.last.effects[0].timeout_s == 7
    assert story.session.parties["lawyer"].ring_timeout_s == 7


# ---- before the dial ---------------------------------------------------------------------------------------------


def test_flag_not_cleared_by_twilio_fails_add_and_no_one_is_dialed():
    story = clearing().fires(ConfirmOverdue).expect("conferenced", "look").fires(PendingCommandOverdue)
    story.expect_command("add-1", "accepted", "failed", reason="end-flag-unconfirmed").expect_no_orders()
    story.confirms("customer", "agent").expect("conferenced").expect_timers()
    assert "lawyer" not in story.session.parties


def test_flag_of_one_that_is_not_cleared_fails_it():
    story = clearing().confirms("customer").fires(PendingCommandOverdue)
    story.expect_command("add-1", "accepted", "failed", reason="end-flag-unconfirmed").expect_no_orders()


def test_flags_with_lost_callbacks_are_found_by_a_read():
    story = clearing().fires(ConfirmOverdue).expect("conferenced", "look")
    story.does("customer")
    story.does("agent")
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect("conferenced", "dial lawyer")


def test_flag_that_twilio_refused_to_clear_is_requested_again_after_a_read():
    story = clearing().confirms("agent").update_refused("customer").fires(ConfirmOverdue)
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect("conferenced", "unflag customer")
    story.confirms("customer").expect("conferenced", "dial lawyer")


def test_flag_that_is_just_being_set_is_cleared_before_the_dial():
    story = ordering(Scenario().answered().convert).joins("agent").joins("customer")
    story.expect("conferenced", "flag customer", "flag agent")
    assert story.session.timers["confirm"] - story.now_ms == 5_000
    story.add().expect("conferenced", "unflag customer", "unflag agent")
    assert story.session.timers["confirm"] - story.now_ms == 1_000
    story.confirms("customer").expect("conferenced").confirms("agent").expect("conferenced", "dial lawyer")


def test_customer_leaving_before_the_dial_ends_conference_and_command():
    story = clearing().leaves("customer").conference_ends(by="customer")
    story.expect("ended", reason="customer-left")
    story.expect_command("add-1", "accepted", "failed", reason="customer-left")


def test_agent_leaving_before_the_dial_leaves_customer_with_added_party():
    story = (
        clearing().confirms("agent").leaves("agent").expect("conferenced").expect_timers("confirm", "pending_command")
    )
    story.confirms("customer").expect("conferenced", "dial lawyer", "hold customer").confirms("customer")
    story.call("lawyer", "in-progress").confirms("customer").joins("lawyer")
    story.expect("conferenced").expect_timers().expect_command("add-1", "accepted", "done")


def test_both_leave_before_the_dial():
    story = clearing().leaves("agent").leaves("customer").expect("ended", "end room", reason="agent-left")
    story.expect_command("add-1", "accepted", "failed", reason="agent-left")


def test_lone_customer_gets_company_by_an_add():
    story = ordering().leaves("agent").expect_timers("lone").add().expect("conferenced", "unflag customer")
    story.confirms("customer").expect("conferenced", "dial lawyer", "hold customer").confirms("customer")
    story.expect_timers().call("lawyer", "in-progress").expect("conferenced", "unhold customer").confirms("customer")
    story.joins("lawyer").expect("conferenced").expect_timers()


# ---- the dial ----------------------------------------------------------------------------------------------------


@unanswered
def test_unanswered_phone_fails_the_command_and_the_two_keep_talking(status, sip, reason):
    story = rings().call("lawyer", status, sip=sip).expect("conferenced").expect_timers()
    story.expect_command("add-1", "accepted", "failed", reason=reason).expect_no_orders()


def test_dial_that_twilio_refuses_fails_the_command():
    story = dialed().refused("lawyer").expect("conferenced").expect_timers()
    story.expect_command("add-1", "accepted", "failed", reason="failed")


def test_direct_dial_of_unknown_outcome_fails_the_command_and_a_late_call_is_hung_up():
    story = dialed().unknown_outcome("lawyer").expect_command("add-1", "accepted", "failed", reason="unknown")
    story.call("lawyer", "ringing").expect("conferenced", "hang up lawyer").joins("lawyer")
    story.expect("conferenced", "hang up a call").expect_timers()


def test_gated_dial_of_unknown_outcome_is_searched_for():
    story = dialed(confirm=True).unknown_outcome("lawyer").expect_timers("dial").fires(DialOverdue)
    story.expect("conferenced", "find lawyer").found("lawyer", call_sid="")
    story.expect_command("add-1", "accepted", "failed", reason="unknown").expect_timers()


def test_gated_dial_that_is_found_continues():
    story = dialed(confirm=True).unknown_outcome("lawyer").fires(DialOverdue).found("lawyer").gate("lawyer")
    story.gate("lawyer", "accepted").joins("lawyer").expect_command("add-1", "accepted", "done")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation"])
def test_rejection_at_the_gate_fails_the_command(decision):
    story = dialed(confirm=True).placed("lawyer").gate("lawyer").expect("conferenced")
    assert story.session.parties["lawyer"].status == "confirming"
    story.gate("lawyer", decision).expect_command("add-1", "accepted", "failed", reason=decision)


def test_dial_without_callbacks_is_read_and_given_up():
    story = dialed().placed("lawyer").expect_timers("dial").fires(DialOverdue).expect("conferenced", "look")
    story.rings_on("lawyer").fires(DialOverdue).expect("conferenced", "hang up lawyer")
    story.expect_command("add-1", "accepted", "failed", reason="no-answer").expect_timers()


def test_added_party_without_answer_and_join_callbacks_is_found_by_a_read():
    story = dialed().placed("lawyer").fires(DialOverdue).expect("conferenced", "look")
    story.legs["lawyer"].in_conference = True
    story.reads(lawyer="in-progress", conference=CONFERENCE, inside=("customer", "agent", "lawyer")).expect(
        "conferenced"
    )
    story.expect_command("add-1", "accepted", "done").expect_timers()


def test_join_before_the_answer_and_before_the_outcome_of_the_dial_is_taken():
    """A straight dial without early media joins only when it was answered."""
    story = dialed().joins("lawyer").expect_command("add-1", "accepted", "done")
    story.call("lawyer", "in-progress").placed("lawyer").expect("conferenced").expect_timers()


def test_duplicate_callbacks_report_the_command_once():
    story = rings().call("lawyer", "busy", token="once").call("lawyer", "busy").call("lawyer", "completed")
    story.expect_command("add-1", "accepted", "failed", reason="busy")


def test_customers_number_is_shown_and_ours_where_twilio_refuses_that():
    story = ordering(policy=Policy(shows_customer_number=True), call_token="token").add().confirms("customer", "agent")
    assert story.last.effects[0].caller_id == CUSTOMER_NUMBER
    story.refused("lawyer").expect("conferenced", "dial lawyer")
    assert story.last.effects[0].caller_id == ""
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done")


def test_end_while_the_phone_rings_stops_it_and_fails_the_command():
    story = rings().end().expect("ended", "end room", "hang up lawyer", reason="command")
    story.expect_command("add-1", "accepted", "failed", reason="command")


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_one_of_the_two_who_leaves_while_it_rings_leaves_the_other_waiting_for_it(leaver):
    """The other hears ringing on hold, since a conference of one is silent, until the phone is answered."""
    stayed = "customer" if leaver == "agent" else "agent"
    story = rings().leaves(leaver).expect("conferenced", f"hold {stayed}").confirms(stayed).expect_timers("dial")
    assert story.session.parties[stayed].wait_audio == "ringback"
    story.call("lawyer", "in-progress").expect("conferenced", f"unhold {stayed}").confirms(stayed)
    story.joins("lawyer").expect("conferenced").expect_timers().expect_command("add-1", "accepted", "done")


@pytest.mark.parametrize("options", [{"brief": "A new customer."}, {"confirm": True}], ids=["brief", "confirm"])
def test_one_who_was_left_hears_ringing_until_the_gate_lets_the_added_party_through(options):
    story = rings(**options).leaves("agent").confirms("customer").gate("lawyer").expect("conferenced")
    assert story.session.parties["customer"].held
    story.gate("lawyer", "accepted")
    if "brief" in options:  # said first, so the join is what ends the hold
        story.expect("conferenced").joins("lawyer")
    story.expect("conferenced", "unhold customer")


def test_one_who_was_left_hears_ringing_until_another_joins_without_having_answered():
    """The callback of the answer may come after that of the join."""
    story = rings().leaves("agent").confirms("customer").joins("lawyer")
    story.expect("conferenced", "unhold customer")


def test_one_who_was_left_can_be_taken_off_hold_but_not_put_on_hold():
    story = rings().leaves("agent").confirms("customer").hold("customer").expect_command("hold-1", "rejected")
    story.unhold("customer").expect("conferenced", "unhold customer")


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_phone_that_is_not_answered_leaves_the_one_who_stayed_alone(leaver):
    story = rings().leaves(leaver).confirms("customer" if leaver == "agent" else "agent").call("lawyer", "busy")
    story.expect("conferenced").expect_timers("lone").fires(LoneOverdue)
    story.expect("ended", "end room", reason=f"{leaver}-left")


def test_both_leave_while_it_rings():
    story = rings().leaves("agent").leaves("customer")
    story.expect("ended", "end room", "hang up lawyer", reason="agent-left")
    story.expect_command("add-1", "accepted", "failed", reason="agent-left")


# ---- who leaves then ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first, second", [("agent", "customer"), ("customer", "agent")])
def test_leaving_ends_nothing_until_one_party_is_left(first, second):
    story = added().leaves(first).expect("conferenced").expect_timers().leaves(second).expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason=f"{first}-left")


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_added_party_that_left_is_not_the_one_that_ends_it(leaver):
    """`end_reason` says which of the two left first."""
    story = added().leaves("lawyer").leaves(leaver).expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason=f"{leaver}-left")


def test_name_is_free_again_when_its_party_has_left():
    story = added().leaves("lawyer").add(command_id="add-2").expect("conferenced", "dial lawyer")
    assert story.last.effects[0].label == "lawyer-2"
    story.call("former lawyer", "completed").expect("conferenced", outcome="stale").takes_part("lawyer")
    story.expect_command("add-2", "accepted", "done")


def test_agent_who_leaves_a_cancelled_transfer_leaves_customer_and_lawyer_together():
    """The held customer is let back to the lawyer, since no one's leaving ends the call."""
    story = added().transfer("warm").takes_part("target").cancel().expect("transferring", "hang up target")
    story.leaves("agent").leaves("target").expect("conferenced").expect_timers()
    story.expect_command("cancel-1", "accepted", "done")


def test_agent_who_leaves_while_the_customer_is_let_back_leaves_customer_and_lawyer_together():
    story = added().transfer("consult").confirms("customer").takes_part("target").leaves("target")
    story.expect("transferring", "unhold customer").leaves("agent").expect("transferring")
    story.confirms("customer").expect("conferenced").expect_timers().expect_held()


def test_agent_and_target_who_leave_a_consult_leave_customer_and_lawyer_together():
    story = added().transfer("consult").confirms("customer").takes_part("target").leaves("agent")
    story.expect("transferring", "unhold customer").leaves("target").expect("transferring").confirms("customer")
    story.expect("conferenced").expect_timers().expect_held()


# ---- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [clearing, rings, added], ids=lambda begin: begin.__name__)
def test_name_that_is_taken_is_refused(begin):
    refused_because(begin().add(command_id="late"), "late", "a party with this name is already on the call")


def test_name_that_waits_for_the_conversion_is_taken():
    story = ordering(Scenario().answered().convert).add().add(command_id="late")
    refused_because(story, "late", "a party with this name is already on the call")


@pytest.mark.parametrize("name", ["customer", "agent"])
def test_names_of_the_two_are_taken(name):
    refused_because(ordering().add(name), "add-1", "a party with this name is already on the call")


def small() -> Orders:
    """A conference of three at most."""
    story = Orders()
    story.take(
        CallReceived(
            **story.common(token="call_received"), call_sid=CUSTOMER_CALL, customer_address=CUSTOMER_NUMBER,
            agent_address=ALICE, attributes=ConferenceAttributes(max_participants=3),
        )
    )  # fmt: skip
    return story.call("agent", "initiated").call("agent", "in-progress")


def test_no_one_is_added_to_a_full_conference():
    story = small().add().add("expert", "late")
    refused_because(story, "late", "the conference is full")
    story.joins("agent").joins("customer").expect("conferenced", "dial lawyer").add("expert", "later")
    refused_because(story, "later", "the conference is full")
    story.placed("lawyer").call("lawyer", "busy").add("expert", "at-last").expect_command("at-last", "accepted")


def test_party_who_is_being_dialed_takes_one_place_in_the_conference():
    story = ordering(conferenced, attributes=ConferenceAttributes(max_participants=4)).add()
    story.confirms("customer", "agent").expect("conferenced", "dial lawyer")
    story.add("expert", "second").expect_command("second", "accepted")


def test_party_who_is_being_dialed_is_not_overdue_with_another_command():
    story = ordering(conferenced).add().confirms("customer", "agent").hold("agent").fires(PendingCommandOverdue)
    story.expect_command("hold-1", "accepted", "failed").expect_command("add-1", "accepted")


def test_command_that_waits_for_the_conversion_takes_no_place_in_the_conference():
    small().hold("customer").add().expect_command("add-1", "accepted")


@pytest.mark.parametrize("guests, status", [(247, "accepted"), (248, "rejected")])
def test_conference_without_a_limit_of_its_own_takes_250(guests, status):
    story = ordering()
    crowd = {f"guest-{number}": Party(f"guest-{number}", "") for number in range(guests)}
    story.session = replace(story.session, parties={**story.session.parties, **crowd})
    assert story.add().reports["add-1"][0][0] == status


def test_no_one_is_added_during_a_transfer():
    refused_because(ordering(blind_from_bridge).add(), "add-1", "a transfer is in progress")


def test_no_one_is_added_after_one_party_hung_up():
    story = ordering(Scenario().answered).call("agent", "completed").add()
    refused_because(story, "add-1", "one of the two parties has hung up")


# ---- the conversion that it needs --------------------------------------------------------------------------------


def test_conversion_that_twilio_refuses_fails_the_command_and_the_two_talk_on():
    story = ordering(Scenario().answered).add().fails("redirect_call", "agent", status=500)
    story.expect("bridged").expect_no_orders()
    why = "Twilio refused (HTTP 500, code 0)"
    story.expect_command("add-1", "accepted", "failed", reason=why)


def test_customer_who_leaves_while_it_converts_fails_the_command():
    story = ordering(Scenario().answered).add().joins("agent").call("customer", "completed")
    story.expect("ended", "end room", reason="customer-left")
    story.expect_command("add-1", "accepted", "failed", reason="customer-left")


def test_transfer_and_added_party_requested_during_conversion_begin_when_both_have_joined():
    story = ordering(Scenario().answered().convert).add().transfer("warm").joins("agent").joins("customer")
    story.expect("transferring", "dial target", "dial lawyer")
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done").takes_part("target")
    story.expect_command("transfer-1", "accepted", "done")


def test_agent_who_leaves_while_it_converts_for_a_transfer_fails_the_add():
    story = ordering(Scenario().answered().convert).add().transfer("warm").call("agent", "completed")
    story.expect("transferring", phase="blind").expect_command("add-1", "accepted", "failed", reason="agent-left")


# ---- those who stay when the agent has handed over in vain -------------------------------------------------------


def handing_over_blindly(policy: Policy | None = None) -> Orders:
    """The agent has left the customer and the lawyer, who talk while the target rings."""
    story = added(policy).transfer("blind").expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "hang up agent", "dial target", "unhold customer").confirms("customer")
    return story.expect_held().leaves("agent").placed("target")


@pytest.mark.parametrize("fallback, tried", [("end", 0), ("recall", 2)])
def test_customer_and_lawyer_continue_although_no_one_answers(fallback, tried):
    story = handing_over_blindly(Policy(fallback=fallback)).call("target", "busy")
    for number in range(tried):
        story.placed("agent").call("agent", "no-answer")
        if number + 1 < tried:
            story.fires(StageOverdue)
    story.expect("conferenced", phase="").expect_held()
    reason = "busy" + tried * ", recall no-answer"
    story.expect_concluded(("transfer", "failed", reason)).expect_transfer("failed", reason)
    story.leaves("lawyer").fires(LoneOverdue).expect("ended", "end room")


def test_customer_on_the_way_back_is_redirected_although_the_transfer_has_failed():
    """Twilio refuses the redirect as busy; it is repeated only if the session still waits for it."""
    story = handing_over_blindly(Policy(fallback="end")).leaves("customer", status="in-progress")
    story.dial_ends("completed", dial="conference").later(6_000).call("target", "ringing").fires(DialOverdue)
    story.reads(customer="in-progress", target="ringing", conference=CONFERENCE, inside=("lawyer",))
    (effect,) = story.expect("transferring", "move customer").last.effects
    story.call("target", "busy").expect("conferenced")
    assert story.session.awaits(effect)
    story.joins("customer")
    assert not story.session.running_transfer


def test_customer_left_by_the_lawyer_too_hears_that_no_one_was_reached():
    story = handing_over_blindly(Policy(fallback="end")).leaves("lawyer").expect("transferring", "hold customer")
    story.call("target", "busy").expect("ended", "say goodbye to customer", reason="transfer-failed")


def test_parked_customer_talks_to_the_lawyer_when_no_fallback_is_configured():
    story = added(Policy(fallback="end")).command(Park, "park-1").confirms("customer").leaves("agent")
    story.expect("conferenced", "hold lawyer", phase="parked").confirms("lawyer").fires(ParkOverdue)
    story.expect("conferenced", "unhold customer", "unhold lawyer", phase="")
    assert story.confirms("customer", "lawyer").expect_timers().session.parked_until_ms == 0


def test_parked_customer_hears_that_no_one_was_reached_after_the_lawyer_left():
    story = added(Policy(fallback="end")).command(Park, "park-1").confirms("customer").leaves("agent").leaves("lawyer")
    story.fires(ParkOverdue).expect("ended", "say goodbye to customer", reason="park-timeout")


def test_options_are_those_of_the_command():
    story = ordering(Scenario().answered).add(brief="a case", timeout_s=9, digits="w1", confirm=True)
    assert story.session.pending_commands[0].options == DialOptions("a case", True, 9, "w1")


def test_customer_of_a_blind_transfer_talks_to_an_added_party_until_the_target_answers():
    """On hold, they would leave the added party in silence."""
    story = handing_over_blindly().leaves("lawyer").expect("transferring", "hold customer")
    assert story.last.effects[-1].wait_audio == "ringback"
    story.confirms("customer").answers("target").expect("transferring", "unhold customer")
