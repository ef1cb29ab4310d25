"""Sessions, logs and calls are read in pages that hold together while things change."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.outcomes.report import read_report
from conferral.runtime.errors import StoreError
from conferral.statemachine.events import AccountSwept, Convert
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.storage.codecs import session_codec
from conferral.storage.partition import partition_store
from conferral.storage.queries import session_reader
from conferral.storage.queries.session_reader import BadCursorError, SessionCursor, SessionReader
from tests.support.each import each
from tests.support.entries import event_in
from tests.support.people import CUSTOMER


@pytest.fixture
def reader(client, keys):
    return SessionReader(client, keys)


async def add_live(client, keys, *names, state="bridged"):
    for name in names:
        customer = Party("customer", "customer-1", address=CUSTOMER)
        session = Session(name, State(state), parties={"customer": customer}, call_token="secret")
        await client.hset(keys.session(name), mapping=session_codec.encode(session))
        await client.sadd(keys.live(keys.partition_of(name)), name)


async def add_ended(client, keys, ends):
    for name, ended_ms in ends.items():
        session = Session(name, State.ENDED, ended_at_ms=ended_ms)
        await client.delete(keys.session(name))
        await client.hset(keys.session(name), mapping=session_codec.encode(session))
        await client.zadd(keys.ended(keys.partition_of(name)), {name: ended_ms})


async def all_of(read, limit=50, **wanted):
    """Everything that the pages hold, with how long each was."""
    found, sizes, cursor = [], [], ""
    while True:
        page = await read(limit=limit, cursor=cursor, **wanted)
        found += page.items
        sizes.append(len(page.items))
        cursor = page.cursor
        if not cursor:
            return found, sizes


def ids(sessions):
    return [one.id for one in sessions]


@pytest.mark.redis
async def test_nothing_there_is_one_empty_page(reader):
    assert await all_of(reader.list_sessions) == ([], [0])
    assert await reader.live_ids() == await reader.ended_ids() == []
    assert await reader.read_session("nobody") is None
    assert await reader.read_sessions(["nobody"]) == {}


@pytest.mark.redis
@pytest.mark.parametrize("limit", [1, 3, 7, 20, 500])
async def test_pages_hold_every_session_once_and_the_ended_ones_by_their_end(reader, client, keys, limit):
    live = [f"live-{n}" for n in range(11)]
    # Several end in one millisecond, in one partition and in others.
    ends = {f"ended-{n}": 1_000 + n // 4 for n in range(14)}
    await add_live(client, keys, *live)
    await add_ended(client, keys, ends)
    found, sizes = await all_of(reader.list_sessions, limit=limit)
    assert sorted(ids(found)[:11]) == sorted(live)
    assert ids(found)[11:] == sorted(ends, key=lambda name: (ends[name], name), reverse=True)
    assert max(sizes) <= limit
    assert not any(one.call_token for one in found)
    assert ids((await all_of(reader.list_sessions, limit=limit, state=State.ENDED))[0]) == ids(found)[11:]
    assert ids((await all_of(reader.list_sessions, limit=limit, live_only=True))[0]) == ids(found)[:11]


@pytest.mark.redis
@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_only_sessions_of_a_state_are_listed(reader, client, keys, limit):
    await add_live(client, keys, *(f"b{n}" for n in range(8)))
    await add_live(client, keys, "c1", "c2", "c3", state="converting")
    await add_ended(client, keys, {"e1": 5})
    found, sizes = await all_of(reader.list_sessions, limit=limit, state=State.CONVERTING)
    assert sorted(ids(found)) == ["c1", "c2", "c3"]
    assert max(sizes) <= limit
    assert (await all_of(reader.list_sessions, limit=limit, state=State.TRANSFERRING))[0] == []


@pytest.mark.redis
@pytest.mark.parametrize("state, count", [(None, 4), (None, 2), (State.BRIDGED, 3), (State.ENDED, 1)])
async def test_full_page_is_the_last_one_if_nothing_follows(reader, client, keys, state, count):
    await add_live(client, keys, *(f"b{n}" for n in range(3)))
    await add_ended(client, keys, {"e1": 5})
    page = await reader.list_sessions(state=state, limit=count)
    assert len(page.items) == count
    assert bool(page.cursor) is (count == 2)
    without_ended = await reader.list_sessions(limit=3)
    assert without_ended.cursor, "the ended ones follow"


@pytest.mark.redis
async def test_page_reads_no_more_sessions_than_its_limit(reader, client, keys, monkeypatch):
    monkeypatch.setattr(session_reader, "CHUNK", 2)
    monkeypatch.setattr(session_reader, "SCANNED_MAX", 4)
    await add_live(client, keys, *(f"b{n}" for n in range(20)))
    await add_live(client, keys, "z1", state="converting")
    page = await reader.list_sessions(state=State.CONVERTING, limit=50)
    found, sizes = await all_of(reader.list_sessions, state=State.CONVERTING)
    assert page.cursor
    assert ids(found) == ["z1"]
    assert len(sizes) >= 5


@pytest.mark.redis
async def test_cursor_means_the_same_whatever_changes(reader, client, keys):
    live = [f"live-{n}" for n in range(9)]
    await add_live(client, keys, *live)
    page = await reader.list_sessions(limit=4)
    assert ids(page.items) == live[:4]
    await add_live(client, keys, *(f"early-{n}" for n in range(5)))
    gone, ending = live[3], live[4]
    for name in (gone, ending):
        await client.srem(keys.live(keys.partition_of(name)), name)
    await add_ended(client, keys, {ending: 7})
    rest, _ = await all_of(
        lambda limit, cursor: reader.list_sessions(limit=limit, cursor=cursor or page.cursor), limit=4
    )
    assert set(live[5:]) | {ending} <= set(ids(rest))
    assert set(live[:4]).isdisjoint(ids(rest))


@pytest.mark.redis
async def test_sessions_that_end_while_the_ended_are_listed_shift_nothing(reader, client, keys):
    await add_ended(client, keys, {f"e{n}": n + 1 for n in range(6)})
    page = await reader.list_sessions(state=State.ENDED, limit=3)
    await add_ended(client, keys, {"late": 100})
    await client.delete(keys.session("e1"))  # expired, though its end is still noted
    rest = await reader.list_sessions(state=State.ENDED, limit=3, cursor=page.cursor)
    assert (ids(page.items), ids(rest.items), rest.cursor) == (["e5", "e4", "e3"], ["e2", "e0"], "")


@pytest.mark.redis
async def test_page_of_ended_sessions_is_filled_though_many_have_expired(reader, client, keys):
    await add_ended(client, keys, {f"e{n:03}": n + 1 for n in range(30)})
    await client.delete(*(keys.session(f"e{n:03}") for n in range(5, 30)))
    page = await reader.list_sessions(state=State.ENDED, limit=4)
    assert ids(page.items) == ["e004", "e003", "e002", "e001"]
    assert ids((await reader.list_sessions(state=State.ENDED, limit=4, cursor=page.cursor)).items) == ["e000"]


@pytest.mark.redis
async def test_ended_sessions_since_a_moment(reader, client, keys):
    await add_ended(client, keys, {"e1": 1_000, "e2": 2_000})
    assert await reader.ended_ids(1_001) == ["e2"]
    assert sorted(await reader.ended_ids()) == ["e1", "e2"]


@pytest.mark.redis
async def test_calls_are_found_by_the_index(reader, client, keys):
    await add_live(client, keys, "S1")
    await client.set(keys.call("CA1"), "S1")
    assert await reader.session_ids_of_calls(["CA1", "CA9"]) == {"CA1": "S1"}
    assert [await reader.exists(name) for name in ("S1", "CA1")] == [True, False]


@pytest.mark.redis
async def test_log_is_read_in_pages_oldest_first(reader, client, keys):
    entries = [(await client.xadd(keys.log("S1"), {"event": f"e{n}"})).decode() for n in range(5)]
    found, sizes = await all_of(partial(reader.log_page, "S1"), limit=2)
    assert [one.id for one in found] == entries
    assert [one.event for one in found] == ["e0", "e1", "e2", "e3", "e4"]
    assert (sizes, found[0].reason) == ([2, 2, 1], "")
    page = await reader.log_page("S1", limit=2)
    await client.xdel(keys.log("S1"), *entries[:3])
    assert [one.id for one in (await reader.log_page("S1", limit=2, cursor=page.cursor)).items] == entries[3:]
    assert (await reader.log_page("nobody", limit=2)).items == []


@pytest.mark.redis
async def test_logs_are_followed_from_the_last_entry_seen(reader, client, keys):
    entries = [(await client.xadd(keys.log("S1"), {"event": f"e{n}"})).decode() for n in range(3)]
    found = await reader.logs({"S1": entries[0], "S2": ""})
    assert {name: [one.id for one in some] for name, some in found.items()} == {"S1": entries[1:], "S2": []}
    assert await reader.last_log_ids(["S1", "S2"]) == {"S1": entries[-1], "S2": ""}


@pytest.mark.redis
async def test_session_to_which_another_program_wrote_is_left_out_and_its_key_named(reader, client, keys):
    await add_live(client, keys, "S1", "S2", "S3", "S4")
    await client.delete(keys.session("S1"))
    await client.set(keys.session("S1"), "text")
    await client.hset(keys.session("S2"), "session", "{")
    await client.hset(keys.session("S3"), mapping=session_codec.encode(Session("S4", version=1)))
    assert ids((await all_of(reader.list_sessions))[0]) == ["S4"]
    assert reader.foreign_keys == {keys.session(name) for name in ("S1", "S2", "S3")}
    assert await reader.read_session("S1") is None


@pytest.mark.parametrize("limit", [0, -1, 501])
async def test_limit_outside_its_bounds_is_refused(limit):
    reader = SessionReader(None, None)
    for read in (reader.list_sessions(limit=limit), reader.log_page("S1", limit=limit)):
        with pytest.raises(ValueError, match="limit must be 1 to 500"):
            await read


@given(st.none() | st.integers(0, 10**16 - 1), st.sampled_from(["S1", "-", "x" * 64]))
def test_cursor_leads_back_to_its_place(ended_ms, after):
    place = SessionCursor(ended_ms, after)
    assert SessionCursor.parse(place.text) == place
    with pytest.raises(BadCursorError):
        session_reader.check_log_cursor(place.text)


@each("text", ["", "x", "live-", "live-a b", "live-S1\n", "ended-S1", "ended--1-S1", "ended-1.5-S1", "ended-7-", "1-0"])
def test_invalid_session_cursor_is_refused(text):
    with pytest.raises(BadCursorError, match=r"^cursor must be that of the page before$"):
        SessionCursor.parse(text)


@each("text", ["", "5", "-", "1-0 +", "(1-0", "1-0\n", f"{2**64}-0"])
def test_invalid_log_cursor_is_refused(text):
    with pytest.raises(BadCursorError):
        session_reader.check_log_cursor(text)


@pytest.mark.redis
async def test_events_are_appended_to_their_sessions_partitions_in_order(client, keys, monkeypatch):
    monkeypatch.setattr(partition_store, "CHUNK", 2)
    events = [AccountSwept(session_id=f"s{n % 3}", token=f"t{n}", finding="call-missing") for n in range(7)]
    await partition_store.append_events(client, keys, events)
    found = []
    for partition in range(keys.partitions):
        found += [(partition, event_in(fields)) for _, fields in await client.xrange(keys.events(partition))]
    assert {(keys.partition_of(event.session_id), event.token) for event in events} == {
        (partition, event.token) for partition, event in found
    }
    for session_id in ("s0", "s1", "s2"):
        tokens = [event.token for _, event in found if event.session_id == session_id]
        assert tokens == sorted(tokens)


@pytest.mark.redis
async def test_refused_append_is_reported(client, keys):
    await client.set(keys.events(keys.partition_of("s1")), "of a wrong type")
    with pytest.raises(StoreError):
        await partition_store.append_events(client, keys, [Convert(session_id="s1", token="c")])


@pytest.mark.redis
async def test_a_partitions_mark_is_another_one_after_each_commit_and_each_change_of_hands(reader, client, keys):
    seen = [await reader.commit_marks()]
    for change in ({"holder": "1:a", "commit": 0}, {"commit": 1}, {"commit": 2}, {"holder": "2:b", "commit": 2}):
        await client.hset(keys.lease(1), mapping=change)
        seen.append(await reader.commit_marks())
    assert len({marks[1] for marks in seen}) == len(seen)
    assert {marks[0] for marks in seen} == {" "}
    assert all(len(marks) == keys.partitions for marks in seen)


@pytest.mark.redis
async def test_live_sessions_are_read_with_their_versions(reader, client, keys):
    names = [f"s{n}" for n in range(20)]
    await add_live(client, keys, *names)
    for name in names:
        await client.hset(keys.session(name), "version", 7)
    await client.delete(keys.session("s3"))
    await client.set(keys.session("s3"), "another program's")
    await client.delete(keys.session("s4"))
    assert await reader.live_versions() == {name: "7" for name in names if name not in ("s3", "s4")}


@pytest.mark.redis
async def test_a_report_says_that_outcomes_of_its_period_may_have_been_erased(client, keys):
    for at_ms in (1_000, 2_000, 3_000):
        await client.xadd(keys.outcomes, {"kind": "session"}, id=f"{at_ms}-0")
    queries = SessionReader(client, keys)
    assert not (await read_report(queries, 1_000, 4_000)).is_trimmed

    await client.xdel(keys.outcomes, "2000-0")

    known = "max-deleted-entry-id" in await client.xinfo_stream(keys.outcomes)  # from Redis 7 on
    assert (await read_report(queries, 1_000, 4_000)).is_trimmed is known
    assert not (await read_report(queries, 2_001, 4_000)).is_trimmed
