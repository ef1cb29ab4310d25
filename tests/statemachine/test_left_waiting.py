"""Stories in which someone would wait in silence, or a command without end: parties on hold, in the gate, removed."""

import pytest

from conferral.statemachine.events import DialOverdue, EffectFailed, Park, ParkOverdue, Retrieve, StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import Orders, added, consulting_recorded, ordering
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE
from tests.statemachine.transfer_scenarios import conferenced, dialing


@pytest.mark.parametrize("held", ["customer", "lawyer"])
def test_agent_who_leaves_takes_the_others_off_hold(held):
    """No one who is left could do it."""
    story = added().hold(held).confirms(held).leaves("agent").expect("conferenced", f"unhold {held}")
    story.confirms(held).expect_timers()


def test_one_who_remains_alone_on_hold_is_taken_off_once_someone_joins():
    story = added().leaves("lawyer").hold("customer").confirms("customer").leaves("agent").expect("conferenced")
    story.joins("guest").expect("conferenced", "unhold customer")


def test_one_who_remains_on_hold_while_a_phone_rings_stays_there_until_the_answer():
    story = ordering(conferenced).add().confirms("customer", "agent").placed("lawyer").call("lawyer", "ringing")
    story.hold("customer").confirms("customer").leaves("agent").expect("conferenced").expect_timers("dial")
    story.call("lawyer", "in-progress").expect("conferenced", "unhold customer").joins("lawyer").expect("conferenced")


def test_hold_of_one_of_two_without_an_agent_stays():
    story = added().leaves("agent").hold("customer", "later").confirms("customer")
    story.expect_command("later", "accepted", "done").expect_no_orders()
    assert story.session.parties["customer"].held


def test_hold_that_the_agents_leaving_ends_says_so():
    """No command superseded it."""
    story = added().hold("customer").leaves("agent").expect("conferenced", "unhold customer")
    story.expect_command("hold-1", "accepted", "failed", reason="agent-left").expect_no_orders()


def test_hold_that_an_unhold_overtakes_after_the_agent_has_left_was_superseded():
    story = added().leaves("agent").hold("customer").unhold("customer")
    story.expect_command("hold-1", "accepted", "failed", reason="superseded by another command")


def test_all_who_remain_on_hold_are_taken_off():
    story = added().hold("agent").confirms("agent").hold("lawyer", "hold-2").confirms("lawyer").leaves("customer")
    story.expect("conferenced", "unhold agent", "unhold lawyer")


def test_customer_of_a_blind_transfer_is_not_left_with_someone_on_hold():
    story = added().hold("lawyer").confirms("lawyer").transfer("blind", BOB).confirms("customer")
    assert "unhold customer" not in story.words()
    assert story.session.parties["customer"].held


def gated(options: dict[str, object]) -> Orders:
    story = ordering(conferenced).add(**options).confirms("customer", "agent").placed("lawyer")
    return story.call("lawyer", "ringing").gate("lawyer")


def test_one_who_is_left_while_the_other_is_in_the_gate_hears_ringing():
    story = gated({"confirm": True}).leaves("agent").expect("conferenced", "hold customer").confirms("customer")
    story.gate("lawyer", "accepted").expect("conferenced", "unhold customer").joins("lawyer").expect_no_orders()


def test_one_who_is_left_after_the_gate_has_accepted_is_not_held():
    gated({"confirm": True}).gate("lawyer", "accepted").leaves("agent").expect("conferenced")


def parked_with_lawyer(*held: str, policy: Policy | None = None) -> Orders:
    story = added(policy)
    for name in held:
        story.hold(name).confirms(name)
    story.command(Park, "park-1").confirms("customer").leaves("agent").expect_command("park-1", "accepted", "done")
    return story


def test_added_party_of_a_parked_call_hears_music_until_someone_takes_it():
    story = parked_with_lawyer().expect("conferenced", "hold lawyer", phase="parked")
    assert story.last.effects[-1].wait_audio == "music"
    story.confirms("lawyer").expect_timers("park").command(Retrieve, "retrieve-1", to=CAROL)
    story.expect("transferring", "dial agent to the gate").takes_part("agent")
    story.expect("transferring", "unhold lawyer").confirms("customer", "lawyer").expect_held()
    story.expect("conferenced", phase="").expect_command("retrieve-1", "accepted", "done").expect_timers()


