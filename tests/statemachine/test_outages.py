"""After an outage of Redis: what neither flows nor exploration reach."""

import pytest

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import Hold, LoneOverdue, Park, ReadOverdue, StageOverdue, Transfer, Unhold
from conferral.storage.agents import identities_of
from tests.statemachine.call_legs import Leg
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference
from tests.statemachine.scenario import ALICE, BOB, CONFERENCE, Scenario
from tests.statemachine.test_bridge_gate import asked
from tests.statemachine.test_lost_agents import conferenced as desk_conferenced
from tests.statemachine.test_queue import queued
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking

BOTH = ("customer", "agent")


def lost(begin: Scenario) -> ConferenceScenario:
    """A loss of writes was noted; `target` rings, of whose dial the session knows nothing."""
    story = as_conference(begin.later(1_000)).sweep_finds("writes-lost", conference="")
    story.legs["target"] = Leg("CA" + "8" * 32, "target", "target-2", dial="lost", is_gated=True)
    return story


def both_talk() -> ConferenceScenario:
    story = lost(conferenced())
    story.legs["customer"].end_on_exit = story.legs["agent"].end_on_exit = True
    return as_conference(story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=BOTH))


def held_since_outage() -> ConferenceScenario:
    story = lost(conferenced())
    story.legs["customer"].held = True
    return as_conference(story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=BOTH))


def agent_is_gone(begin=conferenced) -> ConferenceScenario:
    """Our own request, which Redis lost, has hung up the agent."""
    story = lost(begin())
    story.legs["customer"].end_on_exit = True
    return as_conference(
        story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    )


# ---- a dial of which the session knows nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("shown_by", ["call", "gate"])
def test_phone_that_answers_a_lost_dial_is_a_guest_who_is_neither_hung_up_nor_dialed_again(shown_by):
    story = both_talk()
    story = story.call("target", "in-progress") if shown_by == "call" else story.gate("target")
    story.expect("conferenced", "unflag customer", "unflag agent")
    story.gate("target", "accepted").joins("target").expect("conferenced")
    story.expect_parties(customer="connected", agent="connected", guest_1="connected")


def test_call_of_a_lost_dial_whose_result_is_left_is_a_guest_who_talks_on():
    """Redis kept the results of requests, which are plain entries, and lost the decisions to send them."""
    story = both_talk().expect("conferenced")
    story.placed("target").expect("conferenced", "unflag customer", "unflag agent")
    story.call("target", "in-progress").joins("target").expect("conferenced")
    story.expect_parties(customer="connected", agent="connected", guest_1="connected")


def test_call_of_a_dial_that_was_given_up_is_hung_up_after_a_loss():
    story = as_conference(dialing("warm").later(1_000)).sweep_finds("writes-lost", conference="")
    story.cancel().placed("target")
    assert story.words()[-1] == "hang up a call"


def test_lost_call_that_rings_and_fails_leaves_the_two():
    story = both_talk().call("target", "ringing").expect("conferenced", "unflag customer", "unflag agent")
    story.call("target", "no-answer").expect("conferenced")
    assert story.session.parties["guest-1"].left_reason == "no-answer"


def test_lost_call_that_is_over_before_it_was_known_is_no_guest():
    story = both_talk().expect("conferenced").call("target", "no-answer").expect("conferenced")
    story.expect_parties(customer="connected", agent="connected")


def test_supervisor_whose_dial_was_lost_only_listens():
    story = both_talk()
    story.legs["target"] = Leg("CA" + "8" * 32, "supervisor", "supervisor-2", dial="lost")
    story.call("target", "ringing")
    assert story.session.parties["supervisor"].supervises == "monitor"


def test_call_of_an_unknown_dial_is_hung_up_long_after_a_loss():
    both_talk().later(60_000).call("target", "in-progress").expect("conferenced", "hang up a call")


def test_customer_is_not_alone_while_a_lost_dial_rings():
    story = agent_is_gone().call("target", "ringing")
    assert LoneOverdue.timer not in story.session.timers


@pytest.mark.parametrize("shown_by", ["read", "join"])
def test_agent_whose_offer_was_lost_has_an_address_once_a_read_shows_the_call(shown_by):
    """Otherwise, presence says that the agent is free, and the next caller is offered to them."""
    story = as_conference(queued().sweep_finds("writes-lost", conference=""))
    story.legs["agent"] = Leg("CA" + "8" * 32, "agent", "agent-2", dial="lost")
    if shown_by == "join":
        story.joins("agent")
        assert identities_of(story.session) == frozenset()
        assert story.words()[-1] == "look"
        (read,) = [one for one in story.effects if isinstance(one, ReadCalls)][-1:]
        assert read.unproven_sids == (story.legs["agent"].call_sid,)
    else:
        story.legs["agent"].in_conference = True
    story.reads(conference=CONFERENCE, inside=("customer", "agent"), agent="in-progress", to=ALICE)
    assert identities_of(story.session) == {"alice"}
    story.expect_parties(customer="connected", agent="connected")


