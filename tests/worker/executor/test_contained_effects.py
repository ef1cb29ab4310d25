"""Any error at any point of carrying out any effect: one outcome, one log line, one count, and all others go on.

The points are not listed: whatever an order asks of the outside is counted once, and fails at each of these places in
turn. The kinds of effects are those that there are.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime import containment
from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import EFFECTS, Effect, EndConference, ReadCalls
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.worker.executor.job import AT_MOST_ONCE
from tests.support.metric_values import value_of
from tests.support.strange_errors import ANY_ERRORS
from tests.worker.executor_harness import (
    BUSY,
    ELSEWHERE,
    REFUSED,
    UNKNOWN,
    ExecutorHarness,
    announcement,
    away,
    change,
    find,
    find_recording,
    gated,
    hang_up,
    in_flight,
    message,
    read,
    recording,
    redirect,
    say,
    straight,
    update,
    voicemail,
    waiting,
)

MAKE: dict[type[Effect], Callable[[str], Effect]] = {
    type(make("x")): make
    for make in (
        redirect,
        straight,
        gated,
        find,
        update,
        announcement,
        recording,
        change,
        say,
        away,
        voicemail,
        message,
        find_recording,
        hang_up,
        read,
        lambda name: EndConference(effect_id=name, session_id="S1", conference_sid="CF1"),
    )
}
#: What Twilio answers before it does what is asked.
SCRIPTS: dict[str, tuple[Any, ...]] = {"at once": (), "in the end": (BUSY, UNKNOWN, None), "refused": (REFUSED,)}


@pytest.fixture(autouse=True)
def all_lines(monkeypatch):
    """Each error has a line, as if it were the place's first within a minute."""
    monkeypatch.setattr(containment, "UNEXPECTED_LOG_EVERY_S", 0)


class FailingOnce:
    """Counts what is asked of the outside, and fails at one of these places."""

    def __init__(self, at: int | None = None, error: BaseException | None = None) -> None:
        self.at, self.error = at, error
        self.asked = 0
        #: The effects whose requests had left when it failed.
        self.sent: list[str] = []

    def around(self, ask: Callable[..., Awaitable[Any]], system: ExecutorHarness, *, fails_after: bool = False) -> Any:
        async def asked(*arguments: Any) -> Any:
            place, self.asked = self.asked, self.asked + 1
            if place == self.at and self.error is not None:
                if fails_after:
                    with suppress(ProviderError):
                        await ask(*arguments)
                self.sent = list(system.calls.asked)
                raise self.error
            return await ask(*arguments)

        return asked

    def put_around(self, system: ExecutorHarness, *, fails_after: bool) -> None:
        """Between the executor and everything outside that it awaits."""
        tools, records = system.executor.context, system.records
        for owner in (system.calls, records):
            for name in dir(owner):
                method = getattr(owner, name)
                if not name.startswith("_") and asyncio.iscoroutinefunction(method):
                    setattr(owner, name, self.around(method, system, fails_after=fails_after))
        watched = {name: self.around(getattr(tools, name), system) for name in ("sleep", "checkpoint")}
        held: Any = SimpleNamespace(
            wait_to_send=self.around(system.wait_to_send, system), may_send=system.may_send, owned_count=1
        )
        system.executor.context = replace(tools, **watched, held=held)


async def carried(
    effect: Effect,
    script: tuple[Any, ...],
    failing: FailingOnce,
    *,
    fails_after: bool = False,
    metrics: Metrics | None = None,
    **more: Any,
) -> tuple[ExecutorHarness, list[Any]]:
    system = ExecutorHarness(metrics=metrics)
    failing.put_around(system, fails_after=fails_after)
    system.calls.script["x"].extend(script)
    system.calls.reads["x"].extend([ELSEWHERE] if effect.kind == "redirect_call" else [""])
    with capture_logs() as lines:
        system.submit(effect, **more)
        system.submit(update("next"))
        await system.executor.drain(5)
    return system, lines


#: Kinds for every run, one for each way: verified, found by its label, marked, repeated, an ending, a read.
EACH_WAY = ("redirect_call", "create_participant", "create_call", "update_participant", "hang_up_call", "read_calls")