def test_added_party_of_a_parked_call_talks_to_an_agent_who_is_called_back():
    story = parked_with_lawyer().confirms("lawyer").fires(ParkOverdue).expect("transferring", "dial agent to the gate")
    story.takes_part("agent").confirms("customer", "lawyer").expect("conferenced", phase="").expect_held()


def test_added_party_of_a_parked_call_hears_music_after_a_retrieve_in_vain():
    story = parked_with_lawyer().confirms("lawyer").command(Retrieve, "retrieve-1", to=CAROL)
    story.placed("agent").call("agent", "busy").expect("conferenced", phase="parked").expect_held("customer", "lawyer")


def test_party_held_by_command_stays_on_hold_when_a_parked_call_is_taken():
    story = parked_with_lawyer("lawyer").expect("conferenced", phase="parked").command(Retrieve, "retrieve-1", to=CAROL)
    story.takes_part("agent").confirms("customer").expect("conferenced", phase="").expect_held("lawyer")


def test_added_party_who_answers_after_the_park_hears_music():
    story = ordering(conferenced).add().confirms("customer", "agent").placed("lawyer").command(Park, "park-1")
    story.confirms("customer").leaves("agent").expect("conferenced", phase="parked").call("lawyer", "in-progress")
    story.joins("lawyer").expect("conferenced", "hold lawyer")


def test_two_added_parties_talk_while_the_call_is_parked():
    story = added().add("expert", "add-2", to=CAROL).takes_part("expert").command(Park, "park-1").confirms("customer")
    story.leaves("agent").expect("conferenced", phase="parked").leaves("expert").expect("conferenced", "hold lawyer")


def parked_while_expert_rings() -> Orders:
    story = added().add("expert", "add-2", to=CAROL).placed("expert").call("expert", "ringing")
    story.command(Park, "park-1").confirms("customer").leaves("agent")
    return story.expect("conferenced", "hold lawyer", phase="parked").confirms("lawyer")


def test_two_added_parties_talk_although_one_answers_after_the_park():
    """Only the order of their joins differs."""
    story = parked_while_expert_rings().call("expert", "in-progress").joins("expert")
    story.expect("conferenced", "unhold lawyer").confirms("lawyer").expect_held("customer")
    story.leaves("expert").expect("conferenced", "hold lawyer").confirms("lawyer")
    story.command(Retrieve, "retrieve-1", to=CAROL).takes_part("agent").confirms("customer", "lawyer").expect_held()


def test_hold_by_command_after_a_park_that_held_the_same_party_outlasts_the_next_park():
    """The party held for the first park no longer is since another joined them."""
    story = parked_while_expert_rings().call("expert", "in-progress").joins("expert").confirms("lawyer")
    story.command(Retrieve, "retrieve-1", to=CAROL).takes_part("agent").confirms("customer").hold("lawyer")
    story.confirms("lawyer").command(Park, "park-2").confirms("customer").leaves("agent")
    story.expect("conferenced", "hold expert", phase="parked").confirms("expert")
    story.command(Retrieve, "retrieve-2", to=CAROL).takes_part("agent").confirms("customer", "expert")
    story.expect_held("lawyer")


def test_hold_for_a_park_waits_for_the_end_of_an_announcement():
    story = added().add("expert", "add-2", to=CAROL).takes_part("expert").command(Park, "park-1").confirms("customer")
    story.leaves("agent").announce().leaves("expert").expect("conferenced").played("lawyer")
    story.expect("conferenced", "hold lawyer").expect_command("announce-1", "accepted", "done")


def test_agent_of_a_consult_does_not_leave_an_added_party_in_silence():
    story = added().transfer("consult", BOB, confirm=True).expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "dial target to the gate").leaves("lawyer").expect("transferring", "hold agent")
    assert story.last.effects[-1].wait_audio == "ringback"
    story.confirms("agent").takes_part("target").confirms("agent").expect_held("customer")


