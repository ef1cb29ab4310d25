"""The server that all processes share: a client that does not send its request's head is disconnected."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.runtime.web import guard
from conferral.runtime.web.server import RESULT_TTL_S, SharedResult, run_server
from tests.simulation.virtual_loop import in_virtual_time
from tests.support.log_lines import lines_of

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=await request.text())

    app = web.Application()
    app.router.add_post("/", answer)
    return app


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEAD_DEADLINE_S", 0.05)
    monkeypatch.setattr(guard, "ANSWER_DEADLINE_S", 0.05)
    monkeypatch.setattr(guard, "CHECK_EVERY_S", 0.01)


async def answered(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))


async def outlast_deadlines(port: int) -> None:
    """Wait until another client, which sends nothing, is disconnected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"PO", HEAD, b"\r\n"], ids=["nothing", "a word", "half", "an empty line"])
async def test_client_that_sends_no_whole_head_is_disconnected(app, deadline, sent) -> None:
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_half_a_head_after_an_answer_ends_the_connection(app, deadline) -> None:
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
        assert await answered(reader) == b"hi"
        writer.write(HEAD)
        assert await reader.read() == b""
        writer.close()


async def test_idle_connection_and_slow_body_are_kept(app, deadline) -> None:
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in (b"one", b"two"):
            writer.write(HEAD + b"Content-Length: 3\r\n\r\n" + body[:1])
            await outlast_deadlines(port)
            writer.write(body[1:])
            assert await answered(reader) == body
            await outlast_deadlines(port)
        writer.close()


async def test_client_that_never_reads_its_answers_is_disconnected(deadline) -> None:
    """A large answer fills the connection's buffers."""
    transports = []

    async def answer(request: web.Request) -> web.Response:
        transports.append(request.transport)
        return web.Response(body=b"x" * 50_000_000)

    app = web.Application()
    app.router.add_get("/", answer)
    async with run_server(app, "127.0.0.1", 0, shutdown_s=0.1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            async with asyncio.timeout(3):
                while not transports or not transports[0].is_closing():
                    await asyncio.sleep(0.01)
        finally:
            writer.transport.abort()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    with lines_of(monkeypatch, guard) as found:
        yield found


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections may wait."""
    monkeypatch.setattr(guard, "CONNECTIONS_MAX", 4)


async def test_connection_that_has_waited_longest_is_closed_for_a_new_one(app, small_limit, lines) -> None:
    """The newest is never closed: it may be Twilio's, and a stranger's head alone protects nothing."""
    metrics = Metrics()
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1, metrics=metrics) as port:
        clients = []
        for _ in range(5):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            clients[-1][1].write(HEAD + b"Content-Length: 2\r\n\r\nh")
        for reader, _ in clients[:3]:
            assert await reader.read() == b""
        for reader, writer in clients[3:]:
            writer.write(b"i")
            assert await answered(reader) == b"hi"
        for _, writer in clients:
            writer.close()
    assert metrics.registry.get_sample_value("conferral_connections_dropped_total") == 3
    assert [(line["event"], line["count"]) for line in lines] == [("connections_dropped", 1)], "one line a minute"


async def test_only_a_known_senders_answer_makes_a_connection_newer(small_limit) -> None:
    """A stranger could otherwise keep hundreds of connections newer than Twilio's next."""

    async def answer(request: web.Request) -> web.Response:
        if request.query_string:
            guard.protect(request)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for number, query in ((0, b"?known"), (1, b""), (1, b"")):
            clients[number][1].write(b"GET /" + query + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await answered(clients[number][0]) == b"ok"
        clients.append(await asyncio.open_connection("127.0.0.1", port))
        assert await clients[1][0].read() == b""
        clients[0][1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await answered(clients[0][0]) == b"ok"
        for _, writer in clients:
            writer.close()


async def test_complete_request_is_closed_for_no_other(small_limit) -> None:
    """A stranger's is if many others run; never that of a known sender."""
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.query_string:
            guard.protect(request)
        begun.release()
        await go_on.wait()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        clients = []
        for query in (b"", b"", b"", b"?known", b"?known"):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            clients[-1][1].write(b"GET /" + query + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            await begun.acquire()
        clients += [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert await clients[2][0].read() == b"", "the third of a stranger: two are protected"
        go_on.set()
        for number in (0, 1, 3, 4):
            assert await answered(clients[number][0]) == b"ok"
        for _, writer in clients:
            writer.close()


async def test_second_of_many_pipelined_requests_is_the_last(app) -> None:
    """A thousand in one packet would be answered one after the other, while callers wait."""
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        for request in (HEAD + b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request * 1_000)
            answers = b""
            with suppress(ConnectionResetError):  # what it sent was not read to its end
                while received := await reader.read(2**16):
                    answers += received
            assert answers.count(b"HTTP/1.1 ") <= 2
            assert answers.lower().count(b"connection: close") == answers.count(b"HTTP/1.1 ") // 2
            writer.close()


# ---- one answer for everyone who asks within a second, in virtual time ---------------------------------------------


def counted(delay_s: float) -> SharedResult[int]:
    """The answer is how often the question was really asked."""
    questions = count(1)

    async def ask() -> int:
        number = next(questions)
        await asyncio.sleep(delay_s)  # a delay: the answer takes its time
        return number

    return SharedResult(ask)


@in_virtual_time
async def test_everyone_who_asks_within_a_second_gets_one_answer() -> None:
    shared = counted(0.3)
    assert await asyncio.gather(*(shared() for _ in range(100))) == [1] * 100
    assert await shared() == 1
    await asyncio.sleep(RESULT_TTL_S)  # a delay: virtual time passes
    assert await asyncio.gather(*(shared() for _ in range(100))) == [2] * 100


@in_virtual_time
async def test_query_slower_than_its_cache_lifetime_is_not_issued_twice() -> None:
    shared = counted(3 * RESULT_TTL_S)

    async def later(wait_s: float) -> int:
        await asyncio.sleep(wait_s)  # a delay: virtual time passes
        return await shared()

    assert await asyncio.gather(*(later(wait_s / 10) for wait_s in range(30))) == [1] * 30


@in_virtual_time
async def test_canceled_asker_takes_the_answer_from_no_one_else() -> None:
    async def ask() -> str:
        await asyncio.sleep(0.5)  # a delay: the answer takes its time
        return "answer"

    shared = SharedResult(ask)
    impatient, patient = asyncio.ensure_future(shared()), asyncio.ensure_future(shared())
    await asyncio.sleep(0.1)  # a delay: virtual time passes
    impatient.cancel()
    assert await patient == "answer"


@in_virtual_time
async def test_error_is_raised_for_everyone_and_not_kept() -> None:
    failing = True

    async def ask() -> str:
        if failing:
            raise ConnectionError
        return "answer"

    shared = SharedResult(ask)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await shared()
    failing = False
    assert await shared() == "answer"
