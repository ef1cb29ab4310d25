"""The outcomes stream: its entries, and how long they are kept."""

import orjson
import pytest

from conferral.statemachine.parts import AgentShare, Attempt
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.outcome_stream import encode_outcome, trim
from tests.support.people import CUSTOMER

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
