"""Many calls at once while processes or Redis are killed, and while all processes are restarted one by one."""

import asyncio
import signal
import time
from random import Random

import pytest

from tests.soak.invariants import until
from tests.soak.soak_environment import START_S, SWEEP_S, gets_worse, soak_environment
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(900)]
#: Calls that shall go on at the same time (count), how many begin a second, and how long each lasts.
AT_ONCE = 1_000
PER_SECOND = 5.0
#: How long it goes wrong once all are there, seconds, and how often something is killed.
TROUBLE_S = 90.0
KILL_EVERY_S = 4.0
#: How long someone may be alone at the most: the grace, a take-over, two sweeps and a busy machine.
ALONE_S = 2 + 7 + 2 * SWEEP_S + 10
#: How long the end may take: an effect that was refused is repeated for so long.
SETTLE_S = 120.0
#: How many calls go on while Redis is killed, how often, and how long it is away, seconds.
FEW, ROUNDS, AWAY_S = 200, 4, 2.0


async def test_a_thousand_calls_while_processes_are_killed(durable_redis: RedisServer, chance: Random) -> None:
    async with soak_environment(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        gets_worse(on.sandbox.faults)
        began_s = time.monotonic()
        while time.monotonic() < began_s + TROUBLE_S:
            await asyncio.sleep(KILL_EVERY_S * chance.uniform(0.5, 1.5))
            victim = chance.choice([*on.services.workers, *on.services.webhooks])
            if victim.is_up:
                victim.signal(signal.SIGKILL)
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)


async def test_all_processes_are_restarted_one_by_one_under_load(durable_redis: RedisServer, chance: Random) -> None:
    async with soak_environment(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        gets_worse(on.sandbox.faults)
        await on.is_fair()
        for worker in on.services.workers:
            await on.services.restart(worker)
            await on.is_fair()
        for webhooks in on.services.webhooks:
            await on.services.restart(webhooks)
            await until(on.services.is_answering, START_S, "the webhooks answer again")
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)
        assert not traffic.without_outcome


async def test_redis_is_killed_and_restarted_under_load(durable_redis: RedisServer, chance: Random) -> None:
    async with soak_environment(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=FEW / PER_SECOND)
        traffic.start()
        await on.filled(FEW, 2 * FEW / PER_SECOND)
        gets_worse(on.sandbox.faults)
        for _ in range(ROUNDS):
            durable_redis.kill()
            await asyncio.sleep(AWAY_S)  # a delay: how long Redis is away
            await asyncio.to_thread(durable_redis.start)
            await on.all_go_on(START_S)
            await on.all_held()
            await asyncio.sleep(0.9)  # a delay: spaces the rounds
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)
