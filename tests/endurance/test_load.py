"""A thousand calls at once while processes are killed, and while all workers are restarted one by one."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.endurance.judge import described
from tests.endurance.stage import SWEEP_S, gets_worse, stage
from tests.endurance.traffic import talking
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(900)]
#: Calls that shall go on at the same time (count), how many begin a second, and how long each lasts.
AT_ONCE = 1_000
PER_SECOND = 7.0
LASTS_S = AT_ONCE / PER_SECOND
#: How long it goes wrong once all are there, seconds, and how often something is killed.
TROUBLE_S = 90.0
KILL_EVERY_S = 4.0
#: How long somebody may be alone at the most: the grace, a take-over, two sweeps and a busy machine.
ALONE_S = 2 + 7 + 2 * SWEEP_S + 10
#: How long the end may take: an effect that was refused is repeated for so long.
SETTLE_S = 120.0


@pytest.fixture
def durable_redis(redis_program: Path) -> Iterator[RedisServer]:
    with RedisServer(redis_program, append_only=True) as server:
        yield server


async def test_a_thousand_calls_while_processes_are_killed(durable_redis: RedisServer, chance: Random) -> None:
    async with stage(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=LASTS_S)
        is_over = asyncio.Event()
        running = asyncio.create_task(traffic.run(is_over.is_set))
        began_s = time.monotonic()
        while talking(on.sandbox) < AT_ONCE * 0.9 and time.monotonic() < began_s + 2 * LASTS_S:
            await asyncio.sleep(0.5)
        on.say(f"{talking(on.sandbox)} callers on the line after {time.monotonic() - began_s:.0f} s")
        gets_worse(on.sandbox.faults)
        killed, until_s = 0, time.monotonic() + TROUBLE_S
        while time.monotonic() < until_s:
            await asyncio.sleep(min(KILL_EVERY_S, 0.9 * KILL_EVERY_S + 0.2 * chance.random()))
            victim = chance.choice([*on.services.workers, *on.services.workers, *on.services.webhooks])
            if victim.is_up:
                victim.signal(signal.SIGKILL)
                killed += 1
        on.say(f"killed {killed} processes in {TROUBLE_S:.0f} s, {talking(on.sandbox)} callers on the line")
        is_over.set()
        await running
        await traffic.drained()
        on.sandbox.faults.clear()
        gaps = [change.gap_s for change in on.leases.changes if change.gap_s is not None]
        on.say(f"{len(gaps)} hand-overs")
        await on.ends(traffic, settle_s=SETTLE_S, alone_s=ALONE_S)


async def test_all_workers_are_restarted_one_by_one_under_load(durable_redis: RedisServer, chance: Random) -> None:
    async with stage(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=LASTS_S)
        is_over = asyncio.Event()
        running = asyncio.create_task(traffic.run(is_over.is_set))
        began_s = time.monotonic()
        while talking(on.sandbox) < AT_ONCE * 0.9 and time.monotonic() < began_s + 2 * LASTS_S:
            await asyncio.sleep(0.5)
        on.say(f"{talking(on.sandbox)} callers on the line after {time.monotonic() - began_s:.0f} s")
        gets_worse(on.sandbox.faults)
        seen = len(on.leases.changes)
        stops = []
        for worker in on.services.workers:
            stops.append(await on.services.restart(worker))
            await on.all_held()
            await asyncio.sleep(0.9)
        for webhooks in on.services.webhooks:
            stops.append(await on.services.restart(webhooks))
            await asyncio.sleep(0.9)
        on.say(f"seconds a process took to stop: {described(stops)}")
        gaps = [change.gap_s for change in on.leases.changes[seen:] if change.gap_s is not None]
        on.say(f"seconds a partition had no holder: {described(gaps)}")
        is_over.set()
        await running
        await traffic.drained()
        on.sandbox.faults.clear()
        await on.ends(traffic, settle_s=SETTLE_S, alone_s=ALONE_S)
