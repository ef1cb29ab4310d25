"""Deadlines of commands: what is decided, or begins, too late does nothing."""

from typing import Any

from conferral.statemachine.events import (
    Add,
    Call,
    Complete,
    Convert,
    Hold,
    PendingCommandOverdue,
    Swap,
    Transfer,
)
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from tests.statemachine.scenario import ALICE, BOB, CUSTOMER, Scenario
from tests.statemachine.transfer_scenarios import conferenced
from tests.support.each import each
from tests.support.people import LAWYER

WARM: dict[str, Any] = {"to": (BOB,), "mode": "warm"}
#: Commands that wait for a conversion, with what they need.
WAITING = (
    (Convert, {}),
    (Hold, {"party": "customer"}),
    (Add, {"to": LAWYER, "party": "lawyer"}),
    (Transfer, WARM),
    (Transfer, {"to": (BOB,), "mode": "consult"}),
)


def converting(kind, fields, wait_ms: int = 4_000) -> Scenario:
    """A bridge that is converted for a command, which waits for so long."""
    story = Scenario().answered()
    story.command(kind, "late-1", deadline_ms=story.now_ms + wait_ms, **fields)
    return story.expect("converting", "move agent").expect_command("late-1", "accepted")


@each("after_ms, statuses", [(-1, ["accepted"]), (0, ["rejected"]), (5_000, ["rejected"])])
def test_command_that_is_decided_after_its_deadline_does_nothing(after_ms, statuses):
    story = conferenced()
    story.command(Hold, "late-1", party="customer", deadline_ms=story.now_ms - after_ms)
    story.expect_command("late-1", *statuses, reason="" if statuses == ["accepted"] else "expired")
    assert bool(story.last.effects) == (statuses == ["accepted"])
    assert story.session.parties["customer"].desired_hold == (statuses == ["accepted"])


def test_late_command_to_an_ended_session_says_that_it_was_late():
    story = conferenced().end()
    story.command(Hold, "late-1", party="customer", deadline_ms=story.now_ms)
    story.expect_command("late-1", "rejected", reason="expired")


def test_late_call_opens_no_session():
    call = Call(session_id="s", token="late-1", entry_id="4990-0", agent=ALICE, customer=CUSTOMER, deadline_ms=4_999)
    late, in_time = (step(Session("s"), call, now_ms) for now_ms in (5_000, 4_998))
    assert (late.session.version, late.effects, late.kind.value) == (0, (), "refused")
    assert [(report.status.value, report.reason) for report in late.reports] == [("rejected", "expired")]
    assert in_time.session.version == 1


def test_a_worker_whose_clock_is_behind_carries_out_no_command_that_arrived_too_late():
    """Redis stored it after its deadline, by the clock of Redis, by which the deadline counts."""
    values = {"session_id": "s", "token": "late-1", "agent": ALICE, "customer": CUSTOMER, "deadline_ms": 4_999}
    late, in_time = (step(Session("s"), Call(**values, entry_id=one), 3_000) for one in ("4999-0", "4998-0"))
    assert [(report.status.value, report.reason) for report in late.reports] == [("rejected", "expired")]
    assert (late.session.version, in_time.session.version) == (0, 1)


@each("kind, fields", WAITING)
def test_command_that_waits_for_a_conversion_fails_at_its_deadline_and_the_conversion_goes_on(kind, fields):
    story = converting(kind, fields).later(4_000).fires(PendingCommandOverdue)
    story.expect("converting").expect_command("late-1", "accepted", "failed", reason="expired")
    story.joins("agent").joins("customer").expect_command("late-1", "accepted", "failed")
    story.expect("conferenced", "flag customer", "flag agent", phase="connected")


@each("kind, fields", WAITING)
def test_conversion_that_ends_after_the_deadline_begins_nothing_although_no_timer_fired(kind, fields):
    """As if the worker had been stopped meanwhile: callbacks are decided before the timer."""
    story = converting(kind, fields).joins("agent").later(9_000).joins("customer")
    story.expect("conferenced", "flag customer", "flag agent")
    story.expect_command("late-1", "accepted", "failed", reason="expired")


@each("kind, fields", WAITING)
def test_conversion_in_time_leaves_nothing_of_the_deadline(kind, fields):
    story = converting(kind, fields).joins("agent").joins("customer")
    assert story.session.timers.get(PendingCommandOverdue.timer) != story.now_ms + 4_000
    assert story.reports["late-1"] in ([("accepted", "")], [("accepted", ""), ("done", "")])


def test_late_transfer_has_an_outcome():
    story = converting(Transfer, WARM).later(4_000).fires(PendingCommandOverdue).expect_transfer("failed", "expired")
    (outcome,) = story.conclusions
    assert (outcome.kind, outcome.result, outcome.reason) == ("transfer", "failed", "expired")


def test_complete_that_waits_too_long_leaves_the_transfer_as_it_was_asked_for():
    story = Scenario().answered().transfer("warm").expect("converting", "move agent")
    story.command(Complete, "late-1", deadline_ms=story.now_ms + 1_000)
    story.later(1_000).fires(PendingCommandOverdue)
    story.expect_command("late-1", "accepted", "failed", reason="expired")
    story.joins("agent").joins("customer").expect("transferring", "dial target", "flag customer", phase="warm")
    story.expect_command("transfer-1", "accepted")


def test_transfer_that_waits_too_long_takes_its_complete_along():
    story = converting(Transfer, WARM)
    story.command(Complete, "complete-1").later(4_000).fires(PendingCommandOverdue)
    for command in ("late-1", "complete-1"):
        story.expect_command(command, "accepted", "failed", reason="expired")


def test_refusal_at_the_moment_of_a_deadline_keeps_the_failure():
    story = converting(Hold, {"party": "customer"}).later(4_000)
    story.command(Swap, "swap-1").expect_command("swap-1", "rejected")
    story.expect_command("late-1", "accepted", "failed", reason="expired")
    assert not story.session.pending_commands


def test_earlier_of_two_deadlines_fires_first():
    story = converting(Transfer, WARM, wait_ms=4_000)
    story.command(Hold, "hold-1", party="customer", deadline_ms=story.now_ms + 2_000)
    assert story.session.timers[PendingCommandOverdue.timer] == story.now_ms + 2_000
    story.later(2_000).fires(PendingCommandOverdue).expect_command("hold-1", "accepted", "failed", reason="expired")
    story.expect_command("late-1", "accepted")


def test_deadline_has_no_effect_on_a_command_that_has_begun():
    story = conferenced()
    story.transfer("warm", deadline_ms=story.now_ms + 1_000).later(2_000).confirms("agent")
    story.expect("transferring", "dial target").expect_command("transfer-1", "accepted")