def test_added_party_who_answers_during_a_consult_talks_to_the_agent_until_the_target_comes():
    story = ordering(conferenced).add().confirms("customer", "agent").placed("lawyer")
    story.transfer("consult", BOB, confirm=True).expect("transferring", "hold customer", "hold agent")
    story.confirms("customer", "agent").call("lawyer", "in-progress")
    story.expect("transferring", "unhold agent")


BRIEF = "x" * 90


def test_join_after_a_briefing_is_read_once_the_agents_leaving_makes_the_customer_wait():
    """The briefing takes 6 to 9 s. Without the read, the customer would wait until 14 s after it began."""
    story = gated({"brief": BRIEF}).gate("lawyer", "accepted")
    assert story.session.timers["dial"] - story.now_ms == 14_000, "need not be read while the others talk"
    story.later(1_000).leaves("agent").confirms("customer")
    assert story.session.timers["dial"] - story.now_ms == 5_000
    story.fires(DialOverdue).expect("conferenced", "look")
    story.reads(lawyer="in-progress", conference=CONFERENCE, inside=("customer",)).expect("conferenced")
    assert story.session.timers["dial"] - story.now_ms == 3_000
    story.fires(DialOverdue).reads(conference=CONFERENCE, inside=("customer", "lawyer"))
    story.expect("conferenced", "unhold customer")


def test_join_after_a_briefing_is_read_at_once_if_the_agent_leaves_late():
    story = gated({"brief": BRIEF}).gate("lawyer", "accepted").later(8_000).leaves("agent").confirms("customer")
    assert story.session.timers["dial"] <= story.now_ms


def test_target_in_a_briefing_is_read_once_the_agents_leaving_makes_the_customer_wait():
    story = as_conference(dialing("warm", BOB, brief=BRIEF)).placed("target").gate("target").gate("target", "accepted")
    assert story.session.timers["dial"] - story.now_ms == 14_000
    story.later(1_000).leaves("agent").confirms("customer")
    assert story.session.timers["dial"] - story.now_ms == 5_000
    story.fires(DialOverdue).reads(conference=CONFERENCE, inside=("customer", "target"))
    story.expect("transferring", "unhold customer")


def test_remove_of_a_target_with_a_fallback_is_done():
    story = as_conference(dialing("blind", BOB, policy=Policy(fallback="client:desk"))).leaves("agent")
    story.placed("target").call("target", "ringing").remove("target").call("target", "canceled")
    story.expect_command("remove-1", "accepted", "done")


def test_remove_of_a_target_who_has_just_joined_is_done_before_the_fallback_is_dialed():
    """The next target takes the name, and with it what waits for the first one to leave."""
    story = as_conference(dialing("blind", BOB, policy=Policy(fallback="client:desk"))).leaves("agent")
    story.answers("target").expect("transferring", "unhold customer").joins("target").remove("target")
    story.expect("transferring", "hang up target").call("target", "completed")
    story.expect_command("remove-1", "accepted", "done")
    story.expect_command("transfer-1", "accepted", "failed", reason="cancelled")


def test_customer_does_not_wait_alone_for_the_phone_of_one_who_lost_to_a_target_that_left_at_once():
    """Only the target that joined has a name that the next one takes."""
    story = as_conference(dialing("blind", BOB, CAROL, policy=Policy(fallback="client:desk"))).leaves("agent")
    story.placed("target-1").call("target-1", "ringing").placed("target-2").call("target-2", "ringing")
    story.gate("target-1").gate("target-1", "accepted").joins("target-1").expect("transferring", "hang up target-2")
    story.leaves("target-1").expect("transferring", "dial target")
    story.confirms("customer").expect("transferring", "hold customer")


