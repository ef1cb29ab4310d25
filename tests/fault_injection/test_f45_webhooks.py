"""A flood of requests that no one of ours has signed."""

import asyncio

import aiohttp
import pytest
from yarl import URL

from conferral.sandbox.request_log import DeliveryEntry
from tests.fault_injection.calls import all_hang_up, nothing_waits
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.programs import signed

pytestmark = pytest.mark.redis
AT_ONCE = 64


async def callback_of(system: FaultSystem) -> DeliveryEntry:
    """A callback of a call that goes on, as it was delivered."""
    _, agent = await system.talking()
    await system.sandbox.wait_until_idle()
    await system.eventually(lambda: nothing_waits(system), "everything is decided upon")
    return next(entry for entry in system.sandbox.request_log.deliveries if entry.call_sid == agent.sid)


async def answered(session: aiohttp.ClientSession, base: str, target: str, body: bytes, headers: dict[str, str]) -> int:
    async with session.post(URL(base + target, encoded=True), data=body, headers=headers) as response:
        return response.status


async def test_fault_45_flood_with_wrong_signatures_stores_nothing_and_delays_no_one(system: FaultSystem) -> None:
    seen = await callback_of(system)
    wrong = signed(system, seen.url, dict(seen.params), token="another program's")
    stored = await appended(system)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        flood = asyncio.gather(*(answered(session, system.public_url, *wrong) for _ in range(300)))
        assert (await appended(system)) == stored
        customer, _ = await system.converted()
        assert set(await flood) == {403}

    assert (await system.session(customer.sid))["state"] == "conferenced"
    await all_hang_up(system)
    rejected = system.metrics.registry.get_sample_value(
        "conferral_webhook_request_seconds_count", {"route": "/callbacks/call", "status": "403"}
    )
    assert rejected == 300


async def appended(system: FaultSystem) -> int:
    """Entries that are on the streams (count)."""
    return sum([await system.client.xlen(system.keys.events(number)) for number in range(system.keys.partitions)])