# ---- commands and transfers of the lost time ------------------------------------------------------------------------


@pytest.mark.parametrize("command, fields", [
    (Transfer, {"to": (ALICE,), "mode": "warm"}), (Park, {}), (Hold, {"party": "customer"}),
])  # fmt: skip
def test_command_of_the_lost_time_has_failed_for_all_that_is_known(command, fields):
    story = both_talk().expect("conferenced")
    story.command(command, "lost-1", occurred_at_ms=story.session.lost_at_ms, **fields)
    story.expect("conferenced").expect_command("lost-1", "failed", reason="unknown")


def test_command_after_a_loss_is_decided_as_always():
    story = both_talk().expect("conferenced").later(1)
    story.transfer("warm", ALICE, occurred_at_ms=story.now_ms).expect("transferring", "unflag agent")


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
def test_transfer_whose_target_may_have_been_dialed_has_failed_and_dials_no_one(mode):
    story = lost(conferenced().transfer(mode, BOB)).expect("conferenced", "look", phase="connected")
    story.expect_command("transfer-1", "accepted", "failed", reason="unknown")
    story.expect_concluded(("transfer", "failed", "unknown"))


def test_transfer_that_waits_for_the_conversion_has_failed():
    story = lost(Scenario().answered().transfer("warm", BOB)).expect("converting", "look")
    story.expect_command("transfer-1", "accepted", "failed", reason="unknown")


def test_customer_who_moves_for_a_lost_blind_transfer_goes_to_its_fallback():
    story = as_conference(Scenario().answered().transfer("blind", BOB))
    story = as_conference(story.sweep_finds("writes-lost", conference="")).expect("transferring", "look")
    story.expect_command("transfer-1", "accepted", "failed", reason="unknown")
    story.call("agent", "completed").joins("customer").expect("transferring", "hold customer")
    story.confirms("customer").expect("transferring", phase="blind")
    story.later(10_000).fires(ReadOverdue).expect("transferring", "dial agent to the gate", "look", phase="recall")


def test_party_who_was_to_be_added_is_not_dialed():
    story = as_conference(ordering().add()).sweep_finds("writes-lost", conference="")
    story.expect_command("add-1", "accepted", "failed", reason="unknown")


# ---- who is left alone, or on hold ----------------------------------------------------------------------------------


def test_customer_who_stays_alone_hears_music_then_a_sentence_without_a_fallback():
    story = agent_is_gone()
    began_ms = story.session.lost_at_ms
    story.confirms("customer").fires(LoneOverdue).expect("ended", "say goodbye to customer", reason="agent-left")
    assert story.now_ms - began_ms == 10_000


def test_agent_with_a_desk_is_rung_again_once_no_leg_can_show():
    story = agent_is_gone(desk_conferenced).expect("conferenced", "hold customer")
    story.fires(LoneOverdue)
    assert (story.session.state, story.session.phase) == ("transferring", "recall")


def test_commands_that_need_the_agent_are_refused_without():
    agent_is_gone().transfer("warm", ALICE).expect_refused("transfer-1", "one of the two parties has hung up")


def test_caller_whom_a_lost_command_has_moved_is_in_the_conference():
    story = lost(Scenario().answered())
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("conferenced", "hold customer")


def test_agent_on_a_hold_that_redis_lost_is_off_hold_before_the_customer():
    """The agent heard ringing, for a target whom the customer was not to hear."""
    story = lost(conferenced())
    story.legs["customer"].held = story.legs["agent"].held = True
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=BOTH)
    story.expect("conferenced", "unhold agent")


def test_flags_wait_for_the_read_which_shows_holds():
    """A request of a flag contains `Hold=false`."""
    story = both_talk()
    story = as_conference(story).sweep_finds("writes-lost", conference="")
    story.call("target", "ringing").expect("conferenced")
    story.legs["customer"].held = True
    inside = ("customer", "agent")
    story.reads(customer="in-progress", agent="in-progress", target="ringing", conference=CONFERENCE, inside=inside)
    story.expect("conferenced", "unflag agent")


def test_merge_that_redis_lost_stays():
    story = lost(talking("consult"))
    assert story.session.customer.held
    story.legs["customer"].held = False
    inside = (*BOTH, "target")
    story.reads(**dict.fromkeys(inside, "in-progress"), conference=CONFERENCE, inside=inside)
    story.expect("transferring")
    assert not story.session.customer.desired_hold


def test_swap_that_redis_lost_in_its_middle_is_not_undone_so_that_all_hear_each_other():
    story = lost(talking("consult").swap())
    story.legs["customer"].held, story.legs["target"].held = False, True
    inside = (*BOTH, "target")
    story.reads(**dict.fromkeys(inside, "in-progress"), conference=CONFERENCE, inside=inside)
    story.fires(StageOverdue)
    assert story.session.parties["target"].desired_hold
    assert not story.session.customer.desired_hold
    story.expect_command("swap-1", "accepted", "failed", reason="unknown")


