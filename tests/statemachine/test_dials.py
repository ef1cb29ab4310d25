"""Whom a transfer dials, how, and what is made of everything that can be heard of it, and of nothing."""

from functools import partial

import pytest

from conferral.statemachine.effects import CreateCall, CreateParticipant
from conferral.statemachine.events import DialOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, CUSTOMER_NUMBER, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing

DAN = "+14155550199"


def dials(story: Scenario) -> list[str]:
    """To whom dials were ordered so far."""
    return [effect.to for effect in story.effects if isinstance(effect, CreateCall | CreateParticipant)]


# ---- straight or through the gate --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"brief": "a caller"}, {"confirm": True}, {"digits": "ww12"}])
def test_dial_that_needs_the_gate_goes_through_it(options):
    story = dialing("warm", **options).expect("transferring", "dial target to the gate")
    story.takes_part("target").expect_transfer("merged")


def test_phone_numbers_are_confirmed_where_the_settings_say_so():
    policy = Policy(confirm_phones=True)
    story = dialing("warm", DAN, policy=policy).expect("transferring", "dial target to the gate")
    assert story.session.parties["target"].confirm
    dialing("warm", BOB, policy=policy).expect("transferring", "dial target")


def test_ring_time_is_the_commands_or_that_of_the_settings():
    assert dialing("warm").last.effects[0].timeout_s == 30
    story = dialing("warm", timeout_s=12)
    assert story.last.effects[0].timeout_s == 12
    assert story.placed("target").session.timers["dial"] - story.now_ms == 22_000


def test_status_shows_the_ringing_and_the_confirming():
    story = dialing("warm", confirm=True).placed("target").call("target", "ringing").expect_transfer("ringing")
    story.gate("target").expect_transfer("confirming").expect_parties(
        customer="connected", agent="connected", target="confirming"
    )
    story.gate("target", "accepted").expect_transfer("confirming").joins("target").expect_transfer("merged")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation"])
def test_target_who_is_turned_away_at_the_gate(decision):
    story = dialing("warm", confirm=True).placed("target").gate("target").gate("target", decision)
    story.expect("conferenced", "flag agent").expect_transfer("failed", decision).expect_attempts((BOB, decision))
    story.call("target", "completed").expect("conferenced", outcome="stale")


def test_call_at_the_gate_proves_that_the_dial_was_placed():
    """Its callback may overtake the answer of the request."""
    story = dialing("warm", brief="a caller").gate("target").gate("target", "accepted").joins("target")
    story.expect_transfer("merged").placed("target").expect("transferring")


def test_join_through_the_gate_proves_the_answer():
    """The gate's callbacks may come later than the join; early media there is none."""
    story = dialing("warm", brief="a caller").placed("target").joins("target").call("target", "in-progress")
    story.expect_transfer("merged")


# ---- answered ----------------------------------------------------------------------------------------------------


def test_join_before_the_answer_is_early_media():
    story = dialing("warm").placed("target").call("target", "ringing").joins("target").expect("transferring")
    story.expect_command("transfer-1", "accepted").call("target", "in-progress").expect_transfer("merged")


def test_early_media_of_a_target_that_then_does_not_answer():
    story = dialing("warm").placed("target").call("target", "ringing").joins("target")
    # Twilio reports a refusal as `busy`, too; the call's own callback distinguishes them.
    story.leaves("target", status="busy", reason="participant_add_failed").expect("transferring").expect_timers("dial")
    story.call("target", "busy", sip=603).expect("conferenced", "flag agent").expect_transfer("failed", "rejected")


def test_early_media_of_a_target_reported_only_by_the_conference():
    story = dialing("warm").placed("target").call("target", "ringing").joins("target")
    story.leaves("target", status="no-answer", reason="participant_add_failed").expect("conferenced", "flag agent")
    story.expect_transfer("failed", "no-answer")


def test_busy_target_reported_only_by_the_conference_is_read():
    story = dialing("warm").placed("target")
    story.leaves("target", status="busy", reason="participant_add_failed").fires(DialOverdue)
    story.expect("transferring", "look").reads(target="busy").expect("conferenced", "flag agent")
    story.expect_transfer("failed", "busy")


@pytest.mark.parametrize("late", ["ringing", "initiated", "placed"])
def test_late_progress_does_not_put_off_the_read_of_a_target_that_could_not_be_added(late):
    story = dialing("warm").placed("target") if late != "placed" else dialing("warm")
    story.leaves("target", status="busy", reason="participant_add_failed")
    due_ms = story.session.timers["dial"]
    (story.placed("target") if late == "placed" else story.call("target", late)).expect("transferring")
    assert story.session.timers["dial"] == due_ms
    story.fires(DialOverdue).expect("transferring", "look").reads(target="busy").expect_transfer("failed", "busy")


