"""The socket itself: messages that make no sense, changing views, Redis away, and a server that stops."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from aiohttp import web

from conferral.console.views import HealthView
from conferral.console.websocket import MESSAGE_BYTES_MAX
from tests.conferral.cli_helpers import CALL, conferenced, make_session, put, set_up
from tests.console.console_helpers import PATIENCE_S, TOKEN, Page, app_of, commit, console_over, origin, served
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "{",
        '{"view":"others"}',
        '{"view":["sessions"]}',
        '{"view":"sessions","ended":"yes"}',
        '{"view":"session"}',
        '{"view":"session","id":"a b"}',
        '{"view":"dead","reason":7}',
        '{"follow":"a b"}',
    ],
)
async def test_a_message_that_makes_no_sense_is_ignored_and_the_page_stays(console, redis, sent):
    page = await Page.open(console)

    await page.socket.send_str(sent)

    await page.say(view="sessions")
    assert (await page.next("sessions"))["whole"] is True


async def test_bytes_are_no_message_and_too_large_ones_end_the_socket(console, redis):
    page = await Page.open(console)
    await page.socket.send_bytes(b'{"view":"sessions"}')

    await page.socket.send_str(msgspec.json.encode({"view": "x" * MESSAGE_BYTES_MAX}).decode())
    while not page.socket.closed:
        await page.socket.receive()
    assert page.socket.close_code == 1009


async def test_another_view_replaces_the_one_before(console, quick_ticks, bridged):
    page = await Page.open(console, {"view": "sessions"})
    await page.next("sessions")

    await page.say(view="dead")
    await page.next("dead")
    heard = len(page.heard)
    for _ in range(4):
        await page.next("tick")

    # The summary belongs to every view.
    assert {message["about"] for message in page.heard[heard:]} - {"summary"} == {"tick"}


async def test_page_gets_ticks_while_redis_is_slow(console, redis, quick_ticks, monkeypatch):
    """A page that hears nothing takes its server for gone; and pages wait for Redis one after another."""
    answered = asyncio.Event()

    async def wait(_view):
        await answered.wait()
        return [b'{"about":"health"}']

    monkeypatch.setattr(HealthView, "new_messages", wait)
    page = await Page.open(console, {"view": "health"})
    await page.next("hello")
    for _ in range(3):
        await page.next("tick")
    assert "health" not in {message["about"] for message in page.heard}

    answered.set()
    await page.next("health")


async def test_a_page_may_go_while_redis_keeps_it_waiting(console, redis, monkeypatch):
    waiting, given_up = asyncio.Event(), asyncio.Event()

    async def wait(_view):
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    monkeypatch.setattr(HealthView, "new_messages", wait)
    page = await Page.open(console, {"view": "health"})
    await waiting.wait()
    await page.close()

    async with asyncio.timeout(PATIENCE_S):
        await given_up.wait()


async def test_redis_outage_is_reported_and_missed_changes_are_caught_up(redis_program):
    with RedisServer(redis_program, append_only=True) as server:
        with server.client() as redis:
            set_up(redis)
            put(redis, make_session())
        async with console_over(server.url) as (console, _):
            page = await Page.open(console, {"view": "sessions"})
            await page.until(lambda page: CALL in page.rows)
            as_of = (await page.next("tick"))["as_of"]

            server.kill()
            away = await page.next("tick", lambda tick: tick["trouble"])
            assert away["trouble"].startswith("Redis can't be reached")
            assert away["as_of"] >= as_of
            assert (await console.get("/readyz")).status == 503
            assert (await console.post("/commands", json={"type": "end", "session": CALL})).status == 503
            assert (await console.get("/healthz")).status == 200

            server.start()
            with server.client() as redis:
                commit(redis, make_session("CA" + "7" * 32))
            await page.until(lambda page: "CA" + "7" * 32 in page.rows)
            assert (await page.next("tick"))["trouble"] == ""
            async with asyncio.timeout(60):
                while (await console.get("/readyz")).status != 200:  # an answer is kept for a second
                    await asyncio.sleep(0.05)


async def test_pages_are_notified_when_the_console_stops(console, redis):
    page = await Page.open(console, {"view": "sessions"})
    await page.next("sessions")

    closing = asyncio.ensure_future(console.server.close())
    while not page.socket.closed:
        await page.socket.receive()
    await closing

    assert page.socket.close_code == 1001


async def test_a_page_that_takes_its_time_gets_fewer_and_larger_messages(console, redis, monkeypatch):
    """While one message is on its way no other is made: what has changed meanwhile comes in the next one."""
    names = [f"CA{number:032x}" for number in range(5)]
    for name in names:
        put(redis, make_session(name))
    slow = await Page.open(console, {"view": "sessions", "full": True})
    quick = await Page.open(console, {"view": "sessions"})
    for page in (slow, quick):
        await page.until(lambda page: len(page.rows) == 5)
    taken, send = asyncio.Event(), web.WebSocketResponse.send_frame

    async def send_when_taken(socket, message, *arguments):
        if b"+14155550123" in message:  # only the slow page gets full numbers
            await taken.wait()
        await send(socket, message, *arguments)

    monkeypatch.setattr(web.WebSocketResponse, "send_frame", send_when_taken)
    for name in names:
        commit(redis, replace(conferenced(name), version=9))
        await quick.until(lambda page, name=name: page.rows[name]["version"] == 9)
    taken.set()
    await slow.until(lambda page: {row["version"] for row in page.rows.values()} == {9})

    reported = [[len(m["rows"]) for m in page.heard if m["about"] == "sessions"] for page in (slow, quick)]
    assert reported == [[5, 1, 4], [5, 1, 1, 1, 1, 1]]


async def test_below_a_proxys_path_everything_works_and_the_cookie_stays_there(store, bridged):
    outer = web.Application()
    outer.add_subapp("/phones/console/", app_of(store))
    browser = await served(outer)
    try:
        own = origin(browser)
        at = "/phones/console"
        assert (await browser.post(f"{at}/sign-in", json={"token": TOKEN}, headers=own)).status == 204
        (cookie,) = browser.session.cookie_jar
        socket = await browser.ws_connect(f"{at}/live", headers=own)
        page = Page(socket)
        await page.say(view="sessions")
        await page.until(lambda page: CALL in page.rows)
        assert cookie["path"] == at
        assert (await browser.get(f"{at}/")).status == 200
        assert (await browser.get(f"{at}/static/shared/icon.svg")).status == 200
        await page.close()
    finally:
        await browser.close()
