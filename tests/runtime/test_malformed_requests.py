"""No server writes any part of a malformed request to its log: it may hold a token, a cookie, or a phone number."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp import web

from conferral.runtime import log
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import run_server
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import add_api
from conferral.webhooks.app import make_app
from conferral.webhooks.server import serve
from conferral.worker.process import serve_monitoring
from offhook import Sandbox
from tests.console import console_helpers as console_kit
from tests.support import plain_log
from tests.support.people import CUSTOMER
from tests.support.ports import free_port
from tests.webhooks.api import api_helpers as api_kit
from tests.webhooks.webhook_helpers import FakeTwilioQueries, FakeWebhookStore, settings

TOKEN, COOKIE = "t0ken-of-the-api", "c00kie-of-the-console"
SECRET = f"{TOKEN} {COOKIE} {CUSTOMER}"
NOWHERE = "redis://127.0.0.1:1/0"
HOST = "Host: localhost\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
JSON = "Content-Type: application/json\r\n"


def post(path: str, rest: str) -> str:
    return f"POST {path} HTTP/1.1\r\n{HOST}{rest}"


#: Requests that no parser takes, by where the secrets are in them.
MALFORMED = {
    "no request at all": f"{SECRET}\r\n\r\n",
    "method": f"{TOKEN}() / HTTP/1.1\r\n{HOST}\r\n",
    "path": f"GET /{SECRET} HTTP/1.1\r\n{HOST}\r\n",
    "version": f"GET / HTTP/{TOKEN}\r\n{HOST}\r\n",
    "header without a colon": f"GET / HTTP/1.1\r\n{HOST}{SECRET}\r\n\r\n",
    "header name": f"GET / HTTP/1.1\r\n{HOST}{SECRET}: 1\r\n\r\n",
    "header value with a carriage return": f"GET / HTTP/1.1\r\n{HOST}Authorization: Bearer {SECRET}\rX: y\r\n\r\n",
    "header value that ends in one": f"GET / HTTP/1.1\r\n{HOST}Authorization: Bearer {SECRET}\r\r\n\r\n",
    "header value with a null": f"GET / HTTP/1.1\r\n{HOST}Cookie: a={SECRET}\0\r\n\r\n",
    "folded header": f"GET / HTTP/1.1\r\n{HOST}Cookie: a\r\n {SECRET}\r\n\r\n",
    "endless header": f"GET / HTTP/1.1\r\n{HOST}Cookie: {SECRET * 1000}\r\n\r\n",
    "cookie": f'GET / HTTP/1.1\r\n{HOST}Cookie: "{SECRET}=;={SECRET}"=\r\n\r\n',
    "host": f"GET / HTTP/1.1\r\nHost: {SECRET}\r\nHost: {SECRET}\r\n\r\n",
    "length": f"{post('/', f'Content-Length: {SECRET}')}\r\n\r\n",
    "length and chunks": f"{post('/', 'Transfer-Encoding: chunked')}\r\nContent-Length: 9\r\nX: {SECRET}\r\n\r\n",
    "encoding": f"{post('/', f'Transfer-Encoding: {SECRET}')}\r\n\r\n",
    "socket's key": f"GET /live HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {SECRET}\r\n\r\n",
} | {
    f"{place} of {path}": post(path, f"{kind}{rest}")
    for path, kind in (
        ("/voice/inbound", FORM), ("/sessions", f"{JSON}Authorization: Bearer {api_kit.TOKEN}\r\n"),
        ("/sign-in", JSON), ("/sandbox/calls", JSON), ("/metrics", ""),
        (f"/2010-04-01/Accounts/AC{'0' * 32}/Calls.json", FORM),
    )
    for place, rest in (
        ("chunk size", f"Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n{SECRET}\r\n0\r\n\r\n"),
        ("chunk extension", f"Transfer-Encoding: chunked\r\n\r\n2;{SECRET}\0\r\nab\r\n0\r\n\r\n"),
        ("end of a chunk", f"Transfer-Encoding: chunked\r\n\r\n2\r\n{SECRET}\r\n0\r\n\r\n"),
        ("trailer", f"Transfer-Encoding: chunked\r\n\r\n0\r\n{SECRET}\r\n\r\n"),
        ("body", f"Content-Length: {len(SECRET) + 2}\r\n\r\n{{{SECRET}%"),
        ("body with a long length", f"Content-Length: {'0' * 5000}{len(SECRET)}\r\n\r\n{SECRET}"),
        ("packed body", f"Content-Encoding: gzip\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}"),
    )
}  # fmt: skip


@asynccontextmanager
async def running(start: Callable[[int, asyncio.Event], object]) -> AsyncIterator[int]:
    stop, port = asyncio.Event(), free_port()
    server = asyncio.ensure_future(start(port, stop))  # type: ignore[arg-type]
    try:
        yield port
    finally:
        stop.set()
        await server


@asynccontextmanager
async def webhooks(metrics: Metrics) -> AsyncIterator[int]:
    store, clock = make_client(NOWHERE), api_kit.SystemClock()
    app = make_app(settings(), FakeWebhookStore(), FakeTwilioQueries(), metrics, clock)
    add_api(app, api_kit.settings(), store, api_kit.KEYS, metrics, clock)
    async with running(lambda port, stop: serve(app, "127.0.0.1", port, stop, metrics)) as port:
        yield port
    await store.aclose()


@asynccontextmanager
async def console(_metrics: Metrics) -> AsyncIterator[int]:
    store = make_client(NOWHERE)
    app = console_kit.app_of(store)
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        yield port
    await store.aclose()


@asynccontextmanager
async def worker(metrics: Metrics) -> AsyncIterator[int]:
    async def missing() -> list[str]:
        return []

    async with running(lambda port, stop: serve_monitoring(stop, "127.0.0.1", port, metrics, missing, missing)) as port:
        yield port


@asynccontextmanager
async def sandbox(_metrics: Metrics) -> AsyncIterator[int]:
    async with Sandbox() as made:
        yield made.port


@asynccontextmanager
async def failing(_metrics: Metrics) -> AsyncIterator[int]:
    """A server whose handler fails with what it was sent."""

    async def fail(request: web.Request) -> web.Response:
        raise ValueError(await request.text(), str(request.headers))

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", fail)
    async with running(lambda port, stop: serve(app, "127.0.0.1", port, stop)) as port:
        yield port


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(30):
        while True:  # until the server listens
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def send(port: int, request: str) -> bytes:
    reader, writer = await connected(port)
    try:
        writer.write(request.encode())
        return await reader.read(65_536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


Server = Callable[[Metrics], AbstractAsyncContextManager[int]]


@pytest.mark.parametrize("server", [webhooks, console, worker, sandbox, failing])
async def test_malformed_requests_are_answered_and_leave_nothing_in_the_log(server: Server, capfd) -> None:
    stream, metrics = io.StringIO(), Metrics()
    log.configure("json", stream, level="debug", process="test", cache_loggers=False)
    try:
        async with server(metrics) as port:
            answers = await asyncio.gather(*(send(port, request) for request in MALFORMED.values()))
    finally:
        plain_log.configure()
    written = stream.getvalue() + "".join(capfd.readouterr())
    for secret in (TOKEN, COOKIE, CUSTOMER[1:], api_kit.TOKEN):
        assert secret not in written
    if server is not sandbox:
        for secret in (TOKEN, COOKIE, CUSTOMER[1:], api_kit.TOKEN):
            assert not any(secret.encode() in answer for answer in answers), "an answer may be kept in a log"
        assert {line for answer in answers for line in answer.splitlines() if line.startswith(b"Server:")} == {
            b"Server: conferral"
        }
    refused = sum(b" 400 " in answer for answer in answers)
    assert refused > 10
    if server is not failing:
        assert not any(b" 500 " in answer for answer in answers)
    if server in (webhooks, worker):
        assert metrics.registry.get_sample_value("conferral_malformed_requests_total") > 10


@pytest.mark.parametrize("name", ["aiohttp.server", "asyncio", "twilio", "urllib3.connectionpool"])
def test_library_that_logs_is_named_and_not_quoted(name: str) -> None:
    stream = io.StringIO()
    log.configure("json", stream, process="test", cache_loggers=False)
    try:
        try:
            int(SECRET)  # its error quotes it
        except ValueError:
            logging.getLogger(name).exception(f"can't read {SECRET}", extra={"of": SECRET})
        logging.getLogger(name).warning("can't read %s", SECRET)
        logging.getLogger(name).info("can't read %s", SECRET)
    finally:
        plain_log.configure()
    failed, warned = map(json.loads, stream.getvalue().splitlines())
    assert (failed["event"], failed["level"], failed["library"], failed["error_type"]) == (
        "library_logged", "error", name, "ValueError",
    )  # fmt: skip
    assert (warned["event"], warned["level"], warned["library"]) == ("library_logged", "warning", name)
    assert warned["where"].startswith("test_malformed_requests.py:")
    assert not any(secret in stream.getvalue() for secret in (TOKEN, COOKIE, CUSTOMER[1:]))