def test_hold_of_afterwards_is_not_from_before():
    story = held_since_outage()
    assert story.session.customer.is_on_found_hold
    story.later(1).command(Unhold, "unhold-1", party="customer").confirms("customer")
    story.command(Hold, "hold-1", party="customer").confirms("customer")
    assert story.session.customer.held
    assert not story.session.customer.is_on_found_hold


def test_what_is_concluded_after_a_loss_has_an_id_that_names_the_former_one():
    """Before it, the same transfer was perhaps reported as recalled, and now it fails."""
    story = as_conference(blind_from_bridge().placed("target")).sweep_finds("writes-lost", conference="")
    lost_at_ms = story.now_ms
    story.later(5_000).call("customer", "completed").expect("ended", "end room", "hang up target")
    assert [one.id for one in story.conclusions] == [
        f"{story.session.id}:{subject}:{lost_at_ms}" for subject in ("transfer-1", "session")
    ]


# ---- rows that only these take ---------------------------------------------------------------------------------------


def shown(story: ConferenceScenario, by: str) -> ConferenceScenario:
    """`target`, of whose dial the session knows nothing, shows by a callback, at the gate, or by the dial's result."""
    if by == "call":
        story.call("target", "ringing")
    elif by == "gate":
        story.gate("target")
    else:
        story.placed("target")
    return story


@pytest.mark.parametrize("by", ["call", "gate", "result"])
@pytest.mark.parametrize(
    "begin", [lambda: Scenario().answered().convert(), lambda: blind_from_bridge().placed("target")],
    ids=["converting", "transferring"],
)  # fmt: skip
def test_leg_of_a_lost_dial_is_a_guest_in_every_state(begin, by):
    story = shown(lost(begin()), by)
    assert story.session.parties["guest-1"].call_sid == story.legs["target"].call_sid


def test_gate_of_an_unknown_dial_long_after_a_loss_is_only_logged():
    lost(Scenario().answered().convert()).later(60_000).gate("target").expect("converting", "look")


def test_transfer_that_waits_for_the_agents_key_has_failed():
    story = as_conference(asked().transfer("warm")).sweep_finds("writes-lost", conference="").expect("bridged", "look")
    story.expect_command("transfer-1", "accepted", "failed", reason="unknown")


def with_guest(story: Scenario) -> ConferenceScenario:
    """Redis has lost that a party was dialed, who takes part now."""
    story = as_conference(story.later(1_000)).sweep_finds("writes-lost", conference="")
    story.legs["other"] = Leg("CA" + "7" * 32, "other", "target-9", dial="lost")
    return as_conference(story.joins("other"))


def test_customer_stays_with_a_guest_instead_of_going_to_the_fallback():
    story = with_guest(blind_from_bridge().placed("target").call("target", "ringing"))
    story.call("target", "busy").later(10_000).fires(ReadOverdue)
    assert (story.session.state, story.session.phase) == ("conferenced", "connected")


def test_customer_whom_the_target_leaves_after_a_loss_goes_to_the_fallback_10_s_later():
    """Redis may have lost that the agent was rung."""
    story = as_conference(blind_from_bridge().placed("target").call("target", "ringing").later(1_000))
    story = as_conference(story.sweep_finds("writes-lost", conference=""))
    began_ms = story.now_ms
    story.reads(customer="in-progress", target="ringing", conference=CONFERENCE, inside=("customer",))
    story.call("target", "busy").expect("transferring", phase="blind")
    story.fires(ReadOverdue)
    assert story.now_ms - began_ms == 10_000
    assert story.session.phase == "recall"


def test_guest_is_forgotten_whose_dial_is_decided_again():
    """It is in the conference once, by the name that it was dialed under."""
    story = as_conference(dialing("warm").later(1_000)).sweep_finds("writes-lost", conference="")
    call_sid = "CA" + "7" * 32
    story.legs["other"] = Leg(call_sid, "target", "target-9", dial="lost")
    story.call("other", "ringing")
    assert story.session.parties["guest-1"].call_sid == call_sid
    story.legs["target"].call_sid = call_sid
    story.placed("target").expect("transferring", "unflag customer", "look")
    assert [name for name, one in story.session.parties.items() if one.call_sid == call_sid] == ["target"]


def test_customer_stays_with_a_guest_instead_of_a_second_recall():
    story = blind_from_bridge().placed("target").call("target", "busy").placed("agent").call("agent", "busy")
    assert story.session.transfer_stage == "waiting-to-recall"
    story = with_guest(story)
    assert (story.session.state, story.session.phase) == ("conferenced", "connected")
