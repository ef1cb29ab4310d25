"""Two operators give commands at once: each command has one outcome, and no one is dialed twice."""

import asyncio

import pytest

from tests.flows.flow_helpers import SECOND, TARGET

pytestmark = [pytest.mark.redis, pytest.mark.system(answered_by=[TARGET, SECOND])]
CONSULT = (("transfer", {"to": TARGET, "mode": "consult"}), ("swap", {}), ("merge", {}), ("complete", {}))


async def test_same_command_given_twice_is_carried_out_once(system):
    """With one id it is one command, with one answer; with another id it is another, which comes too late."""
    customer, _ = await system.converted()
    for kind, fields in CONSULT:
        twice = [system.command(kind, customer.sid, id=f"the-{kind}", **fields) for _ in range(2)]
        one, other = await asyncio.gather(*twice)
        assert one == other
        assert one.status == "done"
    assert system.dials_to(TARGET) == 1
    again = await system.command("complete", customer.sid)
    assert again.status == "rejected"
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
