"""How much a worker sends Twilio: less after a 429, nothing ordinary for a moment when it is away or refuses."""

import asyncio
import math
import random
from collections import Counter, defaultdict
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Effect, FindMessage
from conferral.telephony.http_client import RequestResult
from conferral.worker.executor import request_limiter as limits
from conferral.worker.executor.job import Job
from conferral.worker.executor.request_limiter import BreakerReason, Priority, RequestLimiter
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer
from tests.worker.executor_harness import START_MS, FakeTime, find, gated, hang_up, read, redirect, straight, update
from tests.worker.worker_cluster import ClusterClock

#: Of the installation.
PARTITIONS = 16


class Bounds:
    """A limiter whose answers are made by hand."""

    def __init__(self, requests_max: int = 25, clock: Clock | None = None) -> None:
        self.time = FakeTime()
        self.metrics = Metrics()
        self.owned = PARTITIONS
        self.limiter = RequestLimiter(
            requests_max,
            partitions=PARTITIONS,
            owned_count=lambda: self.owned,
            clock=clock or self.time,
            metrics=self.metrics,
            rng=random.Random(7),
        )

    def answer(self, status: int, count: int = 1, *, code: int = 0) -> None:
        for _ in range(count):
            self.limiter.observe(RequestResult(status, code))

    def held_back(self) -> dict[str, float | None]:
        name = "conferral_rest_breaker_open"
        return {why.value: self.metrics.registry.get_sample_value(name, {"reason": why.value}) for why in BreakerReason}

    @property
    def slots(self) -> int:
        """Those for others than endings."""
        return self.limiter.ordinary_slots


# ---- what all workers share --------------------------------------------------------------------------------------


@each("owned, slots", [(16, (48, 47)), (8, (24, 23)), (5, (15, 14)), (1, (3, 2)), (0, (2, 1))])
def test_budget_follows_the_partitions_and_each_worker_keeps_a_slot_for_endings(owned: int, slots: tuple[int, int]):
    bounds = Bounds(48)
    bounds.owned = owned
    assert (bounds.limiter.slots, bounds.slots) == slots


@pytest.mark.redis
async def test_workers_share_one_budget_and_the_last_one_has_it_all(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, workers=2) as system:
        limiters = [worker.executor.limiter for worker in system.workers]
        await system.eventually(lambda: asyncio.sleep(0, [one.slots for one in limiters]), "two share", equals=[24, 24])
        await system.stop_worker(1)
        await system.eventually(lambda: asyncio.sleep(0, limiters[0].slots), "the last one has it all", equals=48)


# ---- 429 ---------------------------------------------------------------------------------------------------------


def test_429_holds_back_no_other_request():
    bounds = Bounds(33)
    bounds.answer(429, 30)
    assert (bounds.slots, bounds.limiter.pause_s) == (32, 0)
    assert bounds.held_back() == {"unreachable": 0, "credentials": 0}
    assert bounds.limiter.problem == ""


# ---- Twilio is away ----------------------------------------------------------------------------------------------


def test_ten_failures_in_a_row_hold_everything_back_for_a_moment_then_one_tries():
    bounds = Bounds()
    bounds.answer(503, 9)
    bounds.answer(404)
    bounds.answer(0, 9)
    assert bounds.slots == 24, "an answer was between them"
    with capture_logs() as lines:
        bounds.answer(500)
    assert bounds.slots == 0
    assert [(line["event"], line["log_level"]) for line in lines] == [("twilio_unreachable", "error")]
    assert (lines[0]["count"], lines[0]["wait_s"]) == (10, round(bounds.limiter.pause_s, 3))
    assert bounds.held_back() == {"unreachable": 1, "credentials": 0}
    assert bounds.limiter.problem == "twilio: no answer"
    assert 1.6 <= bounds.limiter.pause_s <= 2.0

    bounds.time.s += 2
    assert bounds.slots == 1
    with capture_logs() as lines:
        bounds.answer(200)
    assert [line["event"] for line in lines] == ["rest_limit_restored"]
    assert bounds.limiter.problem == ""
    assert bounds.held_back() == {"unreachable": 0, "credentials": 0}
    assert bounds.slots == 24


