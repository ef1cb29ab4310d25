"""Stories of holds and mutes by command: asked for, confirmed by Twilio, and undone."""

import pytest

from conferral.statemachine.effects import UpdateParticipant
from conferral.statemachine.events import ConfirmOverdue, LoneOverdue, PendingCommandOverdue, StageOverdue
from tests.statemachine.command_scenarios import Orders, added, ordering, refused_because, supervised
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced, converted, dialing, talking
from tests.support.each import each

BOTH = ("customer", "agent")


def held(name: str = "customer") -> Orders:
    story = ordering().hold(name).expect("conferenced", f"hold {name}").confirms(name)
    return story.expect_command("hold-1", "accepted", "done").expect_held(name).expect_timers()


def muted(name: str = "customer") -> Orders:
    story = ordering().mute(name).expect("conferenced", f"mute {name}").confirms(name)
    return story.expect_command("mute-1", "accepted", "done").expect_muted(name).expect_timers()


# ---- as it should go ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
def test_party_is_held_with_music_and_let_back(name):
    story = ordering().hold(name).expect("conferenced", f"hold {name}").expect_timers("confirm", "pending_command")
    assert story.last.effects[-1].wait_audio == "music"
    story.expect_command("hold-1", "accepted").confirms(name).expect_command("hold-1", "accepted", "done")
    story.expect_held(name).expect_no_orders()
    story.unhold(name).expect("conferenced", f"unhold {name}").confirms(name).expect_held()
    story.expect("conferenced", f"flag {name}").confirms(name).expect("conferenced").expect_timers()
    story.expect_command("unhold-1", "accepted", "done")


@pytest.mark.parametrize("name", BOTH)
def test_party_is_muted_and_heard_again(name):
    story = muted(name).unmute(name).expect("conferenced", f"unmute {name}").confirms(name).expect_muted()
    story.expect_command("unmute-1", "accepted", "done").expect_timers()


@pytest.mark.parametrize("name", BOTH)
def test_response_confirms_a_hold_and_an_unhold_whose_callbacks_are_late(name):
    story = ordering().hold(name).update_answered(name).expect("conferenced").expect_held(name).expect_timers()
    story.expect_command("hold-1", "accepted", "done")
    story.later(3_000).unhold(name).expect("conferenced", f"unhold {name}").update_answered(name).expect_held()
    story.expect_command("unhold-1", "accepted", "done")
    story.legs[name].held = True
    story.changes(name, kind="participant-hold", occurred_at_ms=story.now_ms - 2_000)
    story.expect("conferenced", outcome="stale").expect_held()


@pytest.mark.parametrize("name", BOTH)
def test_response_confirms_a_mute_and_an_unmute(name):
    story = ordering().mute(name).update_answered(name).expect("conferenced").expect_muted(name).expect_timers()
    story.unmute(name).update_answered(name).expect("conferenced").expect_muted().expect_timers()
    story.expect_command("mute-1", "accepted", "done").expect_command("unmute-1", "accepted", "done")


def test_response_to_an_earlier_update_confirms_nothing():
    story = ordering().hold("customer")
    hold = story.last_of(UpdateParticipant, party="customer")
    story.unhold("customer").expect("conferenced", "unhold customer")
    story.succeeds(hold.kind, "customer", hold.effect_id, is_confirmed=True).expect("conferenced").expect_held()
    story.expect_timers("confirm", "pending_command")


