"""A conference of ours that Redis has lost: its participants continue, and no one is left alone."""

import pytest

from conferral.statemachine.events import ConferenceFound, DialOverdue, LeaveOverdue, LoneOverdue, ParticipantFound
from conferral.statemachine.states import SuperviseMode
from tests.statemachine.call_legs import Leg
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference
from tests.statemachine.scenario import ALICE, CONFERENCE, CUSTOMER_NUMBER, Scenario
from tests.statemachine.transfer_scenarios import conferenced, outbound


def found(story: Scenario, *names: str, session_id: str = "", **changes: dict[str, object]) -> ConferenceScenario:
    """The sweep has found these legs in a conference; `changes` says how some of them differ."""
    participants = []
    for name in names:
        leg = story.legs[name]
        values = {"label": leg.label, "address": CUSTOMER_NUMBER if name == "customer" else ALICE}
        values |= {"came_in": name == "customer"} | changes.get(name, {})
        participants.append(ParticipantFound(call_sid=leg.call_sid, **values))
    event = ConferenceFound(
        **story.common(token="sweep:1"), conference_sid=CONFERENCE, participants=tuple(participants)
    )  # fmt: skip
    return as_conference(story.take(event))


def test_two_talking_parties_continue_unchanged():
    both_end = {"end_on_exit": True}
    story = found(Scenario(), "customer", "agent", customer=both_end, agent=both_end).expect("conferenced", phase="")
    session = story.session
    assert (session.direction, session.conference_sid, session.is_group) == ("inbound", CONFERENCE, False)
    assert session.parties["customer"].address == CUSTOMER_NUMBER
    assert {party.held_since_ms for party in session.parties.values()} == {0}
    story.expect_parties(customer="connected", agent="connected").expect_timers()
    story.leaves("agent").fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


def test_missing_flags_are_requested():
    found(Scenario(), "customer", "agent").expect("conferenced", "flag customer", "flag agent")


def test_they_can_be_transferred():
    both_end = {"end_on_exit": True}
    story = found(Scenario(), "customer", "agent", customer=both_end, agent=both_end)
    story.transfer("warm").expect("transferring", "unflag agent").confirms("agent").expect(
        "transferring", "dial target"
    )
    assert story.last.effects[0].label == "target-2"


@pytest.mark.parametrize(("stays", "reason"), [("customer", "agent-left"), ("agent", "customer-left")])
def test_lone_party_is_released_after_the_grace(stays: str, reason: str):
    story = found(Scenario(), stays).expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason=reason)


def test_empty_conference_ends_the_session():
    found(Scenario()).expect("ended", "end room", reason="customer-left")


def with_target(story: Scenario) -> Scenario:
    story.legs["target"] = Leg("CA" + "8" * 32, "target", "target-2")
    return story


def test_consult_found_by_a_read_continues_unheard_by_the_customer():
    story = found(with_target(Scenario()), "customer", "agent", "target", customer={"held": True})
    story.legs["customer"].held = True
    story.expect("transferring", phase="consult").expect_held("customer").expect_transfer("consulting")
    assert [story.session.parties[name].wait_audio for name in ("customer", "target")] == ["music", ""]
    story.leaves("target").expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent")
    assert [one.id for one in story.outcome_records] == [f"{story.session.id}:{story.session.created_at_ms}:transfer-3"]


def test_consult_that_is_completed_makes_the_target_the_agent():
    story = found(with_target(Scenario()), "customer", "agent", "target", target={"held": True})
    story.complete().expect("transferring", "unhold target").confirms("target")
    story.expect("transferring", "hang up agent").leaves("agent").expect("conferenced", "flag agent", "flag customer")
    assert story.session.parties["agent"].call_sid == story.legs["target"].call_sid


def test_three_who_talk_are_a_warm_transfer():
    story = found(with_target(Scenario()), "customer", "agent", "target").expect("transferring", phase="warm")
    story.complete().expect("transferring", "hang up agent")


def test_hold_unknown_to_the_session_is_undone():
    found(Scenario(), "customer", "agent", customer={"held": True}).expect(
        "conferenced", "unhold customer", "flag agent"
    )


def test_two_and_a_foreign_participant_are_a_group():
    story = found(Scenario(), "customer", "agent", "guest").expect("conferenced")
    assert story.session.is_group


def test_two_targets_and_a_foreign_participant_become_guests_of_a_group():
    story = with_target(Scenario())
    story.legs["second"] = Leg("CA" + "9" * 32, "target", "target-3")
    story = found(story, "customer", "agent", "target", "second", "guest").expect("conferenced")
    assert set(story.session.parties) == {"customer", "agent", "guest-1", "guest-2", "guest-3"}
    assert story.session.is_group


def test_target_who_talks_to_the_customer_alone_is_the_agent():
    story = found(with_target(Scenario()), "customer", "target")
    assert story.session.parties["agent"].call_sid == story.legs["target"].call_sid
    assert set(story.session.parties) == {"customer", "agent"}
    assert story.session.dials == 2


def test_ringing_party_is_waited_for_and_tracked():
    story = found(Scenario(), "customer", "agent", customer={"start_on_enter": False}, agent={"is_ringing": True})
    story.expect("conferenced").expect_parties(customer="connected", agent="ringing").expect_timers("dial")
    assert story.session.parties["customer"].waits_for_start
    assert story.session.parties["customer"].wait_audio == "music"
    assert not story.session.parties["agent"].answered
    assert story.session.timers["dial"] - story.now_ms == 40_000
    answered = story.call("agent", "in-progress").joins("agent").expect("conferenced")
    answered.expect_parties(customer="connected", agent="connected").expect_timers()