def test_answer_before_the_join_is_no_transfer_yet():
    story = dialing("warm").placed("target").call("target", "in-progress").expect_command("transfer-1", "accepted")
    story.joins("target").expect_command("transfer-1", "accepted", "done")


def test_answer_with_lost_callback_is_found_by_a_read():
    story = dialing("warm").placed("target").joins("target").fires(DialOverdue).expect("transferring", "look")
    story.reads(target="in-progress", conference=CONFERENCE, inside=("customer", "agent", "target")).expect_transfer(
        "merged"
    )


def test_slow_read_is_accepted_although_the_dial_was_checked_meanwhile():
    story = dialing("warm").placed("target").call("target", "in-progress").fires(DialOverdue)
    story.expect("transferring", "look")
    began = story.session.version
    story.fires(DialOverdue)
    assert story.session.version > began

    story.legs["target"].in_conference = True
    story.reads(target="in-progress", conference=CONFERENCE, inside=("customer", "agent", "target"), version=began)

    story.expect_transfer("merged")


def test_read_older_than_an_answer_is_ignored():
    story = dialing("warm").placed("target").fires(DialOverdue).expect("transferring", "look")
    began = story.session.version
    story.call("target", "in-progress").reads(target="no-answer", version=began).expect("transferring")
    story.joins("target").expect_transfer("merged")


def test_read_older_than_a_ringing_callback_still_shows_that_the_dial_has_failed():
    story = dialing("warm").placed("target").fires(DialOverdue).expect("transferring", "look")
    began = story.session.version
    story.call("target", "ringing").reads(target="no-answer", version=began).expect("conferenced", "flag agent")
    story.expect_transfer("failed", "no-answer")


def test_callbacks_of_a_dial_may_come_before_its_answer():
    story = dialing("warm").call("target", "ringing").expect_transfer("ringing").call("target", "in-progress")
    story.joins("target").expect_transfer("merged").placed("target").expect("transferring")


# ---- who is not heard of -----------------------------------------------------------------------------------------


def test_target_without_callbacks_is_verified_and_then_given_up():
    story = dialing("warm").placed("target").fires(DialOverdue).expect("transferring", "look").expect_timers("dial")
    story.rings_on("target").fires(DialOverdue).expect("conferenced", "hang up target", "flag agent").expect_transfer(
        "failed", "no-answer"
    )


def test_target_with_a_lost_end_callback_is_found_by_the_read():
    story = dialing("warm").placed("target").fires(DialOverdue).reads(target="busy")
    story.expect("conferenced", "flag agent").expect_transfer("failed", "busy")


def test_time_of_a_dial_begins_when_it_was_placed_and_twilios_queue_counts_in():
    story = dialing("warm").expect_timers().later(90_000).placed("target", queue_ms=7_000)
    assert story.session.timers["dial"] == story.now_ms + 47_000


def test_refused_dial_fails_the_transfer():
    story = dialing("warm").refused("target").expect("conferenced", "flag agent").expect_transfer("failed", "failed")
    assert dials(story) == [BOB]


# ---- unknown outcomes: never dialed a second time ---------------------------------------------------------------


def test_straight_dial_of_unknown_outcome_has_failed():
    """It was found by its label before that."""
    story = (
        dialing("warm")
        .unknown_outcome("target")
        .expect("conferenced", "flag agent")
        .expect_transfer("failed", "unknown")
    )
    assert dials(story) == [BOB]
    story.call("target", "ringing").expect("conferenced", "hang up target")
    story.call("target", "completed").expect("conferenced", outcome="stale")


def test_direct_dial_of_unknown_outcome_continues_when_its_callback_came_first():
    story = dialing("warm").call("target", "ringing").unknown_outcome("target").expect("transferring")
    story.call("target", "in-progress").joins("target").expect_transfer("merged")


def test_late_leg_of_a_dial_that_was_given_up_is_hung_up_when_it_joins():
    story = dialing("warm").unknown_outcome("target").joins("target").expect("conferenced", "hang up a call")
    assert story.session.parties["target"].is_gone


def test_gated_dial_of_unknown_outcome_is_resolved_by_a_callback():
    story = dialing("warm", confirm=True).unknown_outcome("target").expect("transferring").expect_timers("dial")
    assert story.session.timers["dial"] - story.now_ms == 5_000
    story.later(3_000).call("target", "ringing").expect("transferring").gate("target").gate("target", "accepted")
    story.joins("target").expect_transfer("merged")


