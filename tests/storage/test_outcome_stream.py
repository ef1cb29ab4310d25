"""The outcomes stream: each entry at least once, with one id, never lost because Redis was full, kept for so long."""

import orjson
import pytest

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.statemachine.parts import AgentShare, Attempt
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
from conferral.storage.outcome_stream import encode_outcome, trim
from conferral.storage.partition.partition_store import PartitionStore
from tests.support.people import CUSTOMER
from tests.support.redis_clients import full

START_MS = 1_795_165_380_000
TRANSFER = OutcomeRecord(
    id="CA1:transfer:1",
    kind="transfer",
    session_id="CA1",
    result="completed",
    mode="consult",
    to=f"{CUSTOMER},client:bob",
    attempts=(
        Attempt("target-1", CUSTOMER, "d1", START_MS + 100, 0, START_MS + 20_350, "no-answer", "target-3"),
        Attempt("target", "client:bob", "d2", START_MS + 100, START_MS + 4_600, START_MS + 34_600, "answered"),
        Attempt("target-3", "client:eve", "d3", START_MS + 100, START_MS + 5_100, 0, ""),
        Attempt("target-4", "client:mal", "d4", START_MS + 100, START_MS + 50, 0, ""),
        Attempt("target-5", "client:dan", "d5", START_MS + 100, 0, 0, ""),
    ),
    landed_on="recall",
    durations={"hold": 1_250, "consult": 0},
    started_at_ms=START_MS,
    ended_at_ms=START_MS + 40_000,
    by="desk 7",
    ref="T-7",
    customer=CUSTOMER,
    our_number="+14155550100",
    direction="inbound",
)
SESSION = OutcomeRecord(
    "CA1:session", "session", "CA1", "ended", "agent-left", durations={"answer": 1_234_567, "alone": 2},
    recordings=("RE1",), started_at_ms=1, ended_at_ms=2, agents=(AgentShare("client:alice", talk_ms=1_500, holds=2),),
)  # fmt: skip
MESSAGE = OutcomeRecord("CA1:voicemail-RE2", "voicemail", "CA1", "recorded", recording_sid="RE2", duration_s=7)


def test_transfer_is_reported_with_every_party_it_tried_to_reach():
    fields = encode_outcome(TRANSFER)
    attempts = orjson.loads(fields.pop("attempts"))
    assert fields == {
        "id": "CA1:transfer:1",
        "kind": "transfer",
        "session": "CA1",
        "result": "completed",
        "reason": "",
        "code": "",
        "by": "desk 7",
        "ref": "T-7",
        "customer": CUSTOMER,
        "number": "+14155550100",
        "direction": "inbound",
        "mode": "consult",
        "to": f"{CUSTOMER},client:bob",
        "landed_on": "recall",
        "hold_s": "1.25",
        "consult_s": "0.0",
        **dict.fromkeys(("answer_s", "bridged_s", "conference_s", "participant_s", "held_s", "alone_s"), ""),
        "recordings": "",
        "agents": "",
        "recording_sid": "",
        "duration_s": "",
        "started_at": "2026-11-20T09:03:00.000Z",
        "ended_at": "2026-11-20T09:03:40.000Z",
    }
    at = "2026-11-20T09:03:00.100Z"
    assert attempts == [
        {"to": CUSTOMER, "label": "target-3", "result": "no-answer", "rang_s": 20.25, "at": at},
        {"to": "client:bob", "label": "", "result": "answered", "rang_s": 4.5, "at": at},
        {"to": "client:eve", "label": "", "result": "", "rang_s": 5.0, "at": at},
        {"to": "client:mal", "label": "", "result": "", "rang_s": 0.0, "at": at},
        {"to": "client:dan", "label": "", "result": "", "rang_s": 39.9, "at": at},
    ]


def test_every_kind_has_the_same_fields():
    session, message = encode_outcome(SESSION), encode_outcome(MESSAGE)
    assert [*session] == [*message] == [*encode_outcome(TRANSFER)]
    assert (session["mode"], session["to"], session["attempts"], session["recordings"]) == ("", "", "[]", '["RE1"]')
    assert (session["answer_s"], session["alone_s"], session["hold_s"]) == ("1234.567", "0.002", "")
    assert session["agents"] == '[{"address":"client:alice","talk_s":1.5,"holds":2}]'
    assert (message["attempts"], message["recordings"], message["duration_s"]) == ("", "", "7")


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


DAY_MS, DAY_S = 86_400_000, 86_400


async def test_outcomes_and_dead_letters_are_kept_for_so_long(client, keys):
    for stream in (keys.outcomes, keys.dead):
        for number in range(400):
            await client.xadd(stream, {"id": "x"}, id=f"{(number + 1) * DAY_MS}-0")
    await trim(client, keys, 400 * DAY_MS, 400 * DAY_MS, outcomes_ttl_s=100 * DAY_S, session_ttl_s=DAY_S)
    for stream in (keys.outcomes, keys.dead):
        # About: whole pieces of the stream are cut off, of 100 entries each.
        assert 100 <= await client.xlen(stream) <= 201
    await trim(client, keys, 10 * DAY_MS, 10 * DAY_MS, outcomes_ttl_s=100 * DAY_S, session_ttl_s=DAY_S)
    assert await client.xlen(keys.dead) >= 100
    await trim(client, keys, DAY_MS, DAY_MS, outcomes_ttl_s=100 * DAY_S, session_ttl_s=DAY_S)
    assert await client.xlen(keys.dead) >= 100, "a clock of 1970 is no reason to fail"


async def test_ended_sessions_leave_the_index_of_a_quiet_partition(client, keys):
    for partition in range(keys.partitions):
        await client.zadd(keys.ended(partition), {"old": 8 * DAY_MS, "recent": 9 * DAY_MS + 1})
    await trim(client, keys, 10 * DAY_MS, 10 * DAY_MS, outcomes_ttl_s=100 * DAY_S, session_ttl_s=DAY_S)
    for partition in range(keys.partitions):
        assert await client.zrange(keys.ended(partition), 0, -1) == [b"recent"]


@pytest.mark.parametrize(("store_days", "wall_days"), [(4000, 400), (400, 4000)], ids=["redis", "worker"])
async def test_one_clock_that_is_years_ahead_empties_nothing(client, keys, store_days, wall_days):
    for stream in (keys.outcomes, keys.dead):
        for number in range(300):
            await client.xadd(stream, {"id": "x"}, id=f"{400 * DAY_MS}-{number + 1}")
    await client.zadd(keys.ended(0), {"recent": 400 * DAY_MS})
    clocks_ms = (store_days * DAY_MS, wall_days * DAY_MS)
    await trim(client, keys, *clocks_ms, outcomes_ttl_s=30 * DAY_S, session_ttl_s=DAY_S)
    assert [await client.xlen(stream) for stream in (keys.outcomes, keys.dead)] == [300, 300]
    assert await client.zrange(keys.ended(0), 0, -1) == [b"recent"]
