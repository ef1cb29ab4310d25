"""Stories of supervisors: heard by no one, by the agent alone or by all, and never by anyone else."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, DialOverdue, LoneOverdue, PendingCommandOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import unanswered
from tests.statemachine.command_scenarios import CHIEF_TOO, Orders, added, ordering, refused_because, supervised
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, converted, dialing, talking

UNFLAGS = ("unflag customer", "unflag agent")
ALL = ("customer", "agent", "supervisor")


def dialed(mode: str = "monitor", **options) -> Orders:
    return ordering().supervise(mode, **options).confirms("customer", "agent")


def joined(mode: str) -> Orders:
    """A supervisor has come in, muted, and Twilio was asked for the mode."""
    return dialed(mode).takes_part("supervisor").expect("conferenced", f"{mode} supervisor")


# ---- as it should go ---------------------------------------------------------------------------------------------


def test_supervisor_is_dialed_once_the_flags_are_clear_and_joins_muted():
    story = ordering().supervise().expect("conferenced", *UNFLAGS).confirms("customer").expect("conferenced")
    story.confirms("agent").expect("conferenced", "dial supervisor")
    dial = story.last.effects[0]
    assert (dial.supervises, dial.early_media, dial.label) == (True, False, "supervisor-1")
    story.takes_part("supervisor").expect("conferenced").expect_muted("supervisor").expect_timers()
    story.expect_command("supervise-1", "accepted", "done").expect_no_orders()


@pytest.mark.parametrize("mode", ["whisper", "barge"])
def test_supervisor_gets_the_mode_by_one_update(mode):
    story = joined(mode).expect_command("supervise-1", "accepted").expect_timers("confirm", "pending_command")
    update = story.last.effects[0]
    assert (update.hold, update.muted, update.end_on_exit) == (None, None, None)
    assert update.coaches == (story.legs["agent"].call_sid if mode == "whisper" else "")
    story.confirms("supervisor").expect_command("supervise-1", "accepted", "done").expect_muted().expect_timers()


def test_bridged_call_is_converted_first():
    story = ordering(Scenario().answered).supervise("whisper").expect("converting", "move agent")
    story.joins("agent").joins("customer").expect("conferenced", "dial supervisor").takes_part("supervisor")
    story.expect("conferenced", "whisper supervisor").confirms("supervisor")
    story.expect_command("supervise-1", "accepted", "done")


def test_dials_of_callers_who_wait_go_before_those_of_supervisors_and_added_parties():
    supervisor, lawyer = dialed("whisper").last.effects[0], added().add("expert", "add-2").last.effects[0]
    target = blind_from_bridge().last.effects[0]
    assert (supervisor.party, supervisor.is_urgent) == ("supervisor", False)
    assert (lawyer.party, lawyer.is_urgent) == ("expert", False)
    assert (target.party, target.is_urgent) == ("target", True)


@pytest.mark.parametrize("before, after", [("monitor", "whisper"), ("whisper", "barge"), ("barge", "whisper"),
                                           ("whisper", "monitor"), ("barge", "monitor")])  # fmt: skip
def test_repeated_with_another_mode_it_switches(before, after):
    story = supervised(before).supervise(after, "switch").expect("conferenced", f"{after} supervisor")
    story.expect_command("switch", "accepted").confirms("supervisor").expect_command("switch", "accepted", "done")
    story.expect_no_orders().expect_timers()


def test_repeated_with_the_same_mode_it_is_done():
    supervised("barge").supervise("barge", "again").expect("conferenced").expect_command("again", "accepted", "done")


def test_switch_while_the_phone_rings_is_the_mode_that_counts():
    story = dialed("whisper").placed("supervisor").supervise("barge", "switch").expect("conferenced")
    story.expect_command("supervise-1", "accepted", "failed", reason="superseded by another command")
    story.call("supervisor", "in-progress").joins("supervisor").expect("conferenced", "barge supervisor")
    story.confirms("supervisor").expect_command("switch", "accepted", "done")


def test_supervisor_with_a_brief_is_dialed_to_our_gate():
    dialed(brief="a hard case").expect("conferenced", "dial supervisor to the gate").takes_part("supervisor")


def test_supervisor_comes_into_a_transfer():
    story = ordering(talking, "warm").supervise("barge").expect("transferring", "unflag customer")
    story.confirms("customer").expect("transferring", "dial supervisor").takes_part("supervisor")
    story.confirms("supervisor").expect_command("supervise-1", "accepted", "done")


def test_join_in_an_overtaken_read_shows_a_supervisor_muted():
    story = ordering(conferenced, Policy()).supervise("barge").confirms("customer", "agent").placed("supervisor")
    began = story.fires(DialOverdue).session.version
    story.call("supervisor", "in-progress").legs["supervisor"].muted = True
    story.reads(supervisor="in-progress", conference=CONFERENCE, inside=ALL, version=began)
    story.expect("conferenced", "barge supervisor").expect_command("supervise-1", "accepted")


# ---- what Twilio refuses or does not confirm ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["whisper", "barge"])
@pytest.mark.parametrize("code", [13240, 16028, 0])
def test_supervisor_whose_update_is_refused_twice_monitors_and_the_command_has_failed(mode, code):
    story = joined(mode).update_refused("supervisor", code=code).expect("conferenced", f"{mode} supervisor")
    story.update_refused("supervisor", code=code).expect("conferenced").expect_muted("supervisor")
    story.expect_command("supervise-1", "accepted", "failed", reason=f"Twilio refused (HTTP 400, code {code})")
    story.expect_timers()
    story.supervise(mode, "again").expect("conferenced", f"{mode} supervisor").confirms("supervisor")
    story.expect_command("again", "accepted", "done")


def test_one_who_is_heard_by_all_and_may_not_whisper_is_muted():
    story = supervised("barge").supervise("whisper", "switch").update_refused("supervisor")
    story.update_refused("supervisor").expect("conferenced", "monitor supervisor")
    story.expect_command("switch", "accepted", "failed", reason="Twilio refused (HTTP 400, code 16028)")
    story.confirms("supervisor").expect_muted("supervisor").expect_timers()


def test_update_of_unknown_outcome_is_verified_and_retried():
    story = joined("whisper").update_unconfirmed("supervisor").fires(ConfirmOverdue).expect("conferenced", "look")
    story.reads(conference=CONFERENCE, inside=ALL).expect("conferenced", "whisper supervisor").confirms("supervisor")
    story.expect_command("supervise-1", "accepted", "done").expect_timers()


def test_update_that_is_never_confirmed_fails_the_command_and_the_supervisor_is_muted():
    """Of a supervisor of whom no one knows who hears him, everyone may."""
    story = supervised("barge").supervise("whisper", "switch").fires(ConfirmOverdue).fires(PendingCommandOverdue)
    story.expect_command("switch", "accepted", "failed", reason="unknown: Twilio did not confirm it")
    story.update_unconfirmed("supervisor").fires(ConfirmOverdue).is_unknown("read_calls").fires(ConfirmOverdue)
    story.reads(conference=CONFERENCE, inside=ALL).expect("conferenced", "look", "monitor supervisor").confirms(
        "supervisor"
    )
    story.expect_muted("supervisor").expect_no_orders()


def test_first_update_that_is_never_confirmed_fails_the_command():
    story = joined("whisper").expect_timers("confirm", "pending_command").fires(PendingCommandOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="unknown: Twilio did not confirm it")


def test_callback_without_the_coached_call_is_recovered_by_a_read():
    story = joined("whisper")
    story.legs["supervisor"].hides_coaching = True
    story.confirms("supervisor").expect("conferenced").expect_command("supervise-1", "accepted")
    story.succeeds("update_participant", "supervisor", story.effects[-1].effect_id).fires(ConfirmOverdue)
    story.expect("conferenced", "look").reads(conference=CONFERENCE, inside=ALL).expect("conferenced").expect_timers()
    story.expect_command("supervise-1", "accepted", "done")


def test_supervisor_no_longer_in_the_conference_is_searched_for():
    story = joined("barge").update_refused("supervisor", gone=True, code=20404).expect("conferenced", "look")
    story.reads(
        supervisor="completed", customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=ALL[:2]
    )
    story.expect_command("supervise-1", "accepted", "failed", reason="hung-up")
    story.expect_parties(customer="connected", agent="connected", supervisor="left")


def test_uncleared_flag_fails_supervise_and_no_one_is_dialed():
    story = ordering().supervise().fires(PendingCommandOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="end-flag-unconfirmed").expect_no_orders()
    assert "supervisor" not in story.session.parties


@unanswered
def test_supervisor_who_does_not_answer_fails_the_command_and_the_flags_come_back(status, sip, reason):
    story = dialed().placed("supervisor").call("supervisor", "ringing").call("supervisor", status, sip=sip)
    story.expect("conferenced", "flag customer", "flag agent")
    story.expect_command("supervise-1", "accepted", "failed", reason=reason)
    story.confirms("customer", "agent").expect_timers().supervise(command_id="again")
    story.expect("conferenced", *UNFLAGS).expect_command("again", "accepted")


def test_dial_of_unknown_outcome_fails_the_command_and_a_late_leg_is_no_guest():
    story = dialed().unknown_outcome("supervisor").expect_command("supervise-1", "accepted", "failed", reason="unknown")
    story.joins("supervisor").expect("conferenced", "hang up a call")
    assert not any(name.startswith("guest") for name in story.session.parties)


def test_dial_of_which_nothing_is_heard_while_a_transfer_ends_is_given_up():
    story = ordering(talking, "warm").supervise().confirms("customer").placed("supervisor").leaves("agent")
    story.expect("conferenced").expect_timers("dial").fires(DialOverdue).expect("conferenced", "look")
    story.rings_on("supervisor").fires(DialOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="no-answer")


# ---- someone leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["monitor", "whisper", "barge"])
def test_supervisor_who_leaves_changes_nothing_but_the_flags(mode):
    story = supervised(mode).leaves("supervisor").expect("conferenced", "flag customer", "flag agent")
    story.confirms("customer", "agent").expect_timers()
    story.expect_parties(customer="connected", agent="connected", supervisor="left")
    story.call("supervisor", "completed").expect("conferenced", outcome="stale")


def test_supervisor_who_leaves_a_transfer_or_one_lone_party_sets_no_flag():
    supervised(begin=lambda: talking("warm")).leaves("supervisor").expect("transferring")
    supervised().leaves("agent").leaves("supervisor").expect("conferenced")


def test_supervisor_who_has_left_gets_a_number_when_the_next_takes_the_name():
    story = supervised("barge").leaves("supervisor").confirms("customer", "agent")
    story.legs["former supervisor"] = story.legs["supervisor"]
    story.supervise("monitor", "again", to=CHIEF_TOO).confirms("customer", "agent").expect(
        "conferenced", "dial supervisor"
    )
    story.expect_parties(customer="connected", agent="connected", supervisor_1="left", supervisor="dialing")
    story.leaves("former supervisor").expect("conferenced")
    story.changes("former supervisor").expect("conferenced", outcome="stale")
    story.takes_part("supervisor").expect_command("again", "accepted", "done")


@pytest.mark.parametrize("mode", ["monitor", "barge"])
@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_supervisor_is_no_company(mode, leaver):
    story = supervised(mode).leaves(leaver).expect_timers("lone").fires(LoneOverdue)
    story.expect("ended", "end room", reason=f"{leaver}-left")


def test_supervisor_who_leaves_first_is_not_the_one_who_ends_it():
    story = supervised().leaves("supervisor").leaves("agent").fires(LoneOverdue)
    story.expect("ended", "end room", reason="agent-left")


def test_agent_who_leaves_while_the_supervisor_rings_leaves_the_customer_alone():
    story = dialed("whisper").placed("supervisor").leaves("agent").expect_timers("dial", "lone").fires(LoneOverdue)
    story.expect("ended", "end room", "hang up supervisor", reason="agent-left")
    story.expect_command("supervise-1", "accepted", "failed", reason="agent-left")


def whispering_in_company() -> Orders:
    """Customer, agent and lawyer talk, and a supervisor whispers to the agent."""
    story = added().supervise("whisper").takes_part("supervisor").confirms("supervisor")
    return story.expect_command("supervise-1", "accepted", "done").expect_timers()


def test_supervisor_is_muted_at_once_when_agent_leaves():
    story = whispering_in_company().leaves("agent").expect("conferenced", "monitor supervisor").confirms("supervisor")
    story.expect("conferenced").expect_muted("supervisor").expect_timers()
    refused_because(story.supervise("whisper", "late"), "late", "there is no agent to whisper to")


def test_whisper_to_an_agent_who_left_while_the_phone_rang_says_so():
    """No one asked Twilio for anything that it could confirm."""
    story = added().supervise("whisper").placed("supervisor").call("supervisor", "ringing").leaves("agent")
    story.call("supervisor", "in-progress").joins("supervisor").expect("conferenced").fires(PendingCommandOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="there is no agent to whisper to")


def test_whisper_to_an_agent_who_is_being_called_back_says_so():
    story = dialed("whisper").placed("supervisor").transfer("blind").confirms("customer").leaves("agent")
    story.placed("target").call("target", "busy").expect("transferring", "dial agent to the gate")
    story.placed("agent").call("supervisor", "in-progress").joins("supervisor").fires(PendingCommandOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="there is no agent to whisper to")


def test_supervisor_starting_to_whisper_is_muted_at_once_when_agent_leaves():
    """What is under way would let everyone hear him."""
    story = added().supervise("whisper").takes_part("supervisor").leaves("agent")
    story.expect("conferenced", "monitor supervisor").confirms("supervisor").expect_muted("supervisor")
    story.fires(PendingCommandOverdue).expect_command("supervise-1", "accepted", "failed")


def test_removed_agent_leaves_when_the_supervisor_is_muted():
    story = whispering_in_company().remove("agent").expect("conferenced", "monitor supervisor")
    story.confirms("supervisor").expect("conferenced", "hang up agent").leaves("agent").expect("conferenced")
    story.expect_command("remove-1", "accepted", "done").expect_timers()


def test_removed_agent_leaves_when_a_whisper_that_just_begins_is_muted():
    story = added().supervise("whisper").takes_part("supervisor").remove("agent")
    story.expect("conferenced", "monitor supervisor").confirms("supervisor").expect("conferenced", "hang up agent")


def test_agent_is_removed_once_their_leaving_does_not_end_the_conference_for_the_supervisor():
    """Twilio may still set the flag that was requested before."""
    story = ordering(converted).supervise().remove("agent").expect("conferenced")
    story.confirms("agent").expect("conferenced", "hang up agent")


def test_agent_is_hung_up_although_the_supervisor_mute_is_unconfirmed():
    story = whispering_in_company().remove("agent").expect("conferenced", "monitor supervisor")
    story.fires(ConfirmOverdue).fires(ConfirmOverdue)
    assert "hang up agent" in story.words()


@pytest.mark.parametrize("step", ["remove", "complete"])
def test_reads_from_before_the_agent_leaves_do_not_count_for_the_supervisor_mute(step):
    """What they missed was another update; everyone would hear the supervisor."""
    if step == "remove":
        story = whispering_in_company().hold("customer").fires(ConfirmOverdue).fires(ConfirmOverdue).remove("agent")
    else:
        story = supervised("whisper", lambda: talking("warm")).mute("target").fires(ConfirmOverdue)
        story.fires(ConfirmOverdue).complete()
    assert "monitor supervisor" in story.words()
    assert "hang up agent" not in story.words()
    assert "hang up agent" in story.confirms("supervisor").words()


def test_agent_is_hung_up_although_twilio_refuses_to_mute_the_supervisor():
    story = whispering_in_company().remove("agent")
    for _ in range(3):
        story.update_refused("supervisor").expect("conferenced", "monitor supervisor")
    story.update_refused("supervisor").expect("conferenced", "hang up agent")


def test_completed_transfer_mutes_the_supervisor_first_who_then_coaches_the_next_agent():
    story = supervised("whisper", lambda: talking("warm")).complete().expect("transferring", "monitor supervisor")
    story.confirms("supervisor").expect("transferring", "hang up agent").leaves("agent")
    story.expect("conferenced", "whisper supervisor")
    assert story.last.effects[0].coaches == story.legs["target"].call_sid
    story.confirms("supervisor").expect_muted().expect_timers()


def test_agent_who_hangs_up_in_a_transfer_leaves_the_supervisor_to_the_next_agent():
    story = supervised("whisper", lambda: talking("warm")).leaves("agent").expect("conferenced", "whisper supervisor")
    assert story.last.effects[0].coaches == story.legs["target"].call_sid
    story.confirms("supervisor").expect_timers()


def test_blind_transfer_mutes_the_supervisor_until_the_next_agent_is_there():
    story = supervised("whisper").transfer("blind").expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "dial target", "monitor supervisor").confirms("supervisor")
    story.expect("transferring", "hang up agent").leaves("agent").expect("transferring").answers("target")
    story.expect("transferring", "unhold customer").joins("target").confirms("customer")
    story.expect("conferenced", "whisper supervisor")
    assert story.last.effects[0].coaches == story.legs["target"].call_sid


def test_recalled_agent_is_coached_again():
    story = supervised("whisper").transfer("blind").confirms("customer").confirms("supervisor").leaves("agent")
    story.placed("target").call("target", "busy").expect("transferring", "dial agent to the gate").takes_part("agent")
    story.expect("transferring", "unhold customer", "whisper supervisor")
    assert story.last.effects[1].coaches == story.legs["agent"].call_sid


def test_end_lets_a_supervisor_go_who_still_rings():
    story = dialed().placed("supervisor").end().expect("ended", "end room", "hang up supervisor")
    story.expect_command("supervise-1", "accepted", "failed", reason="command")


def test_end_releases_a_supervisor_with_the_conference():
    supervised().end().expect("ended", "end room")


@pytest.mark.parametrize(("mode", "held"), [("monitor", ["agent"]), ("whisper", []), ("barge", [])])
def test_agent_left_alone_while_a_phone_rings_still_hears_a_supervisor_who_talks_to_them(mode, held):
    story = supervised(mode).add().placed("lawyer").call("lawyer", "ringing").leaves("customer")
    story.expect("conferenced", *[f"hold {name}" for name in held])


def test_supervisor_who_barges_in_ends_the_ringing_that_an_agent_hears_on_hold():
    story = supervised().add().placed("lawyer").call("lawyer", "ringing").leaves("customer").confirms("agent")
    story.supervise("barge", "second").expect("conferenced", "unhold agent", "barge supervisor")
    story.confirms("agent", "supervisor").leaves("supervisor").expect("conferenced", "hold agent")


# ---- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed", [True, False])
def test_no_one_whispers_to_an_agent_on_hold(confirmed):
    """Twilio refuses it (16027)."""
    story = ordering().hold("agent")
    refused_because((story.confirms("agent") if confirmed else story).supervise("whisper"), "supervise-1",
                    "the agent is on hold")  # fmt: skip
    story.supervise("monitor", "listens").expect_command("listens", "accepted")


def consulting(mode: str) -> Orders:
    """The agent hears ringing on hold while the target and a supervisor are dialed."""
    story = ordering().supervise(mode).transfer("consult", confirm=True).confirms("agent")
    story.expect("transferring", "hold customer", "hold agent").confirms("customer")
    return story.expect("transferring", "dial target to the gate", "dial supervisor").confirms("agent")


@pytest.mark.parametrize("mode", ["whisper", "barge"])
def test_agent_of_a_consult_hears_ringing_until_the_supervisor_talks_to_them(mode):
    """The unhold comes first: Twilio refuses to coach a party on hold (16027)."""
    story = consulting(mode).takes_part("supervisor").expect("transferring", "unhold agent", f"{mode} supervisor")
    story.confirms("agent", "supervisor").expect_command("supervise-1", "accepted", "done")
    story.leaves("supervisor").expect("transferring", "hold agent")
    assert story.last.effects[-1].wait_audio == "ringback"


def test_agent_who_came_after_the_supervisor_is_taken_off_hold_before_being_coached():
    story = supervised().transfer("warm").takes_part("target").complete().leaves("agent")
    story.expect("conferenced").transfer("consult", command_id="second", confirm=True)
    assert [*story.session.parties][-1] == "agent"
    story.confirms("target", "customer").expect("transferring", "dial target to the gate")
    story.supervise("whisper", "whisper").expect("transferring", "unhold agent", "whisper supervisor")


def test_agent_of_a_consult_hears_ringing_while_a_supervisor_listens():
    story = consulting("monitor").takes_part("supervisor").expect("transferring").supervise("whisper", "second")
    story.expect("transferring", "unhold agent", "whisper supervisor").confirms("agent", "supervisor")
    story.expect_command("second", "accepted", "done").takes_part("target").expect_transfer("consulting")
    story.expect_held("customer")


def test_one_supervisor_at_a_time():
    why = "another supervisor is already on the call"
    refused_because(supervised().supervise(command_id="late", to=CHIEF_TOO), "late", why)
    refused_because(dialed().supervise(command_id="late", to=CHIEF_TOO), "late", why)
    story = ordering(Scenario().answered().convert).supervise()
    refused_because(story.supervise(command_id="late", to=CHIEF_TOO), "late", why)
    story = supervised(begin=lambda: talking("warm")).supervise(command_id="late", to=CHIEF_TOO).expect("transferring")
    refused_because(story, "late", why)


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_supervisor_who_is_being_hung_up_is_waited_for(begin):
    """No mode that is requested now would last, and no one else is dialed."""
    story = supervised(begin=begin).remove("supervisor").supervise("barge", "late")
    refused_because(story, "late", "the supervisor is still leaving")
    refused_because(story.supervise(command_id="too", to=CHIEF_TOO), "too", "the supervisor is still leaving")
    story.leaves("supervisor").supervise("barge", "later").expect_command("later", "accepted")


def test_supervisor_about_to_be_dialed_is_waited_for():
    why = "the supervisor is still being dialed"
    story = ordering().supervise().supervise("barge", "late")
    refused_because(story, "late", why)
    story = ordering(lambda: conferenced().transfer("warm")).supervise().expect("transferring", "unflag customer")
    refused_because(story.supervise("barge", "late").expect("transferring"), "late", why)
    story.confirms("customer", "agent").expect("transferring", "dial target", "dial supervisor")


def test_no_one_supervises_before_the_agent_has_answered():
    refused_because(ordering(Scenario().comes_in).supervise(), "supervise-1", "no one has answered yet")


def test_no_one_supervises_while_the_agent_is_being_released():
    refused_because(ordering(blind_from_bridge).supervise(), "supervise-1", "the agent has left or is leaving")


def test_supervisor_may_be_removed_in_each_state():
    story = supervised().remove("supervisor").expect("conferenced", "hang up supervisor").leaves("supervisor")
    story.expect_command("remove-1", "accepted", "done").expect("conferenced", "flag customer", "flag agent")
    story = supervised(begin=lambda: dialing("warm")).remove("supervisor").expect("transferring", "hang up supervisor")
    story.leaves("supervisor").expect("transferring").expect_command("remove-1", "accepted", "done")


def test_supervisor_released_while_ringing_fails_the_command():
    story = dialed().placed("supervisor").remove("supervisor").expect("conferenced", "hang up supervisor")
    story.call("supervisor", "canceled").expect_command("remove-1", "accepted", "done")
    story.expect_command("supervise-1", "accepted", "failed", reason="cancelled")
    story.expect("conferenced", "flag customer", "flag agent")


def test_refusals_are_counted_from_the_last_mode_that_worked():
    story = supervised().supervise("whisper", "second").update_refused("supervisor")
    story.expect("conferenced", "whisper supervisor").confirms("supervisor").supervise("barge", "third")
    story.update_refused("supervisor").expect("conferenced", "barge supervisor")
