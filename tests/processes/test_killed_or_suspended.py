"""A killed worker differs from a suspended one in its connections to Redis: real processes on loopback.

Leases last a minute here, so only closed connections can make another worker take over.
"""

import signal

import pytest

from tests.processes.test_killed_workers import holds_everything, start
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.processes]
LEASE_MS = 60_000


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1) as system:
        system.end_calls_in_test()
        yield system


async def _connection(system: LocalSystem) -> str:
    value = await system.client.hget(system.keys.lease(0), "connection") or b""
    return value.decode().rpartition(":")[2]


async def _holder(system: LocalSystem) -> bytes:
    return await system.client.hget(system.keys.lease(0), "holder") or b""


async def _until_seen(system: LocalSystem, *workers) -> None:
    """Both workers run, and the second has read the first one's connection more than once."""
    await system.eventually(lambda: _count(system, 2), "two workers")
    await system.eventually(lambda: _connection(system), "the lease names a connection")
    await _renewed(system, 6)


async def _count(system: LocalSystem, count: int) -> bool:
    return await system.client.zcard(system.keys.workers) == count


async def _renewed(system: LocalSystem, times: int) -> None:
    for _ in range(times):
        before = await system.client.hget(system.keys.lease(0), "until")

        async def has_changed(before=before) -> bool:
            return await system.client.hget(system.keys.lease(0), "until") != before

        await system.eventually(has_changed, "the lease is renewed")


async def test_killed_worker_is_followed_at_once(system, tmp_path):
    with start(system, tmp_path, "first", lease_ms=LEASE_MS) as first:
        await holds_everything(system)
        with start(system, tmp_path, "second", lease_ms=LEASE_MS) as second:
            customer, agent = await system.talking()
            await _until_seen(system)
            held = await _holder(system)
            first.signal(signal.SIGKILL)
            first.wait()

            async def is_followed() -> bool:
                return await _holder(system) != held

            await system.eventually(is_followed, "the second worker has taken over")
            agent.hang_up()
            session = await system.until(customer.sid, state="ended")
            assert session["end_reason"] == "agent-left", second.text()
            assert "worker_disconnected" in second.text()
            await system.settled()


@pytest.mark.parametrize("paused_s", [2.0])
async def test_suspended_worker_is_not_followed(system, tmp_path, paused_s):
    with start(system, tmp_path, "first", lease_ms=LEASE_MS) as first:
        await holds_everything(system)
        with start(system, tmp_path, "second", lease_ms=LEASE_MS) as second:
            await _until_seen(system)
            held = await _holder(system)
            first.signal(signal.SIGSTOP)
            until_s = system.clock.monotonic_s() + paused_s
            await system.eventually(lambda: system.clock.monotonic_s() >= until_s, "it was suspended for that long")
            assert await _holder(system) == held
            first.signal(signal.SIGCONT)
            await _renewed(system, 3)
            assert await _holder(system) == held
            assert "worker_disconnected" not in second.text()


async def test_worker_whose_connections_are_cut_is_not_followed(system, tmp_path):
    with start(system, tmp_path, "first", lease_ms=LEASE_MS):
        await holds_everything(system)
        with start(system, tmp_path, "second", lease_ms=LEASE_MS) as second:
            await _until_seen(system)
            held, connection = await _holder(system), await _connection(system)
            assert await system.client.client_kill_filter(_id=connection) == 1

            async def is_replaced() -> bool:
                return await _connection(system) not in ("", connection)

            await system.eventually(is_replaced, "the lease names the new connection")
            await _renewed(system, 3)
            assert await _holder(system) == held
            assert "worker_disconnected" not in second.text()
