"""The limit of a hold (`CONFERRAL_HOLD_LIMIT`): what it ends, and what it does not count."""

from dataclasses import replace

import pytest

from conferral.statemachine.events import (
    HoldNoticeOverdue,
    HoldOverdue,
    StageOverdue,
)
from conferral.statemachine.policy import HOLD_LIMIT_NEAR_MS
from tests.statemachine.command_scenarios import Orders, added, ordering
from tests.statemachine.scenario import UNREAD, Scenario
from tests.statemachine.transfer_scenarios import conferenced, ringing, talking

LIMIT_MS = UNREAD.hold_limit_ms
HOLD_TIMERS = {HoldOverdue.timer, HoldNoticeOverdue.timer}


def holding(party: str = "customer", **changes: int) -> Orders:
    """An operator has put the party on hold, and Twilio has confirmed it."""
    story = ordering(conferenced, replace(UNREAD, **changes))
    story.hold(party).confirms(party)
    return story


def held_ms(story: Scenario, party: str = "customer") -> int:
    return story.now_ms - story.session.parties[party].held_since_ms


def expect_unlimited(story: Scenario) -> None:
    assert not HOLD_TIMERS & story.session.timers.keys()


def test_party_is_taken_off_hold_at_the_limit_a_minute_after_the_notice():
    story = holding().expect_timers("hold", "hold_notice")
    story.fires(HoldNoticeOverdue).expect("conferenced").expect_held("customer").expect_timers("hold")
    assert held_ms(story) == LIMIT_MS - HOLD_LIMIT_NEAR_MS

    story.fires(HoldOverdue).expect("conferenced", "unhold customer")
    assert held_ms(story) == LIMIT_MS
    assert story.last.reason == "hold-limit"
    expect_unlimited(story)
    story.confirms("customer").expect_held().expect_command("hold-1", "accepted", "done")


def test_each_hold_has_its_own_limit():
    story = added()
    story.hold("customer").confirms("customer").later(1_000)
    story.hold("lawyer", "hold-2").confirms("lawyer").fires(HoldOverdue).expect("conferenced", "unhold customer")
    story.confirms("customer").expect_held("lawyer").fires(HoldOverdue).expect("conferenced", "unhold lawyer")
    assert held_ms(story, "lawyer") == LIMIT_MS


def test_notice_that_is_due_is_not_lost_to_another_event():
    story = holding()
    story.now_ms = story.session.timers["hold_notice"] + 5
    story.mute("agent").expect_timers("hold", "hold_notice", "confirm", "pending_command")
    story.fires(HoldNoticeOverdue)
    assert story.last.outcome == "stayed"


def test_timer_that_fires_early_ends_nothing_and_is_set_again():
    """As after Redis's clock was set back: a timer that is due too late for its kind counts as due."""
    for story in (holding(), talking("consult")):
        due_ms = story.session.timers["hold"]
        early = HoldOverdue(**story.common(), due_ms=due_ms)
        story.take(early).expect(story.session.state.value).expect_held("customer")
        assert story.last.reason == ""
        assert story.session.timers["hold"] == due_ms


@pytest.mark.parametrize("limit_ms, timers", [(0, set()), (60_000, {"hold"})])
def test_a_limit_within_the_notice_has_no_notice_and_none_has_no_timer(limit_ms, timers):
    assert HOLD_TIMERS & holding(hold_limit_ms=limit_ms).session.timers.keys() == timers


# ---- consult -----------------------------------------------------------------------------------------------------


def test_hold_before_the_consult_counts():
    story = holding()
    since_ms = story.session.parties["customer"].held_since_ms
    story.later(60_000).transfer("consult").confirms("agent")
    assert story.session.timers["hold"] == since_ms + LIMIT_MS


def test_swap_restarts_the_count():
    story = talking("consult").later(LIMIT_MS - 1).swap().later(1).confirms("target").expect_held("customer", "target")
    story.confirms("customer").expect_held("target").expect_command("swap-1", "accepted", "done")
    assert story.session.timers["hold"] == story.now_ms + LIMIT_MS
    story.fires(HoldOverdue).expect("transferring", "hang up target").expect_transfer("failed", "hold-limit")


def test_limit_during_a_swap_counts_once_the_swap_is_undone():
    story = talking("consult").later(LIMIT_MS - 1).swap()
    expect_unlimited(story)
    story.fires(StageOverdue).expect("transferring", "unhold target").expect_timers("hold", "stage", "confirm")
    story.fires(HoldOverdue).expect("transferring", "hang up target")


def test_customer_whose_agent_leaves_after_the_limit_is_called_back_for():
    story = talking("consult").fires(HoldOverdue).leaves("agent").expect("transferring")
    story.leaves("target").expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_transfer("failed", "hold-limit")


# ---- what is no hold ---------------------------------------------------------------------------------------------


def test_blind_transfer_that_goes_on_without_the_agent_has_no_limit():
    story = ringing("consult")
    assert story.session.timers.keys() >= HOLD_TIMERS
    expect_unlimited(story.complete())
