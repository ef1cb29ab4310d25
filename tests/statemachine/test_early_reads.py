"""A dial that no one has answered is read while its phone should still ring: its failure may not be reported."""

import pytest

from conferral.statemachine.events import DialOverdue, ReadOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.scenario import BOB, CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import dialing


@pytest.mark.parametrize("options", [{}, {"confirm": True}])
def test_failure_that_no_callback_reports_is_read_while_the_phone_should_still_ring(options):
    story = dialing("warm", policy=Policy(), **options).placed("target").expect_timers("dial", "read")
    assert story.session.timers["read"] - story.now_ms == 6_000
    story.call("target", "ringing").fires(ReadOverdue).expect("transferring", "look")
    story.reads(target="busy", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", "flag agent").expect_transfer("failed", "busy").expect_attempts((BOB, "busy"))


def test_ringing_phone_is_read_less_and_less_often_and_given_up_after_its_ring_time():
    story = dialing("warm", policy=Policy(), confirm=True).placed("target")
    dialed_ms = story.now_ms
    for after_ms in (6_000, 10_000, 18_000, 28_000, 38_000):
        story.fires(ReadOverdue).expect("transferring", "look")
        assert story.now_ms - dialed_ms == after_ms
        story.reads(target="ringing", conference=CONFERENCE, inside=("customer", "agent")).expect("transferring")
    story.fires(DialOverdue).expect("transferring", "look")
    assert story.now_ms - dialed_ms == 40_000
    story.rings_on("target").fires(DialOverdue).expect("conferenced", "hang up target", "flag agent").expect_transfer(
        "failed", "no-answer"
    )


def test_target_is_not_given_up_while_the_read_is_open_or_fails():
    story = dialing("warm").placed("target").fires(DialOverdue).expect("transferring", "look")
    story.fires(DialOverdue).expect("transferring").expect_timers("dial")
    for _ in range(2):
        story.is_unknown("read_calls").fires(ReadOverdue).expect("transferring", "look")
    story.legs["target"].in_conference = True
    story.reads(target="in-progress", conference=CONFERENCE, inside=("customer", "agent", "target"))
    story.expect_transfer("merged")


def test_phone_of_one_whom_a_held_customer_awaits_is_read_while_it_rings():
    """If no callback reports the answer, the target hears no one until a read shows it."""
    story = dialing("blind", policy=Policy()).leaves("agent").placed("target")
    dialed_ms = story.now_ms
    for after_ms in (6_000, 10_000, 18_000):
        story.fires(ReadOverdue).expect("transferring", "look")
        assert story.now_ms - dialed_ms == after_ms
        story.reads(target="ringing", conference=CONFERENCE, inside=("customer",)).expect("transferring")
    story.fires(ReadOverdue).expect("transferring", "look")
    assert story.now_ms - dialed_ms == 28_000
    story.reads(target="in-progress", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("transferring", "unhold customer")


@pytest.mark.parametrize("status", ["initiated", "ringing"])
def test_dial_of_unknown_outcome_is_read_early_once_a_callback_shows_its_call(status):
    story = dialing("warm", policy=Policy(), confirm=True).unknown_outcome("target").later(1_000)
    shown_ms = story.call("target", status).now_ms
    story.fires(ReadOverdue).expect("transferring", "look")
    assert story.now_ms - shown_ms == 6_000
    story.reads(target="busy", conference=CONFERENCE, inside=("customer", "agent")).expect_transfer("failed", "busy")


def test_dial_is_checked_again_if_its_timer_fired_late_and_its_phone_still_rings():
    story = dialing("warm", policy=Policy(), confirm=True).placed("target").later(60_000).fires(DialOverdue)
    story.expect("transferring", "look")
    story.reads(target="ringing", conference=CONFERENCE, inside=("customer", "agent")).later(100)
    story.call("target", "ringing")
    assert story.session.timers["read"] - story.now_ms == 6_000
    story.fires(ReadOverdue).expect("transferring", "look")


def test_answered_phone_and_a_bridged_one_are_not_read_early():
    story = dialing("blind", policy=Policy(), confirm=True).placed("target").gate("target")
    assert story.session.timers["dial"] - story.now_ms == 5_000
    called = Scenario(Policy(), session_id="out").calls_out().placed("agent")
    assert called.session.timers["dial"] - called.now_ms == 40_000


@pytest.mark.parametrize("mode", ["blind", "warm"])
def test_join_in_a_read_counts_although_the_callback_of_the_answer_overtook_the_read(mode):
    story = dialing(mode, policy=Policy()).placed("target").fires(DialOverdue)
    began = story.session.version
    story.call("target", "in-progress")
    inside = ("customer", "target") if mode == "blind" else ("customer", "agent", "target")
    story.reads(target="in-progress", conference=CONFERENCE, inside=inside, version=began)
    assert story.session.parties["target"].takes_part


def test_overtaken_read_says_nothing_of_one_who_is_known_to_have_joined():
    story = ordering(dialing, "warm", policy=Policy()).placed("target").fires(DialOverdue)
    began, shown = story.session.version, {"conference": CONFERENCE, "inside": ("customer", "agent", "target")}
    story.call("target", "in-progress").reads(target="in-progress", version=began, **shown)
    story.mute("target").update_answered("target").legs["target"].muted = False
    story.reads(target="in-progress", version=began, **shown)
    assert story.session.parties["target"].muted


def test_answer_in_a_read_counts_although_another_callback_overtook_the_read():
    story = dialing("blind", policy=Policy()).placed("target").fires(DialOverdue)
    began = story.session.version
    story.leaves("agent").reads(target="in-progress", conference=CONFERENCE, inside=("customer",), version=began)
    assert story.session.parties["target"].answered


def test_answer_in_an_overtaken_read_does_not_count_if_the_phone_has_stopped_ringing():
    story = dialing("warm", policy=Policy()).placed("target").fires(DialOverdue)
    began = story.session.version
    story.call("target", "failed").reads(target="in-progress", conference=CONFERENCE, version=began)
    assert not story.session.parties["target"].answered


@pytest.mark.parametrize("conference", [CONFERENCE, "CF" + "9" * 32])
def test_join_in_an_overtaken_read_does_not_count_if_a_leave_followed_or_it_was_elsewhere(conference):
    story = dialing("warm", policy=Policy()).placed("target").call("target", "in-progress").fires(DialOverdue)
    began = story.session.version
    if conference == CONFERENCE:
        story.joins("target").leaves("target", reason="participant_updated_via_api")
    else:
        story.leaves("agent", reason="participant_hung_up")
    story.reads(target="in-progress", conference=conference, inside=("target",), version=began)
    assert not story.session.parties["target"].in_conference