def test_removed_target_that_twilio_refused_to_hang_up_is_hung_up_again_after_the_handover():
    """The customer is alone with them, and the fallback waits for their end."""
    story = as_conference(dialing("blind", BOB, policy=Policy(fallback="client:desk"))).leaves("agent")
    story.takes_part("target").remove("target").expect("transferring", "hang up target")
    story.fails("hang_up_call", "target", effect_id=story.last.effects[0].effect_id).confirms("customer")
    story.fires(StageOverdue).expect("transferring", "look", "hang up target").call("target", "completed")
    story.expect("transferring", "dial target", "hold customer").expect_command("remove-1", "accepted", "done")


def test_outcome_of_a_failed_transfer_names_both_reasons_while_the_fallback_rings():
    story = dialing("blind", BOB, policy=Policy(fallback="client:desk")).leaves("agent")
    story.placed("target").call("target", "busy", sip=486).placed("target").call("target", "ringing").end()
    transfer = next(one for one in story.outcome_records if one.kind == "transfer")
    assert (transfer.result, transfer.reason) == ("failed", "busy, command")


def test_refused_hangup_is_requested_again_by_the_next_remove():
    story = as_conference(conferenced()).remove("agent", "first")
    refused = story.last.effects[0]
    story.fails("hang_up_call", "agent", status=404, effect_id=refused.effect_id).later(60_000)
    story.remove("agent", "second").expect("conferenced", "hang up agent")


def test_refused_hangup_of_a_ringing_target_is_requested_again_by_the_next_remove():
    story = as_conference(dialing("blind", BOB, policy=Policy(fallback="client:desk"))).leaves("agent")
    story.placed("target").call("target", "ringing").remove("target", "first")
    story.fails("hang_up_call", "target", status=403, effect_id=story.last.effects[0].effect_id).later(3_000)
    story.remove("target", "second").expect("transferring", "hang up target")


def test_added_party_that_is_removed_in_the_gate_has_been_cancelled():
    gated({"confirm": True}).remove("lawyer").call("lawyer", "completed").expect_command(
        "add-1", "accepted", "failed", reason="cancelled"
    )


def test_added_party_that_is_removed_and_answers_meanwhile_has_been_cancelled():
    """The gate finds that no one waits for the call."""
    story = ordering(conferenced).add(confirm=True).confirms("customer", "agent").placed("lawyer")
    story.call("lawyer", "ringing").remove("lawyer").gate("lawyer", "too-late")
    story.expect_command("add-1", "accepted", "failed", reason="cancelled")


@pytest.mark.parametrize(
    "status, text", [(0, "Twilio could not be reached in time"), (404, "Twilio refused (HTTP 404, code 20404)")]
)
def test_reason_says_refused_only_if_twilio_answered(status, text):
    failed = EffectFailed(
        session_id="s1", effect_id="e1", kind="hang_up_call", http_status=status, code=20404 if status else 0
    )
    assert failed.reason_text == text


def after_consult() -> Orders:
    """The recording, paused for the consult, is being resumed."""
    story = consulting_recorded().cancel().call("target", "completed").confirms("customer")
    return story.expect("conferenced", "in-progress recording", "flag customer", "flag agent")


def test_recording_resumes_after_a_consult_although_twilio_was_away_for_a_while():
    """No command would say that the rest is not recorded."""
    story = after_consult()
    for _ in range(4):
        story.not_known_to_be_recorded().expect("conferenced", "in-progress recording")
    story.recorded().expect("conferenced").expect_recording("in-progress")


def test_recording_that_twilio_never_resumes_stays_paused():
    story = after_consult()
    for _ in range(4):
        story.not_recorded().expect("conferenced", "in-progress recording")
    story.not_recorded().expect("conferenced").expect_recording("paused")


def test_target_who_may_have_been_heard_is_read_soon_after_complete():
    story = dialing("consult", policy=Policy()).placed("target").call("target", "ringing")
    story.fires(DialOverdue).reads(target="ringing").fires(DialOverdue).reads(target="ringing")
    assert story.session.timers["dial"] > story.session.updated_at_ms + 10_000
    story.complete().expect("transferring", "hang up agent")
    assert story.session.timers["dial"] == story.session.updated_at_ms + 3_000
