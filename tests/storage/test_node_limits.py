"""A silent node of a cluster holds up its own commands and no others. In virtual time."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage.codecs.effect_codec import ExpireCalls, PostCommitWrite, ReportCommand
from conferral.storage.connection.blocking_reads import BlockingReads
from conferral.storage.connection.node_limits import NodeLimits
from conferral.storage.ingest.port import GateClaim
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import PartitionStore
from tests.simulation.virtual_loop import in_virtual_time
from tests.support.memory_redis import MemoryServer
from tests.support.split_redis import SplitClient
from tests.worker.worker_cluster import EPOCH_MS, ClusterClock

KEYS = Keys("test", 2)
SICK = next(name for name in map("sick{}".format, range(9)) if KEYS.partition_of(name) == 0)
WELL = next(name for name in map("well{}".format, range(9)) if KEYS.partition_of(name) == 1)


def split(key: str) -> str:
    return "a" if "{0}" in key or "sick" in key else "b"


@pytest.fixture
def client() -> SplitClient:
    return SplitClient(MemoryServer(lambda: EPOCH_MS), split)


async def ignoring_silence(work: Awaitable[Any]) -> None:
    try:
        await work
    except StoreUnreachableError:
        return


@in_virtual_time
async def test_concurrent_commands_per_node_are_limited(client, loop) -> None:
    limits, at, most = NodeLimits(client, 3), {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def use(key: str) -> None:
        async with limits.permit(key):
            at[split(key)] += 1
            most[split(key)] = max(most[split(key)], at[split(key)])
            await asyncio.sleep(1)  # a delay: virtual time passes
            at[split(key)] -= 1

    began_s = loop.time()
    await asyncio.gather(*(use(key) for key in ["sick"] * 9 + ["well"] * 9))
    assert most == {"a": 3, "b": 3}
    assert loop.time() - began_s == pytest.approx(3.0)


@in_virtual_time
async def test_node_that_owes_an_answer_is_slow_until_it_has_answered(client) -> None:
    limits = NodeLimits(client, 3)
    await asyncio.sleep(1)  # a delay: virtual time passes
    async with limits.permit("sick"):
        assert not limits.is_slow("sick", 0.25)
        await asyncio.sleep(0.25)  # a delay: virtual time passes
        async with limits.permit("sick"):
            assert limits.is_slow("sick", 0.25)
        assert limits.any_is_slow(0.25)
        assert not limits.is_slow("well", 0.25)
    assert not limits.any_is_slow(0.25)


@in_virtual_time
async def test_gates_on_healthy_nodes_are_claimed_at_once_while_a_node_is_silent(client, loop) -> None:
    publisher = BatchingIngest(client, KEYS, ClusterClock(loop, 1_000.0))
    client.silent = {"a"}
    silent = [
        asyncio.ensure_future(ignoring_silence(publisher.claim_gate(SICK, f"d{number}", f"CA{number}")))
        for number in range(20)
    ]
    await asyncio.sleep(0.1)  # a delay: virtual time passes
    began_s = loop.time()
    claims = [await publisher.claim_gate(WELL, f"d{number}", f"CA{number}") for number in range(10)]
    assert claims == [GateClaim.OURS] * 10
    assert loop.time() - began_s < 0.1
    await asyncio.gather(*silent)
    await publisher.close()


def writes_for_a_sick_and_a_healthy_node(number: int) -> tuple[PostCommitWrite, PostCommitWrite]:
    def report_of(name: str) -> ReportCommand:
        return ReportCommand(name, CommandReport(f"{name}-{number}", CommandStatus.DONE, ""))

    if number % 2:
        return report_of(SICK), report_of(WELL)
    return ExpireCalls(SICK, (f"CA-well-{number}", f"CA-sick-{number}")), ExpireCalls(WELL, (f"CA-well-{number}",))


@in_virtual_time
async def test_writes_for_healthy_nodes_are_done_at_once_while_a_node_is_silent(client, loop) -> None:
    access = PartitionStore(client, BlockingReads(client), KEYS)
    client.silent = {"a"}
    writes = [writes_for_a_sick_and_a_healthy_node(number) for number in range(128)]
    silent = [
        asyncio.ensure_future(ignoring_silence(access.finish_write(0, sick, session_ttl_s=60))) for sick, _ in writes
    ]
    await asyncio.sleep(0.1)  # a delay: virtual time passes
    began_s = loop.time()
    await asyncio.gather(*(access.finish_write(1, well, session_ttl_s=60) for _, well in writes))
    assert loop.time() - began_s < 0.1
    await asyncio.gather(*silent)


@in_virtual_time
async def test_post_commit_writes_at_one_node_are_bounded(client) -> None:
    access = PartitionStore(client, BlockingReads(client), KEYS)
    client.silent = {"a"}
    silent = [
        asyncio.ensure_future(ignoring_silence(access.finish_write(0, sick, session_ttl_s=60)))
        for sick, _ in map(writes_for_a_sick_and_a_healthy_node, range(128))
    ]
    await asyncio.sleep(1)  # a delay: virtual time passes
    assert len(client.unanswered) == 32
    await asyncio.gather(*silent)


@in_virtual_time
async def test_health_checks_have_a_connection_of_their_own(client, loop) -> None:
    probing = SplitClient(client.server, split)
    publisher = BatchingIngest(client, KEYS, ClusterClock(loop, 1_000.0), probe_client=probing)
    client.silent = {"a", "b"}
    assert await publisher.redis_error() == ""
    client.silent, probing.silent = set(), {"a", "b"}
    assert await publisher.redis_error() == "no answer"
    await publisher.close()
