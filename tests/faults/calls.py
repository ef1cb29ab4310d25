"""What the tests of faults share: calls that go on while a fault comes, and everybody hanging up in the end."""

import asyncio
from collections.abc import Iterable
from typing import Any

from conferral.sandbox import SandboxCall
from conferral.storage.keys import Keys
from tests.faults.kit import FaultWorld
from tests.faults.laws import assert_laws
from tests.stories.kit import TARGET
from tests.support.phones import answers


async def all_hang_up(world: FaultWorld, **expected: Any) -> None:
    """Everybody hangs up; nothing is left of any call, and every law was kept. `expected` goes to `assert_laws`."""
    await hang_up(world)
    await assert_laws(world, **expected)


async def hang_up(world: FaultWorld) -> None:
    """Everybody hangs up, and nothing is left of any call."""
    for call in world.sandbox.live_calls():
        call.hang_up()
    await world.settled()


async def many_talk(world: FaultWorld, count: int) -> list[tuple[SandboxCall, SandboxCall]]:
    """So many callers, each bridged to an agent's leg."""
    return list(await asyncio.gather(*(world.talking() for _ in range(count))))


async def transferred(world: FaultWorld, customer: SandboxCall) -> SandboxCall:
    """A third person joins customer and agent; returns that leg."""
    world.sandbox.phone(TARGET).in_turn(answers())
    outcome = await world.command("transfer", customer.sid, to=TARGET, mode="warm")
    assert outcome.status == "done", f"{outcome}\n{await world.report()}"
    return await world.leg(customer.sid, "target")


async def dead_reasons(world: FaultWorld) -> list[str]:
    """Why entries were put aside, oldest first."""
    return [fields[b"dead_reason"].decode() for _, fields in await world.client.xrange(world.keys.dead)]


async def nothing_waits(world: FaultWorld) -> bool:
    """Whether no entry is undecided, on any partition's stream or on that of the commands."""
    lengths = [await world.client.xlen(world.keys.events(number)) for number in range(world.keys.partitions)]
    return not sum(lengths) and not await world.client.xlen(world.keys.commands)


def stream_of(keys: Keys, session_id: str) -> str:
    """The stream that a session's entries are on."""
    return keys.events(keys.partition_of(session_id))


def events_of(log: Iterable[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The entries of a session's log that tell of one kind of event."""
    return [entry for entry in log if entry["event"] == name]
