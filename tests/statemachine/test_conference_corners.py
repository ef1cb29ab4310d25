"""Rare events in a conference: late callbacks, another conference, and searches without an answer."""

import pytest

from conferral.statemachine.effects import ChangeRecording
from conferral.statemachine.events import (
    ConferenceStarted,
    ConvertOverdue,
    LoneOverdue,
    ReadOverdue,
)
from conferral.statemachine.other_apps import may_be_moved_by_us
from conferral.statemachine.parts import ConferenceAttributes, Recording
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus
from tests.statemachine.call_legs import Leg
from tests.statemachine.command_scenarios import ordering, recorded_conference
from tests.statemachine.conference_scenarios import as_conference, calling, received, received_with_survey, waiting
from tests.statemachine.scenario import CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, converted, searched_in_vain


@pytest.mark.parametrize(("status", "reason"), [("completed", "customer-left"), ("in-progress", "moved")])
def test_call_that_another_program_completes_has_left_and_one_that_goes_on_was_moved(status, reason):
    story = received().leaves("customer", status=status, reason="participant_updated_via_api")
    story.conference_ends().expect("ended", reason=reason)


def test_customer_continuing_to_the_survey_leaves_the_agent_alone():
    story = received_with_survey().dial_ends("completed", dial="conference").expect("conferenced")
    customer = story.session.parties["customer"]
    assert (customer.in_conference, customer.left_reason) == (False, "redirected-away")
    story.expect_timers("lone").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")
    story.joins("customer").expect("ended")  # reported late: they are in the survey


def test_customer_continuing_to_the_survey_is_not_redirected_back():
    """The redirect that was to repair the conversion may still wait for its next attempt."""
    story = Scenario().comes_in(attributes=ConferenceAttributes(after_url="https://e.com/x"))
    story.call("agent", "initiated").call("agent", "ringing").call("agent", "in-progress").convert()
    story.joins("agent").succeeds("redirect_call", "agent", *story.session.open_redirects)
    story.fires(ConvertOverdue).later(3_000)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    (effect,) = story.expect("converting", "move customer").last.effects
    assert story.session.awaits(effect)
    story.joins("customer").joins("guest")
    assert not story.session.awaits(effect), "whatever Twilio's lists show"
    story.dial_ends("completed", dial="conference").expect("conferenced")
    assert not story.session.awaits(effect)


AGENT = Party("agent", "agent-1", update_effect_id="hold")
GONE = Party("agent", "agent-1", call_sid="CA2", status=PartyStatus.LEFT)


@pytest.mark.parametrize("session, effect_id, is_awaited", [
    (Session("S1", parties={"agent": AGENT}), "hold", True),
    (Session("S1", parties={"agent": AGENT}), "unhold", False),
    (Session("S1", open_redirects=("move", "again")), "move", True),
    (Session("S1", open_redirects=("again",)), "move", False),
    (Session("S1", parties={"agent": GONE}, open_redirects=("move",)), "move", False),
    (Session("S1", recording=Recording(update_effect_id="pause")), "pause", True),
    (Session("S1", recording=Recording(update_effect_id="pause")), "resume", False),
    (Session("S1"), "hold", False),
], ids=[
    "update", "replaced", "redirect", "replaced-redirect", "gone", "recording",
    "replaced-recording", "new-session",
])  # fmt: skip
def test_change_is_awaited_until_another_one_replaces_it(session, effect_id, is_awaited):
    effect = ChangeRecording(effect_id=effect_id, session_id="S1", call_sid="CA2", status="paused")
    assert session.awaits(effect) is is_awaited


@pytest.mark.parametrize("moved_at_ms, now_ms, may_be", [(0, 5, False), (1, 60_000, True), (1, 60_001, False)])
def test_call_may_be_on_its_way_for_a_minute(moved_at_ms, now_ms, may_be):
    parties = {"agent": AGENT, "customer": Party("customer", "customer-1")}
    session = Session("S1", parties=parties, moved_at_ms=moved_at_ms)
    assert may_be_moved_by_us(session, AGENT, now_ms) is may_be


@pytest.mark.parametrize("how", ["callback", "read"])
def test_caller_who_left_others_behind_is_not_sent_anywhere(how):
    story = received_with_survey().joins("guest").confirms("customer").leaves("agent").leaves("customer")
    if how == "callback":
        story.conference_ends()
    else:
        story.later(60_000).sweep_finds("conference-missing").reads(customer="completed", agent="completed")
    story.expect("ended", reason="agent-left")
    assert story.session.parties["customer"].left_reason == "participant_hung_up"


def test_last_one_in_a_conference_did_not_leave_first():
    """A flag that was cleared without a callback may be known as set: what ended the conference shows who left last."""
    story = conferenced().leaves("customer").conference_ends(by="agent", reason="last-participant-left")
    story.expect("ended", reason="customer-left")
    story = conferenced().conference_ends(by="agent", reason="last-participant-left")
    story.expect("ended", reason="customer-left")
    story = conferenced().conference_ends(by="agent", reason="participant-with-end-conference-on-exit-left")
    story.expect("ended", reason="agent-left")


@pytest.mark.parametrize("customer_s, first", [(97, "customer"), (99, "agent"), (100, "agent"), (0, "agent")])
def test_party_that_left_clearly_earlier_by_twilios_clock_left_first(customer_s, first):
    story = conferenced().joins("guest").confirms("customer").confirms("agent").leaves("agent", left_s=100)
    story.leaves("customer", left_s=customer_s).leaves("guest", left_s=105)
    story.expect("ended", "end room", reason=f"{first}-left")


