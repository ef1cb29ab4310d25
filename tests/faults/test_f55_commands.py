"""Commands that are doubled, that contradict each other, or whose ids are no ids."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from conferral.storage import commands
from tests.faults.calls import all_hang_up
from tests.faults.kit import FaultWorld
from tests.stories.kit import TARGET
from tests.support.redis_server import RedisServer
from tests.support.world import AGENT, CUSTOMER

pytestmark = pytest.mark.redis
COMMANDS, ROUNDS = 12, 25
CHOICES: tuple[dict[str, str], ...] = (
    *({"type": kind, "party": "customer"} for kind in ("hold", "unhold", "mute", "unmute")),
    *({"type": kind, "party": "agent"} for kind in ("hold", "unhold", "mute", "unmute")),
    *({"type": "transfer", "to": TARGET, "mode": mode} for mode in ("warm", "consult")),
    *({"type": kind} for kind in ("convert", "complete", "cancel", "swap", "merge")),
)  # fmt: skip


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[FaultWorld]:
    async with FaultWorld(redis_server) as world:
        world.sandbox.phone(TARGET).script(answer_after_s=0.02)
        yield world


async def plays(world: FaultWorld, chance: Random) -> None:
    """Gives commands by chance, all at once, some ids twice; each id has one outcome, its first command's."""
    customer, _ = await world.converted()
    given: dict[str, dict[str, str]] = {}
    pipeline = world.client.pipeline(transaction=True)
    for _ in range(COMMANDS):
        command = {"session": customer.sid, "id": f"{customer.sid[:12]}-{chance.randrange(COMMANDS)}"}
        command |= chance.choice(CHOICES)
        given.setdefault(command["id"], command)
        pipeline.xadd(world.keys.commands, command)
        if chance.random() < 0.3:
            pipeline.xadd(world.keys.commands, command)
    await pipeline.execute()

    found = {name: await commands.wait_for_outcome(world.client, world.keys, name, 15.0) for name in given}

    for name, outcome in found.items():
        assert outcome.is_final, f"{given[name]}: {outcome}\n{await world.report()}"
        assert outcome.status == "done" or outcome.reason, f"{given[name]}: {outcome}"
        assert outcome.digest == commands.digest_of(given[name]), f"{given[name]} is not what was done"
    won = [given[name] for name, outcome in found.items() if outcome.status != "rejected"]
    assert len([one for one in won if one["type"] == "transfer"]) >= world.sandbox.ledger.dials_to(TARGET)
    for call in world.sandbox.live_calls():
        call.hang_up()
    await world.settled()
    again = {name: await commands.outcome(world.client, world.keys, name) for name in given}
    assert again == found, "an outcome is final"


async def test_fault_55_doubled_and_contrary_commands_have_one_outcome_each(world: FaultWorld, chance: Random) -> None:
    await plays(world, chance)
    await all_hang_up(world)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_fault_55_many_rounds_of_doubled_and_contrary_commands(redis_server: RedisServer, chance: Random) -> None:
    for _ in range(ROUNDS):
        async with FaultWorld(redis_server) as world:
            world.sandbox.phone(TARGET).script(answer_after_s=0.02)
            await plays(world, chance)
            await all_hang_up(world)
            await world.client.flushall()


BAD_IDS = ("{0}x", "*", "a b", "a\r\nb", "x" * 65, "é", "[a-z]", "conferral:{0}:lease", "../x", "%7B0%7D")


async def test_fault_56_ids_that_are_none_are_turned_away_and_become_no_key(world: FaultWorld) -> None:
    """A brace would move a key to another slot of a cluster, a star would name them all."""
    customer, agent = await world.converted()
    known = {*await world.client.keys("*")}
    given: list[str] = []
    for number, bad in enumerate(BAD_IDS):
        for command in (
            {"type": "convert", "session": bad, "id": f"session-{number}"},
            {"type": "call", "agent": AGENT, "customer": CUSTOMER, "session": bad, "id": f"new-{number}"},
            {"type": "hold", "session": customer.sid, "party": bad, "id": f"party-{number}"},
            {"type": "add", "session": customer.sid, "to": TARGET, "party": bad, "id": f"add-{number}"},
            {"type": "convert", "session": customer.sid, "id": bad},
        ):
            entry_id = await commands.publish(world.client, world.keys, command)
            given.append(entry_id if command["id"] == bad else command["id"])

    for name in given:
        outcome = await commands.wait_for_outcome(world.client, world.keys, name, 15.0)
        assert (outcome.status, bool(outcome.reason)) == ("rejected", True), f"{name}: {outcome}"

    added = {*await world.client.keys("*")} - known
    assert added <= {world.keys.command(name).encode() for name in given}
    assert world.sandbox.ledger.dials_to(TARGET) == 0
    assert (customer.status, agent.status) == ("in-progress", "in-progress")
    await all_hang_up(world)