def test_probe_that_fails_makes_the_pause_last_and_endings_tried_meanwhile_do_not():
    bounds = Bounds()
    bounds.answer(0, 10)
    for _ in range(6):
        pause_s = bounds.limiter.pause_s
        assert 0.8 * limits.UNREACHABLE_PAUSE_S <= pause_s <= limits.UNREACHABLE_PAUSE_S
        bounds.answer(0, 30)  # endings, tried meanwhile
        assert bounds.limiter.pause_s == pause_s
        bounds.time.s += pause_s
        assert bounds.slots == 1
        with capture_logs() as lines:
            bounds.answer(0)
        assert not lines, "told once"


# ---- credentials -------------------------------------------------------------------------------------------------


def test_refused_credentials_stop_what_is_no_ending_with_one_alarm_until_they_are_taken_again():
    bounds = Bounds()
    with capture_logs() as lines:
        for _ in range(5):
            bounds.answer(401, code=20003)
            assert bounds.slots == 0
            bounds.time.s += 5
            assert bounds.slots == 1
    assert [(line["event"], line["log_level"], line["code"]) for line in lines] == [
        ("credentials_refused", "error", 20003)
    ]
    assert bounds.limiter.problem == "twilio: credentials refused (20003)"
    assert bounds.held_back() == {"unreachable": 0, "credentials": 1}

    with capture_logs() as lines:
        bounds.answer(200)
    assert [line["event"] for line in lines] == ["rest_limit_restored"]
    assert bounds.limiter.problem == ""
    assert bounds.slots == 24


def test_a_worker_that_sends_nothing_no_longer_says_that_twilio_is_away():
    bounds = Bounds()
    bounds.answer(0, 10)
    bounds.time.s += 44
    bounds.answer(0)
    bounds.time.s += 44
    assert bounds.held_back() == {"unreachable": 1, "credentials": 0}, "the last answer said so"
    bounds.time.s += 1
    assert bounds.held_back() == {"unreachable": 0, "credentials": 0}
    assert bounds.limiter.problem == ""
    assert bounds.slots == 1, "everything that waited would go at once"
    bounds.answer(0)
    assert bounds.held_back() == {"unreachable": 1, "credentials": 0}, "the tenth failure in a row, and one more"
    bounds.time.s += 45
    with capture_logs() as lines:
        bounds.answer(200)
    assert [line["event"] for line in lines] == ["rest_limit_restored"]


# ---- who goes first ----------------------------------------------------------------------------------------------


@each(
    "effect, is_background, priority, keeps_its_place",
    [
        (hang_up("e"), False, Priority.ENDING, False),
        *((make("c"), False, Priority.CHANGE, False) for make in (straight, gated, redirect, update)),
        (find("r"), False, Priority.READ, False),
        (read("r"), False, Priority.READ, True),
        (read("b"), True, Priority.BACKGROUND_READ, True),
        (FindMessage(session_id="S1", effect_id="b", party="customer", call_sid="CA1"), False,
         Priority.BACKGROUND_READ, False),
    ],
)  # fmt: skip
def test_what_someone_waits_for_goes_first(
    effect: Effect, is_background: bool, priority: Priority, keeps_its_place: bool
) -> None:
    job = Job(effect=effect, partition=0, committed_at_ms=START_MS, is_background=is_background)
    assert (job.priority, job.keeps_its_place) == (priority, keeps_its_place)


# ---- slots -------------------------------------------------------------------------------------------------------


class Queue:
    """Requests of one limiter, by name: its priority's first letter, and more."""

    KINDS: ClassVar = {
        "e": Priority.ENDING,
        "c": Priority.CHANGE,
        "r": Priority.READ,
        "b": Priority.BACKGROUND_READ,
    }

    def __init__(self, limiter: RequestLimiter) -> None:
        self.limiter = limiter
        self.granted: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Event] = {}

    async def add(self, *names: str) -> None:
        for name in names:
            self._answers[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._hold(name))
        await asyncio.sleep(0)

    async def end(self, *names: str) -> None:
        for name in names or [*self._tasks]:
            self._answers[name].set()
            await self._tasks.pop(name)

    async def _hold(self, name: str) -> None:
        async with self.limiter.slot(self.KINDS[name[0]]):
            self.granted.append(name)
            await self._answers[name].wait()


