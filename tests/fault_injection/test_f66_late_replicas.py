"""The replica lags, hangs, or only reads, while calls go on: real servers, services in this process."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from conferral.storage.connection.replication import COUNTS_S
from tests.fault_injection.calls import all_hang_up, many_talk
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.flows.readiness import readiness
from tests.support.local_system import AGENT
from tests.support.replicated_redis import ReplicatedServers, SilentReplica, started

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]
#: Durable steps, one after the other, from a callback or a command to what follows, count.
STEPS = 6
#: In which a voice request is answered, whatever Redis does, seconds.
ANSWERED_S = 3.0
SETTINGS = {"CONFERRAL_CONVERT_TIMEOUT": 40, "policy": {"hold_timeout_ms": 15_000, "arrive_timeout_ms": 15_000}}


@pytest.fixture
async def servers(redis_program: Path, tmp_path: Path) -> AsyncIterator[ReplicatedServers]:
    async with started(redis_program, tmp_path) as one:
        yield one


async def calls_go_on(system: FaultSystem, act: Callable[[], None], *, late_s: float) -> None:
    """Something befalls the replica in the middle of a call: it is transferred, another comes in, all end."""
    ((customer, _),) = await many_talk(system, 1)
    act()
    newcomer = await system.customer_calls()
    system.answered_by(TARGET)
    await system.done("transfer", customer.sid, to=TARGET, mode="warm")
    await system.until(customer.sid, **{"transfer.status": "merged"})
    await system.until(newcomer.sid, phase="connected")
    await all_hang_up(system, outage_s=late_s)


def refused(system: FaultSystem) -> list[str]:
    """Callbacks that were answered with an error."""
    attempts = ((entry, attempt) for entry in system.sandbox.request_log.deliveries for attempt in entry.attempts)
    return [f"{entry.url}: {attempt.status}" for entry, attempt in attempts if attempt.status >= 500]


@pytest.mark.parametrize(
    "lag_s", [0.3, pytest.param(1.0, marks=pytest.mark.soak), pytest.param(3.0, marks=pytest.mark.soak)]
)
async def test_fault_66_replica_lags(servers, lag_s: float) -> None:
    await servers.attach()
    async with FaultSystem(servers, **SETTINGS) as system:
        await calls_go_on(system, lambda: setattr(servers.relay, "reply_delay_s", lag_s), late_s=STEPS * lag_s)
        assert refused(system) == []


@pytest.mark.soak
async def test_fault_66_replica_hangs(servers) -> None:
    await servers.attach()
    async with FaultSystem(servers, **SETTINGS) as system:
        await calls_go_on(system, lambda: servers.replica.signal(signal.SIGSTOP), late_s=COUNTS_S + 1)


async def test_fault_66_replica_only_reads(servers) -> None:
    async with SilentReplica(servers.primary), FaultSystem(servers, **SETTINGS) as system:
        await calls_go_on(system, lambda: None, late_s=0.0)
        assert refused(system) == []


async def test_fault_66_callers_are_answered_in_time_while_the_replica_hangs(servers) -> None:
    """The agent rings when Twilio has the TwiML."""
    await servers.attach()
    async with FaultSystem(servers, **SETTINGS) as system:
        servers.replica.signal(signal.SIGSTOP)
        try:
            began_s = system.clock.monotonic_s()
            caller = await system.customer_calls()
            await system.sandbox.wait_until(lambda: bool(system.sandbox.calls_of(AGENT)))
            assert system.clock.monotonic_s() - began_s < ANSWERED_S
        finally:
            servers.replica.signal(signal.SIGCONT)
        await system.until(caller.sid, phase="connected")
        await all_hang_up(system, outage_s=COUNTS_S + 1)


async def test_fault_66_webhooks_say_why_they_are_not_ready_where_a_write_needs_a_replica(
    redis_program: Path, tmp_path: Path
) -> None:
    options = ("--min-replicas-to-write", 1, "--min-replicas-max-lag", 2)
    async with started(redis_program, tmp_path, *options) as servers:
        await servers.attach()
        async with FaultSystem(servers, **SETTINGS) as system:
            assert await readiness(system) == (200, [])
            servers.replica.signal(signal.SIGSTOP)
            try:
                refuses = (503, ["redis: too few replicas (NOREPLICAS)"])
                await system.eventually(lambda: readiness(system), "it says what is wrong", equals=refuses)
            finally:
                servers.replica.signal(signal.SIGCONT)
            await system.eventually(lambda: readiness(system), "ready again", equals=(200, []))
