"""The one commit: whole or not at all, recognized when repeated, refused without the lease."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.statemachine.events import CallReceived, EffectSucceeded, End
from conferral.statemachine.machine import step
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import ParticipantUpdate, PartyStatus, WaitAudio
from conferral.storage import coordinator as leases
from conferral.storage.agent_calls import CALLS_MAX, AgentCall, CallResult, EndedCall, read_calls
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.connection.client import as_store_errors
from conferral.storage.partition.commit_store import (
    Commit,
    CommitConflictError,
    CommitOutOfOrderError,
    CommitResult,
    SessionChange,
)
from conferral.worker.partition.log_entry import log_entry
from tests.support.flat_sessions import in_bytes
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
SESSION = "CA" + "1" * 32
OUTCOME = EffectSucceeded(session_id=SESSION, token="e:outcome", effect_id="e", kind="hang_up_call")


def opened(session_id: str = SESSION) -> SessionChange:
    event = CallReceived(
        session_id=session_id, token="t", call_sid=session_id, customer_address="+14155550123", agent_address="client:a"
    )
    taken = step(Session(session_id), event, 1_000_000)
    change = SessionChange(Session(session_id))
    change.after = taken.session
    change.log.append(log_entry(event, taken, Session(session_id), 1_000_000))
    return change


def decided(before: Session, after: Session) -> SessionChange:
    change = SessionChange(before)
    change.after = after
    return change


def ended(change: SessionChange) -> SessionChange:
    taken = step(change.after, End(session_id=SESSION, token="e"), 1_000_500)
    return decided(change.after, taken.session)


@pytest.fixture
def partition(keys) -> int:
    return keys.partition_of(SESSION)


@pytest.fixture
async def lease(client, keys, partition, clock):
    return await leases.claim_partition(client, keys, partition, "1:one")


@pytest.fixture
async def opening(store, partition, lease) -> SessionChange:
    """One that is stored."""
    change = opened()
    await store.commit(partition, lease, Commit(sessions=[change]))
    return change


async def add(client, keys, partition, count=1):
    return [(await client.xadd(keys.events(partition), {"type": "x", "n": n})).decode() for n in range(count)]


async def everything(client, keys):
    """Every key with its content, to see that nothing was written."""
    found = {}
    for key in sorted(await client.keys("*")):
        kind = (await client.type(key)).decode()
        read = {
            "hash": client.hgetall,
            "stream": client.xrange,
            "string": client.get,
            "set": client.smembers,
            "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        }[kind]
        found[key] = await read(key)
    return found


async def test_commit_stores_session_log_effects_and_timers_and_removes_the_entries(
    store, client, keys, partition, lease
):
    ids = await add(client, keys, partition, 3)
    commit = Commit(ids[1:], sessions=[opened()], outbox_set={"effect": b"{}"}, timers={f"ring|{SESSION}": 5})
    assert await store.commit(partition, lease, commit) is CommitResult.OK
    assert [entry_id.decode() for entry_id, _ in await client.xrange(keys.events(partition))] == ids[:1]
    loaded = (await store.load([SESSION]))[SESSION]
    assert loaded == commit.sessions[0].after
    assert await client.hgetall(keys.outbox(partition)) == {b"effect": b"{}"}
    assert await client.zscore(keys.timers(partition), f"ring|{SESSION}") == 5
    assert await client.smembers(keys.live(partition)) == {SESSION.encode()}
    assert len(await client.xrange(keys.log(SESSION))) == 1
    assert await client.ttl(keys.session(SESSION)) == -1
    assert lease.commit_number == 1


async def test_repeated_commit_is_answered_already_and_changes_nothing(store, client, keys, partition, lease):
    ids = await add(client, keys, partition)
    commit = Commit(entry_ids=ids, sessions=[opened()])
    await store.commit(partition, lease, commit)
    before = await everything(client, keys)
    lease.commit_number -= 1  # as if the answer had been lost
    assert await store.commit(partition, lease, commit) is CommitResult.ALREADY
    assert lease.commit_number == 1
    assert await everything(client, keys) == before


async def test_former_owners_commit_changes_nothing(store, client, keys, partition, lease, clock):
    ids = await add(client, keys, partition)
    other = await leases.claim_partition(client, keys, partition, "2:two")
    before = await everything(client, keys)
    with pytest.raises(LeaseLostError):
        await store.commit(partition, lease, Commit(entry_ids=ids, sessions=[opened()]))
    assert await everything(client, keys) == before
    assert await store.commit(partition, other, Commit(entry_ids=ids, sessions=[opened()])) is CommitResult.OK


async def test_same_epoch_under_another_name_is_another_owner(store, client, keys, partition, lease):
    """An epoch alone can be given out twice after a failover."""
    epoch = lease.holder.split(":")[0]
    await client.hset(keys.lease(partition), "holder", f"{epoch}:somebody-else")
    with pytest.raises(LeaseLostError):
        await store.commit(partition, lease, Commit())


async def test_version_conflict_changes_nothing_and_names_the_sessions(store, client, keys, partition, lease):
    other = next(name for n in range(100) if keys.partition_of(name := f"s{n}") == partition)
    await client.hset(keys.session(SESSION), mapping={"version": 7})
    ids = await add(client, keys, partition)
    before = await everything(client, keys)
    with pytest.raises(CommitConflictError) as refused:
        await store.commit(partition, lease, Commit(entry_ids=ids, sessions=[opened(other), opened()]))
    assert refused.value.session_ids == (SESSION,)
    assert await everything(client, keys) == before
    assert lease.commit_number == 0


OF_SESSION = ("session", "log")
OF_PARTITION = ("events", "lease", "outbox", "timers", "live", "ended")


@pytest.mark.parametrize("key", [*OF_SESSION, *OF_PARTITION])
async def test_key_of_a_wrong_type_changes_nothing(store, client, keys, partition, lease, key):
    """A session's keys concern that session, those of the partition concern them all."""
    name = getattr(keys, key)(SESSION if key in OF_SESSION else partition)
    await client.delete(name)
    await client.set(name, "another program's")
    before = await everything(client, keys)
    with pytest.raises(CommitConflictError if key in OF_SESSION else StoreError) as refused:
        await store.commit(partition, lease, Commit(sessions=[opened()], outbox_set={"e": b"1"}))
    assert key in OF_SESSION or name in str(refused.value)
    assert await everything(client, keys) == before