@each(
    "ordinary, held, waiting, granted",
    [
        # Reads leave a quarter of the slots, and those in the background half of them.
        (8, "", "bbbbbbbb", "bbbb"),
        (8, "bbbb", "rrrr", "rr"),
        (8, "", "rrrrrrrr", "rrrrrr"),
        (8, "rrrrrr", "cccc", "cc"),
        (8, "", "cccccccc", "cccccccc"),
        (8, "cccccccc", "rbc", ""),
        # One slot is for endings alone.
        (8, "cccccccc", "ee", "e"),
        (8, "bbbbrrcc", "e", "e"),
        (8, "eee", "cccccccc", "cccccc"),
        # However few there are, there is one for each.
        (2, "", "rr", "r"),
        (2, "", "bb", "b"),
        (2, "b", "r", ""),
        (2, "b", "c", "c"),
        (1, "", "b", "b"),
        (1, "b", "c", ""),
    ],
)
async def test_slots_of_each_priority(ordinary: int, held: str, waiting: str, granted: str) -> None:
    queue = Queue(Bounds(ordinary + 1).limiter)
    await queue.add(*(f"{one}-{number}" for number, one in enumerate(held)))
    assert len(queue.granted) == len(held)
    await queue.add(*(f"{one}+{number}" for number, one in enumerate(waiting)))
    assert "".join(name[0] for name in queue.granted[len(held) :]) == granted
    await queue.end()


@each(
    "ago_s, order",
    [
        ({"b": 3.0, "r": 2.0, "c": 1.5, "e": 0.0}, "ecrb"),
        ({"b": 9.4, "r": 0.4, "c": 0.0}, "crb"),
        ({"b": 9.4, "r": 0.6, "c": 0.0}, "rcb"),
        ({"b": 60.0, "r": 0.4, "c": 0.0}, "crb"),
        ({"b": 60.0, "r": 60.0, "c": 45.0, "e": 0.0}, "ercb"),
    ],
)
async def test_request_goes_before_less_urgent_ones_that_have_been_patient_for_less(
    ago_s: dict[str, float], order: str
) -> None:
    bounds = Bounds(2)
    queue, now_s = Queue(bounds.limiter), bounds.time.s
    await queue.add("c-holds", "e-holds")
    for name, ago in sorted(ago_s.items(), key=lambda one: -one[1]):
        bounds.time.s = now_s + 100.0 - ago
        await queue.add(name)
    await queue.end("e-holds", "c-holds")
    for place in range(len(order)):
        await queue.end(queue.granted[2 + place])
    assert "".join(queue.granted[2:]) == order


