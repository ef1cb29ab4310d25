"""Redis's primary is killed, hangs, hands over, and moves under load, under Sentinels and in a cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.soak.soak_environment import SWEEP_S, SoakEnvironment, gets_worse, soak_environment
from tests.support.failovers import Servers, hand_over, hang, kill, move_slot
from tests.support.redis_cluster import PREFIX, ClusterServers
from tests.support.redis_sentinels import SentinelServers

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(600)]
AT_ONCE, PER_SECOND = 150, 5.0
#: What docs/redis.md names, milliseconds.
DOWN_AFTER_MS = 5_000
#: How long a primary hangs, seconds: longer than the others wait for it.
HANGS_S = 12.0
#: Until a replica has taken over and everyone has found it, on a busy machine.
FAILOVER_S = 60.0
ALONE_S = 2 + FAILOVER_S / 2 + 2 * SWEEP_S + 10
SETTLE_S = 120.0


async def goes_on(on: SoakEnvironment, servers: Servers, act: Callable[[Any], Awaitable[None]]) -> None:
    """Something happens to the primary: every partition goes on, and in the end everything is whole again."""
    await act(servers)
    await on.all_go_on(FAILOVER_S)
    await asyncio.to_thread(servers.restore)
    await on.all_go_on(FAILOVER_S)
    await on.all_held()


@asynccontextmanager
async def under_load(servers: Servers, chance: Random) -> AsyncIterator[SoakEnvironment]:
    """Calls begin and end, some of them in the middle of consults; in the end, the run is judged."""
    async with soak_environment(servers.url, chance, prefix=PREFIX) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        yield on
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)


async def test_sentinels_fail_over_under_load(redis_program: Path, chance: Random) -> None:
    with SentinelServers(redis_program, down_after_ms=DOWN_AFTER_MS) as servers:
        async with under_load(servers, chance) as on:
            gets_worse(on.sandbox.faults)
            for act in (kill, partial(hang, lasts_s=HANGS_S)):
                await goes_on(on, servers, act)


async def test_cluster_fails_over_under_load(redis_program: Path, chance: Random) -> None:
    with ClusterServers(redis_program, node_timeout_ms=DOWN_AFTER_MS) as servers:
        async with under_load(servers, chance) as on:
            await goes_on(on, servers, hand_over)
            assert on.refused() == []
            gets_worse(on.sandbox.faults)
            for act in (kill, partial(hang, lasts_s=HANGS_S), move_slot):
                await goes_on(on, servers, act)