def test_customer_found_on_hold_while_a_phone_rings_is_held_until_it_is_answered():
    story = found(Scenario(), "customer", "agent", customer={"held": True}, agent={"is_ringing": True})
    story.expect("conferenced").call("agent", "in-progress").expect("conferenced", "unhold customer")


def test_party_that_rings_too_long_is_hung_up():
    story = found(Scenario(), "customer", "agent", agent={"is_ringing": True})
    story.fires(DialOverdue).expect("conferenced", "look")
    story.rings_on("agent").fires(DialOverdue).expect("conferenced", "hang up agent")
    story.confirms("customer").expect_timers("lone")


@pytest.mark.parametrize(
    ("seen", "mode"),
    [
        ({"muted": True}, SuperviseMode.MONITOR),
        ({"coaches": "agent"}, SuperviseMode.WHISPER),
        ({}, SuperviseMode.BARGE),
    ],
)
def test_supervisor_is_no_company_and_heard_as_before(seen: dict[str, object], mode: SuperviseMode):
    story = Scenario()
    story.legs["supervisor"] = Leg("CA" + "9" * 32, "supervisor", "supervisor-2")
    if "coaches" in seen:
        seen = {"coaches": story.legs["agent"].call_sid}
    story = found(story, "customer", "agent", "supervisor", supervisor=seen).expect("conferenced")
    assert story.session.parties["supervisor"].supervises == mode
    assert not story.session.is_group
    story.leaves("agent")
    assert "lone" in story.session.timers


def test_participant_under_another_label_counts_as_a_guest():
    story = found(Scenario(), "customer", "agent", agent={"label": "Boss"}).expect("conferenced")
    assert story.session.parties["agent"].is_gone
    assert story.session.parties["guest-1"].in_conference
    story.expect_timers()
    guest = story.session.parties["guest-1"]
    assert (guest.dial_id, guest.answered, story.session.dials) == ("", False, 1)


def test_supervisor_makes_no_group_of_a_transfer():
    story = with_target(Scenario())
    story.legs["supervisor"] = Leg("CA" + "9" * 32, "supervisor", "supervisor-3")
    story = found(story, "customer", "agent", "target", "supervisor").expect("transferring", phase="warm")
    assert not story.session.is_group


def test_session_that_is_known_takes_nothing_from_it():
    story = conferenced()
    before = story.session
    found(story, "customer").expect("conferenced")
    assert story.session.parties == before.parties


def test_session_recognized_by_its_bridge_is_read():
    found(Scenario().answered(), "customer").expect("bridged", "look")


# ---- a bridge that is none any more: Redis rolled back ------------------------------------------------------------


def rolled_back() -> Scenario:
    """By all that is known the two talk over a bridge; the sweep misses the agent's call, and a read follows."""
    story = (
        as_conference(Scenario().answered().later(30_000))
        .sweep_finds("call-missing", "agent")
        .expect("bridged", "look")
    )
    return with_target(story)


def test_customer_talking_to_the_party_that_took_the_call_is_not_hung_up():
    story = rolled_back()
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("conferenced", "flag customer", "flag agent", phase="")
    assert story.session.direction == "inbound"
    assert story.session.parties["agent"].call_sid == story.legs["target"].call_sid
    assert story.session.parties["customer"].address == CUSTOMER_NUMBER
    story.expect_parties(customer="connected", agent="connected")


def test_customer_talking_to_another_party_is_not_hung_up_when_the_agent_is_known_to_be_gone():
    story = with_target(Scenario().answered().call("agent", "completed").fires(LeaveOverdue).expect("bridged", "look"))
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("conferenced", "flag customer", "flag agent", phase="")


def test_running_transfer_continues():
    story = rolled_back()
    story.legs["customer"].held = True
    story.reads(
        customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent", "target")
    )
    story.expect("transferring", phase="consult").complete().expect("transferring", "unhold customer")


def test_two_who_were_converted_are_so():
    story = rolled_back()
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", "flag customer", "flag agent")
    assert story.session.timers["age"] == 1_000_000 + story.policy.age_max_ms


def test_party_that_another_app_moves_away_from_a_found_conversation_is_gone():
    """Before, Twilio had refused to move the customer of a blind transfer twice."""
    story = outbound().transfer("blind")
    for _ in range(2):
        (redirect,) = story.session.open_redirects
        story.is_unknown("redirect_call", "customer", redirect).reads(customer="in-progress", agent="in-progress")
    story = as_conference(story.expect("bridged").later(30_000)).sweep_finds("call-missing", "agent")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", "flag customer", "flag agent")
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api")
    assert story.session.parties["customer"].is_gone


def test_customer_found_alone_is_hung_up():
    story = rolled_back()
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_bridge_with_the_other_leg_still_moving_is_read_again():
    story = rolled_back()
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("bridged")


def test_consult_with_a_guest_also_continues_as_a_consult():
    story = with_target(Scenario())
    story = found(story, "customer", "agent", "target", "guest", customer={"held": True})
    story.expect("transferring", phase="consult").expect_held("customer")
    assert story.session.is_group