async def test_log_that_has_had_the_highest_id_takes_nothing_and_holds_up_nothing(
    store, client, keys, partition, lease
):
    """Redis refuses an entry after that id: its log lacks it, the session does not."""
    await client.xadd(keys.log(SESSION), {"event": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    change, ids = opened(), await add(client, keys, partition)
    with capture_logs() as lines:
        commit = Commit(ids, sessions=[change], outbox_set={"e": b"1"}, timers={f"ring|{SESSION}": 5})
        assert await store.commit(partition, lease, commit) is CommitResult.OK
    assert [(line["event"], line["names"]) for line in lines] == [("writes_refused", [keys.log(SESSION)])]
    assert not await client.xlen(keys.events(partition))
    assert (await store.load([SESSION]))[SESSION] == change.after
    assert await client.hgetall(keys.outbox(partition)) == {b"e": b"1"}


async def test_commit_number_that_went_back_is_refused(store, client, keys, partition, lease):
    """Redis was restored from an older copy under a valid lease."""
    await store.commit(partition, lease, Commit(sessions=[opened()]))
    await store.commit(partition, lease, Commit())
    await client.hset(keys.lease(partition), "commit", 0)
    with pytest.raises(CommitOutOfOrderError):
        await store.commit(partition, lease, Commit())


async def test_end_expires_session_and_log_and_moves_the_index(store, client, keys, partition, lease, opening):
    await store.commit(partition, lease, Commit(sessions=[ended(opening)]))
    assert 3500 < await client.ttl(keys.session(SESSION)) <= 3600
    assert 3500 < await client.ttl(keys.log(SESSION)) <= 3600
    assert not await client.scard(keys.live(partition))
    assert await client.zscore(keys.ended(partition), SESSION) == 1_000_500


async def test_ended_index_forgets_what_is_older_than_its_lifetime(store, client, keys, partition, lease):
    await client.zadd(keys.ended(partition), {"old": 1})
    change = opened()
    await store.commit(partition, lease, Commit(sessions=[change]))
    later = ended(change)
    await client.zadd(keys.ended(partition), {"old": later.after.ended_at_ms - 3_600_001, "young": 999_999})
    await store.commit(partition, lease, Commit(sessions=[later]))
    assert await client.zrange(keys.ended(partition), 0, -1) == [b"young", SESSION.encode()]


async def test_each_commit_writes_the_whole_hash(store, client, keys, partition, lease, opening):
    loaded = (await store.load([SESSION]))[SESSION]
    assert loaded == opening.after
    last = ended(opening).after
    await store.commit(partition, lease, Commit(sessions=[decided(loaded, last)]))
    assert await client.hgetall(keys.session(SESSION)) == in_bytes(session_codec.encode(last))


def moved(before: SessionChange, **changes) -> SessionChange:
    """The session with some of its fields changed, as a decision leaves it."""
    session = before.after
    session = replace(session, version=session.version + 1, **changes)
    return decided(before.after, session)


@pytest.mark.parametrize("from_cache", [True, False], ids=["from-cache", "from-redis"])
async def test_parties_that_were_renamed_leave_nothing_behind(
    store, client, keys, partition, lease, opening, from_cache
):
    """The target becomes the agent, and the agent agent-1: what stood under the former names has to go."""
    parties = opening.after.parties
    # What is asked is a word of a closed list in a field of text.
    target = Party("target", "target-1", "CA3", "client:bob", PartyStatus.CONNECTED, dial_id="d1", is_gated=True,
                   in_conference=True, conference_sequence=4, wait_audio=WaitAudio.MUSIC,
                   pending_update=ParticipantUpdate.HOLD)  # fmt: skip
    dialed = moved(opening, parties={**parties, "target": target})
    await store.commit(partition, lease, Commit(sessions=[dialed]))
    parties = dialed.after.parties
    renamed = {
        "customer": parties["customer"],
        "agent-1": replace(parties["agent"], name="agent-1", status=PartyStatus.LEFT),
        "agent": Party("agent", "target-1", "CA3", "client:bob", PartyStatus.CONNECTED),
    }
    before = dialed if from_cache else SessionChange((await store.load([SESSION]))[SESSION])
    completed = moved(before, parties=renamed)
    await store.commit(partition, lease, Commit(sessions=[completed]))

    loaded = (await store.load([SESSION]))[SESSION]
    assert loaded == completed.after
    assert list(loaded.parties) == list(renamed)


async def test_call_token_is_gone_once_it_is_emptied(store, client, keys, partition, lease, opening):
    with_token = moved(opening, call_token="%7Bnumber%7D")
    await store.commit(partition, lease, Commit(sessions=[with_token]))
    assert b"%7Bnumber%7D" in await client.hget(keys.session(SESSION), "session")
    await store.commit(partition, lease, Commit(sessions=[moved(with_token, call_token="")]))
    assert b"call_token" not in await client.hget(keys.session(SESSION), "session")


async def test_commit_takes_more_values_than_lua_hands_on_at_once(store, client, keys, partition, lease):
    """Lua's unpack refuses about 8,000 values; by then, the entries would be gone."""
    timers = {f"ring|s{number}": number for number in range(10_000)}
    await store.commit(partition, lease, Commit(timers=timers))
    assert await client.zcard(keys.timers(partition)) == len(timers)
    await store.commit(partition, lease, Commit(timers=dict.fromkeys(timers)))
    assert not await client.exists(keys.timers(partition))


async def test_log_is_bounded(store, client, keys, partition, lease, monkeypatch):
    monkeypatch.setattr("conferral.storage.partition.commit_store.LOG_ENTRIES_MAX", 3)
    change = opened()
    change.log = [replace(change.log[0], version=n) for n in range(7)]
    await store.commit(partition, lease, Commit(sessions=[change]))
    assert [fields[b"version"] for _, fields in await client.xrange(keys.log(SESSION))] == [b"4", b"5", b"6"]

    later = moved(change, phase=change.after.phase)
    later.log = [replace(change.log[0], version=n) for n in range(7, 9)]
    await store.commit(partition, lease, Commit(sessions=[later]))
    assert [fields[b"version"] for _, fields in await client.xrange(keys.log(SESSION))] == [b"6", b"7", b"8"]


async def test_log_entry_is_stored_with_all_its_fields(store, client, keys, partition, lease):
    change = opened()
    change.log = [replace(change.log[0], by="cli")]
    await store.commit(partition, lease, Commit(sessions=[change]))
    ((_, found),) = await client.xrange(keys.log(SESSION))
    assert {name.decode(): value.decode() for name, value in found.items()} == change.log[0].stored()
    assert next(iter(found)) == b"at"
    ((_, entry),) = ((name, *log) for name, log in (await store.whole_logs([SESSION])).items())
    assert replace(entry, id="", fields={}) == replace(change.log[0], session="")


async def test_log_that_is_missing_or_another_programs_is_empty(store, client, keys):
    await client.set(keys.log("text"), "text")
    assert await store.whole_logs(["none", "text"]) == {"none": [], "text": []}


async def test_young_log_takes_no_more_memory_than_it_needs(store, client, single, keys, partition, lease, opening):
    """Redis reserves 4 KiB for a new stream."""
    later = moved(opening, phase=opening.after.phase)
    later.log = opening.log
    await store.commit(partition, lease, Commit(sessions=[later]))
    assert await client.xlen(keys.log(SESSION)) == 2
    assert await client.memory_usage(keys.log(SESSION)) < 3_000
    assert not await client.exists(keys.new_log(partition))


async def test_log_that_outlived_its_session_is_kept(store, client, keys, partition, lease):
    await client.xadd(keys.log(SESSION), {"event": "earlier"})
    await store.commit(partition, lease, Commit(sessions=[opened()]))
    assert [fields[b"event"] for _, fields in await client.xrange(keys.log(SESSION))] == [b"earlier", b"call_received"]


async def test_value_under_the_key_of_new_logs_is_not_copied(store, client, keys, partition, lease):
    await client.xadd(keys.new_log(partition), {"event": "foreign"})
    await store.commit(partition, lease, Commit(sessions=[opened()]))
    assert [fields[b"event"] for _, fields in await client.xrange(keys.log(SESSION))] == [b"call_received"]


async def test_group_shows_the_committed_position_and_the_lag(store, client, keys, partition, lease):
    ids = await add(client, keys, partition, 5)
    await store.commit(partition, lease, Commit(entry_ids=ids[:3]))
    group = (await client.xinfo_groups(keys.events(partition)))[0]
    assert group["name"] == b"workers"
    assert group["last-delivered-id"].decode() == ids[2]
    assert await client.xlen(keys.events(partition)) == 2
    if "lag" in group:
        assert group["lag"] == 2
    await store.commit(partition, lease, Commit(entry_ids=ids[3:]))
    group = (await client.xinfo_groups(keys.events(partition)))[0]
    assert group.get("lag", 0) == 0


async def test_group_is_made_again_after_everything_was_flushed(store, client, keys, partition, lease):
    holder = lease.holder
    await client.flushall()
    await client.hset(keys.lease(partition), mapping={"holder": holder, "commit": 0})
    ids = await add(client, keys, partition, 2)
    await store.commit(partition, lease, Commit(entry_ids=ids[:1], sessions=[opened()]))
    assert (await client.xinfo_groups(keys.events(partition)))[0]["last-delivered-id"].decode() == ids[0]


async def test_flushed_scripts_are_sent_again(store, client, keys, partition, lease):
    await store.commit(partition, lease, Commit())
    await client.script_flush()
    assert await store.commit(partition, lease, Commit()) is CommitResult.OK


async def test_full_redis_lets_commits_through_so_that_it_drains(store, client, keys, partition, lease):
    ids = await add(client, keys, partition, 2)
    async with full(client):
        with pytest.raises(StoreUnreachableError), as_store_errors():
            await add(client, keys, partition)
        assert await store.commit(partition, lease, Commit(entry_ids=ids, sessions=[opened()])) is CommitResult.OK
        assert await client.xlen(keys.events(partition)) == 0


async def test_broken_record_differs_from_a_missing_one(store, client, keys):
    await client.hset(keys.session("half"), mapping={"version": "1", "state": "bridged"})
    await client.hset(keys.session("other"), mapping=session_codec.encode(Session("another", version=1)))
    await client.hset(keys.session("older"), mapping=session_codec.encode(Session("older", version=1)))
    await client.hset(keys.session("older"), "version", 2)
    await client.set(keys.session("odd"), "text")
    await client.hset(keys.session("bytes"), mapping={"version": b"\xff"})
    loaded = await store.load(["half", "other", "older", "odd", "bytes", "none"])
    assert [loaded[name].field for name in ("half", "other", "older")] == ["session", "id", "version"]
    assert isinstance(loaded["odd"], CorruptHashError)
    assert isinstance(loaded["bytes"], CorruptHashError)
    assert loaded["none"] == Session("none")


async def test_effect_whose_outcome_can_not_be_written_is_not_marked_as_done(access, client, keys, partition):
    await client.hset(keys.outbox(partition), "e", b"{}")
    await client.set(keys.events(partition), "another program's")
    with pytest.raises(StoreError):
        await access.finish_effect(partition, "e", OUTCOME)
    assert await client.hget(keys.outbox(partition), "e") == b"{}"
    await client.delete(keys.events(partition))
    assert await access.finish_effect(partition, "e", OUTCOME)


def own_call(number: int, result: CallResult = CallResult.MISSED) -> AgentCall:
    return AgentCall(f"s{number}", to_iso(1_000_000_000 + number), None, None, None, result, None)


async def test_commit_keeps_the_newest_calls_of_each_agent_for_a_day_and_corrects_one(
    store, client, keys, partition, lease
):
    calls = [EndedCall("alice", own_call(number)) for number in range(CALLS_MAX + 5)]
    declined = own_call(CALLS_MAX + 4, CallResult.DECLINED)
    calls += [EndedCall("alice", declined, own_call(CALLS_MAX + 4)), EndedCall("bob", own_call(1))]
    await store.commit(partition, lease, Commit(agent_calls=calls))

    listed = await read_calls(client, keys, "alice", 1_000_000_000)
    assert listed == [declined, *(own_call(number) for number in range(CALLS_MAX + 3, 4, -1))]
    assert await read_calls(client, keys, "bob", 1_000_000_000) == [own_call(1)]
    assert await read_calls(client, keys, "carol", 1_000_000_000) == []
    assert 86_390 < await client.ttl(keys.agent_calls("alice")) <= 86_400
    # Of the last day alone, and nothing of another program's.
    assert await read_calls(client, keys, "bob", 1_000_000_001 + 86_400_000) == []
    await client.lpush(keys.agent_calls("bob"), b"\xff", "{}", "[1]")
    assert await read_calls(client, keys, "bob", 1_000_000_000) == [own_call(1)]
