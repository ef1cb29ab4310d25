"""The limit of a hold (`CONFERRAL_HOLD_LIMIT`): what it ends, and what it does not count."""

from dataclasses import replace

from conferral.statemachine.events import (
    HoldOverdue,
    StageOverdue,
)
from conferral.statemachine.step import TimerChange
from tests.statemachine.command_scenarios import Orders, added, ordering
from tests.statemachine.scenario import UNREAD, Scenario
from tests.statemachine.transfer_scenarios import conferenced, ringing, talking

LIMIT_MS = UNREAD.hold_limit_ms


def holding(party: str = "customer", **changes: int) -> Orders:
    """An operator has put the party on hold, and Twilio has confirmed it."""
    story = ordering(conferenced, replace(UNREAD, **changes))
    story.hold(party).confirms(party)
    return story


def held_ms(story: Scenario, party: str = "customer") -> int:
    return story.now_ms - story.session.parties[party].since_ms


def expect_unlimited(story: Scenario) -> None:
    assert HoldOverdue.timer not in story.session.timers


def test_party_is_taken_off_hold_at_the_limit():
    story = holding().expect_timers("hold")
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


def test_timer_that_fires_early_ends_nothing_and_is_set_again():
    """As after Redis's clock was set back: a timer that is due too late for its kind counts as due."""
    for story in (holding(), talking("consult")):
        due_ms = story.session.timers["hold"]
        early = HoldOverdue(**story.common(token=""), due_ms=due_ms)
        story.take(early).expect(story.session.state.value).expect_held("customer")
        assert story.last.reason == ""
        assert TimerChange("hold", due_ms) in story.last.timers
        story.fires(HoldOverdue).expect_timers()


def test_without_a_limit_there_is_no_timer():
    expect_unlimited(holding(hold_limit_ms=0))


# ---- consult -----------------------------------------------------------------------------------------------------


def test_hold_before_the_consult_counts():
    story = holding()
    since_ms = story.session.parties["customer"].since_ms
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
    story.fires(StageOverdue).expect("transferring", "unhold target").expect_timers("hold", "read")
    story.fires(HoldOverdue).expect("transferring", "hang up target")


def test_customer_whose_agent_leaves_after_the_limit_is_called_back_for():
    story = talking("consult").fires(HoldOverdue).leaves("agent").expect("transferring")
    story.leaves("target").expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_transfer("failed", "hold-limit")


# ---- what is no hold ---------------------------------------------------------------------------------------------


def test_blind_transfer_that_goes_on_without_the_agent_has_no_limit():
    story = ringing("consult")
    assert HoldOverdue.timer in story.session.timers
    expect_unlimited(story.complete())
