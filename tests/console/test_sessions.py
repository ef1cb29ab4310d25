"""The list of sessions over the socket: what is sent first, what follows, and that all pages get the same."""

from dataclasses import replace

import pytest

from conferral.console import session_feed
from conferral.console.messages import row
from conferral.operations.explain.attention import attention_of
from conferral.storage.codecs import session_codec
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.keys import Keys
from tests.conferral.cli_helpers import CALL, KEYS, conferenced, ended, make_session, put
from tests.console.console_helpers import Page, commit, console_over
from tests.support.flat_sessions import flat, session_of
from tests.support.owners import owned_by
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
SESSIONS = {"view": "sessions", "ended": False}


def name(number):
    return f"CA{number:032x}"


async def test_page_gets_all_sessions_on_connect_then_only_changes(console, redis, bridged):
    put(redis, make_session(name(7)))
    page = await Page.open(console, SESSIONS)

    hello = await page.hear()
    first = await page.next("sessions")
    assert (hello["about"], hello["read_only"], hello["prefix"]) == ("hello", False, "conferral")
    assert (first["whole"], {row["id"] for row in first["rows"]}) == (True, {CALL, name(7)})

    commit(redis, replace(conferenced(), version=5))
    second = await page.next("sessions")
    assert (second["whole"], second["gone"]) == (False, [])
    assert [(row["id"], row["state"], row["version"]) for row in second["rows"]] == [(CALL, "conferenced", 5)]

    commit(redis, replace(ended(), version=6))
    third = await page.next("sessions")
    assert (third["rows"], third["gone"]) == ([], [CALL])


async def test_ended_sessions_are_shown_on_request(console, redis):
    put(redis, ended(name(1)))
    put(redis, make_session())
    page = await Page.open(console, {"view": "sessions", "ended": True})

    await page.until(lambda page: page.rows.keys() == {CALL, name(1)})
    assert page.rows[name(1)]["end_reason"] == "agent-left"

    commit(redis, replace(ended(), version=5))
    await page.until(lambda page: page.rows[CALL]["state"] == "ended")
    assert page.rows[CALL]["ended_at"] == "2027-01-15T08:01:01.000Z"

    commit(redis, replace(make_session(name(2)), version=2))
    await page.say(**SESSIONS)
    await page.until(lambda page: page.rows.keys() == {name(2)})


async def test_the_list_goes_on_next_to_a_session_and_is_not_sent_again(console, redis, bridged, quick_ticks):
    put(redis, make_session(name(7)))
    page = await Page.open(console, SESSIONS)
    await page.until(lambda page: page.rows.keys() == {CALL, name(7)})

    for opened in (CALL, name(7)):
        await page.say(view="session", id=opened, with_list=True)
        assert (await page.next("session"))["id"] == opened
    commit(redis, replace(conferenced(), version=5))
    await page.until(lambda page: page.rows[CALL]["version"] == 5)
    await page.say(**SESSIONS)
    commit(redis, replace(ended(), version=6))
    await page.until(lambda page: page.rows.keys() == {name(7)})

    assert [one["whole"] for one in page.heard if one["about"] == "sessions"].count(True) == 1
    await page.say(view="session", id=CALL, with_list=True, ended=True)
    await page.until(lambda page: page.rows.keys() == {CALL, name(7)})


async def test_newest_ended_calls_fill_a_list_without_live_ones(console, redis):
    put(redis, ended(name(1)))
    put(redis, make_session())
    page = await Page.open(console, SESSIONS)
    await page.until(lambda page: page.rows.keys() == {CALL})

    commit(redis, replace(ended(), version=5))
    await page.until(lambda page: page.rows.keys() == {CALL, name(1)})

    commit(redis, make_session(name(2)))
    await page.until(lambda page: page.rows.keys() == {name(2)})


@pytest.mark.parametrize("view", [{"view": "session", "id": CALL}, {"view": "health"}, {"view": "dead"}], ids=str)
async def test_every_view_gets_the_summary_that_the_banner_shows_lost_workers_from(
    console, redis, quick_ticks, monkeypatch, view, bridged
):
    monkeypatch.setattr("conferral.runtime.web.server.RESULT_TTL_S", 0.1)
    redis.hset(KEYS.owners, "0", owned_by("killed", 1))
    page = await Page.open(console, view)

    first = await page.next("summary")
    assert (first["counts"]["live"], first["lost_workers"]) == (1, None)
    redis.zadd(KEYS.workers, {"killed": 1})
    shown = await page.next("summary", lambda message: message["lost_workers"])
    assert shown["lost_workers"] == {"names": ["killed"], "waiting": [*range(KEYS.partitions)]}
    redis.hset(KEYS.owners, "0", owned_by("heir", redis.time()[0] * 1000 + 2_000))
    await page.next("summary", lambda message: 0 not in (message["lost_workers"] or {"waiting": [0]})["waiting"])
    redis.zrem(KEYS.workers, "killed")
    await page.next("summary", lambda message: message["lost_workers"] is None)