class Crowd:
    """Requests that come, are canceled, and are answered by chance; each grant is judged."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, slots: int) -> None:
        self.loop, self.chance = loop, chance
        self.bounds = Bounds(slots, ClusterClock(loop, 0.0))
        self.waiting: dict[asyncio.Task[None], tuple[Priority, float]] = {}
        self.held: Counter[Priority] = Counter()
        self.waits_s: defaultdict[Priority, list[float]] = defaultdict(list)

    def come(self, priority: Priority, answer_s: float, timeout_s: float = math.inf) -> None:
        task = asyncio.create_task(self._send(priority, answer_s, self.loop.time() + timeout_s))
        self.waiting[task] = priority, self.loop.time()

    def cancel_one(self) -> None:
        if self.waiting:
            task = self.chance.choice([*self.waiting])
            del self.waiting[task]
            task.cancel()

    async def _send(self, priority: Priority, answer_s: float, deadline_s: float) -> None:
        since_s = self.loop.time()
        async with self.bounds.limiter.slot(priority, deadline_s=deadline_s) as has_slot:
            self.waiting.pop(asyncio.current_task(), None)  # type: ignore[arg-type]  # this is a task
            if not has_slot:
                return
            self.held[priority] += 1
            self.waits_s[priority].append(self.loop.time() - since_s)
            try:
                self.judge()
                await asyncio.sleep(answer_s)  # a delay: of Twilio's answer, in virtual time
            finally:
                self.held[priority] -= 1

    def judge(self) -> None:
        limiter = self.bounds.limiter
        assert self.held.total() <= limiter.slots
        ordinary = self.held.total() - self.held[Priority.ENDING]
        assert ordinary <= limiter.slots - 1
        for priority, share in limits.SHARES.items():
            held = sum(count for one, count in self.held.items() if one >= priority)
            assert held <= max(1, share * (limiter.slots - 1)), f"{priority.name} and later"

    async def ends(self) -> None:
        while self.waiting or self.held.total():
            await asyncio.sleep(1.0)  # a delay: in virtual time
        assert self.bounds.limiter.in_use == 0


@pytest.mark.parametrize("slots", [2, 3, 5, 13, 48])
@in_virtual_time
async def test_no_interleaving_exceeds_or_loses_a_slot(slots: int, chance: random.Random, loop: VirtualLoop) -> None:
    crowd = Crowd(loop, chance, slots)
    for _ in range(600):
        match chance.randrange(8):
            case 0:
                crowd.cancel_one()
            case 1:
                await asyncio.sleep(chance.uniform(0.0, 1.0))  # a delay: in virtual time
            case _:
                timeout_s = chance.choice((math.inf, chance.uniform(0.0, 2.0)))
                crowd.come(chance.choice([*Priority]), chance.uniform(0.0, 0.5), timeout_s)
        await asyncio.sleep(0)
    await crowd.ends()


@each(
    "flood, waits_max_s",
    [
        (Priority.CHANGE, {"ENDING": 0.0, "CHANGE": 4.0, "READ": 5.0, "BACKGROUND_READ": 45.0}),
        (Priority.READ, {"ENDING": 0.0, "CHANGE": 0.5, "READ": 4.0, "BACKGROUND_READ": 45.0}),
        (Priority.BACKGROUND_READ, {"ENDING": 0.0, "CHANGE": 0.5, "READ": 0.5, "BACKGROUND_READ": 4.0}),
    ],
)
@in_virtual_time
async def test_flood_keeps_nothing_waiting_for_more_than_its_patience(
    flood: Priority, waits_max_s: dict[str, float], loop: VirtualLoop
) -> None:
    """Requests for twice the slots, given up after four seconds; each second, also one of each other priority."""
    crowd = Crowd(loop, random.Random(1), 9)
    for _ in range(40):
        for priority in Priority:
            crowd.come(priority, 0.1, math.inf if priority is not flood else 4.0)
        for _ in range(32):
            crowd.come(flood, 0.5, 4.0)
        await asyncio.sleep(1.0)  # a delay: in virtual time
    await crowd.ends()
    assert {one.name for one in Priority if len(crowd.waits_s[one]) < 40} == set()
    too_long = {one.name: max(waits) for one, waits in crowd.waits_s.items() if max(waits) > waits_max_s[one.name]}
    assert not too_long


# ---- slots in a pause --------------------------------------------------------------------------------------------


def paused(loop: VirtualLoop) -> Bounds:
    """A limiter whose breaker has just opened for five seconds."""
    bounds = Bounds(4, ClusterClock(loop, 0.0))
    bounds.answer(401, code=20003)
    return bounds


@in_virtual_time
async def test_request_past_its_deadline_proceeds_without_a_slot(loop: VirtualLoop) -> None:
    bounds = paused(loop)
    ended: dict[str, tuple[float, bool]] = {}

    async def one(name: str, until_s: float) -> None:
        async with bounds.limiter.slot(Priority.CHANGE, deadline_s=until_s) as has_slot:
            ended[name] = round(loop.time(), 3), has_slot
            assert bounds.limiter.in_use == has_slot

    await asyncio.gather(one("four", 4.0), one("hour", 3600.0), one("one", 1.0))
    assert ended == {"one": (1.0, False), "four": (4.0, False), "hour": (5.0, True)}
    assert bounds.limiter.in_use == 0
