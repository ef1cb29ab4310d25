"""A replica that lags, hangs, only reads, or is gone, on real servers: what it costs, and what a failover keeps."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from conferral.storage.connection import replication as replication_module
from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.replication import COUNTS_S
from tests.support.ports import HOST, free_port
from tests.support.redis_node import Node, until
from tests.support.replicated_redis import ReplicatedServers, SilentReplica, started
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis
#: Until something that must happen has happened, seconds.
PATIENCE_S = 30.0
WRITERS = 4


@pytest.fixture
async def servers(redis_program: Path, tmp_path: Path) -> AsyncIterator[ReplicatedServers]:
    async with started(redis_program, tmp_path) as one:
        await one.attach()
        yield one


class Writers:
    """Write all the time, each the next key once the last one is acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: list[str] = []
        #: When each write was acknowledged, and how long it took, seconds of the loop, which gives a busy machine time.
        self.took_s: list[tuple[float, float]] = []
        #: The longest by the machine's clock, by which Redis counts, seconds.
        self.longest_s = 0.0
        self.unreplicated = 0

    def note_unreplicated(self) -> None:
        self.unreplicated += 1

    async def write(self, writer: int) -> None:
        now_s, number = asyncio.get_running_loop().time, 0
        while True:
            key, began_s, began_at_s = f"{writer}:{number}", now_s(), time.monotonic()
            await self.client.execute_durably([("SET", key, 1)])
            self.longest_s = max(self.longest_s, time.monotonic() - began_at_s)
            self.acknowledged.append(key)
            self.took_s.append((now_s(), now_s() - began_s))
            number += 1

    async def has_written(self, count: int) -> None:
        """Waits until so many more writes are acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.01)  # polls


@asynccontextmanager
async def writers(servers: ReplicatedServers) -> AsyncIterator[Writers]:
    client = make_client(f"redis://{HOST}:{servers.primary.port}")
    made = Writers(client)
    client.replication.on_unreplicated = made.note_unreplicated
    tasks = [asyncio.create_task(made.write(number)) for number in range(WRITERS)]
    try:
        await made.has_written(1)
        yield made
        failed = [task.exception() for task in tasks if task.done()]
        assert all(isinstance(error, RedisConnectionError) for error in failed), failed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


def assert_kept(servers: ReplicatedServers, keys: list[str]) -> None:
    """The replica is the primary now, and has all of them."""
    with servers.replica.client() as client:
        assert [key for key in keys if not client.exists(key)] == []


async def fails_over(servers: ReplicatedServers, writing: Writers) -> None:
    """The primary dies, and with it what has not arrived: nothing of that was acknowledged."""
    acknowledged = [*writing.acknowledged]
    await asyncio.to_thread(servers.fail_over)
    assert_kept(servers, acknowledged)


async def lags(servers: ReplicatedServers, lag_s: float, lasts_s: float) -> None:
    async with writers(servers) as writing:
        servers.relay.reply_delay_s = lag_s
        await asyncio.sleep(lasts_s)  # a delay: how long it lags
        began_s = asyncio.get_running_loop().time()
        await writing.has_written(2 * WRITERS)
        took_s = [one for at_s, one in writing.took_s if at_s >= began_s]
        assert min(took_s[WRITERS:]) >= 0.9 * lag_s, "each waits for the replica"
        assert writing.unreplicated == 0
        await fails_over(servers, writing)


@pytest.mark.parametrize("lag_s", [0.1, 0.3, 0.5])
async def test_replica_that_lags_delays_writes_by_its_lag(servers, lag_s: float) -> None:
    await lags(servers, lag_s, lasts_s=0.0)


@pytest.mark.soak
@pytest.mark.parametrize("lag_s", [0.1, 0.3, 0.5, 1.0, 3.0])
async def test_replica_that_lags_for_long_delays_writes_by_its_lag(servers, lag_s: float) -> None:
    await lags(servers, lag_s, lasts_s=30.0)


async def test_replica_that_only_reads_delays_nothing(redis_program: Path, tmp_path: Path) -> None:
    async with (
        started(redis_program, tmp_path) as servers,
        SilentReplica(servers.primary),
        writers(servers) as writing,
    ):
        await writing.has_written(100)
        assert servers.waits() == 0
        assert writing.unreplicated >= 100


async def test_another_server_at_the_address_says_nothing_of_a_write(servers) -> None:
    """It may be a replica that is about to take over, or has: it has none of its own."""
    async with Relay(servers.primary.port) as address:
        client = make_client(address.url)
        await client.execute_durably([("SET", "a", 1)])
        servers.lag()
        writing = asyncio.ensure_future(client.execute_durably([("SET", "late", 1)]))
        address.lead_to(servers.replica.port)
        with pytest.raises(RedisConnectionError):
            await writing
        assert not servers.replica.ask("EXISTS", "late")
        await client.aclose()


async def test_one_that_only_reads_is_no_copy(servers) -> None:
    async with SilentReplica(servers.primary), writers(servers) as writing:
        servers.relay.reply_delay_s = 0.3
        await writing.has_written(2 * WRITERS)
        assert writing.unreplicated == 0
        await fails_over(servers, writing)


async def hangs(servers: ReplicatedServers, counts_s: int) -> None:
    """Until it no longer counts, nothing is acknowledged; then work goes on, until it wakes."""
    now_s = asyncio.get_running_loop().time
    async with writers(servers) as writing:
        servers.replica.signal(signal.SIGSTOP)
        hung_at_s = now_s()
        await writing.has_written(2 * WRITERS)
        while not writing.unreplicated:
            await writing.has_written(1)
        assert writing.longest_s > counts_s - 2.5
        assert max(one for at_s, one in writing.took_s if at_s >= hung_at_s) < counts_s + 1.5
        servers.replica.signal(signal.SIGCONT)
        await asyncio.to_thread(until, lambda: servers.info()["slave0"]["lag"] < 1, "it is awake")
        await writing.has_written(2 * WRITERS)
        unreplicated = writing.unreplicated
        await writing.has_written(2 * WRITERS)
        assert writing.unreplicated == unreplicated
        await fails_over(servers, writing)


async def test_replica_that_hangs_delays_writes_until_it_no_longer_counts(servers, monkeypatch) -> None:
    monkeypatch.setattr(replication_module, "COUNTS_S", 3)
    await hangs(servers, 3)


@pytest.mark.soak
async def test_replica_that_hangs_delays_writes_for_up_to_eleven_seconds(servers) -> None:
    await hangs(servers, COUNTS_S)


async def test_what_was_acknowledged_before_a_replica_hung_is_there(servers) -> None:
    async with writers(servers) as writing:
        await writing.has_written(100)
        servers.replica.signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)  # a delay: it doesn't acknowledge, and what is written waits
        acknowledged = [*writing.acknowledged]
        servers.primary.kill()
        servers.replica.signal(signal.SIGCONT)
        await asyncio.to_thread(servers.replica.ask, "REPLICAOF", "NO", "ONE")
        assert_kept(servers, acknowledged)


async def test_replica_whose_machine_is_gone_no_longer_counts(servers, monkeypatch) -> None:
    monkeypatch.setattr(replication_module, "COUNTS_S", 2)
    async with writers(servers) as writing:
        servers.lag()  # its connection stays open, and nothing passes
        while not writing.unreplicated:
            await writing.has_written(1)
        await writing.has_written(100)


async def test_one_of_two_that_hangs_is_not_noticed(servers, redis_program: Path, tmp_path: Path) -> None:
    other = Node(redis_program, tmp_path, free_port(), ["--replicaof", HOST, servers.primary.port])
    await asyncio.to_thread(other.start)
    try:
        await asyncio.to_thread(until, lambda: servers.info().get("slave1", {}).get("offset", 0) > 0, "both follow")
        async with writers(servers) as writing:
            other.signal(signal.SIGSTOP)
            began_s = asyncio.get_running_loop().time()
            await writing.has_written(200)
            assert max(one for at_s, one in writing.took_s if at_s >= began_s) < COUNTS_S - 2
            assert writing.unreplicated == 0
            await fails_over(servers, writing)
    finally:
        other.kill()
