"""Reads of every session at the same time: all are served, and a dial does not wait for them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.clock import StoreClock
from conferral.runtime.errors import RateLimitedError
from conferral.statemachine.effects import Effect, ReadCalls
from conferral.statemachine.events import CallsRead
from conferral.telephony.http_client import RequestResult
from conferral.telephony.parameters import PlacedCall
from conferral.worker.executor.execution import REQUESTS_MAX
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.executor_harness import AWAY, ExecutorHarness, FakeCalls, in_flight, read, straight, waiting
from tests.worker.worker_cluster import ClusterClock

#: How long Twilio takes for one read, seconds.
LATENCY_S = 0.3
WAVES = [1_000, pytest.param(10_000, marks=pytest.mark.soak)]


class SlowCalls(FakeCalls):
    """A Twilio that takes its time, and says now and then that it is busy."""

    def __init__(self, busy_every: int = 0) -> None:
        super().__init__()
        self.busy_every = busy_every
        self.note: Any = None

    async def perform(self, effect: Effect) -> Any:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        sent_at_s = asyncio.get_running_loop().time()
        await asyncio.sleep(LATENCY_S)  # a delay: of Twilio's answer, in virtual time
        self.at_once -= 1
        self.asked.append(effect.effect_id)
        is_busy = bool(self.busy_every) and len(self.asked) % self.busy_every == 0
        self.note(RequestResult(429 if is_busy else 200, 20429 if is_busy else 0, 0.0, sent_at_s))
        if is_busy:
            raise RateLimitedError(http_status=429, code=20429)
        if not isinstance(effect, ReadCalls):
            return PlacedCall("CA7")
        return CallsRead(
            session_id=effect.session_id, effect_id=effect.effect_id, read_version=effect.read_version, calls=()
        )


def world_of(loop: VirtualLoop, calls: SlowCalls) -> ExecutorHarness:
    clock = ClusterClock(loop, 0.0)
    system = ExecutorHarness(twilio=calls, clock=clock, store_clock=StoreClock(clock), sleep=asyncio.sleep)
    system.calls = calls
    calls.note = system.executor.limiter.observe
    return system


async def served(system: ExecutorHarness) -> None:
    while in_flight(system.executor) or waiting(system.executor):
        await asyncio.sleep(0.1)  # a delay: in virtual time


@pytest.mark.parametrize("count", WAVES)
@in_virtual_time
async def test_wave_of_reads_is_served_at_the_rate_of_the_slots(count: int, loop: VirtualLoop) -> None:
    calls = SlowCalls()
    system = world_of(loop, calls)
    for number in range(count):
        system.submit(read(f"r{number}", f"S{number}"))
    await served(system)

    assert system.counts == (count, 0, 0, 0)
    # First come, first served, but for those that are under way at the same time.
    assert all(abs(at - int(name[1:])) <= REQUESTS_MAX for at, name in enumerate(calls.asked))
    assert calls.at_once_max == REQUESTS_MAX // 2
    assert loop.time() < 1.1 * LATENCY_S * count / calls.at_once_max + 1


@in_virtual_time
async def test_dial_waits_for_no_read_that_waits(loop: VirtualLoop) -> None:
    system = world_of(loop, SlowCalls())
    for number in range(1_000):
        system.submit(read(f"r{number}", f"S{number}"))
    system.submit(straight("d", "S-new"))
    await served(system)
    assert system.calls.asked.index("d") <= REQUESTS_MAX


@pytest.mark.parametrize("count", WAVES)
@in_virtual_time
async def test_no_read_of_a_wave_is_given_up_while_twilio_asks_for_less(count: int, loop: VirtualLoop) -> None:
    system = world_of(loop, SlowCalls(busy_every=50))
    for number in range(count):
        system.submit(read(f"r{number}", f"S{number}"))
    await served(system)
    performed, _, given_up, dropped = system.counts
    assert (performed, given_up, dropped) == (count, 0, 0)


def few_slots(**more: Any) -> ExecutorHarness:
    return ExecutorHarness(requests_max=2, **more)


async def test_newer_read_of_a_session_replaces_the_one_that_waits() -> None:
    system = few_slots()
    answer = asyncio.Event()
    for name, session in (("a", "S1"), ("b", "S2"), ("c", "S3"), ("d", "S4")):
        system.calls.script[name].append(answer)
        system.submit(read(name, session))
    await system.settle()
    system.submit(replace(read("newer", "S3"), read_version=9))
    system.submit(replace(read("newest", "S3"), read_version=12))
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a", "b", "d", "newest"]
    assert system.counts == (4, 0, 0, 2)


@in_virtual_time
async def test_read_that_waits_while_twilio_is_away_is_neither_given_up_nor_logged(capfd, loop: VirtualLoop) -> None:
    system = ExecutorHarness(clock=ClusterClock(loop, 0.0), sleep=asyncio.sleep)
    system.submit(read("r"))
    for _ in range(600):
        for _ in range(10):
            system.executor.limiter.observe(RequestResult(0, 0, 0.0, loop.time()))
        capfd.readouterr()
        await asyncio.sleep(0.1)  # a delay: in virtual time
    await system.executor.drain(5)

    assert system.calls.asked == ["r"]
    assert system.counts == (1, 0, 0, 0)
    assert "error" not in capfd.readouterr().out


async def test_read_that_waited_for_long_has_its_whole_time_once_it_is_sent() -> None:
    system = few_slots()
    hangs = system.hold_answer("a")
    system.calls.script["b"].extend([AWAY, AWAY, None])
    system.submit(read("a", "S1"))
    system.submit(read("b", "S2"))
    await system.settle()
    system.time.s += 60
    hangs.set()
    await system.settle()

    assert system.finished == ["a", "b"]
    assert system.records.tried["b"][0] == 3


async def test_waiting_reads_of_a_session_that_ends_and_of_a_lost_partition_are_dropped() -> None:
    system = few_slots()
    answer = asyncio.Event()
    for number in range(6):
        system.calls.script[f"r{number}"].append(answer)
        system.submit(read(f"r{number}", f"S{number}"), partition=number % 2)
    await system.settle()
    system.executor.cancel_session("S4")
    system.executor.drop_partition(1)
    answer.set()
    await system.settle()

    assert sorted(system.calls.asked) == ["r0", "r2"]
    assert (waiting(system.executor), in_flight(system.executor)) == (0, 0)
    assert system.counts == (2, 0, 0, 4)
