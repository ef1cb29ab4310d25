"""Effects are carried out in order within a session, endings first, each with one outcome, and never sent blindly."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    ProviderBusyError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
)
from runtime.log import KEYS
from runtime.metrics import Metrics
from statemachine.effects import Effect, HangUpCall, ReadCalls, RedirectCall
from statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
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


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert (world.executor.in_flight, world.executor.waiting) == (0, 0)


def quick(**more: Any) -> ExecutorPolicy:
    """A policy whose requests are cut at once, for requests that hang."""
    short = RetryPolicy(deadline_s=8, request_timeout_s=0.005)
    return ExecutorPolicy(redirect=short, read=short, **more)


# ---- order -------------------------------------------------------------------------------------------------------


async def test_effects_of_one_session_run_one_after_the_other(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)

    for effect in (redirect("a"), read("b"), redirect("c")):
        world.submit(effect)
    await world.settle()
    assert (world.calls.asked, world.executor.in_flight, world.executor.waiting) == (["a"], 1, 2)

    answer.set()
    await world.settle()
    assert world.calls.asked == world.finished == ["a", "b", "c"]
    assert world.counts == (3, 0, 0, 0)


async def test_sessions_run_side_by_side(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)

    world.submit(redirect("a", "S1"))
    world.submit(redirect("b", "S2"))
    await world.settle()
    assert world.finished == ["b"]

    answer.set()
    await world.settle()
    assert world.finished == ["b", "a"]


async def test_order_is_kept_while_the_first_is_repeated(world: World) -> None:
    world.calls.script["a"].extend([BUSY, AWAY, None])

    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    assert world.calls.asked == ["a", "a", "a", "b"]
    assert world.counts == (2, 2, 0, 0)


async def test_requests_at_the_same_time_are_bounded_and_endings_have_slots_of_their_own() -> None:
    world = World(ExecutorPolicy(requests_max=4, reserved_for_endings=1))
    answer = asyncio.Event()
    for number in range(6):
        world.calls.script[f"r{number}"].append(answer)
        world.submit(redirect(f"r{number}", f"S{number}"))
    await world.settle()
    assert world.calls.asked == ["r0", "r1", "r2"]

    world.submit(hang_up("h", "S9"))
    await world.settle()
    assert world.finished == ["h"]

    answer.set()
    await world.settle()
    assert len(world.finished) == 7
    assert world.calls.at_once_max <= 4


async def test_endings_come_before_others_that_have_waited_longer() -> None:
    world = World(ExecutorPolicy(requests_max=1, reserved_for_endings=0))
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)

    for effect in (redirect("a", "S1"), redirect("b", "S2"), hang_up("h", "S3"), hang_up("i", "S4")):
        world.submit(effect)
        await world.settle()
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h", "i", "b"]


# ---- endings -----------------------------------------------------------------------------------------------------


async def test_ending_runs_beside_what_is_in_flight_and_drops_what_is_unsent(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    for effect in (redirect("a"), redirect("b"), read("c")):
        world.submit(effect)
    await world.settle()

    world.submit(hang_up("h"))
    world.submit(hang_up("i"))
    await world.settle()
    assert world.finished == ["h", "i"]

    answer.set()
    await world.settle()
    assert world.calls.asked == ["a", "h", "i"]
    assert world.finished == ["h", "i", "a"]
    assert world.counts == (3, 0, 0, 2)


async def test_ending_drops_what_was_submitted_in_the_same_turn(world: World) -> None:
    world.submit(redirect("a"))
    world.submit(hang_up("h"))
    await world.settle()

    assert world.calls.asked == world.finished == ["h"]
    assert world.counts == (1, 0, 0, 1)


async def test_ending_drops_what_waits_for_its_next_try(world: World) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["a"].append(BUSY)
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    assert world.finished == ["h"]
    assert world.counts == (1, 0, 0, 1)


async def test_ending_drops_what_waits_for_a_slot() -> None:
    world = World(ExecutorPolicy(requests_max=2, reserved_for_endings=1))
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a", "S1"))
    world.submit(redirect("b", "S2"))
    await world.settle()

    world.submit(hang_up("h", "S2"))
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    assert world.counts == (2, 0, 0, 1)


async def test_ending_leaves_other_sessions_alone(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a", "S1"))
    world.submit(read("b", "S1"))

    world.submit(hang_up("h", "S2"))
    answer.set()
    await world.settle()

    assert sorted(world.finished) == ["a", "b", "h"]


async def test_request_in_flight_is_not_repeated_after_an_ending(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].extend([answer, BUSY])
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    failed = world.outcomes[-1]
    assert isinstance(failed, EffectFailed)
    assert failed.http_status == 429


async def test_redirect_in_doubt_is_not_sent_again_after_an_ending(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].extend([answer, ELSEWHERE])
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    answer.set()
    await world.settle()

    assert world.calls.asked.count("a") == 1
    assert isinstance(world.outcomes[-1], EffectFailed)


async def test_session_goes_on_after_an_ending_effect(world: World) -> None:
    world.submit(redirect("a"))
    world.submit(hang_up("h"))
    world.submit(read("b"))
    await world.settle()

    assert sorted(world.finished) == ["b", "h"]


# ---- leases ------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_without_the_lease(world: World) -> None:
    world.lost.add(3)

    world.submit(redirect("a"), partition=3)
    world.submit(read("b"), partition=3)
    await world.settle()

    assert (world.calls.asked, world.outcomes) == ([], [])
    assert world.counts == (0, 0, 0, 2)


async def test_lease_is_asked_for_before_every_request(world: World) -> None:
    world.calls.script["a"].extend([BUSY, UNKNOWN, None])
    world.calls.looks["a"].append(ELSEWHERE)

    await world.run(redirect("a"))

    assert world.permissions == len(world.calls.asked)
    assert world.calls.asked.count("a") == 3


async def test_lease_that_is_lost_between_two_tries_drops_the_order(world: World) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["h"].append(BUSY)
    world.submit(hang_up("h"))
    await world.settle()

    world.lost.add(0)
    world.time.gate.set()
    await world.settle()

    assert (world.calls.asked, world.outcomes) == (["h"], [])
    assert world.counts == (0, 0, 0, 1)


async def test_dropped_partition_forgets_what_is_not_under_way(world: World) -> None:
    answer = asyncio.Event()
    world.time.gate = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.calls.script["c"].append(BUSY)
    world.calls.script["e"].append(answer)
    world.submit(redirect("a", "S1"), partition=1)
    world.submit(redirect("b", "S1"), partition=1)
    world.submit(redirect("c", "S2"), partition=1)
    world.submit(redirect("d", "S2"), partition=1)
    world.submit(redirect("e", "S3"), partition=2)
    world.submit(redirect("f", "S3"), partition=2)
    await world.settle()

    world.executor.drop_partition(1)
    await world.settle()
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "c", "e", "f"]
    assert world.finished == ["a", "e", "f"]
    assert world.counts == (3, 0, 0, 3)


async def test_outcome_that_finds_the_lease_gone_is_dropped() -> None:
    async def refuse(_effect: Effect, _outcome: Outcome) -> None:
        raise LeaseLostError

    world = World(finish=refuse)

    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    assert world.calls.asked == ["a", "b"]
    assert world.executor.dropped == 2


# ---- retries -----------------------------------------------------------------------------------------------------


async def test_retry_after_is_waited_out(world: World) -> None:
    world.calls.script["a"].extend([ProviderBusyError(http_status=429, retry_after_s=3), None])

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    (slept,) = world.time.sleeps
    assert 3.0 <= slept <= 3.25


async def test_retry_after_beyond_the_deadline_fails_at_once(world: World) -> None:
    world.calls.script["a"].append(ProviderBusyError(http_status=429, code=20429, retry_after_s=9))

    outcome = await world.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code, outcome.gone) == (429, 20429, False)
    assert world.time.sleeps == []


@pytest.mark.parametrize("error", [BUSY, AWAY])
async def test_definite_no_until_the_deadline_is_a_failure(world: World, error: ProviderError) -> None:
    world.calls.script["a"].append(error)

    outcome = await world.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.http_status == error.http_status
    assert world.time.s <= 8
    assert world.counts == (0, len(world.calls.asked) - 1, 1, 0)
    assert len(world.calls.asked) > 3


@pytest.mark.parametrize("effect", [hang_up("a"), read("a")])
async def test_effect_that_may_happen_twice_is_simply_repeated(world: World, effect: Effect) -> None:
    world.calls.script["a"].extend([UNKNOWN, UNKNOWN, None])

    assert isinstance(await world.run(effect), EffectSucceeded | CallsRead)

    assert world.calls.asked == ["a", "a", "a"]


async def test_ending_is_repeated_for_an_hour_with_waits_of_half_a_minute_at_most(world: World) -> None:
    world.calls.script["h"].append(UNKNOWN)

    assert isinstance(await world.run(hang_up("h")), EffectUnknown)

    assert 3500 < world.time.s <= 3600
    assert max(world.time.sleeps) <= 30


async def test_unknown_once_and_busy_ever_after_stays_unknown(world: World) -> None:
    world.calls.script["h"].extend([UNKNOWN, BUSY])

    assert isinstance(await world.run(hang_up("h")), EffectUnknown)


@pytest.mark.parametrize("effect, requests", [(redirect("a"), 1), (read("a"), 1), (hang_up("a"), 3)])
async def test_denied_credentials_are_tried_again_only_to_end_something(
    world: World, effect: Effect, requests: int
) -> None:
    world.calls.script["a"].extend([DENIED, DENIED, None])

    outcome = await world.run(effect)

    assert len(world.calls.asked) == requests
    assert isinstance(outcome, EffectSucceeded if requests > 1 else EffectFailed)


@pytest.mark.parametrize("effect", [redirect("a"), hang_up("a"), read("a")])
async def test_refusal_is_final(world: World, effect: Effect) -> None:
    world.calls.script["a"].append(REFUSED)

    outcome = await world.run(effect)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code, outcome.gone) == (400, 21211, False)
    assert (outcome.token, outcome.kind, outcome.party) == ("a:outcome", effect.kind, effect.party)
    assert world.counts == (0, 0, 1, 0)


async def test_redirect_of_a_call_that_is_over_fails_as_gone(world: World) -> None:
    world.calls.script["a"].append(GONE)

    outcome = await world.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.code, outcome.gone) == (21220, True)
    assert world.counts == (1, 0, 0, 0)


async def test_order_whose_time_passed_before_it_got_a_slot_was_certainly_not_sent() -> None:
    world = World(ExecutorPolicy(requests_max=1, reserved_for_endings=0))
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a", "S1"))
    world.submit(redirect("b", "S2"))
    await world.settle()

    world.time.s += 9
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a"]
    assert isinstance(world.outcomes[-1], EffectFailed)


# ---- a redirect in doubt -----------------------------------------------------------------------------------------


async def test_redirect_that_is_found_in_the_room_is_not_repeated(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(IN_ROOM)

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked == ["a", "look a"]
    assert world.time.sleeps == []


async def test_redirect_is_repeated_when_its_label_is_nowhere_after_two_seconds(world: World) -> None:
    world.calls.script["a"].extend([UNKNOWN, None])
    world.calls.looks["a"].append(ELSEWHERE)

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked == ["a", *["look a"] * 5, "a"]
    assert world.time.s == 2.0
    assert world.counts == (1, 1, 0, 0)


async def test_redirect_that_shows_late_is_not_repeated(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].extend([ELSEWHERE, ELSEWHERE, ELSEWHERE, IN_ROOM])

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked.count("a") == 1


async def test_redirect_in_doubt_of_a_call_that_is_over_fails_as_gone(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(OVER)

    outcome = await world.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone


async def test_redirect_that_stays_in_doubt_is_unknown_at_the_deadline(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(RINGING)

    assert isinstance(await world.run(redirect("a")), EffectUnknown)

    assert world.calls.asked.count("a") == 1
    assert 7.0 < world.time.s <= 8.0
    assert world.counts == (0, 0, 1, 0)


async def test_two_redirects_without_effect_end_as_never_happened_or_unknown(world: World) -> None:
    """Each doubt takes two seconds; the deadline lets a few requests pass, never one after it."""
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(ELSEWHERE)

    assert isinstance(await world.run(redirect("a")), EffectFailed | EffectUnknown)

    assert 2 <= world.calls.asked.count("a") <= 4
    assert world.time.s <= 8.0


async def test_trouble_while_looking_is_waited_out(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].extend([BUSY, UNKNOWN, IN_ROOM])

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked == ["a", "look a", "look a", "look a"]


async def test_look_that_is_refused_leaves_the_outcome_unknown(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(DENIED)

    assert isinstance(await world.run(redirect("a")), EffectUnknown)


async def test_request_that_hangs_is_cut_and_looked_up() -> None:
    world = World(quick())
    world.calls.script["a"].append(asyncio.Event())
    world.calls.looks["a"].append(IN_ROOM)

    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked == ["a", "look a"]
    assert world.calls.at_once == 0


async def test_look_that_hangs_is_cut_and_repeated() -> None:
    world = World(quick())
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].extend([asyncio.Event(), IN_ROOM])

    # The first look hangs on the event; the fake hands out what follows to the second one.
    assert isinstance(await world.run(redirect("a")), EffectSucceeded)

    assert world.calls.asked == ["a", "look a", "look a"]


async def test_order_taken_over_is_looked_up_before_it_is_sent(world: World) -> None:
    world.calls.looks["a"].append(IN_ROOM)

    assert isinstance(await world.run(redirect("a"), maybe_sent=True), EffectSucceeded)

    assert world.calls.asked == ["look a"]


async def test_order_taken_over_that_never_was_sent_is_sent_after_two_seconds(world: World) -> None:
    world.calls.looks["a"].append(ELSEWHERE)

    assert isinstance(await world.run(redirect("a"), maybe_sent=True), EffectSucceeded)

    assert world.calls.asked[-1] == "a"
    assert world.time.s == 2.0


async def test_order_of_a_worker_that_stopped_long_ago_is_sent_after_one_look(world: World) -> None:
    world.calls.looks["a"].append(ELSEWHERE)

    outcome = await world.run(redirect("a"), maybe_sent=True, sent_until_ms=START_MS - 2_000)

    assert isinstance(outcome, EffectSucceeded)
    assert world.calls.asked == ["look a", "a"]
    assert world.time.s == 0.0


async def test_ending_taken_over_is_simply_sent(world: World) -> None:
    assert isinstance(await world.run(hang_up("h"), maybe_sent=True), EffectSucceeded)

    assert world.calls.asked == ["h"]


# ---- what is told ------------------------------------------------------------------------------------------------


async def test_success_names_effect_kind_and_party(world: World) -> None:
    assert await world.run(redirect("a")) == EffectSucceeded(
        session_id="S1", token="a:outcome", effect_id="a", kind="redirect_call", party="agent"
    )


async def test_metrics_count_outcomes_retries_and_the_way_from_the_command(world: World) -> None:
    world.calls.script["a"].extend([BUSY, None])
    world.time.s = 0.5

    await world.run(redirect("a"), command_published_at_ms=START_MS)

    def sample(name: str, **labels: str) -> float | None:
        return world.metrics.registry.get_sample_value(name, labels)

    assert sample("conferral_effects_total", kind="redirect_call", outcome="succeeded") == 1
    assert sample("conferral_effect_retries_total", kind="redirect_call") == 1
    assert sample("conferral_command_to_rest_seconds_count") == 1
    assert sample("conferral_command_to_rest_seconds_sum") == 0.5


@pytest.mark.parametrize(
    "script, expected",
    [
        ([None], [("effect_performed", "info")]),
        ([GONE], [("effect_performed", "info")]),
        ([BUSY, None], [("effect_retried", "warning"), ("effect_performed", "info")]),
        ([REFUSED], [("effect_given_up", "error")]),
    ],
)
async def test_log_tells_what_became_of_an_effect(
    world: World, script: list[Step], expected: list[tuple[str, str]]
) -> None:
    world.calls.script["a"].extend(script)

    with capture_logs() as lines:
        await world.run(redirect("a"))

    assert [(line["event"], line["log_level"]) for line in lines] == expected
    assert all(line.keys() - {"event", "log_level"} <= KEYS for line in lines)
    assert all((line["effect_id"], line["session_id"], line["party"]) == ("a", "S1", "agent") for line in lines)


async def test_checkpoints_stand_around_every_request() -> None:
    passed: list[str] = []

    async def checkpoint(point: str, effect: Effect) -> None:
        passed.append(f"{point} {effect.effect_id} {len(world.calls.asked)}")

    world = World(checkpoint=checkpoint)
    world.calls.script["a"].extend([BUSY, None])

    await world.run(redirect("a"))

    assert passed == ["before_request a 0", "after_request a 1", "before_request a 1", "after_request a 2"]


async def test_repr_tells_the_counts(world: World) -> None:
    await world.run(redirect("a"))

    assert repr(world.executor) == "<Executor in_flight=0 waiting=0 performed=1 given_up=0 retried=0 dropped=0>"


# ---- stopping ----------------------------------------------------------------------------------------------------


async def test_drain_waits_for_everything_taken_on(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    drain = asyncio.create_task(world.executor.drain(5))
    await world.settle()
    world.submit(redirect("c", "S2"))
    answer.set()
    await drain

    assert world.finished == ["a", "b"]
    assert world.counts == (2, 0, 0, 1)


async def test_drain_leaves_the_rest_to_the_successor(world: World) -> None:
    world.calls.script["a"].append(asyncio.Event())
    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    await world.executor.drain(0.005)

    assert (world.calls.asked, world.outcomes) == (["a"], [])
    assert world.counts == (0, 0, 0, 2)


async def test_drain_of_an_idle_executor_returns_at_once(world: World) -> None:
    await world.executor.drain(0)

    assert world.counts == (0, 0, 0, 0)


async def test_fault_of_ours_is_shown_to_the_loop_and_stops_nobody_else(world: World) -> None:
    shown: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: shown.append(context))

    async def broken(effect: Effect) -> CallsRead | None:
        if effect.effect_id == "a":
            raise RuntimeError("a fault")
        return await FakeCalls.perform(world.calls, effect)

    world.calls.perform = broken  # type: ignore[method-assign]
    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    assert [str(context["exception"]) for context in shown] == ["a fault"]
    assert world.finished == ["b"]
    assert world.counts == (1, 0, 0, 1)


# ---- all at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
async def test_each_order_has_one_outcome_or_is_dropped_and_sessions_keep_their_order(seed: int) -> None:
    chance = random.Random(seed)
    world = World(ExecutorPolicy(requests_max=3, reserved_for_endings=1))
    orders: list[Effect] = []
    for number in range(60):
        name, session = f"e{number:02}", f"S{chance.randrange(6)}"
        effect = chance.choices([redirect, read, hang_up], [6, 3, 1])[0](name, session)
        orders.append(effect)
        troubles = [BUSY, AWAY, UNKNOWN, REFUSED, GONE, None, None, None]
        world.calls.script[name].extend(chance.choice(troubles) for _ in range(3))
        world.calls.looks[name].extend(chance.choice([IN_ROOM, ELSEWHERE, OVER, BUSY]) for _ in range(3))
        world.submit(effect, partition=chance.randrange(2), maybe_sent=chance.random() < 0.2)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.02:
            world.executor.drop_partition(chance.randrange(2))
    await world.executor.drain(20)

    assert len(set(world.finished)) == len(world.finished)
    assert world.executor.dropped == len(orders) - len(world.finished)
    assert world.executor.performed + world.executor.given_up == len(world.finished)
    assert world.calls.at_once_max <= 3
    ordinary = {order.effect_id for order in orders if not order.is_ending}
    for session in {order.session_id for order in orders}:
        mine = [o.effect_id for o in world.outcomes if o.session_id == session and o.effect_id in ordinary]
        assert mine == sorted(mine)
