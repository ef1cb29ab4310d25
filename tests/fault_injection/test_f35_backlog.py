"""A partition that no one has worked on for long: a million entries wait."""

import asyncio
import time
from pathlib import Path

import pytest

from offhook import CallHandle
from tests.fault_injection.calls import many_talk, stream_of
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.programs import Program, program, until_ready
from tests.support.entries import entry_of
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes, pytest.mark.soak, pytest.mark.timeout(900)]
ENTRIES, AT_ONCE = 1_000_000, 5_000
#: One of so many entries is of a session that goes on.
KNOWN_EVERY = 10
#: For as many as that to be decided on a busy machine.
DRAINED_S = 600.0
#: What a worker may need beyond what it had before the backlog.
GROWS_MAX_KIB = 128 * 1024


async def test_fault_35_million_entries_are_decided_in_order_while_others_continue(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Their partition's own timers wait behind them; those of all others fire on time."""
    async with FaultSystem(redis_server, workers=0, CONFERRAL_LONE_GRACE="1") as system:
        system.end_calls_in_test()
        with program(system, "worker", tmp_path / "first.log") as first:
            (behind, agent), (other, other_agent) = await two_partitions(system)
            await system.done("convert", other.sid)
            before_kib = first.memory_kib()
        await fill(system, behind, agent)
        with program(system, "worker", tmp_path / "second.log") as second:
            await until_ready(system, second)
            # It is decided behind all the others, however long that takes.
            last = asyncio.create_task(system.command("convert", behind.sid, timeout_s=DRAINED_S))
            await goes_on_beside(system, other, other_agent, last)
            assert await oldest_first(system, behind, last)
            assert (await last).status == "done"
            assert second.memory_kib("VmHWM") - before_kib < GROWS_MAX_KIB
            assert system.redirects_of(agent) == 1
            behind.hang_up()
            await system.settled()
            assert_knows_nothing_strange(second)


async def two_partitions(system: FaultSystem) -> tuple[tuple[CallHandle, CallHandle], tuple[CallHandle, CallHandle]]:
    """Two calls whose sessions are in different partitions; the others are hung up."""
    first, *rest = await many_talk(system, 8)
    number = system.keys.partition_of(first[0].sid)
    second = next(talk for talk in rest if system.keys.partition_of(talk[0].sid) != number)
    for talk in rest:
        if talk is not second:
            talk[0].hang_up()
            await system.until(talk[0].sid, state="ended")
    return first, second


async def fill(system: FaultSystem, customer: CallHandle, agent: CallHandle) -> None:
    """Repeated callbacks about the agent's call, and callbacks about calls of unknown sessions."""
    stream, partition = stream_of(system.keys, customer.sid), system.keys.partition_of(customer.sid)
    about = {"party": "agent", "call_sid": agent.sid, "source": agent.sid}
    names = [f"gone-{number}" for number in range(400)]
    forgotten = [name for name in names if system.keys.partition_of(name) == partition]
    for start in range(0, ENTRIES, AT_ONCE):
        pipeline = system.client.pipeline(transaction=False)
        for number in range(start, start + AT_ONCE):
            whose = forgotten[number % len(forgotten)] if number % KNOWN_EVERY else customer.sid
            status = "completed" if number % KNOWN_EVERY else "ringing"
            entry = entry_of("call_progressed", whose, **about, status=status, sequence=100 + number)
            pipeline.xadd(stream, entry)
        await pipeline.execute()
    assert await system.client.xlen(stream) >= ENTRIES


async def goes_on_beside(
    system: FaultSystem, customer: CallHandle, agent: CallHandle, last: "asyncio.Task[object]"
) -> None:
    """A lone party in another partition is disconnected meanwhile, and soon."""
    began_s = time.monotonic()
    agent.hang_up()
    await system.until(customer.sid, state="ended")
    assert not last.done(), "that was behind the backlog, not beside it"
    assert time.monotonic() - began_s < 10


async def oldest_first(system: FaultSystem, customer: CallHandle, last: "asyncio.Task[object]") -> bool:
    """Whether the oldest entry that waits only ever becomes younger."""
    stream, seen = stream_of(system.keys, customer.sid), (0, 0)
    while not last.done():
        entries = await system.client.xrange(stream, count=1)
        if entries:
            milliseconds, number = entries[0][0].decode().split("-")
            assert (int(milliseconds), int(number)) >= seen
            seen = int(milliseconds), int(number)
        await asyncio.sleep(0.05)
    return seen > (0, 0)


def assert_knows_nothing_strange(worker: Program) -> None:
    text = worker.text()
    assert "lease_lost" not in text
    assert "task_failed" not in text
