"""How partitions are shared out among real workers, and how long a change takes."""

import signal
import time
from random import Random

import pytest

from tests.soak.invariants import described
from tests.soak.soak_environment import START_S, soak_environment
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(600)]
PARTITIONS = 64
WORKERS = 4
#: A lease, a read of it, a start, and a busy machine.
TAKE_OVER_S = 30.0 + START_S


async def test_shares_follow_the_workers_that_are_alive(durable_redis: RedisServer, chance: Random) -> None:
    async with soak_environment(durable_redis.url, chance, workers=1, webhooks=1, partitions=PARTITIONS) as on:
        for count in range(2, WORKERS + 1):
            began_s = time.monotonic()
            on.services.start_worker()
            took_s = await on.is_fair(TAKE_OVER_S)
            on.say(f"a worker is started, {count} now: {took_s:.2f} s until shares are fair, its start included; "
                   f"{sorted(on.leases.shares().values())}; gaps {described(on.gaps_since(began_s))}")  # fmt: skip
        for count in (3, 2):
            victim, began_s = on.services.workers[count], time.monotonic()
            stopped_s = await on.services.stop(victim)
            assert sum(worker.is_up for worker in on.services.workers) == count
            await on.is_fair(TAKE_OVER_S)
            on.say(f"SIGTERM, {count} left: stopped in {stopped_s:.2f} s; "
                   f"seconds without a holder: {described(on.gaps_since(began_s))}")  # fmt: skip
        victim, began_s = on.services.workers[1], time.monotonic()
        victim.is_restarted = False
        victim.signal(signal.SIGKILL)
        took_s = await on.is_fair(TAKE_OVER_S)
        on.say(f"SIGKILL, 1 left: {took_s:.2f} s until it holds all")
