"""Redis's primary is lost or replaced in the middle of consults and dials: they go on at the next one.

The Sentinels, the replicas, and the nodes are real; services run in this process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.effects import CreateCall
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from conferral.worker.partition.effects import WRITES_LOST
from offhook import CallHandle
from tests.fault_injection.calls import all_hang_up, many_talk
from tests.fault_injection.fault_system import SHORT_LEASE_MS, FaultSystem
from tests.support.failovers import Servers, hand_over, kill, move_slot
from tests.support.metric_values import value_of
from tests.support.people import AGENT_PHONE
from tests.support.phones import presses
from tests.support.redis_cluster import PREFIX, ClusterServers
from tests.support.redis_plain import LoneServer, PlainServers
from tests.support.redis_sentinels import SentinelServers
from tests.support.split_network import SplitNetwork

pytestmark = [pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(180)]
#: How long it takes at most until a replica has taken over, and the lost writes were searched for, seconds.
AWAY_S = 15.0
#: How long a slow failover takes, seconds.
FAILOVER_S = 8.0
#: Of effects.
RESULTS = ("succeeded", "failed", "unknown")


@dataclass
class Consult:
    """One call with a consult; its commands have ids of their own."""

    system: FaultSystem
    number: int
    customer: CallHandle
    agent: CallHandle
    target: CallHandle

    @classmethod
    async def rings(cls, system: FaultSystem, number: int) -> "Consult":
        """The target's phone rings."""
        address = f"client:target_{number}"
        system.not_answered_by(address)
        customer, agent = await system.talking()
        await system.begins("transfer", customer.sid, id=f"t{number}", to=address, mode="consult")
        return cls(system, number, customer, agent, await system.dialed(address))

    async def is_answered(self) -> None:
        """The agent talks to the target."""
        self.target.answer()
        await self.system.until_talk(self.agent, self.target)

    async def completes(self) -> CommandResult:
        """Completes the transfer as an operator does: repeats the command, with its id, until its outcome is final."""
        given = {"type": "complete", "session": self.customer.sid, "id": f"c{self.number}"}
        while True:
            with suppress(StoreUnreachableError):
                await command_stream.publish(self.system.client, self.system.keys, given)
                outcome = await command_stream.read_result(self.system.client, self.system.keys, given["id"])
                if outcome.is_final:
                    return outcome
            await asyncio.sleep(0.02)


async def consults_are_completed(servers: Servers, replace: Callable[[Any], Awaitable[None]]) -> FaultSystem:
    """Replaces the primary while a target rings, while one talks, and while a third consult is being completed."""
    async with FaultSystem(
        servers, workers=2, lease_ms=SHORT_LEASE_MS, CONFERRAL_PREFIX=PREFIX, CONFERRAL_CONVERT_TIMEOUT=20
    ) as system:
        ringing, talking, completing = [await Consult.rings(system, number) for number in range(3)]
        await talking.is_answered()
        await completing.is_answered()
        completed = asyncio.create_task(completing.completes())
        await replace(servers)
        newcomer = await system.customer_calls()
        await ringing.is_answered()
        outcomes = [await completed, *await asyncio.gather(ringing.completes(), talking.completes())]
        assert [one.status for one in outcomes] == ["done"] * 3
        for one in (ringing, talking, completing):
            await system.until_talk(one.customer, one.target)
            assert system.dials_to(f"client:target_{one.number}") == 1
            assert (await system.result_of(f"t{one.number}")).status == "done"
        await system.until(newcomer.sid, phase="connected")
        await all_hang_up(system, outage_s=AWAY_S)
        return system


@pytest.fixture
def sentinels(redis_program: Path) -> Iterator[SentinelServers]:
    with SentinelServers(redis_program) as servers:
        yield servers


@pytest.fixture
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program) as servers:
        yield servers


@pytest.mark.soak
async def test_fault_31_primary_dies_and_sentinels_promote_a_replica(sentinels: SentinelServers) -> None:
    await consults_are_completed(sentinels, kill)


@pytest.mark.soak
async def test_fault_31_primary_of_a_cluster_dies(cluster: ClusterServers) -> None:
    await consults_are_completed(cluster, kill)


async def test_fault_31_primary_of_a_cluster_hands_over(cluster: ClusterServers) -> None:
    system = await consults_are_completed(cluster, hand_over)
    assert refused(system) == []


@pytest.mark.soak
async def test_fault_30_slot_moves_to_another_node(cluster: ClusterServers) -> None:
    await consults_are_completed(cluster, move_slot)


# ---- what lost nothing changes nothing -------------------------------------------------------------------------------


@pytest.fixture(params=["failover", "restart"])
def plain(request: pytest.FixtureRequest, redis_program: Path) -> Iterator[PlainServers | LoneServer]:
    with ExitStack() as ending:
        if request.param == "restart":
            yield ending.enter_context(LoneServer(redis_program))
        else:
            yield ending.enter_context(PlainServers(redis_program, ending.enter_context(SplitNetwork())))


@pytest.mark.soak
async def test_fault_31_dial_that_was_asked_for_before_a_long_failover_rings_after_it(
    plain: PlainServers | LoneServer,
) -> None:
    """The dial to the gate is committed, and its mark is not. No session reads Twilio."""
    former, is_down = plain.primary(), asyncio.Event()
    settings = {"CONFERRAL_PREFIX": PREFIX, "CONFERRAL_CONFIRM": "phones", "CONFERRAL_SWEEP_INTERVAL": 600}
    system = FaultSystem(plain, workers=2, **settings)

    async def go_down(point: str, partition: int) -> None:
        if point == "after_commit" and not is_down.is_set():
            effects = await system.client.hvals(system.keys.outbox(partition))
            if any(CreateCall.kind.encode() in effect for effect in effects):
                former.kill()
                is_down.set()

    system.worker_options["checkpoint"] = go_down
    async with system:
        talking = await many_talk(system, 5)
        customer, agent = await system.converted()
        await system.nothing_under_way()
        system.sandbox.phone(AGENT_PHONE).script_in_turn(presses("1"))
        given = {"type": "transfer", "session": customer.sid, "id": "t", "to": AGENT_PHONE, "mode": "warm"}
        await command_stream.publish(system.client, system.keys, given)
        await is_down.wait()
        before = reads(system)
        await asyncio.sleep(FAILOVER_S)  # a delay: how long the failover takes
        assert system.dials_to(AGENT_PHONE) == 0
        await asyncio.to_thread(plain.wait_until_replaced, former)
        await asyncio.to_thread(plain.restore)
        target = await system.dialed(AGENT_PHONE)
        assert reads(system) == before
        await system.until_hears(customer, [agent, target])
        assert (await system.result_of("t")).status == "done"
        assert system.dials_to(AGENT_PHONE) == 1
        assert not sum(value_of(one.metrics.sweep_findings.labels(WRITES_LOST)) for one in system.workers)
        for one, other in talking:
            await system.until_talk(one, other)
        await all_hang_up(system, outage_s=FAILOVER_S)


def reads(system: FaultSystem) -> float:
    """How many reads of sessions the workers have sent (count)."""
    counters = (one.metrics.effects.labels("read_calls", result) for one in system.workers for result in RESULTS)
    return sum(map(value_of, counters))


def refused(system: FaultSystem) -> list[tuple[str, int]]:
    """Requests of Twilio's that webhooks answered with an error, or not at all."""
    return [
        (entry.url, attempt.status)
        for entry in system.sandbox.request_log.deliveries
        for attempt in entry.attempts
        if attempt.status >= 500 or not attempt.status
    ]