@pytest.mark.parametrize("ends, first", [({}, "customer"), ({"agent": 100, "customer": 110}, "agent")])
def test_party_that_was_outside_left_first_if_its_call_ended_earlier(ends, first):
    """Else, the other's leaving ended the conference, which led the party out."""
    story = conferenced().later(60_000).leaves("agent", status="in-progress", reason="")
    story.expect("conferenced", "look").reads(customer="completed", agent="completed", ends=ends)
    story.expect("ended", reason=f"{first}-left")


def test_customer_who_is_elsewhere_without_a_callback_was_moved_by_another_app():
    story = conferenced().dial_ends("completed", dial="conference").expect("conferenced", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.fires(LoneOverdue).expect("ended", "end room", reason="moved")


def test_party_who_is_missing_just_after_the_move_is_read_again():
    """Twilio's list may lag, but the callback of the leave may be lost, too."""
    shown = {"conference": CONFERENCE, "inside": ("agent",), "customer": "in-progress", "agent": "in-progress"}
    story = converted().confirms("agent").fires(ReadOverdue).reads(**shown).expect("conferenced")
    assert story.session.customer.in_conference
    story.later(9_000).fires(ReadOverdue).expect("conferenced", "look").reads(**shown).expect("conferenced")
    assert not story.session.customer.in_conference
    assert "lone" in story.session.timers


def test_recording_ends_with_its_conference_and_one_of_a_call_goes_on():
    of_call = ordering(conferenced).record("start").recorded()
    for story, lasts in ((recorded_conference(), False), (of_call, True)):
        story.transfer("warm").joins("customer", conference=OTHER_CONFERENCE, starts=False)
        assert (story.session.recording is not None) is lasts


def test_one_who_joins_others_does_not_wait_for_the_start():
    assert not any(party.waits_for_start for party in conferenced().joins("guest", starts=False).session.participants)


def test_start_of_another_conference_does_not_move_the_session_there():
    story = conferenced()
    story.take(ConferenceStarted(**story.common(OTHER_CONFERENCE, 1), conference_sid=OTHER_CONFERENCE)).expect(
        "conferenced"
    )
    assert story.session.conference_sid == CONFERENCE


def test_late_join_does_not_bring_back_the_agent_who_has_left():
    story = conferenced()
    last = story.sequences[CONFERENCE]
    story.leaves("agent", sequence=last + 2).expect("conferenced", "look").expect_timers("lone")
    story.joins("agent", sequence=last + 1).expect("conferenced", outcome="stale").expect_timers("lone")
    assert not story.session.parties["agent"].in_conference


def test_flag_older_than_its_request_confirms_nothing():
    story = converted().later(10_000)
    story.legs["customer"].end_on_exit = True
    story.changes("customer", occurred_at_ms=story.now_ms - 15_000).expect("conferenced", outcome="stale")
    assert not story.session.parties["customer"].end_on_exit


@pytest.mark.parametrize("answer", ["refused", "unknown"])
def test_search_without_an_answer_counts_as_a_dial_that_reached_no_one(answer):
    story = searched_in_vain(calling().unknown_outcome("agent"), "agent", answer)
    story.expect("ended").expect_command("call-1", "accepted", "failed")


def test_customers_call_is_recorded_once_the_agent_has_answered():
    story = waiting(attributes=ConferenceAttributes(record="customer")).placed("agent").call("agent", "in-progress")
    story.expect("conferenced").joins("agent").expect("conferenced", "record customer", *FLAGS, phase="connected")


def test_hold_that_is_refused_before_the_start_is_requested_again_after_a_read():
    story = ordering(received).hold("agent").expect("conferenced", "hold agent")
    story.update_refused("agent", code=16099).expect("conferenced").fires(ReadOverdue).expect("conferenced", "look")
    people = ("customer", "agent")
    story.reads(conference=CONFERENCE, inside=people, **dict.fromkeys(people, "in-progress"))
    story.expect("conferenced", "hold agent").confirms("agent").expect_held("agent")
    story.expect_command("hold-1", "accepted", "done")


def test_party_that_a_read_shows_after_one_that_rings_is_in_the_conference():
    story = ordering().add().confirms("customer", "agent").add("second", "add-2").placed("lawyer").placed("second")
    story.legs["lawyer"].is_ringing = True
    as_conference(story.later(10_000)).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    people = ("customer", "agent", "lawyer", "second")
    story.reads(conference=CONFERENCE, inside=people, **dict.fromkeys(people, "in-progress"))
    assert {party.name for party in story.session.participants} == {"customer", "agent", "second"}


def test_target_found_ringing_is_a_guest_and_the_customer_stays_on_hold():
    """Redis has lost a consult whose customer is already on hold."""
    story = as_conference(conferenced().later(10_000)).sweep_finds("call-missing", "agent")
    story.legs["8"] = Leg("CA" + "8" * 32, "target", "target-8", is_ringing=True)
    story.legs["customer"].held = True
    people = ("customer", "agent", "8")
    story.reads(conference=CONFERENCE, inside=people, **dict.fromkeys(people, "in-progress"))
    story.expect("conferenced", "unflag agent", phase="connected")
    story.expect_parties(customer="connected", agent="connected", guest_1="ringing")
    assert story.session.customer.is_on_found_hold
