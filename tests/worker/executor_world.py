"""An executor with a scripted Twilio, a lease, and time that passes only when somebody sleeps."""

import asyncio
import random
from collections import defaultdict, deque
from typing import Any

from runtime.errors import (
    OutcomeUnknownError,
    ProviderBusyError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
)
from runtime.metrics import Metrics
from statemachine.effects import Effect, HangUpCall, ReadCalls, RedirectCall
from statemachine.events import CallsRead
from telephony.look import RedirectSeen
from worker.executor import Executor, ExecutorPolicy, Order, Outcome, RetryPolicy

BUSY = ProviderBusyError(http_status=429, code=20429)
AWAY = ProviderUnreachableError()
UNKNOWN = OutcomeUnknownError(http_status=503)
DENIED = ProviderRefusedError(http_status=401, code=20003)
REFUSED = ProviderRefusedError(http_status=400, code=21211)
GONE = ProviderGoneError(http_status=400, code=21220)
IN_ROOM = RedirectSeen(call_status="in-progress", in_room=True)
ELSEWHERE = RedirectSeen(call_status="in-progress", in_room=False)
OVER = RedirectSeen(call_status="completed", in_room=False)
RINGING = RedirectSeen(call_status="ringing", in_room=False)
START_MS = 1_000_000


def redirect(name: str, session: str = "S1") -> RedirectCall:
    return RedirectCall(
        effect_id=name, session_id=session, party="agent", call_sid="CA2", room=session, label="agent-1"
    )


def hang_up(name: str, session: str = "S1") -> HangUpCall:
    return HangUpCall(effect_id=name, session_id=session, party="agent", call_sid="CA2")


def read(name: str, session: str = "S1") -> ReadCalls:
    return ReadCalls(effect_id=name, session_id=session, parent_call_sid="CA1", with_conference=True, read_version=3)


class FakeTime:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.s = 0.0
        self.sleeps: list[float] = []
        self.gate: asyncio.Event | None = None

    def monotonic_s(self) -> float:
        return self.s

    def wall_ms(self) -> int:
        return self.now_ms()

    def now_ms(self) -> int:
        return START_MS + int(self.s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        if self.gate is not None:
            await self.gate.wait()
        self.s += seconds
        await asyncio.sleep(0)


Step = ProviderError | RedirectSeen | asyncio.Event | None


class FakeCalls:
    """Twilio by script: per effect, what becomes of its requests; what is not in the script succeeds at once."""

    def __init__(self) -> None:
        self.script: dict[str, deque[Step]] = defaultdict(deque)
        self.looks: dict[str, deque[Step]] = defaultdict(deque)
        self.asked: list[str] = []
        self.at_once = 0
        self.at_once_max = 0

    async def perform(self, effect: Effect) -> CallsRead | None:
        self.asked.append(effect.effect_id)
        await self._play(self.script[effect.effect_id])
        if isinstance(effect, ReadCalls):
            return CallsRead(
                session_id=effect.session_id, effect_id=effect.effect_id, read_version=effect.read_version, calls=()
            )
        return None

    async def look_for(self, effect: RedirectCall) -> RedirectSeen:
        self.asked.append(f"look {effect.effect_id}")
        seen = await self._play(self.looks[effect.effect_id])
        assert isinstance(seen, RedirectSeen)
        return seen

    async def _play(self, steps: deque[Step]) -> Step:
        """The next step; a last one that is no event serves for all that follow. An event is waited for first."""
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            step = _next(steps)
            while isinstance(step, asyncio.Event):
                await step.wait()
                step = _next(steps)
        finally:
            self.at_once -= 1
        if isinstance(step, ProviderError):
            raise step
        return step


def _next(steps: deque[Step]) -> Step:
    if not steps:
        return None
    return steps.popleft() if len(steps) > 1 or isinstance(steps[0], asyncio.Event) else steps[0]


class World:
    """An executor with everything around it."""

    def __init__(self, policy: ExecutorPolicy | None = None, **more: Any) -> None:
        self.time = FakeTime()
        self.calls = FakeCalls()
        self.metrics = Metrics()
        self.outcomes: list[Outcome] = []
        self.lost: set[int] = set()
        self.permissions = 0
        self.executor = Executor(
            **{
                "calls": self.calls,
                "finish": self.finish,
                "may_send": self.may_send,
                "clock": self.time,
                "now_ms": self.time.now_ms,
                "metrics": self.metrics,
                "policy": policy or ExecutorPolicy(),
                "rng": random.Random(7),
                "sleep": self.time.sleep,
            }
            | more
        )

    async def finish(self, effect: Effect, outcome: Outcome) -> None:
        assert (outcome.effect_id, outcome.session_id) == (effect.effect_id, effect.session_id)
        self.outcomes.append(outcome)

    async def may_send(self, partition: int) -> bool:
        self.permissions += 1
        return partition not in self.lost

    def submit(self, effect: Effect, partition: int = 0, **more: Any) -> None:
        self.executor.submit(Order(effect=effect, partition=partition, ordered_at_ms=START_MS, **more))

    async def settle(self) -> None:
        """Lets everything run that can run."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def run(self, effect: Effect, **more: Any) -> Outcome:
        """Carries one effect out to its end."""
        self.submit(effect, **more)
        await self.executor.drain(5)
        (outcome,) = self.outcomes
        return outcome

    @property
    def finished(self) -> list[str]:
        return [outcome.effect_id for outcome in self.outcomes]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Performed, retried, given up, dropped."""
        executor = self.executor
        return executor.performed, executor.retried, executor.given_up, executor.dropped


def quick(**more: Any) -> ExecutorPolicy:
    """A policy whose requests are cut at once, for requests that hang."""
    short = RetryPolicy(deadline_s=8, request_timeout_s=0.005)
    return ExecutorPolicy(redirect=short, read=short, **more)
