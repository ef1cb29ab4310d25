"""Stops under load: of the webhooks, and of workers with requests under way."""

import asyncio
import secrets
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from offhook import CallHandle
from offhook.request_log import DeliveryEntry
from tests.fault_injection.calls import all_hang_up, many_talk, nothing_waits
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.programs import program, signed, until_ready
from tests.support.entries import event_in

pytestmark = [pytest.mark.redis, pytest.mark.soak, pytest.mark.timeout(240)]
STOPS, SENDERS = 3, 16


@pytest.mark.system(workers=0)
async def test_fault_48_webhooks_that_are_stopped_under_load_have_stored_what_they_answered(
    system: FaultSystem, tmp_path: Path
) -> None:
    """No worker is there, so everything that was ever answered has to be on the streams in the end."""
    customer = await system.customer_calls()
    await system.sandbox.wait_until(lambda: of_agent(system, customer))
    for number in range(STOPS):
        answered: set[str] = set()
        with program(system, "webhooks", tmp_path / f"{number}.log") as webhooks:
            await until_ready(system, webhooks)
            async with aiohttp.ClientSession() as session:
                load = asyncio.gather(
                    *(sends(system, session, webhooks.url, customer, answered) for _ in range(SENDERS))
                )
                while len(answered) < 20 * SENDERS:
                    await asyncio.sleep(0.01)
                began_s = time.monotonic()
                webhooks.process.send_signal(signal.SIGTERM)
                assert await webhooks.ends() == 0, webhooks.text()
                took_s = time.monotonic() - began_s
                await load
        assert not answered - await stored_calls(system), "answered and not stored"
        assert took_s <= 10
    system.start_worker()
    await system.eventually(lambda: nothing_waits(system), "everything is decided upon")
    await system.until(customer.sid, phase="connected")
    await system.done("convert", customer.sid)
    await all_hang_up(system)


def of_agent(system: FaultSystem, customer: CallHandle) -> list[DeliveryEntry]:
    """Callbacks of the agent's leg."""
    deliveries = system.sandbox.request_log.deliveries
    return [entry for entry in deliveries if entry.kind == "call" and entry.call_sid != customer.sid]


async def sends(
    system: FaultSystem, session: aiohttp.ClientSession, base: str, customer: CallHandle, answered: set[str]
) -> None:
    """Sends callbacks about calls of an unknown session until no process listens; records which were answered."""
    seen = of_agent(system, customer)[0]
    while True:
        call_sid, unknown = f"CA{secrets.token_hex(16)}", f"CA{secrets.token_hex(16)}"
        form = dict(seen.params) | {"CallSid": call_sid, "ParentCallSid": unknown, "CallStatus": "completed"}
        target, body, headers = signed(system, seen.url.replace(customer.sid, unknown), form)
        try:
            async with session.post(URL(base + target, encoded=True), data=body, headers=headers) as response:
                if response.status == 204:
                    answered.add(call_sid)
        except aiohttp.ClientConnectorError:
            return
        except aiohttp.ClientError:
            continue  # it was not answered


async def stored_calls(system: FaultSystem) -> set[str]:
    """SIDs of the calls in the streams' entries."""
    found: set[str] = set()
    for number in range(system.keys.partitions):
        entries = await system.client.xrange(system.keys.events(number))
        found |= {getattr(event_in(fields), "call_sid", "") for _, fields in entries}
    return found


@pytest.mark.system(CONFERRAL_CONVERT_TIMEOUT=20)
async def test_fault_49_worker_that_is_stopped_with_a_request_under_way_leaves_it_to_the_next(
    system: FaultSystem,
) -> None:
    """Twilio takes half a minute: the stop does not wait for it, and nothing is asked for twice.

    While the two talk, a second redirect could meet the first one's late effect, so the conversion fails.
    """
    (customer, agent), (leaving, _) = await many_talk(system, 2)
    await system.done("convert", leaving.sid)
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=30.0)
    system.sandbox.faults.next_rest("POST", "/Conferences/*", latency_s=30.0, Status="completed")
    convert = await system.begins("convert", customer.sid)
    end = await system.begins("end", leaving.sid)
    await system.sandbox.wait_until(lambda: len(under_way(system)) == 2)

    began_s = system.clock.monotonic_s()
    assert await system.stop_worker() == 0
    took_s = system.clock.monotonic_s() - began_s

    assert took_s < 10
    left = [await system.client.hlen(system.keys.outbox(number)) for number in range(system.keys.partitions)]
    assert sum(left) >= 1, "what has no outcome stands in the outbox"
    system.start_worker()
    assert [(await system.result_of(one)).status for one in (convert, end)] == ["failed", "done"]
    await system.done("convert", customer.sid)
    assert system.redirects_of(agent) == 1
    await all_hang_up(system)


def under_way(system: FaultSystem) -> list[str]:
    """Requests that Twilio has not answered."""
    return [
        entry.path for entry in system.sandbox.request_log.rest if entry.fault == "latency" and not entry.duration_ms
    ]
