"""Requests with outcomes over real HTTP: signatures, and receivers that are slow, redirect, or are hostile."""

import asyncio
import base64
import hashlib
import hmac
import logging
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from conferral.outcomes.delivery import INTERIM_MAX, OutcomeDelivery
from conferral.runtime.clock import SystemClock
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks
from tests.support.certificates import write_certificate

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(serve: Serve, timeout_s: float = 10.0) -> AsyncIterator[OutcomeDelivery]:
    """A server that writes whatever the test says, once it has the request's headers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver = OutcomeDelivery(f"http://127.0.0.1:{port}/a-secret-path", SECRETS, SystemClock(), timeout_s=timeout_s)
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()


def answering(text: bytes) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return serve


async def test_receiver_of_the_docs_takes_what_is_signed_with_its_secret(monkeypatch: pytest.MonkeyPatch):
    text, _ = blocks(ROOT / "docs" / "outcomes.md", "python")
    assert len([line for line in text.splitlines() if line]) == 10, "promised: ten lines"
    example: dict[str, Any] = {}
    exec(compile(text, "outcomes.md", "exec"), example)  # our own
    async with TestServer(example["app"]) as server:
        receiver = OutcomeDelivery(str(server.make_url("/outcomes")), SECRETS[:1], SystemClock())
        results = []
        for secret in SECRETS:
            monkeypatch.setenv("CONFERRAL_OUTCOMES_SECRET", secret)
            results.append((await receiver.post("o1", '{"type":"session.ended","data":{"session":"CA1"}}')).result)
    assert results == ["delivered", "failed"]


async def test_requests_are_signed_with_each_secret_as_verifiers_expect():
    got: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/outcomes", receive)
    async with TestServer(app) as server:
        receiver = OutcomeDelivery(str(server.make_url("/outcomes?a=1")), SECRETS, SystemClock())
        answer = await receiver.post("CA1:transfer:1", '{"type":"transfer.completed","who":"é"}')
    assert (answer.result, answer.status) == ("delivered", 204)
    ((headers, body),) = got
    for secret in SECRETS:
        assert Webhook(secret).verify(body, headers)["type"] == "transfer.completed"
    with pytest.raises(WebhookVerificationError):
        Webhook(f"whsec_{'A' * 32}").verify(body, headers)
    # By the formula of the contract, without the library.
    names = {name.lower(): value for name, value in headers.items()}
    text = f"{names['webhook-id']}.{names['webhook-timestamp']}.".encode() + body
    mac = hmac.new(bytes([1]) * 32, text, hashlib.sha256).digest()
    assert names["webhook-signature"].split(" ")[0] == f"v1,{base64.b64encode(mac).decode()}"
    assert names["content-type"] == "application/json"


@pytest.mark.parametrize(
    "answer, result, retry_after_s, reason",
    [
        (b"HTTP/1.1 200 OK", "delivered", 0, ""),
        (b"HTTP/1.0 299 Fine\nDate: now", "delivered", 0, ""),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/", "redirected", 0, "HTTP 301"),
        (b"HTTP/1.1 410 Gone", "gone", 0, "HTTP 410"),
        (b"HTTP/1.1 429 Slow\r\nretry-after:77 ", "refused", 77, "HTTP 429"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon", "failed", 0, "HTTP 503"),
        (b"HTTP/1.1 101 Switching Protocols", "failed", 0, "HTTP 101"),
        (b"hello", "malformed", 0, "its response is not HTTP/1"),
        (b"HTTP/2 200", "malformed", 0, "its response is not HTTP/1"),
        (b"", "unreachable", 0, "it closed the connection without a response"),
    ],
)
async def test_answers_are_understood(answer: bytes, result: str, retry_after_s: float, reason: str):
    async with serving(answering(answer and answer + b"\r\nContent-Length: 0\r\n\r\n")) as receiver:
        found = await receiver.post("o1", "{}")
    assert (found.result, found.retry_after_s, found.reason) == (result, retry_after_s, reason)


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(_host: str, port: int, **_options: Any) -> list[Any]:
        kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in zip(kinds, addresses, strict=True)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url, reason",
    [
        ("http://127.0.0.1:1/", "it refuses connections"),
        ("https://127.0.0.1:1/", "it refuses connections"),
        ("https://not-a-host.invalid/", "its host name can't be resolved"),
        (f"https://{'a' * 70}.invalid/", "its host name can't be resolved"),
    ],
)
async def test_reason_for_an_unreachable_receiver_is_in_words(url: str, reason: str):
    found = await OutcomeDelivery(url, SECRETS, SystemClock()).post("o1", "{}")
    assert (found.result, found.reason) == ("unreachable", reason)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_https_delivers_only_to_a_receiver_of_a_trusted_certificate(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    requests: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n{}"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        found = await OutcomeDelivery(f"https://localhost:{port}/", SECRETS, SystemClock()).post("o1", "{}")
        plain = await OutcomeDelivery(f"http://localhost:{port}/", SECRETS, SystemClock()).post("o1", "{}")
    reason = "" if is_trusted else "its TLS certificate is not valid"
    assert (found.result, found.reason) == ("delivered" if is_trusted else "unreachable", reason)
    assert plain.result in ("malformed", "unreachable")
    assert len(requests) == is_trusted


@pytest.mark.parametrize("allow_private", [False, True])
async def test_plain_http_goes_only_to_addresses_that_are_allowed(monkeypatch: pytest.MonkeyPatch, allow_private: bool):
    """The address that is connected to counts, not the name: it may resolve to another one at any time."""

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 \r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        receiver = OutcomeDelivery(f"http://crm:{port}/", SECRETS, SystemClock(), allow_private=allow_private)
        connected: list[str] = []
        connect = asyncio.get_running_loop().sock_connect

        async def note(sock: socket.socket, address: Any) -> None:
            connected.append(address[0])
            if address[0] != "127.0.0.1":
                raise ConnectionRefusedError
            await connect(sock, address)

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", note)
        foreign = ["8.8.8.8", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "100.64.0.1", "0.0.0.0", "::"]
        foreign += ["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"]
        private = ["10.1.2.3", "172.31.0.1", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"]
        resolving_to(monkeypatch, *foreign, *private, "127.0.0.1")
        assert (await receiver.post("o1", "{}")).result == "delivered"
        assert connected == [*(private if allow_private else []), "127.0.0.1"]
        resolving_to(monkeypatch, *foreign)
        found = await receiver.post("o1", "{}")
    allowed = "private and loopback addresses" if allow_private else "loopback addresses"
    assert found.reason == f"its address is not allowed: http:// only to {allowed}"


async def test_own_header_is_sent_along_and_replaces_none_of_ours():
    requests: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 \r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for header in ("X-Api-Key: a b:c", "Connection: keep-alive"):
            receiver = OutcomeDelivery(url, SECRETS, SystemClock(), header=header)
            assert (await receiver.post("o1", "{}")).result == "delivered"
    first, second = (request.lower().split(b"\r\n") for request in requests)
    assert b"x-api-key: a b:c" in first
    assert first[0] == b"post / http/1.1"
    assert [line for line in second if line.startswith(b"connection")] == [b"connection: close"]


async def test_endless_body_is_not_read():
    written = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    async with serving(serve) as receiver:
        assert (await receiver.post("o1", "{}")).result == "delivered"
    assert written < 32 * 1024 * 1024, "the connection is closed; sockets hold some megabytes"


@pytest.mark.parametrize("status, result", [(204, "delivered"), (503, "failed")])
@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"y" * 4097,
        b"\r\n".join(b"X-%d: y" % number for number in range(65)),
        b"Content-Length: 0\r\nContent-Length: 0",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: many\r\nTransfer-Encoding: odd",
        b"no colon\r\nX y: z\r\n: none\r\nX: \xff\x00\x7f",
        b"Set-Cookie: a b@c=1",
        b"",
    ],
    ids=["long", "many", "repeated", "contradicting", "unreadable", "odd", "cookie", "none"],
)
async def test_only_the_status_line_decides(status: int, result: str, headers: bytes):
    """A receiver that has the outcome must not get it again for three days, and those after it none."""
    answer = b"HTTP/1.1 %d\r\n" % status + headers + b"\r\n\r\n"
    async with serving(answering(answer)) as receiver:
        assert ((found := await receiver.post("o1", "{}")).result, found.status) == (result, status)


@pytest.mark.parametrize("end", [b"", b" OK", b" OK\r\nX: y"])
async def test_status_decides_although_the_rest_is_cut_off(end: bytes):
    async with serving(answering(b"HTTP/1.1 200" + end)) as receiver:
        assert (await receiver.post("o1", "{}")).result == "delivered"


async def test_interim_responses_are_skipped():
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with serving(answering(interim + b"HTTP/1.1 410 Gone\r\n\r\n")) as receiver:
        assert (await receiver.post("o1", "{}")).result == "gone"


@pytest.mark.parametrize(
    "line", [b"X: " + b"y" * 10_000_000 + b"\r\n", b"X-Name: " + b"y" * 1000 + b"\r\n"], ids=["one", "many"]
)
async def test_giant_headers_are_not_read(line: bytes):
    written = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100_000_000 // len(line)):
            writer.write(line)
            await writer.drain()
            written += len(line)

    async with serving(serve) as receiver:
        assert (await receiver.post("o1", "{}")).result == "delivered"
    assert written < 32 * 1024 * 1024, "the connection is closed; sockets hold some megabytes"


async def test_status_counts_although_the_headers_never_end():
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(serve, timeout_s=0.3) as receiver:
        assert (await receiver.post("o1", "{}")).result == "delivered"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_receiver_without_a_status_times_out(start: bytes):
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(serve, timeout_s=0.3) as receiver:
        found = await receiver.post("o1", "{}")
    assert (found.result, found.reason) == ("timeout", "no response within 0.3 s")


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: a b@c=1\r\n\r\n"])
async def test_no_log_line_has_the_path_a_number_or_a_secret(answer: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving(answering(answer)) as receiver:
        await receiver.post("o1", '{"to":"+14155550123"}')
    assert not [word for word in ("4155550123", "a-secret-path", *SECRETS) if word in caplog.text]


#: A process of its own, since the loop of the test would stop for what it writes.
FLOOD = r"""
import socketserver
class Flood(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while True:
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
with Server(("127.0.0.1", 0), Flood) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


async def test_of_a_flood_of_interim_responses_little_is_read(monkeypatch):
    reads = Counter[str]()

    def count(read):
        def counted(*arguments):
            reads[read.__name__] += 1
            return read(*arguments)

        monkeypatch.setattr(asyncio.StreamReader, read.__name__, counted)

    count(asyncio.StreamReader.readexactly)
    count(asyncio.StreamReader.readline)
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, stdout=subprocess.PIPE)
    try:
        port = int(await server.stdout.readline())
        reads.clear()
        answer = await OutcomeDelivery(f"http://127.0.0.1:{port}/", SECRETS, SystemClock()).post("o1", "{}")
        assert answer.result == "malformed"
        assert reads == {"readexactly": INTERIM_MAX, "readline": 2 * INTERIM_MAX}
    finally:
        server.kill()
        await server.wait()
