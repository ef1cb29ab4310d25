"""The outcomes stream: each entry at least once, with one id, and never lost because Redis was full."""

import orjson
import pytest

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.statemachine.parts import Attempt
from conferral.statemachine.step import CommandReport, CommandStatus, OutcomeRecord
from conferral.storage.codecs.effect_codec import (
    ExpireCalls,
    OutboxEntry,
    PublishOutcome,
    ReportCommand,
    decode,
    encode,
)
from conferral.storage.connection.client import BlockingReads
from conferral.storage.outcome_stream import encode_outcome
from conferral.storage.partition.partition_store import PartitionStore
from tests.support.redis_clients import full

START_MS = 1_795_165_380_000
NUMBER = "+14155550123"
TRANSFER = OutcomeRecord(
    id="CA1:transfer:1",
    kind="transfer",
    session_id="CA1",
    result="completed",
    mode="consult",
    to=f"{NUMBER},client:bob",
    attempts=(
        Attempt("target-1", NUMBER, "d1", START_MS + 100, 0, START_MS + 20_350, "no-answer"),
        Attempt("target", "client:bob", "d2", START_MS + 100, START_MS + 4_600, START_MS + 34_600, "answered"),
        Attempt("target-3", "client:eve", "d3", START_MS + 100, START_MS + 5_100, 0, ""),
        Attempt("target-4", "client:mal", "d4", START_MS + 100, START_MS + 50, 0, ""),
        Attempt("target-5", "client:dan", "d5", START_MS + 100, 0, 0, ""),
    ),
    started_at_ms=START_MS,
    ended_at_ms=START_MS + 40_000,
    by="desk 7",
    ref="T-7",
)
SESSION = OutcomeRecord("CA1:session", "session", "CA1", "ended", "agent-left", started_at_ms=1, ended_at_ms=2)


def test_transfer_is_reported_with_every_party_it_tried_to_reach():
    fields = encode_outcome(TRANSFER)
    attempts = orjson.loads(fields.pop("attempts"))
    assert fields == {
        "id": "CA1:transfer:1",
        "kind": "transfer",
        "session": "CA1",
        "result": "completed",
        "reason": "",
        "by": "desk 7",
        "ref": "T-7",
        "mode": "consult",
        "to": f"{NUMBER},client:bob",
        "recording_sid": "",
        "duration_s": "",
        "started_at": "2026-11-20T09:03:00.000Z",
        "ended_at": "2026-11-20T09:03:40.000Z",
    }
    assert attempts == [
        {"to": NUMBER, "party": "target-1", "result": "no-answer", "started_at": "2026-11-20T09:03:00.100Z",
         "answered_at": None, "ended_at": "2026-11-20T09:03:20.350Z", "waited_s": 20.25, "talked_s": None},
        {"to": "client:bob", "party": "target", "result": "answered", "started_at": "2026-11-20T09:03:00.100Z",
         "answered_at": "2026-11-20T09:03:04.600Z", "ended_at": "2026-11-20T09:03:34.600Z", "waited_s": 4.5,
         "talked_s": 30.0},
        {"to": "client:eve", "party": "target-3", "result": "", "started_at": "2026-11-20T09:03:00.100Z",
         "answered_at": "2026-11-20T09:03:05.100Z", "ended_at": None, "waited_s": 5.0, "talked_s": 34.9},
        {"to": "client:mal", "party": "target-4", "result": "", "started_at": "2026-11-20T09:03:00.100Z",
         "answered_at": "2026-11-20T09:03:00.050Z", "ended_at": None, "waited_s": 0.0, "talked_s": 39.95},
        {"to": "client:dan", "party": "target-5", "result": "", "started_at": "2026-11-20T09:03:00.100Z",
         "answered_at": None, "ended_at": None, "waited_s": 39.9, "talked_s": None},
    ]  # fmt: skip


def test_ended_session_has_the_same_fields():
    fields = encode_outcome(SESSION)
    assert fields.keys() == encode_outcome(TRANSFER).keys()
    assert (fields["mode"], fields["to"], fields["attempts"]) == ("", "", "[]")


