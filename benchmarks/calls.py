"""How many callbacks, events, and REST requests does a call lead to, and how much of Redis's memory does it keep?"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import pinned_redis
from tests.support.local_system import LocalSystem

TARGET = "client:dave"


@dataclass(frozen=True)
class Size:
    """Sample sizes: the counts hardly vary."""

    rounds: int


SIZES = {"full": Size(rounds=5), "quick": Size(rounds=3), "tiny": Size(rounds=1)}


async def _bridged(world: LocalSystem) -> str:
    """A call in which both talk and the agent hangs up."""
    customer, agent = await world.talking()
    agent.hang_up()
    return str(customer.sid)


async def _converted(world: LocalSystem) -> str:
    """The same, moved into a conference in between."""
    customer, agent = await world.talking()
    await _done(world, "convert", customer.sid)
    await world.until(customer.sid, state="conferenced")
    agent.hang_up()
    return str(customer.sid)


async def _transferred(world: LocalSystem) -> str:
    """The same, with a consult that is completed."""
    customer, _ = await world.talking()
    await _done(world, "transfer", customer.sid, to=TARGET, mode="consult")
    await world.until(customer.sid, **{"transfer.status": "consulting"})
    await _done(world, "complete", customer.sid)
    target = await world.agent_leg(customer)
    await world.until(customer.sid, state="conferenced")
    target.hang_up()
    return str(customer.sid)


async def _done(world: LocalSystem, kind: str, session: str, **fields: str) -> None:
    outcome = await world.command(kind, session, **fields)
    assert outcome.status == "done", outcome


KINDS: dict[str, Callable[[LocalSystem], Awaitable[str]]] = {
    "bridged": _bridged, "converted": _converted, "transferred": _transferred,
}  # fmt: skip


async def _memory(world: LocalSystem, session_id: str) -> tuple[int, int]:
    """Return the bytes of an ended session with its log, and those of its entries in the index of calls."""
    client, index = world.client, world.keys.call("")
    names = {key.decode() async for key in client.scan_iter(f"{world.keys.prefix}:*")}  # a scan may repeat keys
    calls = [name for name in names if name.startswith(index) and await client.get(name) == session_id.encode()]
    own = [name for name in names if not name.startswith(index) and name.endswith(f":{session_id}")]

    async def size(found: list[str]) -> int:
        return sum([await client.memory_usage(name, samples=0) for name in found])

    return await size(own), await size(calls)


async def measure(size: Size, _chance: Random) -> Figures:
    """Play each kind of call against the local Twilio, and count."""
    figures = Figures()
    with pinned_redis() as redis:
        async with LocalSystem(redis.url) as world:
            world.sandbox.phone(TARGET).script(answer_after_s=0.02)
            for _ in range(size.rounds):
                for name, play in KINDS.items():
                    ledger = world.sandbox.request_log
                    before = len(ledger.rest), len(ledger.deliveries)
                    session_id = await play(world)
                    await world.settled()
                    figures.add(f"{name}.events", len(await world.log(session_id)))
                    figures.add(f"{name}.requests", len(ledger.rest) - before[0])
                    figures.add(f"{name}.callbacks", len(ledger.deliveries) - before[1])
                    session_bytes, index_bytes = await _memory(world, session_id)
                    figures.add(f"{name}.redis_bytes", session_bytes)
                    figures.add(f"{name}.index_bytes", index_bytes)
    return figures
