"""Failovers in the middle of what a call may be doing: nothing acknowledged is lost, and nothing is repeated.

Twenty on servers before Redis 7.2, and more on a later one, if there is one: from 7.2 on, WAIT waits for the
connection's last write.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fault_injection.calls import all_hang_up, many_talk
from tests.fault_injection.fault_system import SHORT_LEASE_MS, FaultSystem
from tests.soak.failover_calls import MOMENTS, FailoverCall, assert_kept, noting
from tests.support.failovers import Servers, hang, kill, lag
from tests.support.redis_cluster import PREFIX, ClusterServers
from tests.support.redis_node import version_of
from tests.support.redis_plain import LoneServer, PlainServers
from tests.support.redis_sentinels import SentinelServers
from tests.support.redis_server import SETTING, found_programs
from tests.support.split_network import SplitNetwork

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(600)]
#: After how long without an answer the primary counts as dead, milliseconds, and how long one hangs, seconds.
DOWN_AFTER_MS, HANGS_S = 1_000, 5.0
#: For how long a replica lags at most before its primary dies, seconds: less than until Redis refuses writes.
LAGS_S = 1.0
#: From the moment to the failover at most, seconds.
AFTER_S = 0.05
#: How long calls may take until they have ended, seconds, and Redis's part of it.
SETTLE_S, AWAY_S = 90.0, 30.0
#: Calls that only talk, all the time.
TALKING = 6
#: From which version on WAIT waits for a connection's last write.
LAST_WRITE = (7, 2)


async def fail_over(servers: Servers, kind: str, chance: Random) -> None:
    acts: dict[str, Callable[[Any], Awaitable[None]]] = {
        "kill": kill,
        "hang": partial(hang, lasts_s=HANGS_S),
        "lag": partial(lag, lasts_s=chance.uniform(0.0, LAGS_S)),
    }
    await acts[kind](servers)


async def calls_survive(system: FaultSystem, servers: Servers, number: int, chance: Random) -> list[FailoverCall]:
    """One failover: a call for each moment, of which one is drawn for the failover."""
    kinds = ("kill", "hang") if isinstance(servers, LoneServer) else ("kill", "hang", "lag")
    kind, drawn = chance.choice(kinds), chance.choice(list(MOMENTS))
    calls = [await FailoverCall.begun(system, f"{moment}_{number}") for moment in MOMENTS]
    called = f"failover {number}: {kind} at {drawn}"
    async with asyncio.timeout(SETTLE_S):
        going = dict(zip(MOMENTS, calls, strict=True))
        tasks = [asyncio.create_task(MOMENTS[moment](call), name=call.name) for moment, call in going.items()]
        await going[drawn].moment.wait()
        await asyncio.sleep(chance.uniform(0.0, AFTER_S))  # a delay: drawn
        await fail_over(servers, kind, chance)
        await asyncio.to_thread(servers.restore)
        await asyncio.wait(tasks)
    failed = [f"{called}: {task.get_name()}: {task.exception()!r}" for task in tasks if task.exception()]
    assert not failed, "\n".join(failed)
    for call in calls:
        if not call.customer.record.is_final:
            call.customer.hang_up()
    for call in calls:
        await call.ends()
    return calls


async def survives(servers: Servers, failovers: int, chance: Random) -> None:
    settings = {"workers": 2, "lease_ms": SHORT_LEASE_MS, "CONFERRAL_PREFIX": PREFIX, "CONFERRAL_CONVERT_TIMEOUT": 20}
    async with FaultSystem(servers, **settings) as system:
        with noting(system) as acknowledged:
            await many_talk(system, TALKING)
            calls = []
            for number in range(failovers):
                calls += await calls_survive(system, servers, number, chance)
            await all_hang_up(system, outage_s=AWAY_S)
            await assert_kept(system, calls, acknowledged)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Path:
    """A server before or from Redis 7.2 on."""
    found = {version_of(path) >= LAST_WRITE: path for path in found_programs().values()}
    if (path := found.get(request.param == "later")) is None:
        pytest.skip(f"no server {request.param} than Redis 7.2: name one in {SETTING}")
    return path


both_ages = pytest.mark.parametrize("program", ["earlier", "later"], indirect=True)


@pytest.mark.parametrize(("replicas", "program"), [(1, "earlier"), (2, "earlier"), (1, "later")], indirect=["program"])
async def test_failovers_of_sentinels(program: Path, chance: Random, replicas: int) -> None:
    with (
        SplitNetwork() as network,
        SentinelServers(program, down_after_ms=DOWN_AFTER_MS, network=network, replicas=replicas) as servers,
    ):
        await survives(servers, 4, chance)


async def test_failovers_of_a_cluster(redis_program: Path, chance: Random) -> None:
    with SplitNetwork() as network, ClusterServers(redis_program, network=network) as servers:
        await survives(servers, 6, chance)


@both_ages
async def test_failovers_to_a_replica_behind_one_address(program: Path, chance: Random) -> None:
    with SplitNetwork() as network, PlainServers(program, network) as servers:
        await survives(servers, 3, chance)


async def test_restarts_of_one_server_with_an_append_only_file(redis_program: Path, chance: Random) -> None:
    with LoneServer(redis_program) as servers:
        await survives(servers, 3, chance)