@pytest.fixture
async def ordered(client, keys):
    """Outcomes that a commit has ordered."""
    for conclusion in (TRANSFER, SESSION):
        write = PublishOutcome(conclusion)
        await client.hset(keys.outbox(0), write.write_id, encode(OutboxEntry(write, 5)))


async def published(client, keys) -> list[bytes]:
    return [fields[b"id"] for _, fields in await client.xrange(keys.outcomes)]


@pytest.mark.redis
async def test_requested_outcomes_are_published_and_leave_the_outbox(ordered, access, client, keys):
    writes = [decode(body).work for body in (await access.outbox(0)).values()]
    assert await access.finish_writes(0, writes) == {}
    assert sorted(await published(client, keys)) == [b"CA1:session", b"CA1:transfer:1"]
    assert await access.outbox(0) == {}


@pytest.mark.redis
async def test_repetition_has_the_same_id(access, client, keys):
    for _ in range(2):
        await access.finish_writes(0, [PublishOutcome(SESSION)])
    assert await published(client, keys) == [b"CA1:session"] * 2


@pytest.mark.redis
async def test_outcomes_stay_in_the_outbox_while_redis_is_full(ordered, access, client, keys):
    async with full(client):
        failed = await access.finish_writes(0, [PublishOutcome(TRANSFER), PublishOutcome(SESSION)])
    assert {type(error) for error in failed.values()} == {StoreUnreachableError}
    assert failed.keys() == (await access.outbox(0)).keys()
    assert await published(client, keys) == []


@pytest.mark.redis
async def test_stream_of_outcomes_is_bounded(client, keys):
    access = PartitionStore(client, BlockingReads(client), keys, outcomes_kept=100)
    for _ in range(400):
        await access.finish_writes(0, [PublishOutcome(SESSION)])
    # About: whole pieces of the stream are cut off, of 100 entries each.
    assert 100 <= await client.xlen(keys.outcomes) <= 200


@pytest.mark.redis
async def test_calls_expire_with_their_session(access, client, keys):
    for call_sid in ("CA1", "CA2"):
        await client.set(keys.call(call_sid), "CA1")
    await access.finish_writes(0, [ExpireCalls("CA1", ("CA1", "CA2", "CA3"))])
    for call_sid in ("CA1", "CA2"):
        assert 0 < await client.ttl(keys.call(call_sid)) <= 60
    assert not await client.exists(keys.call("CA3"))


@pytest.mark.redis
async def test_call_with_a_newer_session_does_not_expire_with_the_last_one(access, client, keys):
    await client.set(keys.call("CA1"), "CA1-2", ex=900)
    await client.sadd(keys.call("CA2"), "another program's")
    await access.finish_writes(0, [ExpireCalls("CA1", ("CA1", "CA2"))])
    assert await client.ttl(keys.call("CA1")) > 60
    assert await client.ttl(keys.call("CA2")) == -1


@pytest.mark.redis
async def test_write_that_redis_refuses_stays_in_the_outbox_alone(ordered, access, client, keys):
    await client.set(keys.call("CA1"), "CA1")
    await client.set(keys.outcomes, "another program's")
    expiry, report = ExpireCalls("CA1", ("CA1",)), ReportCommand("CA1", CommandReport("c", CommandStatus.DONE, ""))
    for write in (expiry, report):
        await client.hset(keys.outbox(0), write.write_id, encode(OutboxEntry(write, 5)))
    outcomes = [PublishOutcome(TRANSFER), PublishOutcome(SESSION)]

    failed = await access.finish_writes(0, [outcomes[0], expiry, report, outcomes[1]])

    assert [type(failed[one.write_id]) for one in outcomes] == [StoreError] * 2
    assert failed.keys() == (await access.outbox(0)).keys()
    assert 0 < await client.ttl(keys.call("CA1")) <= 60
    assert await client.hget(keys.command("c"), "status") == b"done"
