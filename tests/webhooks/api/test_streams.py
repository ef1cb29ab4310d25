"""Event streams: what they send, and what a reader that stops reading costs."""

import asyncio
import gc
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from redis.exceptions import RedisError

from conferral.statemachine.states import PartyStatus, Phase, State
from conferral.storage.connection.client import make_client
from conferral.webhooks.api import streams
from conferral.webhooks.api.app import CONCURRENT_MAX
from tests.support.each import each
from tests.support.redis_server import RedisServer
from tests.webhooks.api.api_helpers import ALICE, BEARER, CALLER, KEYS, app_of, ask, commit, eventually, put, session

pytestmark = pytest.mark.redis
EVENTS = {"Accept": "text/event-stream"}
PATIENCE_S = 30


class Stream:
    """A reader of an event stream. Source: HTML Standard, 9.2.6, Interpreting an event stream."""

    def __init__(self, response):
        self.response = response

    async def next(self):
        """The next event as kind, data, and id; None at the end."""
        event = {"event": "message", "id": None}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await self.response.content.readline()).decode()
                if not line:
                    return None
                name, _, value = line.rstrip("\n").partition(": ")
                if line == "\n":
                    if "data" in event:
                        return event["event"], json.loads(event["data"]), event["id"]
                elif line == ":\n":
                    return "comment", None, None
                else:
                    event[name] = value

    async def until(self, kind):
        """The data of the events before one of a kind."""
        found = []
        while (event := await self.next())[0] != kind:
            found.append(event[1])
        return found

    async def rest_of_events(self):
        """The events up to the end."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found

    async def rest(self):
        """The ids of the events up to the end."""
        return [event[2] for event in await self.rest_of_events()]


@asynccontextmanager
async def opened(api, path):
    async with api.get(path, headers=EVENTS) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
        yield Stream(response)


def ended(one, at_ms=1_795_000_009_000):
    return replace(one, state=State.ENDED, phase=Phase.NONE, ended_at_ms=at_ms, version=one.version + 1)


def conferenced(one):
    return replace(one, state=State.CONFERENCED, phase=Phase.CONNECTED, version=one.version + 1)


def happened(number, before="bridged", after="bridged"):
    return {"event": "call_progressed", "from": before, "to": after, "version": str(number), "effects": "[]"}


# ---- all sessions --------------------------------------------------------------------------------------------------


async def test_stream_begins_with_live_sessions_and_goes_on_with_changes_up_to_the_end(api, store):
    await put(store, session(), session("other"), ended(session("over")))

    async with opened(api, "/sessions") as stream:
        first = await stream.until("ready")
        assert sorted(one["id"] for one in first) == [CALLER, "other"]
        assert first[0] == (await ask(api, "GET", f"/sessions/{first[0]['id']}"))[1]

        await commit(store, conferenced(session()))
        kind, data, event_id = await stream.next()
        assert (kind, data["id"], data["state"], data["version"], event_id) == (
            "session", CALLER, "conferenced", 4, None,
        )  # fmt: skip

        await commit(store, ended(session("other")))
        assert [(await stream.next())[1][name] for name in ("id",)] == ["other"]
        await commit(store, session("new"))
        assert (await stream.next())[1]["id"] == "new"


@each(
    "query, left",
    [
        ("state=bridged", conferenced(session())),
        ("party=client:alice", replace(session(), version=4, parties={
            "customer": session().parties["customer"],
            "agent": replace(session().parties["agent"], status=PartyStatus.LEFT)})),
        ("ref=desk-7", replace(session(), ref="desk-8", version=4)),
        (f"party={ALICE}&state=bridged", ended(session())),
    ],
)  # fmt: skip
async def test_filtered_stream_sends_a_session_once_more_when_it_leaves(api, store, query, left):
    await put(store, replace(session(), ref="desk-7"), replace(session("unwanted", parties={}), state=State.CONVERTING))
    async with opened(api, f"/sessions?{query}") as stream:
        assert [one["id"] for one in await stream.until("ready")] == [CALLER]

        await commit(store, left)
        assert (await stream.next())[1]["version"] == left.version
        await commit(store, replace(left, version=7))
        await commit(store, replace(session(), ref="desk-7", version=8))
        sent = [(await stream.next())[1]["version"]]
        assert sent == [8] or left.state is State.ENDED


async def test_stream_ends_if_redis_has_lost_a_session_so_that_its_reader_starts_over(api, store):
    await commit(store, session())
    async with opened(api, "/sessions") as stream:
        assert len(await stream.until("ready")) == 1
        await store.flushdb()
        await commit(store, session("other"))
        assert {event[1]["id"] for event in await stream.rest_of_events()} <= {"other"}


async def test_stream_of_ended_sessions_sends_only_ends(api, store):
    await put(store, session(), ended(session("over")))
    async with opened(api, "/sessions?state=ended") as stream:
        assert await stream.until("ready") == []
        await commit(store, conferenced(session()))
        await commit(store, ended(session(), 1_795_000_010_000))
        assert (await stream.next())[1]["state"] == "ended"


async def test_wrong_requests_are_refused_as_without_a_stream(api, store):
    await put(store, session())
    for query in ("cursor=live-a", "party=alice"):
        status, body = await ask(api, "GET", f"/sessions?{query}", headers=EVENTS)
        assert (status, body["error"]["type"]) == (422, "invalid")
    async with api.head("/sessions", headers=EVENTS) as response:
        assert response.content_type == "application/json"
    status, body = await ask(api, "GET", "/sessions", headers=EVENTS | {"Authorization": "Bearer wrong"})
    assert (status, body["error"]["type"]) == (401, "unauthorized")


async def test_quiet_stream_gets_comments(api, store, monkeypatch):
    monkeypatch.setattr(streams, "COMMENT_EVERY_S", 0.05)
    monkeypatch.setattr(streams, "GONE_CHECK_EVERY_S", 0.05)
    await put(store, session())
    async with opened(api, "/sessions") as stream:
        await stream.until("ready")
        assert [await stream.next() for _ in range(2)] == [("comment", None, None)] * 2


# ---- slow readers, and too many ------------------------------------------------------------------------------------


async def test_reader_too_far_behind_is_disconnected_and_others_go_on(api, store, metrics, monkeypatch):
    monkeypatch.setattr(streams, "BEHIND_BYTES_MAX", 256 * 1024)
    many = [session(f"s-{number}") for number in range(200)]
    await put(store, *many)

    def count(name):
        return metrics.registry.get_sample_value(name)

    async with opened(api, "/sessions") as stream:
        await stream.until("ready")
        _, writer = await asyncio.open_connection(api.server.host, api.server.port, limit=1024)
        head = f"GET /sessions HTTP/1.1\r\nHost: h\r\nAuthorization: {BEARER['Authorization']}\r\n"
        writer.write(f"{head}Accept: text/event-stream\r\n\r\n".encode())  # it reads 2 KiB, and no more
        async with asyncio.timeout(PATIENCE_S):
            while count("conferral_streams") != 2:
                await asyncio.sleep(0.01)
            version = 3
            while not count("conferral_streams_dropped_total"):
                version += 1
                await put(store, *(replace(one, version=version) for one in many))
                while (await stream.next())[1]["version"] < version:
                    pass
            while count("conferral_streams") != 1:
                await asyncio.sleep(0.01)
        await commit(store, session("after"))
        while (await stream.next())[1]["id"] != "after":
            pass
        writer.close()
    assert count("conferral_streams_dropped_total") == 1


async def test_streams_beyond_the_limit_are_refused_until_one_is_closed(open_api, store, metrics, monkeypatch):
    assert streams.STREAMS_MAX == 200  # promised
    monkeypatch.setattr(streams, "STREAMS_MAX", 1)
    api = await open_api()
    await put(store, session())
    async with opened(api, "/sessions") as stream:
        await stream.until("ready")
        async with api.get("/sessions", headers=EVENTS) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (503, "too-many-streams")
            assert int(response.headers["Retry-After"]) > 0
        assert metrics.registry.get_sample_value("conferral_streams_refused_total") == 1
        assert (await ask(api, "GET", "/sessions"))[0] == 200

    async def is_served():
        async with api.get("/sessions", headers=EVENTS) as response:
            return response.status == 200

    await eventually(is_served)


async def test_process_shutdown_ends_streams(api, store):
    await put(store, session())
    async with opened(api, "/sessions") as stream:
        await stream.until("ready")
        await api.server.app.shutdown()
        async with asyncio.timeout(PATIENCE_S):
            assert await stream.rest() == []


async def test_nothing_is_kept_of_readers_that_have_left_even_if_no_call_changes(api, metrics):
    for _ in range(5):
        async with opened(api, "/sessions") as stream:
            await stream.until("ready")

    async def have_left():
        return metrics.registry.get_sample_value("conferral_streams") == 0

    await eventually(have_left)

    async def are_forgotten():
        gc.collect()
        return not [one for one in gc.get_objects() if type(one) is web.StreamResponse]

    await eventually(are_forgotten)


async def test_reads_do_not_grow_with_readers(api, store):
    await put(store, session(), *(session(f"s-{number}") for number in range(20)))

    async def reads_of(readers):
        async with AsyncExitStack() as stack:
            begun = (stack.enter_async_context(opened(api, "/sessions")) for _ in range(readers))
            opens = await asyncio.gather(*begun)  # each waits for the next poll
            for one in opens:
                await one.until("ready")
            await store.config_resetstat()
            await commit(store, replace(session(), version=3 + readers))
            for one in opens:
                await one.next()
            return (await store.info("commandstats"))["cmdstat_hgetall"]["calls"]

    assert await reads_of(1) == 1
    assert await reads_of(10) == 1


async def test_without_redis_a_stream_is_refused_and_an_open_one_goes_on_afterward(redis_program, serve, metrics):
    with RedisServer(redis_program, append_only=True) as server:
        client = make_client(server.url, max_connections=2 * CONCURRENT_MAX)
        api = await serve(app_of(client, metrics), headers=BEARER)
        await put(client, session())
        async with opened(api, "/sessions") as stream:
            await stream.until("ready")
            server.kill()

            async def is_refused():
                status, body = await ask(api, "GET", "/sessions", headers=EVENTS)
                return (status, body["error"]["type"]) == (503, "store")

            await eventually(is_refused)
            server.start()
            await eventually_committed(client, session("after"))
            while (event := await stream.next())[1]["id"] != "after":
                assert event[0] == "session"
        await client.aclose()


async def eventually_committed(client, one):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await commit(client, one)
            except RedisError:
                await asyncio.sleep(0.05)


async def test_record_that_was_edited_by_hand_ends_no_stream(api, store):
    await put(store, session())
    async with opened(api, "/sessions") as stream:
        await stream.until("ready")
        await store.hset(KEYS.session(CALLER), mapping={"version": "x", "session": "{"})
        await store.hincrby(KEYS.lease(KEYS.partition_of(CALLER)), "commit", 1)
        await commit(store, session("other"))
        assert (await stream.next())[1]["id"] == "other"
