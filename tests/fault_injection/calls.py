"""Shared by the tests of faults: calls that continue during a fault, and the end, when everyone hangs up."""

import asyncio
from collections.abc import Iterable
from typing import Any

from conferral.storage.keys import Keys
from offhook import CallHandle
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.invariants import assert_invariants
from tests.flows.flow_helpers import TARGET


async def all_hang_up(system: FaultSystem, **expected: Any) -> None:
    """Everyone hangs up; no call is left, and every invariant held. `expected` goes to `assert_invariants`."""
    await hang_up(system)
    await assert_invariants(system, **expected)


async def hang_up(system: FaultSystem) -> None:
    """Everyone hangs up, and no call is left."""
    for call in system.sandbox.live_calls():
        if not call.record.is_final:  # as the call of the other party that was just hung up
            call.hang_up()
    await system.settled()


async def many_talk(system: FaultSystem, count: int) -> list[tuple[CallHandle, CallHandle]]:
    """So many callers, each bridged to an agent's leg."""
    return list(await asyncio.gather(*(system.talking() for _ in range(count))))


async def transferred(system: FaultSystem, customer: CallHandle) -> CallHandle:
    """A third person joins customer and agent; returns that leg."""
    system.answered_by(TARGET)
    await system.done("transfer", customer.sid, to=TARGET, mode="warm")
    return await system.leg(customer.sid, "target")


async def dead_reasons(system: FaultSystem) -> list[str]:
    """Why entries were dead-lettered, oldest first."""
    return [fields[b"dead_reason"].decode() for _, fields in await system.client.xrange(system.keys.dead)]


async def nothing_waits(system: FaultSystem) -> bool:
    """Whether no entry is undecided, on any partition's stream or on that of the commands."""
    lengths = [await system.client.xlen(system.keys.events(number)) for number in range(system.keys.partitions)]
    return not sum(lengths) and not await system.client.xlen(system.keys.commands)


def stream_of(keys: Keys, session_id: str) -> str:
    """The stream that a session's entries are on."""
    return keys.events(keys.partition_of(session_id))


def events_of(log: Iterable[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The entries of a session's log about one kind of event."""
    return [entry for entry in log if entry["event"] == name]
