"""Event streams: what they send, where they resume, and what a reader that stops reading costs."""

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
async def opened(api, path, last_id=None):
    headers = EVENTS | ({"Last-Event-ID": last_id} if last_id else {})
    async with api.get(path, headers=headers) as response:
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


# ---- one session's log ---------------------------------------------------------------------------------------------


async def test_log_stream_sends_every_entry_and_closes_after_the_end(api, store):
    ids = await commit(store, session(), *map(happened, range(120)))
    path = f"/sessions/{CALLER}/log"
    async with opened(api, path) as stream:
        first = [await stream.next() for _ in range(120)]
        assert [event[2] for event in first] == ids
        assert {event[0] for event in first} == {"message"}
        assert first[0][1] == (await ask(api, "GET", f"{path}?limit=1"))[1]["entries"][0]

        ids += await commit(store, conferenced(session()), happened(121))
        assert (await stream.next())[2] == ids[-1]
        ids += await commit(store, ended(session()), happened(122, after="ended"))
        assert (await stream.next())[2] == ids[-1]
        ids += await commit(store, ended(session()), happened(123, after="ended"))  # such as a callback of the last leg
        assert await stream.rest() == ids[-1:]

    async with opened(api, path, ids[-3]) as stream:
        assert await stream.rest() == ids[-2:]
    async with api.get(path, headers=EVENTS | {"Last-Event-ID": ids[-1]}) as response:
        assert (response.status, await response.read()) == (204, b"")


async def test_log_stream_of_a_session_that_no_poll_saw_live_closes_after_its_end(api, store):
    ids = await commit(store, session(), happened(0))
    await store.srem(KEYS.live(KEYS.partition_of(CALLER)), CALLER)  # it begins and ends between two polls
    async with opened(api, f"/sessions/{CALLER}/log") as stream:
        assert (await stream.next())[2] == ids[0]
        ids += await commit(store, ended(session(), 1), happened(1, after="ended"))
        assert await stream.rest() == ids[1:]


async def test_log_stream_of_a_session_that_redis_has_lost_closes(api, store):
    ids = await commit(store, session(), happened(0))
    async with opened(api, f"/sessions/{CALLER}/log") as stream:
        assert (await stream.next())[2] == ids[0]
        await store.flushdb()
        assert await stream.rest() == []


async def test_readers_of_a_log_that_grows_get_each_entry_once_wherever_they_begin(api, store, chance):
    ids = await commit(store, session(), happened(0))
    heard = []

    async def read(last_id=None):
        """Reads some, breaks off, and resumes until the answer is 204, as an EventSource on a bad connection."""
        got = []
        while True:
            headers = EVENTS | ({"Last-Event-ID": last_id} if last_id else {})
            async with api.get(f"/sessions/{CALLER}/log", headers=headers) as response:
                if response.status == 204:
                    heard.append(got)
                    return
                for _ in range(chance.randint(1, 40)):
                    if (event := await Stream(response).next()) is not None:
                        got.append(event[2])
                        last_id = event[2]

    readers = [asyncio.create_task(read()) for _ in range(8)]
    for number in range(1, 60):
        await asyncio.sleep(chance.random() * 0.03)  # a delay: entries come at any moment of a poll
        ids += await commit(store, conferenced(session()), *(happened(number) for _ in range(chance.randint(1, 5))))
    ids += await commit(store, ended(session()), happened(99, after="ended"))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*readers)

    assert heard == [ids] * 8


async def test_resumed_stream_begins_with_a_gap_if_entries_were_trimmed(api, store):
    ids = await commit(store, session(), *map(happened, range(6)))
    await store.xtrim(KEYS.log(CALLER), maxlen=3, approximate=False)
    path = f"/sessions/{CALLER}/log"

    async with opened(api, path, ids[0]) as stream:
        assert await stream.next() == ("gap", {}, None)
        assert (await stream.next())[2] == ids[3]
    for last_id in (ids[3], None):
        async with opened(api, path, last_id) as stream:
            assert (await stream.next())[0] == "message"


async def test_unknown_sessions_and_wrong_requests_are_refused_as_without_a_stream(api, store):
    await put(store, session())
    for path, last_id, expected in [
        ("/sessions/nothing/log", "", (404, "unknown")),
        (f"/sessions/{CALLER}/log", "last", (422, "invalid")),
        (f"/sessions/{CALLER}/log?limit=5", "", (422, "invalid")),
        ("/sessions?cursor=live-a", "", (422, "invalid")),
        ("/sessions?party=alice", "", (422, "invalid")),
    ]:
        status, body = await ask(api, "GET", path, headers=EVENTS | {"Last-Event-ID": last_id})
        assert (status, body["error"]["type"]) == expected
    async with api.head("/sessions", headers=EVENTS) as response:
        assert response.content_type == "application/json"
    status, body = await ask(api, "GET", "/sessions", headers=EVENTS | {"Authorization": "Bearer wrong"})
    assert (status, body["error"]["type"]) == (401, "unauthorized")


async def test_quiet_stream_gets_comments(api, store, monkeypatch):
    monkeypatch.setattr(streams, "COMMENT_EVERY_S", 0.05)
    monkeypatch.setattr(streams, "GONE_CHECK_EVERY_S", 0.05)
    await put(store, session())
    async with opened(api, f"/sessions/{CALLER}/log") as stream:
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
        async with api.get(f"/sessions/{CALLER}/log", headers=EVENTS) as response:
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
    async with opened(api, "/sessions") as stream, opened(api, f"/sessions/{CALLER}/log") as log:
        await stream.until("ready")
        await api.server.app.shutdown()
        async with asyncio.timeout(PATIENCE_S):
            assert (await stream.rest(), await log.rest()) == ([], [])


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
                status, body = await ask(api, "GET", f"/sessions/{CALLER}/log", headers=EVENTS)
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
        await store.hset(KEYS.session(CALLER), mapping={"id": "", "version": "x", "party.agent.held": "maybe"})
        await store.hincrby(KEYS.lease(KEYS.partition_of(CALLER)), "commit", 1)
        assert (await stream.next())[1]["id"] is None
        await commit(store, session("other"))
        while (await stream.next())[1]["id"] != "other":
            pass
