"""A worker's partitions when things are not as they should be: records that are broken, versions that conflict, caches
that forget, a mistake of ours, a Redis that lost writes, and one that refuses a stream for good."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from structlog.testing import capture_logs

from conferral.operations.dead_letters import DeadLetters
from conferral.statemachine.events import Convert
from conferral.storage.call_index import REPLAY_WINDOW_S
from conferral.storage.codecs import event_codec, session_codec
from conferral.storage.coordinator import OUTCOMES, SHOWN_DEAD_AFTER_MS
from conferral.storage.server import server_time_ms
from conferral.worker import process
from conferral.worker.partition import partition
from tests.support.command_results import wait_for_result
from tests.support.local_system import LocalSystem
from tests.support.owners import owned_by

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


async def letters(system: LocalSystem) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await system.client.xrange(system.keys.dead)]


async def test_broken_records_cost_their_own_sessions_alone(system):
    damage = {"session": '{"state":"flying"}', "version": "seven"}
    broken = {name: (await system.talking())[0].sid for name in damage}
    healthy, _ = await system.talking()
    for held in system.workers[0].ownership.partitions.values():
        held.sessions.clear()
    valid = {name: await system.client.hget(system.keys.session(sid), name) for name, sid in broken.items()}
    with capture_logs() as lines:
        for name, sid in broken.items():
            await system.client.hset(system.keys.session(sid), name, damage[name])
            await system.client.xadd(system.keys.commands, {"type": "end", "session": sid})
        assert (await system.command("convert", healthy.sid)).status == "done"
        await system.eventually(lambda: system.client.xlen(system.keys.dead), "each is put aside", equals=len(damage))
    names = {key for line in lines if line["event"] == "records_skipped" for key in line["names"]}
    found = {(letter[b"dead_reason"], letter[b"session"].decode()) for letter in await letters(system)}
    assert found == {(b"the session can't be read", sid) for sid in broken.values()}
    assert names == {system.keys.session(sid) for sid in broken.values()}
    for name, sid in broken.items():
        await system.client.hset(system.keys.session(sid), name, valid[name])
        await system.command("end", sid)
    await system.ended_by_command(healthy.sid)


async def test_event_in_another_partitions_stream_is_dead_lettered(system):
    """Executed, it would be decided next to its session's own stream, by a worker that can't commit it there."""
    customer, agent = await system.talking()
    keys = system.keys
    others = (keys.partition_of(customer.sid) + 1) % keys.partitions
    await system.client.xadd(keys.events(others), event_codec.encode(Convert(session_id=customer.sid, token="c1")))
    await system.eventually(lambda: system.client.xlen(keys.dead), "a dead letter")
    assert (await letters(system))[0][b"dead_reason"] == b"its session belongs to another partition"
    outcome = await wait_for_result(system.client, keys, "c1", 10)
    assert (outcome.status, system.redirects_of(agent)) == ("failed", 0)
    await system.ended_by_command(customer.sid)


async def test_nothing_is_committed_where_nothing_was_decided(redis_server):
    points = []

    async def note(point: str, _partition: int) -> None:
        points.append(point)

    system = LocalSystem(redis_server.url)
    system.worker_options = {"checkpoint": note}
    async with system:
        keys = system.keys
        stream = keys.events((keys.partition_of("s") + 1) % keys.partitions)  # another partition's
        for token in ("c1", "c2"):
            await system.client.xadd(stream, event_codec.encode(Convert(session_id="s", token=token)))
            await wait_for_result(system.client, keys, token, 10)
    assert set(points) == {"after_read"}


async def raise_version(system, session_id):
    """Commits a version that the worker does not know of."""
    key = system.keys.session(session_id)
    session = session_codec.load(session_id, await system.client.hgetall(key))
    await system.client.hset(key, mapping=session_codec.encode(replace(session, version=40)))


async def test_damaged_session_is_dead_lettered_once_though_its_batch_conflicts(system):
    healthy, _ = await system.talking()
    keys, partition = system.keys, system.keys.partition_of(healthy.sid)
    broken = next(name for name in map("broken{}".format, range(100)) if keys.partition_of(name) == partition)
    await system.client.hset(keys.session(broken), "session", "{")
    await raise_version(system, healthy.sid)
    pipeline = system.client.pipeline(transaction=True)  # the worker reads both at once
    for session in (broken, healthy.sid):
        entry = event_codec.encode(Convert(session_id=session))
        pipeline.xadd(keys.events(partition), entry)
    await pipeline.execute()
    await system.until(healthy.sid, state="conferenced")
    assert int((await system.session(healthy.sid))["version"]) > 40, "the cache is a guess; it was loaded again"
    assert b'conferral_commits_total{result="conflict"} 1' in system.workers[0].metrics.exposition()
    assert [letter[b"session"] for letter in await letters(system)] == [broken.encode()]
    await system.ended_by_command(healthy.sid)


async def test_session_that_can_never_be_committed_goes_to_the_dead_letters_alone(system):
    stuck, _ = await system.talking()
    healthy, _ = await system.talking()
    await system.client.delete(system.keys.log(stuck.sid))
    await system.client.set(system.keys.log(stuck.sid), "another program's")
    await system.client.xadd(system.keys.commands, {"type": "convert", "session": stuck.sid, "id": "s1"})
    assert (await system.command("convert", healthy.sid)).status == "done"
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "a dead letter")
    assert (await letters(system))[0][b"dead_reason"] == b"the session can't be committed"
    await system.client.delete(system.keys.log(stuck.sid))
    await system.command("end", stuck.sid)
    await system.ended_by_command(healthy.sid)


async def test_dropping_the_cache_at_any_moment_changes_only_the_speed(redis_server, chance):
    system, calls = LocalSystem(redis_server.url), []

    async def forget(_point: str, partition: int) -> None:
        if chance.random() < 0.5:
            system.workers[0].ownership.partitions[partition].sessions.clear()

    system.worker_options = {"checkpoint": forget}
    async with system:
        calls += await asyncio.gather(*(system.converted() for _ in range(8)))
        for customer, agent in calls:
            assert (await system.session(customer.sid))["state"] == "conferenced"
            chance.choice([customer, agent]).hang_up()
        await system.settled()


async def test_keys_of_an_ended_call_expire(system):
    customer, agent = await system.converted()
    await system.ended_by_command(customer.sid)
    client, keys = system.client, system.keys
    for key in (keys.session(customer.sid), keys.log(customer.sid)):
        assert 0 < await client.ttl(key) <= system.settings.session_ttl_s, key
    for call in (customer, agent):
        assert system.settings.session_ttl_s < await client.ttl(keys.call(call.sid)) <= REPLAY_WINDOW_S
    assert await client.zscore(keys.ended(keys.partition_of(customer.sid)), customer.sid)


# ---- a mistake of ours, and a loss -----------------------------------------------------------------------------------


def stumble_over(monkeypatch, is_bad) -> None:
    """From now on, a decision of such an event is a mistake of ours."""
    decide = partition.decide

    def stumbles(events, *rest):
        if any(map(is_bad, events)):
            raise KeyError("a mistake of ours")
        return decide(events, *rest)

    monkeypatch.setattr(partition, "decide", stumbles)


async def test_dead_lettered_command_is_executed_after_a_retry(system, monkeypatch):
    customer, agent = await system.talking()
    stumble_over(monkeypatch, lambda event: event.name == "convert")
    assert (await system.command("convert", customer.sid, id="c1")).status == "failed"
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "a dead letter")
    letters = DeadLetters(system.client, system.keys)
    # Back on its stream, and dead-lettered again: a retry does not fix the cause.
    assert (await letters.retry_all("processing failed", 1)).done == 1
    assert (await wait_for_result(system.client, system.keys, "c1", 10)).status == "failed"
    assert await letters.count() == 1
    monkeypatch.undo()
    assert (await letters.retry_all()).done == 1
    assert (await wait_for_result(system.client, system.keys, "c1", 10)).status == "done"
    assert system.redirects_of(agent) == 1
    assert await letters.count() == 0
    await system.ended_by_command(customer.sid)


async def test_live_session_is_checked_once_after_a_loss_and_timers_of_an_ended_one_are_dropped(system):
    """No call is missing, and no caller is alone; Twilio is asked all the same."""
    customer, _ = await system.converted()
    await system.client.hincrby(system.keys.lease(system.keys.partition_of(customer.sid)), "commit", -1)

    async def events_since_check() -> list[str]:
        log = await system.log(customer.sid)
        checks = [number for number, entry in enumerate(log) if "writes-lost" in entry.get("details", "")]
        return [entry["event"] for entry in log[checks[0] :]] if checks else []

    async def was_checked() -> bool:
        return "calls_read" in await events_since_check()

    await system.eventually(was_checked, "Twilio was asked")
    assert (await events_since_check()).count("account_swept") == 1
    await system.ended_by_command(customer.sid)

    # An older copy of Redis has a timer of it.
    partition = system.keys.partition_of(customer.sid)
    await system.client.zadd(system.keys.timers(partition), {f"lone|{customer.sid}": 1})
    await system.client.hincrby(system.keys.lease(partition), "commit", -1)
    await system.settled()


# ---- streams that Redis refuses, and calls that it may evict ---------------------------------------------------------


async def refuse_entries(system: LocalSystem, how: str, key: str) -> None:
    """From now on, a stream takes no entries."""
    await system.client.delete(key)
    if how == "foreign":
        await system.client.set(key, "another program's")
    else:
        await system.client.xadd(key, {"type": "last"}, id=f"{2**64 - 1}-{2**64 - 1}")


@pytest.mark.parametrize("how", ["foreign", "exhausted"])
async def test_refused_dead_letters_stop_no_partition(system, how):
    customer, agent = await system.talking()
    await refuse_entries(system, how, system.keys.dead)
    streams = [system.keys.events(number) for number in range(system.keys.partitions)]
    with capture_logs() as lines:
        for stream in streams:
            await system.client.xadd(stream, {"type": "nonsense"})
        await system.client.xadd(system.keys.commands, {"odd": "1"})
        assert (await system.command("convert", customer.sid)).status == "done"
        assert system.redirects_of(agent) == 1
        for stream in (*streams, system.keys.commands):
            await system.eventually(partial(is_empty, system, stream), "the bad entry is dropped")
    refused = [line for line in lines if line["event"] == "dead_letter_refused"]
    assert len(refused) == len(streams) + 1
    assert not [line for line in lines if line["event"] in ("lease_lost", "partition_abandoned")]
    metrics = system.workers[0].metrics.registry
    assert metrics.get_sample_value("conferral_writes_refused_total", {"kind": "dead"}) == len(refused)
    assert any(system.keys.dead in line for line in await system.workers[0].warnings())
    await system.ended_by_command(customer.sid)


async def is_empty(system: LocalSystem, stream: str) -> bool:
    return not await system.client.xlen(stream)


async def test_eviction_policy_set_at_run_time_is_noticed(system, monkeypatch):
    monkeypatch.setattr(process, "WARN_EVERY_S", 0.1)
    metrics = system.workers[0].metrics.registry

    async def is_shown(shown: float) -> bool:
        return metrics.get_sample_value("conferral_redis_warnings", {"kind": "eviction"}) == shown

    await system.eventually(partial(is_shown, 0), "all is well")
    await system.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with capture_logs() as lines:
            await system.eventually(partial(is_shown, 1), "the metric shows it")
        assert "maxmemory-policy allkeys-lru" in (await system.workers[0].warnings())[0]
        assert any(line["event"] == "redis_warning" for line in lines)
        assert await system.workers[0].problems() == []
        assert "maxmemory-policy allkeys-lru" in (await system.publisher.warnings())[0]
    finally:
        await system.client.config_set("maxmemory-policy", "noeviction")


async def test_receiver_that_takes_no_outcome_is_a_warning(system):
    """Of the worker and of the webhooks, which may run on other machines."""
    state = {"failing_since": 1_800_000_000_000, "failing_reason": "HTTP 503"}
    await system.client.hset(system.keys.sending_state, mapping=state)
    now_ms = await server_time_ms(system.client, system.keys.owners)
    await system.client.hset(system.keys.owners, OUTCOMES, owned_by("w1", now_ms + SHOWN_DEAD_AFTER_MS - 500))
    line = "outcomes: none delivered since 2027-01-15T08:00:00.000Z: HTTP 503"
    assert await system.workers[0].warnings() == await system.publisher.warnings() == [line]
    assert await system.workers[0].problems() == []
