"""What a worker does while Redis refuses a stream for good, or may evict calls: it goes on, and says so."""

from functools import partial

import pytest
from structlog.testing import capture_logs

from conferral.worker import process
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


async def refuse_entries(system: LocalSystem, how: str, key: str) -> None:
    """From now on, a stream takes no entries."""
    await system.client.delete(key)
    if how == "foreign":
        await system.client.set(key, "another program's")
    else:
        await system.client.xadd(key, {"type": "last"}, id=f"{2**64 - 1}-{2**64 - 1}")


@pytest.mark.parametrize("how", ["foreign", "exhausted"])
async def test_refused_dead_letters_stop_no_partition(system, how):
    customer, agent = await system.talking()
    await refuse_entries(system, how, system.keys.dead)
    streams = [system.keys.events(number) for number in range(system.keys.partitions)]
    with capture_logs() as lines:
        for stream in streams:
            await system.client.xadd(stream, {"type": "nonsense"})
        await system.client.xadd(system.keys.commands, {"odd": "1"})
        assert (await system.command("convert", customer.sid)).status == "done"
        assert system.redirects_of(agent) == 1
        for stream in (*streams, system.keys.commands):
            await system.eventually(partial(is_empty, system, stream), "the bad entry is dropped")
    refused = [line for line in lines if line["event"] == "dead_letter_refused"]
    assert len(refused) == len(streams) + 1
    assert not [line for line in lines if line["event"] in ("lease_lost", "partition_abandoned")]
    metrics = system.workers[0].metrics.registry
    assert metrics.get_sample_value("conferral_writes_refused_total", {"kind": "dead"}) == len(refused)
    assert any(system.keys.dead in line for line in await system.workers[0].warnings())
    await system.ended_by_command(customer.sid)


async def is_empty(system: LocalSystem, stream: str) -> bool:
    return not await system.client.xlen(stream)


async def test_eviction_policy_set_at_run_time_is_noticed(system, monkeypatch):
    monkeypatch.setattr(process, "WARN_EVERY_S", 0.1)
    metrics = system.workers[0].metrics.registry

    async def is_shown(shown: float) -> bool:
        return metrics.get_sample_value("conferral_redis_warnings", {"kind": "eviction"}) == shown

    await system.eventually(partial(is_shown, 0), "all is well")
    await system.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with capture_logs() as lines:
            await system.eventually(partial(is_shown, 1), "the metric shows it")
        assert "maxmemory-policy allkeys-lru" in (await system.workers[0].warnings())[0]
        assert any(line["event"] == "redis_warning" for line in lines)
        assert await system.workers[0].problems() == []
        assert "maxmemory-policy allkeys-lru" in (await system.publisher.redis_warnings())[0]
    finally:
        await system.client.config_set("maxmemory-policy", "noeviction")
