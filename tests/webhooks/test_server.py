"""The server as it is run: raw sockets and the stop."""

import asyncio
import gzip
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import pytest
from aiohttp import web

from conferral.runtime.clock import SystemClock
from conferral.runtime.web import guard
from conferral.webhooks import authentication
from conferral.webhooks import server as server_module
from conferral.webhooks.app import make_app
from conferral.webhooks.server import serve
from tests.support.ports import free_port
from tests.webhooks.webhook_helpers import AGENT_CALL, FORM, FakeWebhookStore, fields, settings, signed

#: How long a server may take to listen on a busy machine, seconds.
DEADLINE_S = 15.0


@pytest.fixture
def make(child_lookup, metrics):
    return lambda webhook_store: make_app(settings(), webhook_store, child_lookup, metrics, SystemClock())


@pytest.fixture
def app(webhook_store, make):
    return make(webhook_store)


async def connect(port):
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(app, metrics=None):
    """The webhooks as a process runs them: their port, what stops them, and the task that ends then."""
    stop, port = asyncio.Event(), free_port()
    server = asyncio.create_task(serve(app, "127.0.0.1", port, stop, metrics))
    try:
        _, probe = await connect(port)
        probe.close()
        yield port, stop, server
    finally:
        stop.set()
        await server


def head(headers, *, host="example.com"):
    lines = [f"POST {AGENT_CALL} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


async def ask(port, *parts):
    """Sends bytes as they are; gives the status of the answer."""
    reader, writer = await connect(port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


#: Headers that only a verified signature can refuse.
FORGED = [("Content-Type", FORM), ("X-Twilio-Signature", "forged")]
CHUNKED = [*FORGED, ("Transfer-Encoding", "chunked")]
BODY = urlencode(fields("agent_rings")).encode()
SIGNED = [*signed(AGENT_CALL, fields("agent_rings")).items()]
REQUEST = head([*SIGNED, ("Content-Length", str(len(BODY)))]) + BODY
PACKED = gzip.compress(b"x" * 50_000_000)


@pytest.mark.parametrize(
    ("parts", "status", "reasons"),
    [
        pytest.param([head(CHUNKED), *[chunk(b"x" * 8192)] * 9], 413, ["too-large"], id="chunks-without-end"),
        pytest.param([head(CHUNKED) + chunk(b"x" * 65_537) + b"0\r\n\r\n"], 413, ["too-large"], id="chunks-at-once"),
        pytest.param([head([*FORGED, ("Content-Length", "65537")])], 413, ["too-large"], id="length-before-any-body"),
        pytest.param(
            [head([*FORGED, ("Content-Length", f"{'0' * 5000}1")]), b"a"],
            403,
            ["wrong-signature"],
            id="length-of-thousands-of-zeros",
        ),
        pytest.param(
            [head([*FORGED, ("Content-Encoding", "gzip"), ("Content-Length", str(len(PACKED)))])],
            403,
            ["content-encoding"],
            id="small-that-would-unpack-into-a-huge-one",
        ),
        pytest.param([head(CHUNKED), b"not a length\r\n"], 400, [], id="broken-chunks"),
        pytest.param([REQUEST.replace(b"Host: ", b"Host: evil.example\r\nHost: ")], 400, [], id="two-hosts"),
    ],
)
async def test_a_body_of_no_use_is_refused_without_being_read_to_its_end(
    app, webhook_store, lines, parts, status, reasons
):
    async with serving(app) as (port, _, _):
        assert await ask(port, *parts) == status

    assert webhook_store.events == []
    assert [line["reason"] for line in lines if line["event"] == "webhook_rejected"] == reasons
    assert not [line for line in lines if line["event"] == "unexpected_error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("example.com:443", 204), ("[::1]:8080", 204), ("a" * 255, 204), ("a" * 256, 400), ("m\u00fcller.example", 400)],
)
async def test_a_host_that_no_client_has_is_refused_whatever_else_fits(app, host, status):
    async with serving(app) as (port, _, _):
        assert await ask(port, REQUEST.replace(b"Host: example.com", f"Host: {host}".encode())) == status


async def test_a_body_that_trickles_in_is_given_up(app, webhook_store, monkeypatch):
    monkeypatch.setattr(authentication, "READ_DEADLINE_S", 0.05)
    headers = [*FORGED, ("Content-Length", "100")]

    async with serving(app) as (port, _, _):
        assert await ask(port, head(headers), b"CallSid=") == 408


async def test_a_client_that_reads_late_gets_every_answer(monkeypatch):
    """It has 10 s for that. `tests/runtime/test_servers.py` has those that never read."""
    checks, waits = [], asyncio.Event()
    check, pause_writing = guard.Guard.check, guard.Guard.pause_writing
    monkeypatch.setattr(guard, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(guard.Guard, "check", lambda it, now_s: (check(it, now_s), checks.append(waits.is_set())))
    monkeypatch.setattr(guard.Guard, "pause_writing", lambda it: (pause_writing(it), waits.set()))

    async def answer(_request):
        return web.Response(body=b"x" * 20_000_000)

    app = web.Application()
    app.router.add_get("/", answer)
    async with serving(app) as (port, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            while checks.count(True) < 3:
                await asyncio.sleep(0.01)
            got = 0
            while got < 20_000_000:
                read = await reader.read(2**20)
                assert read, "it was disconnected"
                got += len(read)
        writer.close()


async def test_a_sender_who_leaves_in_the_middle_breaks_nothing(app, webhook_store):
    headers = [*FORGED, ("Content-Length", "100")]

    async with serving(app) as (port, _, _):
        _, writer = await connect(port)
        writer.write(head(headers) + b"CallSid=")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

        assert await ask(port, REQUEST) == 204

    assert len(webhook_store.events) == 1


class SlowWebhookStore(FakeWebhookStore):
    """Stores when the test lets it."""

    def __init__(self):
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def publish(self, event, *, call_sid=""):
        self.reached.set()
        await self.go_on.wait()
        await super().publish(event, call_sid=call_sid)


async def test_the_stop_refuses_new_connections_and_answers_what_was_begun(make):
    webhook_store = SlowWebhookStore()

    async with serving(make(webhook_store)) as (port, stop, server):
        reader, writer = await connect(port)
        writer.write(REQUEST)
        await webhook_store.reached.wait()
        stop.set()
        while True:  # until the port is closed
            try:
                _, other = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                break
            other.close()
        ended, _ = await asyncio.wait([server], timeout=0.2)  # time for one that gives up
        assert not ended
        webhook_store.go_on.set()

        assert (await reader.readline()).split()[1] == b"204"
        await server
        writer.close()

    assert len(webhook_store.events) == 1


async def test_only_a_verified_signature_protects_a_connection(make, monkeypatch):
    monkeypatch.setattr(guard, "CONNECTIONS_MAX", 2)
    webhook_store = SlowWebhookStore()

    async with serving(make(webhook_store)) as (port, _, _):
        twilio, request = await connect(port)
        request.write(REQUEST)
        await webhook_store.reached.wait()
        for _ in range(3):
            stranger, forged = await connect(port)
            forged.write(head([*FORGED, ("Content-Length", "100")]) + b"CallSid=")
            _, newest = await connect(port)
            assert await stranger.read() == b""
            forged.close()
            newest.close()
        webhook_store.go_on.set()

        assert (await twilio.readline()).split()[1] == b"204"
        request.close()


async def test_a_request_that_never_ends_does_not_hold_up_the_stop(make, monkeypatch):
    monkeypatch.setattr(server_module, "SHUTDOWN_MAX_S", 0.05)
    webhook_store = SlowWebhookStore()

    async with serving(make(webhook_store)) as (port, stop, server):
        _, writer = await connect(port)
        writer.write(REQUEST)
        await webhook_store.reached.wait()
        stop.set()

        await asyncio.wait_for(server, timeout=2)
        writer.close()


async def test_an_idle_connection_does_not_hold_up_the_stop(app):
    async with serving(app) as (port, stop, server):
        _, writer = await connect(port)
        stop.set()

        await asyncio.wait_for(server, timeout=2)
        writer.close()
