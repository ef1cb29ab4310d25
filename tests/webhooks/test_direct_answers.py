"""Requests that the connection answers itself: the same answers, and everything unusual is left to aiohttp."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.web import complete_post
from conferral.runtime.web.connection import DIRECT_HANDLERS, DirectConnection
from conferral.runtime.web.server import run_server
from conferral.webhooks import authentication, responses
from conferral.webhooks.app import make_app
from tests.webhooks.test_server import SlowIngest, chunk
from tests.webhooks.webhook_helpers import (
    AGENT,
    AGENT_CALL,
    CALLER,
    DIAL_ACTION,
    FORM,
    FakeIngest,
    FakeTwilioQueries,
    facts,
    fields,
    settings,
    signed,
)

BODY = urlencode(fields("agent_rings")).encode()
SIGNED = signed(AGENT_CALL, fields("agent_rings"))


def request(target=AGENT_CALL, body=BODY, *, line="POST {} HTTP/1.1", headers=SIGNED, **more):
    lengths = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in more.items()}
    given = {"Host": "example.com", **headers, **lengths}
    lines = [line.format(target), *(f"{name}: {value}" for name, value in given.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
def direct(monkeypatch):
    """The requests that were answered directly."""
    taken, begin = [], DirectConnection._begin
    monkeypatch.setattr(DirectConnection, "_begin", lambda self, *given: taken.append(given) or begin(self, *given))
    return taken


@asynccontextmanager
async def serving(ingest, metrics, *, directly=True, **options):
    app = make_app(settings(), ingest, FakeTwilioQueries(), metrics, SystemClock())
    if not directly:
        del app[DIRECT_HANDLERS]
    async with run_server(app, "127.0.0.1", 0, metrics=metrics, shutdown_s=1, auto_decompress=False, **options) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


async def answer(reader):
    return await reader.readuntil(b"\r\n\r\n")


def without_date(head):
    return [line for line in head.split(b"\r\n") if not line.startswith(b"Date: ")]


@pytest.mark.parametrize(
    ("sent", "error", "status"),
    [
        (request(), None, 204),
        (request(), ConnectionError, 500),
        (request(headers={"Content-Type": FORM}), None, 403),
        (request(target=AGENT_CALL.replace("agent", "customer")), None, 403),
        (request(headers=SIGNED | {"Content-Type": "text/plain"}), None, 204),
        (request(body=b"\xff"), None, 403),
        (request(target=f"/callbacks/call?session={CALLER}&v=1", headers=signed("/callbacks/call", {})), None, 403),
    ],
)
async def test_both_ways_write_the_same(metrics, direct, sent, error, status):
    heads = []
    for directly in (True, False):
        ingest = FakeIngest()
        ingest.away, ingest.error = error is not None, error
        async with serving(ingest, metrics, directly=directly) as (reader, writer):
            for _ in range(2):
                writer.write(sent)
                heads.append(without_date(await answer(reader)))

    assert heads[0][0].startswith(b"HTTP/1.1 %d " % status)
    assert heads == [heads[0]] * 4
    assert len(direct) == 2


async def test_both_ways_write_the_same_document(metrics, direct):
    form = fields("dial_ends_answered")
    sent = request(target=DIAL_ACTION, body=urlencode(form).encode(), headers=signed(DIAL_ACTION, form))
    answers = []
    for directly in (True, False):
        ingest = FakeIngest()
        ingest.facts = facts("converting")
        async with serving(ingest, metrics, directly=directly) as (reader, writer):
            for _ in range(2):
                writer.write(sent)
                head = await answer(reader)
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                answers.append((without_date(head), await reader.readexactly(length)))

    assert b"<Conference" in answers[0][1]
    assert answers == [answers[0]] * 4
    assert len(direct) == 2


async def test_document_that_waits_for_redis_in_vain_is_answered_in_time(metrics, direct, monkeypatch):
    monkeypatch.setattr(responses, "STORE_DEADLINE_S", 0.01)
    form, ingest = fields("dial_ends_answered"), FakeIngest()
    ingest.hangs = True

    async with serving(ingest, metrics) as (reader, writer):
        writer.write(request(target=DIAL_ACTION, body=urlencode(form).encode(), headers=signed(DIAL_ACTION, form)))
        async with asyncio.timeout(10):
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
            assert b"request=2" in await reader.readuntil(b"</Response>")

    assert len(direct) == 1


async def test_document_that_still_waits_at_the_shutdown_is_given_up(metrics, direct):
    form, ingest = fields("dial_ends_answered"), FakeIngest()
    ingest.hangs = True
    before = asyncio.all_tasks()

    async with serving(ingest, metrics) as (_, writer):
        writer.write(request(target=DIAL_ACTION, body=urlencode(form).encode(), headers=signed(DIAL_ACTION, form)))
        async with asyncio.timeout(10):
            while not direct:
                await asyncio.sleep(0)
    await asyncio.sleep(0)  # the cancellation takes effect

    assert asyncio.all_tasks() == before


def test_handlers_allow_whatever_is_answered_directly():
    """They do not check these limits again."""
    assert complete_post.SEPARATORS_MAX < authentication.FIELDS_MAX
    assert complete_post.BODY_BYTES_MAX <= authentication.BODY_BYTES_MAX


HALF = len(request()) // 2
UNUSUAL = {
    "another method": ([request(line="PUT {} HTTP/1.1")], 405),
    "an older version": ([request(line="POST {} HTTP/1.0")], 204),
    "the last request": ([request(Connection="close")], 204),
    "chunks": ([request(body=b"", Content_Length=None, Transfer_Encoding="chunked") + chunk(BODY) + chunk(b"")], 204),
    "an expectation": ([request(body=b"", Content_Length=str(len(BODY)), Expect="100-continue"), BODY], 100),
    "compression": ([request(Content_Encoding="gzip")], 403),
    "an upgrade": ([request(Connection="Upgrade", Upgrade="h2c")], 204),
    "many fields": ([request(body=b"&" * 300)], 403),
    "no such path": ([request(target="/callbacks/other")], 404),
    "a full URL": ([request(target=f"http://example.com{AGENT_CALL}")], 403),
    "a large body": ([request(body=b"x" * 20_000)], 403),
    "two lengths": ([request(content_length=str(len(BODY)))], 400),
    "a signed length": ([request(Content_Length=f"+{len(BODY)}")], 400),
    "two hosts": ([request(host="example.com")], 400),
    "a folded header": ([request(X="a\r\n b")], 400),
    "a header without a name": ([request().replace(b"Host: ", b": ")], 400),
    "two reads": ([request()[:HALF], request()[HALF:]], 204),
}


@pytest.mark.parametrize("name", UNUSUAL)
async def test_unusual_requests_are_left_to_aiohttp(metrics, direct, name):
    parts, status = UNUSUAL[name]

    async with serving(FakeIngest(), metrics) as (reader, writer):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)  # a delay: the server reads the parts one by one
        head = await answer(reader)

    assert head.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))
    assert direct == []


async def test_requests_sent_during_an_answer_are_answered_after_it_in_order(metrics, direct):
    ingest = SlowIngest()

    async with serving(ingest, metrics) as (reader, writer):
        writer.write(request())
        await ingest.reached.wait()
        writer.write(request(headers={}) + request())
        ingest.go_on.set()
        heads = [await answer(reader) for _ in range(3)]

    assert [head.split()[1] for head in heads] == [b"204", b"403", b"204"]
    assert (len(ingest.stored), len(direct)) == (2, 1)


async def test_request_right_behind_one_of_aiohttps_is_answered_directly(metrics, direct, monkeypatch):
    """aiohttp's task may not wait for the next request yet: under load, it would never again."""
    handle = DirectConnection._handle_request

    async def then_the_next_arrives(self, *given):
        result = await handle(self, *given)
        self.data_received(request())
        return result

    monkeypatch.setattr(DirectConnection, "_handle_request", then_the_next_arrives)
    async with serving(FakeIngest(), metrics) as (reader, writer):
        writer.write(request(target="/callbacks/other", body=b""))
        heads = [await answer(reader)]
        await reader.readexactly(int(heads[0].partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        heads.append(await answer(reader))

    assert [head.split()[1] for head in heads] == [b"404", b"204"]
    assert len(direct) == 1


async def test_request_after_one_whose_body_aiohttp_read_is_answered_directly(metrics, direct, monkeypatch):
    async with serving(FakeIngest(), metrics) as (reader, writer):
        with monkeypatch.context() as at_first:
            at_first.setattr(DirectConnection, "_is_idle", False)
            writer.write(request())
            heads = [await answer(reader)]
        writer.write(request())
        heads.append(await answer(reader))

    assert [head.split()[1] for head in heads] == [b"204", b"204"]
    assert len(direct) == 1


async def test_requests_in_one_read_are_answered_in_order(metrics, direct):
    async with serving(FakeIngest(), metrics) as (reader, writer):
        writer.write(request() + request(headers={}))
        heads = [await answer(reader) for _ in range(2)]

    assert [head.split()[1] for head in heads] == [b"204", b"403"]
    assert direct == []


async def test_part_of_a_request_is_no_request_whatever_it_resembles(metrics, direct):
    """The second read is the body of the first: its sender must not reach a handler with it."""
    ingest, inner = FakeIngest(), request()

    async with serving(ingest, metrics) as (reader, writer):
        writer.write(request(body=b"", Content_Length=str(len(inner)), headers={"Content-Type": FORM}))
        await asyncio.sleep(0.01)  # a delay: the server reads the parts one by one
        writer.write(inner)
        head = await answer(reader)

    assert head.startswith(b"HTTP/1.1 403 ")
    assert (ingest.events, direct) == ([], [])


async def test_event_is_stored_though_its_sender_has_left(metrics, direct):
    ingest = SlowIngest()

    async with serving(ingest, metrics) as (_, writer):
        writer.write(request())
        await ingest.reached.wait()
        writer.transport.abort()
        await asyncio.sleep(0.01)  # a delay: the server notices
        ingest.go_on.set()
        async with asyncio.timeout(10):
            while not ingest.stored:
                await asyncio.sleep(0)

    assert [event.call_sid for event in ingest.stored] == [AGENT]
    assert len(direct) == 1


async def test_idle_connection_is_closed_after_a_direct_answer(metrics, direct):
    async with serving(FakeIngest(), metrics, keepalive_timeout=0.1) as (reader, writer):
        writer.write(request())
        assert await answer(reader)
        async with asyncio.timeout(10):
            assert await reader.read() == b""

    assert len(direct) == 1


async def test_answer_that_takes_longer_than_an_idle_connection_lives_is_sent(metrics):
    ingest = SlowIngest()

    async with serving(ingest, metrics, keepalive_timeout=0.05) as (reader, writer):
        writer.write(request())
        await ingest.reached.wait()
        await asyncio.sleep(0.1)  # a delay: an idle connection would be closed
        ingest.go_on.set()
        assert (await answer(reader)).startswith(b"HTTP/1.1 204 ")
        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_client_that_reads_no_answers_is_left_to_aiohttp(metrics, direct, monkeypatch):
    monkeypatch.setattr(DirectConnection, "_is_idle", False)

    async with serving(FakeIngest(), metrics) as (reader, writer):
        writer.write(request())
        assert (await answer(reader)).startswith(b"HTTP/1.1 204 ")

    assert direct == []
