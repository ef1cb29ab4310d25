"""What the webhooks have to stand: floods, sly requests, and days without Redis."""

import asyncio
import contextlib
import gzip
import sys
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from conferral.sandbox.request_log import DeliveryEntry
from tests.fault_injection.calls import all_hang_up, nothing_waits
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.programs import FORM_TYPE, Program, program, signed, until_ready

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


# ---- sly requests ----------------------------------------------------------------------------------------------------

MIB = 2**20
ROUNDS = 6


def head(target: str, *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: example.com", f"Content-Type: {FORM_TYPE}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def raw(webhooks: Program, *parts: bytes, pause_s: float = 0.0) -> int:
    """Sends bytes as they are; the status that is answered, 0 when the connection is cut without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", webhooks.port)
    try:
        with contextlib.suppress(ConnectionError):  # an answer may be there all the same
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)  # a delay: how long the client pauses
        line = await asyncio.wait_for(reader.readline(), 100)
        return int(line.split()[1]) if line else 0
    except (ConnectionError, TimeoutError):
        return 0
    finally:
        writer.close()


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_fault_46_sly_requests_are_refused_and_cost_no_memory(system: FaultSystem, tmp_path: Path) -> None:
    """10 MiB, a bomb, 10,000 fields, two hosts, trailers, and bodies and heads that trickle in.

    Each is answered so, or the connection is cut before the answer can be read.
    """
    seen = await callback_of(system)
    target, body, headers = signed(system, seen.url, dict(seen.params))
    signature = f"X-Twilio-Signature: {headers['X-Twilio-Signature']}"
    length = f"Content-Length: {len(body)}"
    chunked = "Transfer-Encoding: chunked"
    bomb = gzip.compress(bytes(50 * MIB))
    fields = b"&".join(b"a%d=" % number for number in range(10_000))
    trailers = b"0\r\n" + b"".join(b"X-T%d: %s\r\n" % (number, b"x" * 4_000) for number in range(2_000)) + b"\r\n"
    requests: dict[str, tuple[tuple[bytes, ...], set[int]]] = {
        "10 MiB said": ((head(target, signature, f"Content-Length: {10 * MIB}"),), {413}),
        "10 MiB sent": ((head(target, signature, f"Content-Length: {10 * MIB}"), bytes(10 * MIB)), {413}),
        "10 MiB in chunks": ((head(target, signature, chunked), *[chunk(bytes(65_536))] * 160), {413}),
        "bomb": ((head(target, signature, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"), bomb), {403, 413}),
        "10 MiB without a signature": ((head(target, f"Content-Length: {10 * MIB}"), bytes(10 * MIB)), {403}),
        "10,000 fields": ((head(target, signature, f"Content-Length: {len(fields)}"), fields), {413}),
        "two hosts": ((head(target, "Host: evil.example", signature, length), body), {400}),
        "two lengths": ((head(target, signature, length, "Content-Length: 3"), body), {400}),
        "length and chunks": ((head(target, signature, length, chunked), chunk(body), b"0\r\n\r\n"), {400}),
        "trailers": ((head(target, signature, chunked), chunk(body), trailers), {204, 400, 408}),
        "long header": ((head(target, "X-Long: " + "x" * MIB, signature, length), body), {400}),
        "many headers": ((head(target, *(f"X-{number}: x" for number in range(10_000)), length), body), {400}),
    }
    with program(system, "webhooks", tmp_path / "webhooks.log") as webhooks:
        await until_ready(system, webhooks)
        assert await raw(webhooks, head(target, signature, length) + body) == 204
        memory_kib = [webhooks.memory_kib()]
        # What trickles in goes on next to all the others.
        slow_body = asyncio.create_task(raw(webhooks, head(target, signature, length), *[b"a"] * 20, pause_s=0.5))
        slow_heads = [asyncio.create_task(raw(webhooks, *[b"P"] * 60, pause_s=2.0)) for _ in range(50)]
        for _ in range(ROUNDS):
            for name, (parts, statuses) in requests.items():
                assert await raw(webhooks, *parts) in statuses | {0}, name
            memory_kib.append(webhooks.memory_kib())
        assert await slow_body in (408, 0)
        sys.stderr.write(f"fault 46: {len(requests)} sly requests a round; memory by rounds {memory_kib} KiB\n")
        # What the first round needs is kept by the allocator, and is enough for all others.
        assert memory_kib[1] - memory_kib[0] < 64 * 1024
        assert memory_kib[-1] - memory_kib[1] < 16 * 1024
        assert await raw(webhooks, head(target, signature, length) + body) == 204
        # A head may take as long as a connection may be idle, 75 s.
        assert set(await asyncio.gather(*slow_heads)) <= {0, 400}
    await all_hang_up(system)