def test_gated_dial_of_unknown_outcome_is_searched_for_after_five_seconds():
    story = dialing("warm", confirm=True)
    ordered_ms = story.now_ms
    story.later(100).unknown_outcome("target").fires(DialOverdue).expect("transferring", "find target")
    assert (story.last.effects[0].to, story.last.effects[0].since_ms) == (BOB, ordered_ms)
    story.found("target").expect("transferring").gate("target").gate("target", "accepted").joins("target")
    story.expect_transfer("merged")
    assert dials(story) == [BOB]


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown"])
def test_gated_dial_that_is_not_found_has_failed(how):
    story = dialing("warm", confirm=True).unknown_outcome("target").fires(DialOverdue)
    if how == "nothing":
        story.found("target", call_sid="")
    elif how == "refused":
        story.fails("find_call", "target", status=401)
    else:
        story.is_unknown("find_call", "target")
    story.expect("conferenced", "flag agent").expect_transfer("failed", "unknown")
    story.gate("target").expect("conferenced", "hang up target")


# ---- several targets ---------------------------------------------------------------------------------------------


def three() -> Scenario:
    story = dialing("warm", BOB, CAROL, DAN)
    gated = [f"dial target-{number} to the gate" for number in (1, 2, 3)]
    story.expect("transferring", *gated).expect_parties(
        customer="connected", agent="connected", target_1="dialing", target_2="dialing", target_3="dialing"
    )
    return story.placed("target-1").placed("target-2").placed("target-3")


def test_several_targets_ring_and_the_first_to_take_it_wins():
    story = three().call("target-2", "ringing").gate("target-2").gate("target-2", "accepted")
    story.joins("target-2").expect("transferring", "hang up target-1", "hang up target-3").expect_transfer("merged")
    assert story.session.parties["target"].call_sid == story.legs["target-2"].call_sid
    story.call("target-1", "canceled").call("target-3", "completed").expect("transferring")
    story.complete().leaves("agent").expect("conferenced", "flag agent")
    story.expect_attempts((BOB, "cancelled"), (CAROL, "answered"), (DAN, "cancelled"))
    assert story.session.parties["agent"].address == CAROL


def test_phone_that_the_next_transfer_has_forgotten_is_hung_up_when_its_call_is_known():
    """Its dial waited for Twilio while another target took the call."""
    story = dialing("warm", BOB, CAROL).takes_part("target-1").complete().leaves("agent")
    story.transfer("blind", DAN, command_id="transfer-2").expect("transferring", "unflag agent")
    story.placed("target-2").expect("transferring", "hang up a call")


def test_second_target_to_accept_has_the_result_taken():
    story = three().gate("target-1").gate("target-2").gate("target-2", "accepted").gate("target-1", "taken")
    story.expect("transferring").joins("target-2").expect("transferring", "hang up target-3")
    story.call("target-3", "completed")
    assert [one.result for one in story.session.transfer.attempts] == ["taken", "answered", "cancelled"]


def test_target_rings_once_twilio_says_so_and_not_before():
    story = dialing("warm").placed("target").call("target", "initiated")
    story.expect_parties(customer="connected", agent="connected", target="dialing").expect_transfer("dialing")
    story.call("target", "ringing").expect_parties(customer="connected", agent="connected", target="ringing")


def test_attempt_was_answered_when_its_target_first_was():
    story = three().later(5_000).gate("target-2").later(8_000).gate("target-2", "accepted").joins("target-2")
    began_ms = story.now_ms - 13_000
    assert [one.answered_at_ms for one in story.session.transfer.attempts] == [0, began_ms + 5_000, 0]


def test_they_share_a_ring_group_and_have_labels_of_their_own():
    parties = [story_party for name, story_party in three().session.parties.items() if name.startswith("target")]
    assert len({party.ring_group for party in parties}) == 1
    assert len({party.label for party in parties}) == len({party.dial_id for party in parties}) == 3


def test_all_of_several_fail_and_the_last_ones_reason_counts():
    story = three().call("target-3", "busy").expect("transferring").call("target-1", "no-answer").expect("transferring")
    story.call("target-2", "failed").expect("conferenced", "flag agent")
    story.expect_attempts((BOB, "no-answer"), (CAROL, "failed"), (DAN, "busy"))
    # The last in the command's order.
    story.expect_transfer("failed", "busy")