async def test_a_session_that_begins_and_one_whose_record_is_lost(console, redis, bridged):
    page = await Page.open(console, SESSIONS)
    await page.until(lambda page: CALL in page.rows)

    commit(redis, make_session(name(1)))
    await page.until(lambda page: name(1) in page.rows)
    partition = KEYS.partition_of(CALL)
    redis.delete(KEYS.session(CALL))
    redis.hincrby(KEYS.lease(partition), "commit", 1)
    await page.until(lambda page: CALL not in page.rows)

    assert page.rows.keys() == {name(1)}


async def test_overdue_timer_is_reported_without_a_commit(console, redis, quick_ticks):
    """A timer that no one fires is overdue some time, and that is when a page has to say so."""
    server_ms = int(redis.time()[0] * 1000)
    put(redis, make_session(timers={"calls": server_ms + 500}, created_at_ms=server_ms))
    page = await Page.open(console, SESSIONS)
    await page.until(lambda page: CALL in page.rows)
    assert page.rows[CALL]["trouble"] is None

    await page.until(lambda page: page.rows[CALL]["trouble"] is not None)

    assert page.rows[CALL]["trouble"]["rank"] == 1
    assert page.rows[CALL]["version"] == 4


async def test_nothing_is_read_while_no_one_watches(console, redis):
    page = await Page.open(console, SESSIONS)
    await page.next("sessions")
    await page.close()
    other = await Page.open(console, {"view": "dead"}, headers={"Authorization": "Bearer wrong"})
    await other.socket.receive()
    redis.config_resetstat()

    for _ in range(5):
        await console.get("/healthz")

    assert redis.info("commandstats").keys() <= {"cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}


async def test_redis_set_up_again_shows_no_earlier_sessions(redis_program, monkeypatch):
    monkeypatch.setattr(session_feed, "CLOCK_EVERY_S", 0.5)
    with RedisServer(redis_program) as server:
        async with console_over(server.url) as (console, _):
            with server.client() as redis:
                put(redis, make_session())
                page = await Page.open(console, SESSIONS)
                await page.until(lambda page: CALL in page.rows)
                server.kill()
                server.start()
            with server.client() as redis:
                other = Keys("conferral", 2)
                redis.hset(other.config, mapping={"partitions": 2, "schema": SCHEMA_VERSION})
                redis.hset(other.session(name(1)), mapping=session_codec.encode(make_session(name(1))))
                redis.sadd(other.live(other.partition_of(name(1))), name(1))
            await page.until(lambda page: page.rows.keys() == {name(1)})


# ---- rows --------------------------------------------------------------------------------------------------------


def sent(session, *, full=False, **changes):
    fields = flat(session) | changes
    return row(session_of(fields), attention_of(session_of(fields), 1_800_000_100_000), {}, full=full)


def test_numbers_are_whole_only_for_who_wants_them_but_their_last_digits_can_be_found():
    assert "4155550123" not in str(sent(make_session()))
    assert sent(make_session())["digits"] == ["0123"]
    assert sent(make_session(), full=True)["digits"] == ["14155550123"]
    assert sent(make_session(), full=True)["title"] == "+14155550123 and alice"


async def test_agents_have_their_names_in_the_list_and_in_a_session(open_console, redis):
    put(redis, make_session())
    console = await open_console(people=lambda: {"client:alice": "Alice A."})
    page = await Page.open(console, SESSIONS)
    await page.until(lambda page: page.rows.keys() == {CALL})
    assert page.rows[CALL]["title"] == "+…23 and Alice A."
    assert page.rows[CALL]["agent"] == "Alice A."
    assert {"alice", "a."} <= set(page.rows[CALL]["find"].split()), "both are found"

    await page.say(view="session", id=CALL)
    shown = await page.next("session")
    assert shown["people"] == "+…23 and Alice A."
    assert "Alice A." in str(shown["headline"])
    assert "Alice A." in str(shown["summary"])
    by_name = {party["name"]: party for party in shown["parties"]}
    assert (by_name["agent"]["person"], by_name["agent"]["address"]) == ("Alice A.", "client:alice")
