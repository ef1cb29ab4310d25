"""The router on a cluster: a silent node holds up its own commands and no others. In virtual time."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.sandbox import ACCOUNT_SID
from conferral.storage import config
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.worker import router as command_router
from tests.simulation.virtual_loop import VirtualLoop
from tests.support.entries import event_in
from tests.support.memory_redis import MemoryServer
from tests.support.split_redis import SplitClient
from tests.worker.test_command_router import Routing
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import EPOCH_MS, ClusterClock

KEYS = Keys("test", 2)
#: One session in each partition.
SICK = next(name for name in map("sick{}".format, range(9)) if KEYS.partition_of(name) == 0)
WELL = next(name for name in map("well{}".format, range(9)) if KEYS.partition_of(name) == 1)


def split(key: str) -> str:
    """Partition 0 and what is named after it lie on node a, the limits of dials on node c, all else on node b."""
    return "c" if "{dials}" in key else "a" if "{0}" in key or "sick" in key else "b"


class Cluster(Routing):
    """A router on these nodes, in virtual time."""

    client: SplitClient

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        server = MemoryServer(lambda: EPOCH_MS + round(loop.time() * 1000))
        clients = SplitClient(server, split), SplitClient(server, split, blocking=True)
        super().__init__(*clients, KEYS, ClusterClock(loop, 1_000.0))
        self.limits = DialLimits(self.client, KEYS, per_session=30)
        self.stop = asyncio.Event()

    async def publish(self, command_id: str, session: str = WELL, type: str = "end", **fields: str) -> None:  # noqa: A002
        await self.client.xadd(KEYS.commands, {"type": type, "session": session, "id": command_id, **fields})

    async def tokens(self, session: str) -> list[str]:
        """The ids of the commands on a session's partition, in order; asked past the silence."""
        silent, self.client.silent = self.client.silent, set()
        try:
            entries = await self.client.xrange(KEYS.events(KEYS.partition_of(session)))
        finally:
            self.client.silent = silent
        return [event_in(fields).token for _, fields in entries]

    async def until_routed(self, session: str, *ids: str) -> float:
        """When the commands are on the session's partition, seconds from now."""
        began_s = self.loop.time()
        async with asyncio.timeout(120):
            while not set(ids) <= set(await self.tokens(session)):
                await asyncio.sleep(0.01)
        return self.loop.time() - began_s


@asynccontextmanager
async def routing_cluster(loop: VirtualLoop) -> AsyncIterator[Cluster]:
    """A cluster with both sessions, whose router has routed a first command."""
    cluster = Cluster(loop)
    await config.ensure(cluster.client, "test", 2, account_sid=ACCOUNT_SID)
    for session in (SICK, WELL):
        await cluster.client.hset(KEYS.session(session), mapping={"id": session, "version": "1"})
    running = asyncio.create_task(cluster.router().run(cluster.stop))
    await cluster.publish("first")
    await cluster.until_routed(WELL, "first")
    yield cluster
    cluster.stop.set()
    await running


with_cluster = in_virtual_time_with("cluster", routing_cluster)


@with_cluster
async def test_commands_for_healthy_nodes_continue_while_another_node_is_silent(cluster: Cluster) -> None:
    cluster.client.silent = {"a"}
    for number in range(300):
        await cluster.publish(f"c{number}", SICK)
    for number in range(20):
        await cluster.publish(f"d{number}")
        # At most two timeouts of a command: one may be running.
        assert await cluster.until_routed(WELL, f"d{number}") < 5.0
    assert await cluster.tokens(SICK) == []
    cluster.client.silent = set()
    await cluster.until_routed(SICK, *(f"c{number}" for number in range(300)))
    assert await cluster.tokens(SICK) == [f"c{number}" for number in range(300)], "in order, each once"
    assert await cluster.client.xlen(KEYS.commands) == 0


@with_cluster
async def test_commands_that_dial_no_one_continue_while_the_node_with_the_limits_is_silent(cluster: Cluster) -> None:
    sessions = [f"order{number}" for number in range(20)]
    for session in sessions:
        await cluster.client.hset(KEYS.session(session), mapping={"id": session, "version": "1"})
    cluster.client.silent = {"c"}
    for session in sessions:
        await cluster.publish(f"dial-{session}", session, "transfer", to="client:bob", mode="warm")
    await cluster.publish("d1")
    # At most two timeouts of a command: one may be running.
    assert await cluster.until_routed(WELL, "d1") < 5.0
    assert await cluster.tokens(sessions[-1]) == []
    cluster.client.silent = set()
    for session in sessions:
        await cluster.until_routed(session, f"dial-{session}")


@pytest.mark.parametrize("broken", ["claim", "events"])
@with_cluster
async def test_command_that_met_a_silent_node_is_routed_once_when_it_answers(cluster: Cluster, broken: str) -> None:
    command_id = "sick-claim" if broken == "claim" else "c1"
    cluster.client.silent = {"a"}
    await cluster.publish(command_id, WELL if broken == "claim" else SICK)
    await cluster.publish("later", WELL)
    if broken == "events":
        assert await cluster.until_routed(WELL, "later") < 5.0
    else:
        await asyncio.sleep(5)  # a delay: virtual time passes
        assert "later" not in await cluster.tokens(WELL), "a session's commands keep their order"
    cluster.client.silent = set()
    session = WELL if broken == "claim" else SICK
    await cluster.until_routed(session, command_id)
    await cluster.until_routed(WELL, "later")
    tokens = await cluster.tokens(session)
    assert tokens.count(command_id) == 1
    assert (await cluster.tokens(WELL))[-1] == "later"


@with_cluster
async def test_commands_of_one_session_keep_their_order_however_they_name_it(cluster: Cluster) -> None:
    call = "CA" + "1" * 32
    await cluster.client.set(KEYS.call(call), WELL)
    pipeline = cluster.client.pipeline(transaction=True)
    for number in range(50):
        fields = {"type": "end", "session": call if number % 3 else WELL, "id": f"c{number}"}
        pipeline.xadd(KEYS.commands, fields)
    delays_s = itertools.cycle((0.003, 0.0, 0.001, 0.005, 0.002))
    cluster.client.server.latency = lambda _command: (next(delays_s), 0.001)
    await pipeline.execute()
    await cluster.until_routed(WELL, *(f"c{number}" for number in range(50)))
    assert (await cluster.tokens(WELL))[1:] == [f"c{number}" for number in range(50)]


@with_cluster
async def test_error_that_no_code_foresaw_costs_one_command(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = command_router.resolve_destinations

    def fail(parsed: Any, *given: Any) -> Any:
        if parsed.session == SICK:
            raise ZeroDivisionError
        return resolve(parsed, *given)

    monkeypatch.setattr(command_router, "resolve_destinations", fail)
    with capture_logs() as lines:
        await cluster.publish("c1", SICK)
        await cluster.publish("c2")
        await cluster.until_routed(WELL, "c2")
    assert await cluster.client.xlen(KEYS.dead) == 1
    outcome = await cluster.client.hmget(KEYS.command("c1"), "status", "reason")
    assert outcome == [b"failed", b"dead-lettered: unexpected ZeroDivisionError"]
    assert any(line["event"] == "unexpected_error" for line in lines)
    assert await cluster.client.xlen(KEYS.commands) == 0