def test_party_is_named_by_its_call_too():
    story = ordering()
    story.hold(story.legs["customer"].call_sid).expect("conferenced", "hold customer")


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_bridged_call_is_converted_first(command):
    story = getattr(ordering(Scenario().answered), command)("customer").expect("converting", "move agent")
    story.expect_command(f"{command}-1", "accepted").joins("agent").joins("customer")
    first = "hold customer" if command == "hold" else "flag customer"  # one thing at a time is asked for
    story.expect("conferenced", first, "flag agent").confirms("customer")
    if command == "mute":
        story.expect("conferenced", "mute customer").confirms("customer")
    story.expect_command(f"{command}-1", "accepted", "done")


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_hold_or_mute_during_conversion_is_applied_when_both_have_joined(command):
    story = getattr(ordering(Scenario().answered().convert), command)("agent").expect("converting")
    story.joins("agent").joins("customer")
    story.expect("conferenced", "flag customer", "hold agent" if command == "hold" else "flag agent").confirms("agent")
    if command == "mute":
        story.expect("conferenced", "mute agent").confirms("agent")
    story.expect_command(f"{command}-1", "accepted", "done")


def test_hold_and_mute_of_one_party_are_requested_one_after_the_other():
    story = ordering().hold("customer").mute("customer").expect("conferenced").confirms("customer")
    story.expect("conferenced", "mute customer").expect_command("hold-1", "accepted", "done")
    story.confirms("customer").expect_command("mute-1", "accepted", "done").expect_muted("customer")


def test_every_party_may_be_muted():
    muted("customer").mute("agent", "mute-2").confirms("agent").expect_muted(*BOTH).expect_timers()


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_command_already_in_effect_is_done(command):
    story = held() if command == "hold" else muted()
    getattr(story, command)("customer", "again").expect("conferenced").expect_command("again", "accepted", "done")


def test_unmute_of_an_unmuted_party_is_done():
    ordering().unmute("customer").expect("conferenced").expect_command("unmute-1", "accepted", "done")


# ---- refused -----------------------------------------------------------------------------------------------------


@each("begin", [
    held,
    lambda: ordering().hold("customer"),  # Twilio has not confirmed it yet
    lambda: added().hold("customer").hold("lawyer", "hold-2"),
    lambda: supervised().hold("customer").confirms("customer"),  # a supervisor is no one to talk to
])  # fmt: skip
def test_last_unheld_party_can_not_be_held(begin):
    why = "the last party that is not on hold can't be put on hold"
    refused_because(begin().hold("agent", "late"), "late", why)


def test_holds_queued_during_conversion_leave_someone_who_can_hear():
    """While it converts both are accepted; the second would leave no one to talk to when both are in."""
    story = ordering(Scenario().answered).hold("customer").hold("agent", "hold-2").joins("agent").joins("customer")
    story.expect("conferenced", "hold customer", "flag agent")
    why = "the last party that is not on hold can't be put on hold"
    story.expect_command("hold-2", "accepted", "failed", reason=why).confirms("customer")
    story.expect_command("hold-1", "accepted", "done").expect_held("customer")


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
@pytest.mark.parametrize("command", ["mute", "unmute"])
def test_supervisor_is_heard_according_to_the_mode(command, begin):
    story = getattr(supervised("monitor", begin), command)("supervisor", "late")
    refused_because(story, "late", "not for a supervisor: use the modes of supervise")


@pytest.mark.parametrize("command", ["hold", "unhold"])
def test_supervisor_is_not_put_on_hold(command):
    story = getattr(supervised(), command)("supervisor", "late")
    refused_because(story, "late", "not for a supervisor: use the modes of supervise")


@each("begin, commands, parties", [
    (conferenced, "hold unhold mute unmute remove", "customer, agent"),
    (lambda: Scenario().answered(), "hold mute remove", "customer, agent"),
    (lambda: Scenario().answered().convert(), "hold unhold mute unmute remove", "customer, agent"),
    (lambda: talking("warm"), "mute unmute", "customer, agent, target"),
])  # fmt: skip
def test_command_about_an_unknown_party_is_refused_and_names_those_that_there_are(begin, commands, parties):
    for command in commands.split():
        story = ordering(begin)
        before = story.session
        refused_because(getattr(story, command)("lawyer", "late"), "late", f"no such party; parties: {parties}")
        assert (story.session.state, story.session.timers) == (before.state, before.timers)