def test_possibly_undialed_target_is_not_waited_for_once_another_answered():
    story = dialing("warm", BOB, CAROL).placed("target-1").unknown_outcome("target-2").expect("transferring")
    story.takes_part("target-1").expect("transferring", "find target-2").expect_transfer("merged")
    assert story.session.parties["target-2"].is_gone
    story.call("target-2", "ringing").expect("transferring", "hang up target-2")
    story.found("target-2").expect("transferring")


def rolled_back_ring_group(mode: str, *, is_reported_before: bool) -> Scenario:
    """Two targets ring, of which Redis has forgotten all callbacks: the calls are unknown, and one target answers."""
    begin = blind_from_bridge if mode == "blind" else partial(dialing, mode)
    story = as_conference(begin(BOB, CAROL)).sweep_finds("rolled-back", conference="").expect("transferring", "look")
    names = ("target-1", "target-2") if is_reported_before else ("target-1",)
    for name in names:
        story.unknown_outcome(name)
    return story.gate("target-1").gate("target-1", "accepted").joins("target-1")


@pytest.mark.parametrize("mode", ["blind", "warm", "consult"])
def test_target_of_a_rolled_back_ring_group_is_hung_up_when_another_answers(mode):
    story = rolled_back_ring_group(mode, is_reported_before=True)
    assert "find target-2" in story.words()
    story.found("target-2")
    assert story.last.effects[0].call_sid == story.legs["target-2"].call_sid
    story.expect(story.session.state, "hang up a call")
    story.gate("target-2").expect(story.session.state)


@pytest.mark.parametrize("mode", ["blind", "warm", "consult"])
def test_target_of_a_rolled_back_ring_group_is_hung_up_when_its_dial_is_unknown_afterwards(mode):
    story = rolled_back_ring_group(mode, is_reported_before=False)
    assert "find target-2" not in story.words()
    story.unknown_outcome("target-2")
    assert "find target-2" in story.words()
    story.found("target-2").expect(story.session.state, "hang up a call")
    assert story.last.effects[0].call_sid == story.legs["target-2"].call_sid


def test_target_of_a_rolled_back_ring_group_that_is_not_found_is_left_alone():
    story = rolled_back_ring_group("warm", is_reported_before=True)
    story.found("target-2", call_sid="").expect("transferring")


def test_one_of_several_that_is_refused_does_not_stop_the_others():
    story = dialing("warm", BOB, CAROL).refused("target-1").expect("transferring").takes_part("target-2")
    story.expect_transfer("merged").expect_attempts((BOB, "failed"), (CAROL, "answered"))


def test_cancel_stops_all_of_them():
    story = three().cancel().expect("transferring", "hang up target-1", "hang up target-2", "hang up target-3")
    for number in (1, 2, 3):
        story.call(f"target-{number}", "canceled")
    story.expect("conferenced", "flag agent").expect_command("cancel-1", "accepted", "done")


def test_customer_who_hangs_up_stops_all_of_them():
    story = three().leaves("customer")
    story.expect(
        "ended", "end room", "hang up target-1", "hang up target-2", "hang up target-3", reason="customer-left"
    )


def test_loser_who_lingers_does_not_hold_up_the_end_of_the_transfer():
    story = three().gate("target-2").gate("target-2", "accepted").joins("target-2").complete().leaves("agent")
    story.expect("conferenced", "flag agent").expect_transfer("completed")
    story.call("target-1", "canceled").expect("conferenced")


def test_second_ring_group_has_a_word_of_its_own():
    story = three()
    first = story.session.parties["target-1"].ring_group
    for number in (1, 2, 3):
        story.call(f"target-{number}", "busy")
    story.confirms("agent").transfer("warm", BOB, CAROL, command_id="transfer-2").confirms("agent")
    assert story.session.parties["target-4"].ring_group not in ("", first)


# ---- caller ID ---------------------------------------------------------------------------------------------------

SHOWS = Policy(shows_customer_number=True)


def showing(**options: bool) -> Scenario:
    return blind_from_bridge(policy=SHOWS, call_token="secret", **options)


def test_customers_number_goes_with_its_token():
    effect = showing().last.effects[0]
    assert (effect.caller_id, effect.call_token) == (CUSTOMER_NUMBER, "secret")


def test_business_number_is_shown_for_a_withheld_one_and_without_the_setting():
    for story in (blind_from_bridge(policy=SHOWS), blind_from_bridge(call_token="secret")):
        assert shown(story) == ("", "")


def test_number_of_a_caller_without_a_token_is_tried_once():
    story = blind_from_bridge(policy=SHOWS, has_caller_id=True, called_number=CALLED)
    assert shown(story) == (CUSTOMER_NUMBER, "")
    assert shown(story.refused("target", code=21210).expect("transferring", "dial target")) == (CALLED, "")


