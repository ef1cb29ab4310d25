"""What the processes say is wrong, and whether two people talk all the same."""

import aiohttp

from offhook.call_handle import CallHandle
from tests.support.local_system import LocalSystem


async def readiness(system: LocalSystem) -> tuple[int, list[str]]:
    """What the webhooks answer."""
    async with aiohttp.ClientSession() as session, session.get(f"{system.public_url}/readyz") as response:
        return response.status, (await response.json())["missing"]


async def worker_lacks(system: LocalSystem) -> list[str]:
    return await system.workers[0].problems()


def talk(one: CallHandle, other: CallHandle) -> bool:
    return all(call.hears_now is not None and call.hears_now.parties for call in (one, other))