@pytest.mark.parametrize("command", ["hold", "unhold", "mute", "unmute"])
def test_ringing_party_is_not_in_the_conference(command):
    story = ordering().add().confirms(*BOTH).placed("lawyer").call("lawyer", "ringing")
    refused_because(getattr(story, command)("lawyer", "late"), "late", "the party is not in the conference")


@pytest.mark.parametrize("command", ["unhold", "unmute"])
def test_command_already_in_effect_is_done_without_asking_twilio(command):
    story = getattr(ordering(), command)("customer", "again").expect("conferenced").expect_no_orders()
    story.expect_command("again", "accepted", "done").expect_timers()


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_nothing_of_the_sort_before_the_agent_has_answered(command):
    story = getattr(ordering(Scenario().comes_in), command)("customer", "late")
    refused_because(story, "late", "no one has answered yet")


@pytest.mark.parametrize("command, why", [("unhold", "the party is not on hold"), ("unmute", "no one is muted")])
def test_nothing_to_undo_over_a_bridge(command, why):
    refused_because(getattr(ordering(Scenario().answered), command)("customer", "late"), "late", why)


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_command_and_its_opposite_during_a_conversion_leave_the_party_as_it_was(command):
    story = getattr(ordering(Scenario().answered), command)("customer", "first").expect_command("first", "accepted")
    getattr(story, f"un{command}")("customer", "second").expect("converting").expect_command("second", "accepted")
    story.joins("customer").joins("agent").expect("conferenced", "flag customer", "flag agent")
    story.confirms("customer", "agent").expect_held().expect_muted().expect_timers()
    story.expect_command("first", "accepted", "failed").expect_command("second", "accepted", "done")


@pytest.mark.parametrize("command", ["unhold", "unmute"])
def test_opposite_of_nothing_during_a_conversion_is_done_with_it(command):
    story = ordering(Scenario().answered).convert()
    getattr(story, command)("agent", "late").expect("converting").expect_command("late", "accepted")
    story.joins("customer").joins("agent").expect("conferenced", "flag customer", "flag agent")
    story.expect_command("late", "accepted", "done")


@pytest.mark.parametrize("command", ["hold", "unhold"])
def test_hold_is_left_to_the_transfer_while_it_is_in_progress(command):
    story = getattr(ordering(talking, "consult"), command)("customer", "late")
    refused_because(story, "late", "a transfer is in progress")


# ---- what Twilio does not confirm --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_lost_callback_is_recovered_by_a_read(command):
    story = getattr(ordering(), command)("customer").fires(ConfirmOverdue).expect("conferenced", "look")
    story.does("customer")
    story.reads(conference=CONFERENCE, inside=BOTH).expect("conferenced")
    story.expect_command(f"{command}-1", "accepted", "done").expect_timers()


@pytest.mark.parametrize("command", ["hold", "mute"])
@pytest.mark.parametrize("how", ["update_refused", "update_unconfirmed"])
def test_change_not_shown_by_a_read_is_requested_again(command, how):
    story = getattr(getattr(ordering(), command)("customer"), how)("customer").expect("conferenced")
    story.fires(ConfirmOverdue).reads(conference=CONFERENCE, inside=BOTH).expect("conferenced", f"{command} customer")
    story.confirms("customer").expect_command(f"{command}-1", "accepted", "done").expect_timers()


def test_hold_that_never_comes_is_given_up_and_undone():
    story = ordering().hold("customer").fires(PendingCommandOverdue).expect("conferenced", "look", "unhold customer")
    story.expect_command("hold-1", "accepted", "failed", reason="hold-failed").expect_no_orders()
    story.confirms("customer").expect_held().confirms("customer").expect_timers()


@pytest.mark.parametrize("command, begin", [("unhold", held), ("mute", ordering), ("unmute", muted)])
def test_command_never_confirmed_by_twilio_fails(command, begin):
    story = getattr(begin(), command)("customer").fires(ConfirmOverdue).fires(PendingCommandOverdue)
    story.expect_command(f"{command}-1", "accepted", "failed", reason="unknown: Twilio did not confirm it")
    story.expect_no_orders()


