"""A sweep on a cluster: a silent node leaves out its own sessions, and no others."""

import pytest

from conferral.runtime.clock import SystemClock
from conferral.telephony.account_lists import AccountSnapshot
from tests.support.memory_redis import MemoryServer
from tests.support.split_redis import SplitClient
from tests.worker.sweep.sweep_harness import PARTITIONS, SweepHarness


def split(key: str) -> str:
    return "a" if "{0}" in key or "{1}" in key or "sick" in key else "b"


@pytest.fixture
def sea() -> SweepHarness:
    server = MemoryServer(SystemClock().wall_ms)
    sea = SweepHarness(server)
    sea.client = client = SplitClient(server, split)
    client.timeout_s = 0.05
    return sea


def name_in(sea: SweepHarness, partition: int) -> str:
    return next(name for name in map("s{}".format, range(99)) if sea.keys.partition_of(name) == partition)


async def test_sessions_of_healthy_nodes_are_compared_while_a_node_is_silent(sea: SweepHarness) -> None:
    names = [name_in(sea, number) for number in range(PARTITIONS)]
    await sea.store(*(sea.session(name, f"CA-{name}-1", f"CA-{name}-2") for name in names))
    sea.account.account = AccountSnapshot(calls={f"CA-{name}-1" for name in names})

    sea.client.silent = {"a"}
    await sea.sweep()
    sea.client.silent = set()

    reported = {(session, call) for _, session, call, _ in await sea.reported()}
    assert reported >= {(name, f"CA-{name}-2") for name in names[2:]}
    assert not reported & {(name, f"CA-{name}-2") for name in names[:2]}