@pytest.mark.parametrize("options, dial", [({}, "dial target"), ({"confirm": True}, "dial target to the gate")])
def test_refused_number_is_replaced_by_the_business_number_once(options, dial):
    story = showing(**options).refused("target", code=21210).expect("transferring", dial)
    assert (story.last.effects[0].caller_id, story.last.effects[0].call_token) == ("", "")
    assert story.last.effects[0].label == story.session.parties["target"].label if not options else True
    story.refused("target", code=21210).expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_transfer("failed", "failed")


CALLED, CHOSEN = "+14155550101", "+14155550102"


def shown(story: Scenario) -> tuple[str, str]:
    """The caller ID and the token of the newest effect."""
    effect = story.last.effects[0]
    return effect.caller_id, effect.call_token


def test_number_that_was_called_is_shown_in_an_inbound_session():
    assert shown(blind_from_bridge(called_number=CALLED)) == (CALLED, "")
    assert shown(blind_from_bridge(called_number=CALLED, call_token="secret")) == (CALLED, "")
    assert shown(showing(called_number=CALLED)) == (CUSTOMER_NUMBER, "secret")


@pytest.mark.parametrize("policy", [Policy(), SHOWS])
def test_caller_id_of_a_command_comes_before_every_default(policy):
    story = blind_from_bridge(policy=policy, call_token="secret", called_number=CALLED, caller_id=CHOSEN)
    assert shown(story) == (CHOSEN, "")


def test_customers_number_that_is_refused_gives_way_to_the_number_that_was_called_once():
    story = showing(called_number=CALLED).refused("target", code=21210).expect("transferring", "dial target")
    assert shown(story) == (CALLED, "")
    story.refused("target", code=21210).expect("transferring", "dial agent to the gate", phase="recall")


@pytest.mark.parametrize("given", [{"called_number": CALLED}, {"caller_id": CHOSEN}])
def test_caller_id_that_is_refused_gives_way_to_our_own_number_once(given):
    story = blind_from_bridge(**given).refused("target", code=21210).expect("transferring", "dial target")
    assert shown(story) == ("", "")
    story.refused("target", code=21210).expect("transferring", "dial agent to the gate", phase="recall")


def test_recalled_agent_sees_the_default_and_not_the_caller_id_of_the_command():
    story = blind_from_bridge(called_number=CALLED, caller_id=CHOSEN).placed("target").call("target", "busy")
    assert [effect.caller_id for effect in story.last.effects if effect.kind == "create_call"] == [CALLED]


def test_second_dial_is_the_one_that_counts():
    story = showing().refused("target", code=21210).placed("target").takes_part("target")
    story.expect("conferenced", "flag customer", "flag agent").expect_attempts((BOB, "answered"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_other_refusals_are_not_about_the_number(status):
    story = showing().refused("target", status=status, code=0)
    assert "dial target" not in story.words()
    story.expect_transfer("failed", "failed")


def test_number_dialed_with_unknown_outcome_is_not_dialed_again():
    assert dials(showing().unknown_outcome("target"))[:-1] == [BOB]


def test_call_token_is_erased_at_the_end():
    assert showing().call("customer", "completed").expect("ended", "end room").session.call_token == ""


# ---- late legs ---------------------------------------------------------------------------------------------------


def test_leg_that_shows_up_after_the_end_is_hung_up():
    story = dialing("warm").end().expect("ended", "end room").call("target", "ringing")
    story.expect("ended", "hang up a call")


def test_target_who_joins_after_cancel_is_hung_up():
    story = dialing("warm").cancel().joins("target").expect("transferring", "hang up a call")
    story.leaves("target").expect("conferenced", "flag agent")


def test_target_of_the_earlier_transfer_who_shows_up_during_the_next_one():
    story = dialing("warm").unknown_outcome("target").confirms("agent")
    story.transfer("warm", CAROL, command_id="transfer-2").confirms("agent").expect("transferring", "dial target")
    story.call("former target", "ringing").expect("transferring", "hang up target-1")
    story.call("former target", "in-progress").expect("transferring", outcome="stale")
    story.joins("former target").expect("transferring", "hang up a call")
    story.expect_parties(customer="connected", agent="connected", target_1="left", target="dialing")


def test_foreign_leg_becomes_a_guest_and_not_the_target():
    story = conferenced().transfer("warm").confirms("agent").joins("guest").expect("transferring", "unflag customer")
    story.expect_command("transfer-1", "accepted")