def test_unhold_that_twilio_refuses_is_repeated_until_it_is_confirmed():
    story = held().unhold("customer")
    for _ in range(4):
        story.update_refused("customer").fires(ConfirmOverdue)
        story.reads(conference=CONFERENCE, inside=BOTH).expect("conferenced", "unhold customer")
    story.confirms("customer").expect_held().expect_command("unhold-1", "accepted", "done")
    story.confirms("customer").expect_timers()


def test_hold_that_an_unhold_overtakes_has_failed():
    story = ordering().hold("customer").unhold("customer").expect("conferenced", "unhold customer")
    story.expect_command("hold-1", "accepted", "failed", reason="superseded by another command")
    story.confirms("customer").expect_command("unhold-1", "accepted", "done").expect_held()
    story.confirms("customer").expect_timers()


def test_mute_that_an_unmute_overtakes_has_failed():
    story = ordering().mute("customer").unmute("customer").expect("conferenced")
    story.expect_command("mute-1", "accepted", "failed", reason="superseded by another command")
    story.confirms("customer").expect("conferenced", "unmute customer").confirms("customer")
    story.expect_command("unmute-1", "accepted", "done").expect_muted().expect_timers()


def test_hold_confirmed_after_its_unhold_was_sent_does_not_end_the_unhold():
    story = ordering().hold("customer").unhold("customer").expect("conferenced", "unhold customer")
    story.legs["customer"].held = True
    story.changes("customer", kind="participant-hold").expect_command("unhold-1", "accepted")
    story.confirms("customer").expect_held().expect_command("unhold-1", "accepted", "done").expect_timers()


def test_callback_from_before_a_mute_does_not_confirm_its_unmute():
    story = muted().unmute("customer")
    story.legs["customer"].muted = False
    story.changes("customer", occurred_at_ms=story.now_ms - 500).expect_command("unmute-1", "accepted")
    story.legs["customer"].muted = True
    story.update_refused("customer").fires(ConfirmOverdue).reads(conference=CONFERENCE, inside=BOTH)
    story.expect("conferenced", "unmute customer").confirms("customer").expect_muted()
    story.expect_command("unmute-1", "accepted", "done").expect_timers()


def test_callback_from_the_second_of_a_confirmed_hold_does_not_undo_it():
    """Undoing it sends an unhold and a hold, so a held customer would hear a consult."""
    story = ordering().hold("customer").update_answered("customer").expect_held("customer")
    story.legs["customer"].held, story.legs["customer"].end_on_exit = False, True
    story.changes("customer", occurred_at_ms=story.now_ms - 500)
    story.expect("conferenced", outcome="stale").expect_held("customer")


def test_late_callback_from_before_changes_nothing():
    story = held().unhold("customer").confirms("customer")
    story.legs["customer"].held = True
    story.changes("customer", sequence=1, kind="participant-hold").expect("conferenced", outcome="stale").expect_held()


# ---- someone leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_party_that_leaves_meanwhile_fails_the_command(command):
    story = getattr(ordering(), command)("customer").leaves("customer")
    story.expect_command(f"{command}-1", "accepted", "failed", reason="hung-up").expect_timers("lone")


