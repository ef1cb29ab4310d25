"""The desks of a world, each of an agent in a browser: who has one, and that it is there."""

import asyncio
import contextlib

from conferral.runtime.errors import StoreError
from conferral.storage.agents import Agents
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.presence_runs import keep_presence
from conferral.storage.queries.process_registry import REGISTER_EVERY_S
from tests.simulation import random_people
from tests.simulation.plan import Plan


async def webhooks_keep_presence(client: Client, keys: Keys) -> None:
    """Some webhooks process always serves, and says so."""
    while True:
        with contextlib.suppress(StoreError):
            await keep_presence(client, keys)
        await asyncio.sleep(REGISTER_EVERY_S)


async def keep_desks(client: Client, keys: Keys, plan: Plan) -> None:
    """Desks renew the presence of their agents, of whom some take no calls now."""
    agents, chance = Agents(client, keys), plan.chance("desks")
    names = [one.removeprefix("client:") for one in random_people.CLIENTS if chance.random() < plan.desks]
    while True:
        for name in names:
            with contextlib.suppress(StoreError):
                await agents.renew(name, name, "desk", is_ready=chance.random() < 0.8, is_busy=False)
        await asyncio.sleep(10.0)
