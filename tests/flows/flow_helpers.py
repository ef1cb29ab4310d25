"""What stories of transfers share: people's addresses, commands with the outcome that is expected, and checks."""

from typing import NamedTuple

import pytest

from offhook import CallHandle
from tests.support.local_system import LocalSystem
from tests.support.people import AGENT, CUSTOMER
from tests.support.people import CAROL as CAROL
from tests.support.people import SECOND as SECOND
from tests.support.people import TARGET as TARGET

#: The longest that a customer may hear nothing between one voice or audio and the next, real seconds: a REST request, a
#: webhook or two, and a margin for a busy machine.
GAP_MAX_S = 0.5
#: Every way in which two came to talk: who called whom, and whether they are in a conference.
STARTS = pytest.mark.parametrize(
    "direction, conferenced",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)
BOTH_DIRECTIONS = pytest.mark.parametrize("direction", ["inbound", "outbound"])


class Talk(NamedTuple):
    """Customer and agent talk to each other."""

    session: str
    customer: CallHandle
    agent: CallHandle


async def talking(system: LocalSystem, direction: str = "inbound", *, conferenced: bool = False) -> Talk:
    """Connects customer and agent, in either direction.

    Args:
        system: Where.
        direction: `inbound`, or `outbound`: the agent is dialed first, by `call`, then the customer.
        conferenced: Whether they are converted as well.
    """
    if direction == "inbound":
        customer, agent = await system.talking()
        talk = Talk(customer.sid, customer, agent)
    else:
        system.answered_by(CUSTOMER)
        session = (await system.done("call", "", agent=AGENT, customer=CUSTOMER)).session
        talk = Talk(session, await system.leg(session, "customer"), await system.leg(session, "agent"))
    if conferenced:
        await system.done("convert", talk.session)
    system.listening.name(customer=talk.customer, agent=talk.agent)
    return talk


async def goes_on_and_ends(system: LocalSystem, customer: CallHandle, agent: CallHandle) -> None:
    """Customer and agent talk as before, until they are hung up."""
    await system.until_talk(customer, agent)
    await system.until(customer.sid, state="conferenced", phase="connected")
    await system.ended_by_command(customer.sid)


async def talks_and_ends(system: LocalSystem, customer: CallHandle, agent: CallHandle, target: CallHandle) -> None:
    """All three talk, until they are hung up."""
    await system.until_hears(target, [customer, agent])
    await system.ended_by_command(customer.sid)
