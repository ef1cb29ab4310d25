"""The report as CSV: a row for each call or each transfer, as a spreadsheet reads it."""

import csv
from datetime import UTC

from conferral.outcomes.report import OutcomeReport
from conferral.outcomes.report_csv import ReportCsv
from conferral.storage.codecs.text_codec import to_iso
from tests.support.each import each
from tests.support.outcome_entries import attempt, outcome, session, transfer
from tests.support.people import AGENT_PHONE, BOB, CUSTOMER, NUMBER

AT_MS = 1_800_000_000_000
CALL = "CA" + "1" * 32


def file_of(kind, *entries, full=False):
    """The file's text."""
    found = ReportCsv(kind, full=full, zone=UTC)
    report = OutcomeReport(AT_MS - 1_000_000, AT_MS + 1_000_000, each=found.add)
    for number, fields in enumerate(entries):
        report.add(f"{AT_MS}-{number}", fields)
    file = found.file(report)
    assert file.startswith(b"\xef\xbb\xbf")  # else Excel shows a masked number in the machine's code page
    return file.decode("utf-8-sig")


def rows_of(kind, *entries, full=False):
    """The file's rows, as a spreadsheet reads them."""
    return list(csv.DictReader(file_of(kind, *entries, full=full).splitlines()))


def test_each_row_is_a_transfer_and_has_no_field_of_others():
    rows = rows_of(
        "transfers",
        transfer(AT_MS, "completed", attempt(BOB), to=BOB, answer_s="4.5", customer=CUSTOMER, number=NUMBER),
        transfer(
            AT_MS,
            "failed",
            attempt(CUSTOMER, "no-answer"),
            attempt(AGENT_PHONE, "busy"),
            reason="busy",
            landed_on="end",
        ),
        session(AT_MS, attempt(BOB)),
        outcome("voicemail", AT_MS, result="recorded"),
    )

    assert [(one["result"], one["answer_s"], one["rung"], one["not_answered"]) for one in rows] == [
        ("completed", "4.5", BOB, ""),
        ("failed", "", "+…23, +…88", "+…23"),
    ]
    assert (rows[0]["to"], rows[0]["customer"], rows[0]["number"]) == (BOB, "+…23", "+…00")
    assert rows[0]["ended_at"] == "2027-01-15T08:00:00+00:00"


def test_the_visits_of_a_call_to_a_number_are_one_row_whose_times_count_from_the_first():
    shared = {"number": NUMBER, "customer": CUSTOMER}
    agents = '[{"address": "client:bob", "talk_s": 20.5, "holds": 0}]'
    later = {
        "started_at": to_iso(AT_MS - 9_877),
        "answer_s": "3.1",
        "agents": agents,
        "reason": "agent-left",
        "held_s": "2",
    }
    rows = rows_of(
        "calls",
        session(AT_MS, attempt(BOB), session=f"{CALL}-2", **shared, **later),
        session(AT_MS - 20_000, attempt(BOB, "no-answer"), session=CALL, **shared, reason="returned", held_s="1.5"),
        session(AT_MS, session=f"{CALL}-3", number="+14155550177", customer=CUSTOMER),
        session(AT_MS, session="order-7", **shared),
        session(AT_MS, session="order-8", **shared),
    )

    assert [(one["session"], one["sessions"]) for one in rows] == [
        (CALL, "2"), (f"{CALL}-3", "1"), ("order-7", "1"), ("order-8", "1"),
    ]  # fmt: skip
    call = rows[0]
    assert (call["started_at"], call["ended_at"]) == ("2027-01-15T07:58:40+00:00", "2027-01-15T08:00:00+00:00")
    assert (call["answer_s"], call["talk_s"], call["held_s"], call["alone_s"]) == ("73.223", "20.5", "3.5", "")
    assert (call["reason"], call["agents"], call["rung"], call["not_answered"]) == ("agent-left", BOB, BOB, BOB)


def test_a_call_says_whether_it_was_offered_abandoned_and_outside_hours():
    rows = rows_of(
        "calls",
        session(AT_MS, attempt(BOB), answer_s="4"),
        session(AT_MS, attempt(BOB, "cancelled")),
        session(AT_MS, closed="true", reason="closed"),
        session(AT_MS, queued_s="52.5"),
    )
    names = ("offered", "abandoned", "outside_hours", "answer_s", "wait_s", "queued_s")
    assert [tuple(one[name] for name in names) for one in rows] == [
        ("true", "", "", "4.0", "4.0", ""), ("true", "true", "", "", "60.0", ""), ("", "", "true", "", "", ""),
        ("true", "true", "", "", "60.0", "52.5"),
    ]  # fmt: skip


def test_who_was_skipped_was_not_rung():
    tried = attempt(BOB, "away"), attempt(AGENT_PHONE, "no-answer")
    (call,) = rows_of("calls", session(AT_MS, *tried))
    (moved,) = rows_of("transfers", transfer(AT_MS, "failed", *tried))
    assert [(one["rung"], one["not_answered"]) for one in (call, moved)] == [("+…88", "+…88")] * 2


def test_no_cell_is_a_formula_and_numbers_stay_as_they_are():
    formula, lines = "=HYPERLINK(1)", "a\r\n=1\x1b[31m"
    (row,) = rows_of("transfers", transfer(AT_MS, ref=formula, by=lines, customer=CUSTOMER, to="+1@sip"), full=True)

    assert (row["ref"], row["by"]) == (f"'{formula}", "a  =1 [31m")
    assert (row["customer"], row["to"]) == (CUSTOMER, "'+1@sip")


@each("ref, cell", [
    ("a;=2+2", '"a;\'=2+2"'), ("a; @b;-1", '"a; \'@b;\'-1"'), ("a\t=2+2", '"a =2+2"'),
    ("a;b", '"a;b"'), ("a-b", '"a-b"'),
])  # fmt: skip
def test_no_cell_becomes_several_where_semicolons_or_tabs_separate(ref, cell):
    file = file_of("transfers", transfer(AT_MS, ref=ref))
    assert cell in file
    assert all(part.startswith('"') and part.endswith('"') for part in file.splitlines())


def test_an_empty_period_has_the_columns_only():
    assert rows_of("calls") == rows_of("transfers") == []
