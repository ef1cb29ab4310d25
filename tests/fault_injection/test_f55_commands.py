"""Commands that are doubled, that contradict each other, or whose ids are no ids."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from conferral.commands import identity
from conferral.storage import command_stream
from tests.fault_injection.calls import all_hang_up, hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.support.command_results import wait_for_result
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
COMMANDS = 12
CHOICES: tuple[dict[str, str], ...] = (
    *({"type": kind, "party": "customer"} for kind in ("hold", "unhold", "mute", "unmute")),
    *({"type": kind, "party": "agent"} for kind in ("hold", "unhold", "mute", "unmute")),
    *({"type": "transfer", "to": TARGET, "mode": mode} for mode in ("warm", "consult")),
    *({"type": kind} for kind in ("convert", "complete", "cancel", "swap", "merge")),
)  # fmt: skip


@pytest.fixture
async def system(redis_server: RedisServer) -> AsyncIterator[FaultSystem]:
    async with FaultSystem(redis_server) as system:
        system.sandbox.phone(TARGET).script(answer_after_s=0.02)
        yield system


async def plays(system: FaultSystem, chance: Random) -> None:
    """Gives commands by chance, all at once, some ids twice; each id has one outcome, its first command's."""
    customer, _ = await system.converted()
    given: dict[str, dict[str, str]] = {}
    pipeline = system.client.pipeline(transaction=True)
    for _ in range(COMMANDS):
        command = {"session": customer.sid, "id": f"{customer.sid[:12]}-{chance.randrange(COMMANDS)}"}
        command |= chance.choice(CHOICES)
        given.setdefault(command["id"], command)
        pipeline.xadd(system.keys.commands, command)
        if chance.random() < 0.3:
            pipeline.xadd(system.keys.commands, command)
    await pipeline.execute()

    found = {name: await wait_for_result(system.client, system.keys, name, 15.0) for name in given}

    for name, outcome in found.items():
        assert outcome.is_final, f"{given[name]}: {outcome}\n{await system.report()}"
        assert outcome.status == "done" or outcome.reason, f"{given[name]}: {outcome}"
        assert outcome.digest == identity.digest_of(given[name]), f"{given[name]} is not what was done"
    won = [given[name] for name, outcome in found.items() if outcome.status != "rejected"]
    assert len([one for one in won if one["type"] == "transfer"]) >= system.sandbox.request_log.dials_to(TARGET)
    await hang_up(system)
    again = {name: await command_stream.read_result(system.client, system.keys, name) for name in given}
    assert again == found, "an outcome is final"


async def test_fault_55_doubled_and_contrary_commands_have_one_outcome_each(
    system: FaultSystem, chance: Random
) -> None:
    await plays(system, chance)
    await all_hang_up(system)
