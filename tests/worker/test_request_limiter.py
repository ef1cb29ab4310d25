"""How much a worker sends Twilio: less after a 429, nothing ordinary for a moment when it is away or refuses."""

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult
from conferral.worker.executor import request_limiter as limits
from conferral.worker.executor.request_limiter import BreakerReason, Priority, RequestLimiter
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer
from tests.worker.executor_harness import (
    FakeTime,
)
from tests.worker.worker_cluster import ClusterClock


class Bounds:
    """A limiter whose answers are made by hand."""

    def __init__(self, requests_max: int = 25, clock: Clock | None = None) -> None:
        self.time = FakeTime()
        self.metrics = Metrics()
        self.workers = 1
        self.limiter = RequestLimiter(
            requests_max,
            worker_count=lambda: self.workers,
            clock=clock or self.time,
            metrics=self.metrics,
            rng=random.Random(7),
        )

    def answer(
        self, status: int, count: int = 1, *, code: int = 0, retry_after_s: float = 0.0, ago_s: float = 0.0
    ) -> None:
        for _ in range(count):
            self.limiter.observe(RequestResult(status, code, retry_after_s, self.time.s - ago_s))

    def held_back(self) -> dict[str, float | None]:
        name = "conferral_rest_breaker_open"
        return {why.value: self.metrics.registry.get_sample_value(name, {"reason": why.value}) for why in BreakerReason}

    @property
    def slots(self) -> int:
        """Those for others than endings."""
        return self.limiter.ordinary_slots


# ---- what all workers share --------------------------------------------------------------------------------------


@each(
    "workers, slots",
    [(1, (48, 47)), (2, (24, 23)), (3, (16, 15)), (10, (4, 3)), (24, (2, 1)), (100, (2, 1))],
)
def test_budget_is_divided_by_the_workers_and_each_keeps_a_slot_for_endings(workers: int, slots: tuple[int, int]):
    bounds = Bounds(48)
    bounds.workers = workers
    assert (bounds.limiter.slots, bounds.slots) == slots


@pytest.mark.redis
async def test_live_workers_share_one_budget(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, workers=2) as system:
        limiters = [worker.executor.limiter for worker in system.workers]
        await system.eventually(lambda: asyncio.sleep(0, [one.slots for one in limiters]), "two share", equals=[24, 24])
        await system.stop_worker(1)
        await system.eventually(lambda: asyncio.sleep(0, limiters[0].slots), "the last one has it all", equals=48)


# ---- 429 ---------------------------------------------------------------------------------------------------------


def test_busy_takes_a_part_of_what_is_sent_and_it_grows_back_one_a_round():
    bounds = Bounds()
    bounds.answer(429, retry_after_s=30.0)
    assert bounds.slots == 16
    assert bounds.limiter.pause_s == 0, "the effect that met it waits, and no other"
    bounds.time.s += 1
    bounds.answer(429)
    assert bounds.slots == 11
    bounds.answer(200, 12)
    assert bounds.slots == 12
    bounds.answer(200, 13)
    assert bounds.slots == 13
    bounds.answer(200, 1_000)
    assert bounds.slots == 24
    for _ in range(20):
        bounds.time.s += 1
        bounds.answer(429)
    assert bounds.slots == 2, "some are sent, however often it is busy"
    assert bounds.held_back() == {"unreachable": 0, "credentials": 0}
    assert bounds.limiter.problem == ""


def test_requests_rejected_together_count_as_one_signal():
    bounds = Bounds()
    bounds.time.s += 10
    bounds.answer(429)
    bounds.answer(429, 20, ago_s=0.5)
    assert bounds.slots == 16
    bounds.answer(429)
    assert bounds.slots == 11, "it was sent since"


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
    assert bounds.slots == 2, "all that has waited would come at once"
    bounds.answer(200, 400)
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
    assert bounds.slots == 2


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


# ---- slots -------------------------------------------------------------------------------------------------------


async def test_no_slot_is_lost_on_cancellation(chance: random.Random) -> None:
    limiter = Bounds(3).limiter
    holders: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def hold(priority: Priority, leaves: asyncio.Event) -> None:
        async with limiter.slot(priority):
            await leaves.wait()

    for _ in range(1_000):
        leaves = asyncio.Event()
        priority = chance.choice((Priority.ENDING, Priority.CHANGE))
        holders.append((asyncio.create_task(hold(priority, leaves)), leaves))
        for task, leaves in chance.sample(holders, chance.randrange(min(4, len(holders)))):
            if chance.random() < 0.5:
                task.cancel()
            else:
                leaves.set()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        assert limiter.in_use <= 3
    for _, leaves in holders:
        leaves.set()
    await asyncio.gather(*(task for task, _ in holders), return_exceptions=True)
    assert limiter.in_use == 0


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
