"""An outcome's entry: the same fields for every kind, as written and as read."""

from datetime import UTC, datetime

import msgspec

from conferral.outcomes.durations import Timeline
from conferral.outcomes.outcome import OutcomeRecord, encode_outcome, outcome_data
from conferral.statemachine.parts import Attempt
from conferral.statemachine.step import Conclusion
from tests.support.people import ALICE, CUSTOMER

START_MS = 1_795_165_380_000
TRANSFER = Conclusion(
    id="CA1:transfer:1",
    kind="transfer",
    session_id="CA1",
    result="completed",
    mode="consult",
    to=(CUSTOMER, "client:bob"),
    attempts=(
        Attempt("target-1", CUSTOMER, "d1", START_MS + 100, 0, START_MS + 20_350, "no-answer", "target-3"),
        Attempt("target", "client:bob", "d2", START_MS + 100, START_MS + 4_600, START_MS + 34_600, "answered"),
        Attempt("target-3", "client:eve", "d3", START_MS + 100, START_MS + 5_100, 0, ""),
        Attempt("target-4", "client:mal", "d4", START_MS + 100, START_MS + 50, 0, ""),
        Attempt("target-5", "client:dan", "d5", START_MS + 100, 0, 0, ""),
    ),
    landed_on="recall",
    started_at_ms=START_MS,
    ended_at_ms=START_MS + 40_000,
    by="desk 7",
    ref="T-7",
    customer=CUSTOMER,
    our_number="+14155550100",
    direction="inbound",
)
SESSION = Conclusion(
    "CA1:session", "session", "CA1", "ended", "agent-left", started_at_ms=1, ended_at_ms=2, recordings=("RE1",)
)
MESSAGE = Conclusion("CA1:voicemail-RE2", "voicemail", "CA1", "recorded", recording_sid="RE2", duration_s=7)
RECORDING = Conclusion(
    "CA1:recording-RE1",
    "recording",
    "CA1",
    "completed",
    recording_sid="RE1",
    duration_s=42,
    source="call",
    channels=2,
    url="https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
)


def test_transfer_is_reported_with_every_party_it_tried_to_reach():
    fields = encode_outcome(TRANSFER)
    attempts = msgspec.json.decode(fields.pop("attempts"))
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
        "answer_s": "4.6",
        **dict.fromkeys(
            ("hold_s", "consult_s", "queued_s", "bridged_s", "conference_s", "participant_s", "held_s", "alone_s"), ""
        ),
        "closed": "",
        "recordings": "",
        "agents": "",
        "recording_sid": "",
        "duration_s": "",
        "source": "",
        "channels": "",
        "url": "",
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
    timeline = Timeline(holds={"agent-1": 2, "agent-3": 1})
    recording = encode_outcome(RECORDING)
    session, message = encode_outcome(SESSION, timeline, {"agent-1": ALICE, "agent-3": ALICE}), encode_outcome(MESSAGE)
    assert [*session] == [*message] == [*recording] == [*encode_outcome(TRANSFER)]
    assert (session["mode"], session["to"], session["attempts"], session["recordings"]) == ("", "", "[]", '["RE1"]')
    assert session["agents"] == f'[{{"address":"{ALICE}","talk_s":0.0,"holds":3}}]'
    assert (message["attempts"], message["recordings"], message["duration_s"], message["channels"]) == ("", "", "7", "")


def test_recording_is_reported_with_the_address_of_its_media():
    data = outcome_data(encode_outcome(RECORDING))
    assert {name: value for name, value in data.items() if value is not None} == {
        "id": "CA1:recording-RE1",
        "kind": "recording",
        "session": "CA1",
        "result": "completed",
        "recording_sid": "RE1",
        "duration_s": 42,
        "source": "call",
        "channels": 2,
        "url": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
    }


def test_what_was_written_can_be_read():
    read = OutcomeRecord.of("1-0", encode_outcome(TRANSFER))
    assert (read.id, read.position, read.session, read.to) == ("CA1:transfer:1", "1-0", "CA1", (CUSTOMER, "client:bob"))
    assert (read.answer_s, read.hold_s, read.code, read.recordings, read.damaged) == (4.6, None, None, (), ())
    assert read.ended_at == datetime(2026, 11, 20, 9, 3, 40, tzinfo=UTC)
    assert [(one["result"], one["rang_s"]) for one in read.attempts][:2] == [("no-answer", 20.25), ("answered", 4.5)]


def test_what_another_program_wrote_badly_is_empty_and_named():
    nested = '[{"more": ' + "[" * 2_000 + "]" * 2_000 + "}]"
    bad = {"duration_s": "long", "attempts": "[", "agents": nested, "recordings": "{}", "started_at": "now"}
    read = OutcomeRecord.of("1-0", bad | {"id": "o1", "more": "y"})
    assert {*read.damaged} == {*bad}
    assert read == OutcomeRecord(id="o1", position="1-0", damaged=read.damaged)
    data = outcome_data(bad | {"more": "y"})
    assert {name: data[name] for name in (*bad, "more")} == dict.fromkeys(bad) | {"started_at": "now", "more": "y"}