def test_party_no_longer_in_the_conference_is_searched_for():
    story = ordering().hold("customer").update_refused("customer", gone=True).expect("conferenced", "look")
    story.reads(customer="completed", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect_command("hold-1", "accepted", "failed", reason="hung-up").fires(LoneOverdue)
    story.expect("ended", "end room", reason="customer-left")


def test_party_that_leaves_before_both_are_in_fails_the_command():
    story = ordering(Scenario().answered).hold("customer").joins("agent").call("customer", "completed")
    story.expect("ended", "end room", reason="customer-left")
    story.expect_command("hold-1", "accepted", "failed", reason="customer-left")


def test_party_that_leaves_before_its_hold_begins_does_not_count_as_the_last_unheld_one():
    story = ordering(lambda: Scenario().answered()).convert().joins("guest").hold("agent", "hold-agent")
    story.hold("guest-1").leaves("guest").dial_ends("answered").joins("agent").joins("customer")
    story.expect_command("hold-1", "accepted", "failed", reason="hung-up")


def test_agent_alone_with_a_held_party_is_not_alone():
    held().later(60_000).call("agent", "in-progress").expect("conferenced").expect_timers()


def test_held_parties_are_unheld_when_the_last_other_party_leaves():
    """Nothing would ever unhold them: they would hear music until an operator intervenes."""
    story = added().hold("customer").hold("lawyer", "hold-2").confirms("customer", "lawyer")
    story.leaves("agent").expect("conferenced", "unhold customer", "unhold lawyer")
    story.confirms("customer", "lawyer").expect_held().expect_timers()


def test_held_customer_left_with_only_a_ringing_phone_waits_for_it():
    story = (
        held()
        .add()
        .expect("conferenced", "unflag agent")
        .confirms("agent")
        .placed("lawyer")
        .leaves("agent")
        .expect("conferenced")
    )
    story.expect_held("customer").expect_timers("dial").takes_part("lawyer")
    story.expect("conferenced").expect_command("add-1", "accepted", "done")


def test_end_fails_a_pending_hold():
    story = ordering().hold("customer").end().expect("ended", "end room")
    story.expect_command("hold-1", "accepted", "failed", reason="command")


# ---- transfers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
def test_held_agent_is_unheld_before_a_transfer(mode):
    story = held("agent").transfer(mode).expect("transferring", "unhold agent").confirms("agent")
    story.expect("transferring", "dial target" if mode == "warm" else "hold customer").expect_held()


def test_held_agent_is_unheld_before_a_transfer_without_flags_to_clear():
    story = added().hold("agent").confirms("agent").transfer("warm").expect("transferring", "unhold agent")
    story.confirms("agent").expect("transferring", "dial target")


def test_transfer_fails_when_twilio_does_not_unhold_the_agent():
    story = held("agent").transfer("warm").fires(ConfirmOverdue).fires(StageOverdue).expect("conferenced")
    story.expect_command("transfer-1", "accepted", "failed").expect_attempts()
    story.confirms("agent").expect("conferenced", "flag agent").expect_held()


def test_hold_of_the_agent_that_a_transfer_overtakes_has_failed():
    story = ordering().hold("agent").transfer("warm").expect("transferring", "unhold agent")
    story.expect_command("hold-1", "accepted", "failed", reason="superseded by another command")


def test_customer_held_by_command_hears_all_in_a_warm_transfer():
    story = held().transfer("warm").expect("transferring", "unhold customer", "unflag agent").confirms("agent")
    story.confirms("customer").expect_held()
    assert story.session.parties["target"]


def test_customer_held_by_command_stays_so_in_a_consult_and_comes_back_after_it():
    story = held().transfer("consult").expect("transferring", "unflag agent").confirms("agent")
    story.expect("transferring", "dial target").takes_part("target").cancel().leaves("target")
    story.expect("transferring", "unhold customer").confirms("customer").expect(
        "conferenced", "flag customer", "flag agent"
    )
    story.expect_held()


def test_muted_customer_stays_muted_through_a_transfer():
    story = muted().transfer("warm").confirms("agent").takes_part("target").complete().leaves("agent")
    story.expect("conferenced", "flag agent").expect_muted("customer")


def test_target_muted_during_a_transfer_continues_as_the_agent():
    story = ordering(talking, "warm").mute("target").expect("transferring", "mute target").leaves("agent")
    story.expect("conferenced").expect_command("mute-1", "accepted")
    story.confirms("target").expect_command("mute-1", "accepted", "done").expect_muted("agent")
    story.expect_parties(customer="connected", agent_1="left", agent="connected")


def test_mute_of_an_agent_who_hands_over_meanwhile_fails_and_does_not_mute_the_next():
    story = ordering(talking, "warm").mute("agent").expect("transferring", "mute agent").complete()
    story.expect("transferring", "hang up agent").leaves("agent").expect_muted()
    story.expect_command("mute-1", "accepted", "failed", reason="hung-up").expect("conferenced", "flag agent")


@pytest.mark.parametrize("mode", ["warm", "consult"])
def test_ringing_party_cannot_be_muted(mode):
    refused_because(ordering(dialing, mode).mute("target"), "mute-1", "the party is not in the conference")


def test_mute_works_during_a_consult():
    story = ordering(talking, "consult").mute("target").confirms("target").expect_muted("target")
    story.expect_command("mute-1", "accepted", "done").expect_held("customer").expect_timers()


def test_muted_party_that_comes_back_is_muted_again():
    story = muted("agent").leaves("agent", status="in-progress", reason="participant_updated_via_api").joins("agent")
    story.expect("conferenced", "flag agent").confirms("agent").expect("conferenced", "mute agent").confirms("agent")
    story.expect_muted("agent").expect_timers()


# ---- the flag that ends the conference ---------------------------------------------------------------------------


def test_flag_is_cleared_before_a_hold_and_set_after_the_unhold():
    story = ordering().hold("customer")
    assert [(one.detail, one.end_on_exit, one.hold) for one in story.last.effects] == [
        ("clear-end-on-exit", False, None),
        ("hold", None, True),
    ]
    story.confirms("customer").expect("conferenced").expect_timers()
    assert not story.session.parties["customer"].end_on_exit
    story.unhold("customer").confirms("customer").expect("conferenced", "flag customer").confirms("customer")
    assert story.session.parties["customer"].end_on_exit


def test_hold_and_unhold_overtake_a_flag():
    story = ordering(converted).hold("customer").expect("conferenced", "hold customer")
    assert [one.detail for one in story.last.effects] == ["clear-end-on-exit", "hold"], "the first may still set it"
    story.confirms("customer").expect_held("customer")
    story.unhold("customer").confirms("customer").expect("conferenced", "flag customer")
    story.legs["customer"].held = True  # another program's doing
    story.changes("customer", kind="participant-hold").expect("conferenced", "unhold customer")


@pytest.mark.parametrize("command", ["add", "supervise"])
def test_exit_flag_remaining_on_a_held_party_does_not_block_a_dial(command):
    """Twilio ignores a change of it, so a request for it would be repeated until the command fails."""
    story = ordering().hold("customer").confirms("customer")
    story.legs["customer"].end_on_exit = True
    story.changes("customer").expect("conferenced")
    getattr(story, command)().expect("conferenced", "unflag agent").confirms("agent")
    story.expect("conferenced", "dial lawyer" if command == "add" else "dial supervisor")


# ---- since when --------------------------------------------------------------------------------------------------


def test_time_on_hold_counts_from_the_confirmed_hold_to_the_confirmed_unhold():
    story = held()
    began_ms = story.session.updated_at_ms
    assert story.session.parties["customer"].held_since_ms == began_ms
    story.later(5_000).mute("agent")
    assert story.session.parties["customer"].held_since_ms == began_ms
    story.confirms("agent").unhold("customer").confirms("customer")
    assert story.session.parties["customer"].held_since_ms == 0


def test_time_in_a_state_counts_from_the_change_of_state_or_phase_alone():
    story = ordering()
    began_ms = story.session.state_since_ms
    assert 0 < began_ms <= story.session.updated_at_ms
    story.later(5_000).hold("customer").confirms("customer")
    assert (story.session.state, story.session.state_since_ms) == ("conferenced", began_ms)
    story.later(5_000).end()
    assert (story.session.state, story.session.state_since_ms) == ("ended", story.session.updated_at_ms)
