"""The report of a period: each outcome counts once, and what can't be read is said to be missing."""

import time

import msgspec
import pytest

from conferral.outcomes.report import HOUR_MS, OutcomeReport, TransferStats, read_last_hour, read_report
from conferral.outcomes.report_text import ROWS_MAX, period_line, report_notes, tables, totals
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader
from tests.support.each import each
from tests.support.outcome_entries import attempt, outcome, session, transfer
from tests.support.people import BOB, CUSTOMER

SINCE_MS = 1_800_000_000_000
UNTIL_MS = SINCE_MS + 86_400_000
AT_MS = SINCE_MS + 3_600_000
KEYS = Keys("test", 4)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def report_of(*entries):
    report = OutcomeReport(SINCE_MS, UNTIL_MS)
    for number, fields in enumerate(entries):
        report.add(f"{AT_MS}-{number}", fields)
    return report


@pytest.fixture
async def client(redis_server):
    client = make_client(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
def day():
    """A call, three transfers that bob and a phone let ring, and a message."""
    return report_of(
        session(
            AT_MS, attempt("client:alice", rang_s=4), answer_s="4.5", bridged_s="30", conference_s="60",
            participant_s="150", held_s="12", alone_s="6",
        ),
        transfer(AT_MS, "completed", attempt(BOB, rang_s=3), hold_s="10", consult_s="7.5", answer_s="3.25"),
        transfer(
            AT_MS, "recalled", attempt(BOB, "no-answer", 30), attempt(CUSTOMER, "no-confirmation", 12), mode="blind",
            reason="no-answer,no-confirmation", landed_on="recall", hold_s="20",
        ),
        transfer(
            AT_MS, "failed", attempt(BOB, "busy", 0), attempt(BOB, "dial-limit", None),
            reason="busy, recall busy, recall busy",
        ),
        outcome("voicemail", AT_MS, result="recorded", duration_s="4.2"),
    )  # fmt: skip


def test_the_first_sentences_answer_what_happened_and_who_let_it_ring(day):
    assert totals(day.data(full=False)) == [
        "1 call ended, and 3 transfers: 1 completed, 1 failed, and 1 recalled.",
        "1 call offered to agents: 1 (100%) answered, 1 (100%) within 20 s; 0 (0%) abandoned.",
        "1 message recorded.",
        "2 of 5 rings not answered: client:bob (1), +…23 (1).",
        "Half of the transfers were answered within 3.2 s, 95% within 3.2 s.",
    ]
    assert "+14155550123 (1)" in totals(day.data(full=True))[3]
    assert period_line(day.data(full=False)) == "2027-01-15 08:00+00:00 to 2027-01-16 08:00+00:00"
    empty = report_of().data(full=False)
    assert (totals(empty), tables(empty)) == (["Nothing ended in this period. Choose another."], [])


def test_tables_have_the_same_numbers_most_unanswered_first(day):
    found = {table.name: [tuple(row) for row in table.rows] for table in tables(day.data(full=False))}

    assert found == {
        "agents": [
            ("client:alice", "1", "1", "0", "0", "0", "0", "0.0 min", "0.0 min", "0"),
            (BOB, "3", "1", "1", "1", "0", "0", "0.0 min", "0.0 min", "0"),
        ],
        "rung": [
            (BOB, "1", "1", "3", "30.0 s", "was busy: 1"),
            ("+…23", "1", "0", "1", "12.0 s", ""),
            ("client:alice", "0", "1", "1", "4.0 s", ""),
        ],
        "transfers": [("blind", "0", "0", "1"), ("consult", "1", "1", "0")],
        "durations": [
            ("transfer answered", "1", "3.2 s", "3.2 s", "3.2 s"),
            ("call answered", "1", "4.5 s", "4.5 s", "4.5 s"),
            ("hold in a transfer", "2", "10.0 s", "20.0 s", "20.0 s"),
            ("consult", "1", "7.5 s", "7.5 s", "7.5 s"),
        ],
        "failures": [
            ("target did not answer, target did not press 1", "1"),
            ("target was busy, the agent was busy", "1"),
        ],
        "fallbacks": [("the agent (recall)", "1")],
        "ends": [("the customer hung up", "1")],
        "minutes": [
            ("in bridges", "0.5"),
            ("in conferences", "1.0"),
            ("in conferences, summed over participants", "2.5"),
            ("on hold, summed over participants", "0.2"),
            ("alone in a conference", "0.1"),
        ],
    }


def test_parked_calls_are_no_transfers_and_a_recall_s_answer_is_no_target_s():
    report = report_of(
        transfer(AT_MS, "completed", mode="park", hold_s="9"),
        transfer(AT_MS, "completed", mode="park"),
        transfer(AT_MS, "completed", attempt(BOB), mode="retrieve", answer_s="2"),
        transfer(AT_MS, "recalled", mode="park", reason="park-timeout", landed_on="recall", answer_s="3"),
        transfer(AT_MS, "failed", mode="park", reason="hold-failed"),
        transfer(AT_MS, "recalled", attempt(BOB, "busy"), reason="busy", landed_on="recall", answer_s="40"),
        transfer(AT_MS, "completed", attempt(BOB), answer_s="5"),
    )
    data = report.data(full=False)
    assert data["parks"] == {"parked": 2, "retrieved": 1, "expired": 1, "failed": 1}
    assert (data["results"], data["failure_reasons"]) == ({"completed": 1, "recalled": 1}, {"busy": 1})
    assert (data["durations"]["transfer_answer"]["count"], data["durations"]["transfer_answer"]["longest_s"]) == (1, 5)
    assert data["durations"]["hold"]["count"] == 0
    assert "Parked calls: 2 parked, 1 retrieved, 1 expired, and 1 failed." in totals(data)
    (parks,) = (table.rows for table in tables(data) if table.name == "parks")
    assert [tuple(row) for row in parks] == [("parked", "2"), ("retrieved", "1"), ("expired", "1"), ("failed", "1")]


def test_agents_and_our_numbers_have_tables():
    agents = '[{"address":"client:alice","talk_s":90,"holds":2},{"address":"+14155550145","talk_s":30.5,"holds":0}]'
    report = report_of(
        session(AT_MS, agents=agents, number="+14155550100"),
        session(AT_MS, agents='[{"address":"client:alice","talk_s":30,"holds":0}]', number="+14155550101"),
        session(AT_MS, number="+14155550101"),
        transfer(AT_MS, "failed", number="+14155550101", reason="busy"),
        transfer(AT_MS, number="+14155550101"),
    )
    data = report.data(full=True)
    talked = [[one[name] for name in ("address", "calls", "talk_s", "holds")] for one in data["agents"]]
    assert talked == [["client:alice", 2, 120, 2], ["+14155550145", 1, 30.5, 0]]
    of_numbers = [[one[name] for name in ("number", "calls", "transfers", "failed")] for one in data["numbers"]]
    assert of_numbers == [["+14155550101", 2, 2, 1], ["+14155550100", 1, 0, 0]]
    found = {table.name: [tuple(row) for row in table.rows] for table in tables(report.data(full=False))}
    assert found["agents"] == [
        ("client:alice", "0", "0", "0", "0", "0", "2", "2.0 min", "1.0 min", "2"),
        ("+…45", "0", "0", "0", "0", "0", "1", "0.5 min", "0.5 min", "0"),
    ]
    assert found["numbers"] == [("+…01", "2", "2", "1"), ("+…00", "1", "0", "0")]


def test_agents_rings_are_counted_by_what_became_of_them():
    results = ("answered", "no-answer", "busy", "rejected", "rejected", "taken", "away")
    report = report_of(
        *(session(AT_MS, attempt("client:alice", one)) for one in results),
        transfer(AT_MS, "completed", attempt("client:alice")),
        transfer(AT_MS, "failed", attempt("client:alice", "busy")),
    )
    (alice,) = report.data(full=True)["agents"]
    counts = {name: alice[name] for name in ("rung", "answered", "missed", "busy", "declined")}
    assert counts == {"rung": 8, "answered": 2, "missed": 1, "busy": 2, "declined": 2}


def test_agents_who_answered_nothing_are_listed_on_whatever_phone():
    sip, customer, phone, target = "sip:carol@example.com", "sip:customer@example.com", "+14155550131", "+14155550133"
    missed = {"result": "no-answer", "rang_s": 30}
    report = report_of(
        session(
            AT_MS,
            attempt(sip, **missed) | {"label": "agent-1"},
            attempt(phone, **missed) | {"label": "agent-2-3"},
            attempt(target, **missed),
        ),
        session(AT_MS, attempt(CUSTOMER, **missed) | {"label": "customer-1"}, customer=CUSTOMER, direction="outbound"),
        session(AT_MS, attempt(customer, **missed) | {"label": "customer-1"}, customer=customer, direction="outbound"),
        transfer(AT_MS, "failed", attempt(target, **missed), attempt("sip:dave@example.com", **missed)),
    )
    agents = {one["address"]: one["missed"] for one in report.data(full=True)["agents"]}
    assert agents == {sip: 1, phone: 1, "sip:dave@example.com": 1}


def test_each_row_leads_to_the_calls_that_it_counts(day):
    found = {}
    for table in tables(day.data(full=False)):
        for row, key in zip(table.rows, day.row_keys(table, full=False), strict=True):
            found[table.name, row[0]] = calls = day.calls_of(key, full=False)
            assert bool(calls) != (table.name in ("durations", "minutes")), (table.name, row)
    assert {one.at_ms for one in found["agents", BOB]} == {AT_MS}
    assert found["agents", BOB] == found["rung", BOB]
    assert day.calls_of(CUSTOMER, full=True) == []


def test_rows_of_numbers_masked_alike_keep_their_calls_and_a_key_stays():
    alike = ("+14155550123", "+14155550223", "+14155550323")
    rings = [transfer(AT_MS, "failed", attempt(one, "no-answer", 30), number=alike[0]) for one in alike]
    report = report_of(*rings[:2])
    (rung,) = (table for table in tables(report.data(full=False)) if table.name == "rung")
    keys = report.row_keys(rung, full=False)
    assert [row[0] for row in rung.rows] == ["+…23"] * 2
    first, second = (report.calls_of(key, full=False) for key in keys)
    assert (len(first), len(second), first == second) == (1, 1, False)
    assert not any(one[1:] in "".join(keys) for one in alike)
    report.add(f"{AT_MS}-9", rings[2])
    assert [report.calls_of(key, full=False) for key in keys] == [first, second]


def test_json_has_stable_keys_and_masked_numbers(day):
    data = day.data(full=False)

    assert msgspec.json.decode(msgspec.json.encode(data)) == data
    assert CUSTOMER not in msgspec.json.encode(data).decode()
    assert {key: data[key] for key in ("since", "until", "trimmed", "malformed", "calls", "voicemails")} == {
        "since": "2027-01-15T08:00:00+00:00",
        "until": "2027-01-16T08:00:00+00:00",
        "trimmed": False,
        "malformed": 0,
        "calls": 1,
        "voicemails": 1,
    }
    assert data["results"] == {"completed": 1, "failed": 1, "recalled": 1}
    assert data["transfers"] == {"blind": {"recalled": 1}, "consult": {"completed": 1, "failed": 1}}
    assert data["rung"][0] == {
        "to": BOB,
        "rung": 3,
        "answered": 1,
        "not_answered": 1,
        "longest_s": 30,
        "results": {"answered": 1, "no-answer": 1, "busy": 1},
    }
    assert data["durations"]["hold"] == {
        "count": 2, "median_s": 10, "p95_s": 20, "longest_s": 20,
        "ranges_s": {"0-5": 0, "5-10": 0, "10-15": 1, "15-20": 0, "20-30": 1, "30-60": 0, "60+": 0},
    }  # fmt: skip
    assert data["landed_on"] == {"recall": 1}
    assert data["failure_reasons"] == {"no-answer,no-confirmation": 1, "busy, recall busy, recall busy": 1}
    assert data["end_reasons"] == {"customer-left": 1}
    assert data["minutes"] == {"bridged": 0.5, "conference": 1.0, "participant": 2.5, "held": 0.2, "alone": 0.1}
    assert day.data(full=True)["rung"][1]["to"] == CUSTOMER


@each("count, p95_s", [(1, 1.0), (19, 19.0), (20, 19.0), (21, 20.0), (100, 95.0)])
def test_a_percentile_is_a_duration_that_occurred(count, p95_s):
    report = report_of(*(transfer(AT_MS, answer_s=f"{one}") for one in range(count, 0, -1)))
    assert report.data(full=False)["durations"]["transfer_answer"]["p95_s"] == p95_s


def test_repetitions_and_other_periods_do_not_count():
    report = report_of(
        transfer(AT_MS, id="a"),
        transfer(AT_MS, id="a"),
        transfer(SINCE_MS, id="b"),
        transfer(SINCE_MS - 1, id="c"),
        transfer(UNTIL_MS, id="d"),
    )
    assert report.kinds == {"transfer": 2}


@each(
    "changes",
    [
        {"id": ""},
        {"kind": ""},
        {"ended_at": "yesterday"},
        {"ended_at": ""},
        {"answer_s": "soon"},
        {"answer_s": "-1"},
        {"answer_s": "nan"},
        {"attempts": "{"},
        {"attempts": "[7]"},
        {"attempts": '[{"to": 7}]'},
        {"attempts": '[{"to": "client:bob", "result": []}]'},
        {"attempts": '[{"to": "client:bob", "rang_s": "9"}]'},
        {"attempts": '[{"to": "client:bob", "rang_s": -9}]'},
        {"agents": '[{"address": "client:bob", "talk_s": -9}]'},
    ],
)
def test_malformed_entries_are_counted_and_left_out(changes):
    report = report_of(transfer(AT_MS) | changes, transfer(AT_MS))

    assert (report.kinds, dict(report.rung)) == ({"": 1, "transfer": 1}, {})
    assert report_notes(report.data(full=False)) == ["Left out, because they can't be read: 1 outcome."]


def test_what_a_later_release_adds_is_ignored():
    report = report_of(
        outcome("survey", AT_MS, attempt(BOB), result="answered", answer_s="1"),
        transfer(AT_MS, "handed-on", attempt(BOB, "asleep"), mode="silent", more="x"),
    )
    data = report.data(full=False)
    assert data["transfers"] == {"silent": {"handed-on": 1}}
    assert (data["malformed"], data["durations"]["transfer_answer"]["count"]) == (0, 0)
    assert data["rung"][0]["results"]["asleep"] == 1


def test_long_tables_are_cut_for_people():
    report = report_of(*(transfer(AT_MS, "failed", attempt(f"client:c{one}", "busy")) for one in range(ROWS_MAX + 5)))
    rows = tables(report.data(full=False))[0].rows
    assert (len(rows), rows[-1]) == (ROWS_MAX + 1, ("and 5 more", "", "", "", "", ""))
    assert len(report.data(full=False)["rung"]) == ROWS_MAX + 5


@pytest.mark.redis
async def test_a_period_is_read_in_chunks_and_lacks_what_was_trimmed(client):
    reader = SessionReader(client, KEYS)
    assert not (await read_report(reader, SINCE_MS, UNTIL_MS)).is_trimmed
    async with client.pipeline() as pipeline:
        for number in range(450):
            at_ms = SINCE_MS - 100_000 + number * 1_000
            pipeline.xadd(KEYS.outcomes, transfer(at_ms, id=str(number)), id=f"{at_ms + 5}-0")
        await pipeline.execute()

    report = await read_report(reader, SINCE_MS, UNTIL_MS)
    assert (report.kinds, report.is_trimmed) == ({"transfer": 350}, False)

    await client.xtrim(KEYS.outcomes, minid=SINCE_MS - 50_000, approximate=False)
    assert not (await read_report(reader, SINCE_MS, UNTIL_MS)).is_trimmed

    await client.xtrim(KEYS.outcomes, minid=SINCE_MS + 100_000, approximate=False)
    report = await read_report(reader, SINCE_MS, UNTIL_MS)
    assert (report.kinds, report.is_trimmed) == ({"transfer": 250}, True)
    (note,) = report_notes(report.data(full=False))
    assert note.startswith("Redis may no longer have all outcomes of this period: the oldest are removed (CONFERRAL_")
    assert note.endswith("or conferral forget has erased them. Redis before 7 can't tell whether any were.")

    await client.xtrim(KEYS.outcomes, maxlen=0, approximate=False)
    assert (await read_report(reader, SINCE_MS, UNTIL_MS)).is_trimmed
    assert not (await read_report(reader, SINCE_MS + 400_000, UNTIL_MS)).is_trimmed


@pytest.mark.redis
async def test_visits_before_the_period_are_read_for_the_calls_that_end_in_it(client):
    call = f"CA{'1' * 32}"
    for at_ms, visit in ((SINCE_MS - 3 * HOUR_MS, call), (SINCE_MS, f"{call}-2")):
        fields = session(at_ms, attempt(BOB, "no-answer"), session=visit, number="+14155550100")
        await client.xadd(KEYS.outcomes, fields, id=f"{at_ms}-0")
    report = await read_report(SessionReader(client, KEYS), SINCE_MS, UNTIL_MS)
    total = report.data(full=True)["total"]
    assert (total["abandoned"], total["wait_longest_s"], report.kinds) == (1, 3 * 3600 + 60, {"session": 1})


@pytest.mark.redis
async def test_only_the_last_hour_counts_and_duplicates_count_once(client):
    reported = [
        transfer(AT_MS - HOUR_MS - 1, "failed", id="old"),
        transfer(AT_MS - HOUR_MS + 1, "failed", id="a"),
        transfer(AT_MS - HOUR_MS + 1, "failed", id="a"),
        transfer(AT_MS - 4, "completed", id="b", answer_s="3"),
        transfer(AT_MS + 1, "cancelled", id="c"),
    ]
    for number, fields in enumerate(reported):
        await client.xadd(KEYS.outcomes, fields, id=f"{AT_MS - HOUR_MS + number}-0")
    assert await read_last_hour(SessionReader(client, KEYS), AT_MS) == TransferStats(3, 1, 33.3, 3.0)