@pytest.mark.parametrize("kind", [
    pytest.param(kind, id=kind.kind, marks=[] if kind.kind in EACH_WAY else pytest.mark.soak) for kind in EFFECTS
])  # fmt: skip
# What may have been sent is verified, and then sent as what is fresh.
@pytest.mark.parametrize(
    "maybe_sent_until_s", [pytest.param(None, marks=pytest.mark.soak), 0.0], ids=["fresh", "found"]
)
async def test_any_error_at_any_point_becomes_an_outcome(kind: type[Effect], maybe_sent_until_s: float | None) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    errors = cycle(ANY_ERRORS.items())
    metrics = Metrics()  # one for all: making them takes as long as executing an effect
    effect = MAKE[kind]("x")
    for name, script in SCRIPTS.items():
        counting = FailingOnce()
        await carried(effect, script, counting, maybe_sent_until_s=maybe_sent_until_s)
        for at in range(counting.asked):
            for fails_after in (False, True):
                error_name, make = next(errors)
                failing = FailingOnce(at, make())
                about = f"{kind.kind}, {name}, {error_name} at {at}, {fails_after=}"
                before = unexpected(metrics)
                system, lines = await carried(
                    effect,
                    script,
                    failing,
                    fails_after=fails_after,
                    metrics=metrics,
                    maybe_sent_until_s=maybe_sent_until_s,
                )
                check(system, failing, lines, unexpected(metrics) - before, about)
    assert complaints == []


def unexpected(metrics: Metrics) -> float:
    return value_of(metrics.unexpected_errors.labels("effect"))


def check(system: ExecutorHarness, failing: FailingOnce, lines: list[Any], counted: float, about: str) -> None:
    assert sorted(set(system.finished)) == ["next", "x"], about
    assert (in_flight(system.executor), waiting(system.executor)) == (0, 0), about
    outcomes = [one for one in system.outcomes if one.effect_id == "x"]
    logged = [line for line in lines if line["event"] == "unexpected_error"]
    assert counted == len(logged) <= 1, about
    if logged:
        assert logged[0]["error_type"] == shown(failing.error), about
        assert logged[0]["session_id"] == "S1", about
    else:
        assert isinstance(failing.error, ProviderError | TimeoutError), about
    first = outcomes[0]
    if isinstance(first, EffectFailed) and first.reason:
        assert first.reason == f"unexpected {shown(failing.error)}", about
        assert "x" not in failing.sent or not isinstance(first, AT_MOST_ONCE), about


def shown(error: BaseException | None) -> str:
    """The type that comes out of a coroutine."""
    return "RuntimeError" if isinstance(error, StopIteration) else type(error).__name__


@pytest.mark.parametrize("breaks_at", ["answer", "record"])
@pytest.mark.parametrize("kind", [kind for kind in EFFECTS if kind is not ReadCalls], ids=lambda kind: kind.kind)
async def test_error_after_the_request_left_leaves_its_outcome_unknown(kind: type[Effect], breaks_at: str) -> None:
    """A dial that may ring someone is never said to have failed: it would be placed once more."""
    system = ExecutorHarness()
    execute, finish, errors = system.calls.execute, system.records.finish, [OverflowError]

    async def executed(effect: Effect) -> Any:
        found = await execute(effect)
        if breaks_at == "answer" and effect.effect_id == "x":
            raise errors.pop()
        return found

    async def finished(effect: Effect, outcome: Any) -> Any:
        if errors and effect.effect_id == "x":
            raise errors.pop()
        return await finish(effect, outcome)

    system.calls.execute = executed  # type: ignore[method-assign]
    system.records.finish = finished  # type: ignore[method-assign]
    with capture_logs() as lines:
        system.submit(MAKE[kind]("x"))
        await system.executor.drain(5)
    (outcome,) = system.outcomes
    assert isinstance(outcome, EffectUnknown)
    assert (lines[-1]["event"], lines[-1]["reason"]) == ("effect_abandoned", "unexpected OverflowError")
    assert system.records.tried["x"] == (1, ("unexpected OverflowError",))


async def test_outcome_that_can_never_be_written_stays_in_the_outbox_and_stops_no_one_else() -> None:
    system = ExecutorHarness()
    finish = system.records.finish

    async def finished(effect: Effect, outcome: Any) -> Any:
        if effect.effect_id == "x":
            raise RecursionError
        return await finish(effect, outcome)

    system.records.finish = finished  # type: ignore[method-assign]
    with capture_logs():
        system.submit(redirect("x"))
        system.submit(redirect("y"))
        await system.executor.drain(5)
    assert system.finished == ["y"]
    assert system.dropped == 1
