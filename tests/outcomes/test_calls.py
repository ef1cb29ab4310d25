"""Calls as a team's lead counts them, across the visits of one call."""

import pytest

from conferral.outcomes.report import OutcomeReport
from conferral.outcomes.report_csv import ReportCsv
from conferral.outcomes.report_text import tables, totals
from conferral.storage.codecs.text_codec import to_iso
from tests.support.each import each
from tests.support.outcome_entries import attempt, session
from tests.support.people import ALICE, BOB, HELP, NUMBER, SALES

AT_MS = 1_800_000_000_000
CALL = "CA" + "1" * 32
RANG, MISSED = attempt(ALICE), attempt(ALICE, "no-answer", 30)
COUNTS = ("offered", "answered", "answered_within", "abandoned", "voicemail", "returned", "outside_hours")


def visit(nth, starts_s, lasts_s, *attempts, **fields):
    """A session of the call, so many seconds after it began."""
    started_ms = AT_MS + round(1000 * starts_s)
    ended_ms = started_ms + round(1000 * lasts_s)
    visits = {"session": CALL if nth == 1 else f"{CALL}-{nth}", "started_at": to_iso(started_ms)}
    return session(ended_ms, *attempts, **{"number": NUMBER, "direction": "inbound", **visits, **fields})


def report_of(*entries):
    report = OutcomeReport(AT_MS, AT_MS + 86_400_000)
    for number, fields in enumerate(entries):
        report.add(f"{AT_MS}-{number}", fields)
    return report


def counted(*entries, within_s=20.0):
    """What of the counts isn't 0, in their order."""
    total = report_of(*entries).data(full=True, within_s=within_s)["total"]
    return {name: total[name] for name in COUNTS if total[name]}


@each("sessions, expected", [
    ([visit(1, 0, 60, RANG, answer_s="20")], {"offered": 1, "answered": 1, "answered_within": 1}),
    ([visit(1, 0, 60, RANG, answer_s="20.001")], {"offered": 1, "answered": 1}),
    ([visit(1, 0, 5.001, MISSED)], {"offered": 1, "abandoned": 1}),
    ([visit(1, 0, 5, MISSED)], {"offered": 1}),
    ([visit(1, 0, 60, MISSED, reason="agent-no-answer", landed_on="end")], {"offered": 1}),
    ([visit(1, 0, 60, MISSED, landed_on="voicemail")], {"offered": 1, "voicemail": 1}),
    ([visit(1, 0, 60, MISSED, reason="voicemail", landed_on="voicemail")], {"offered": 1, "voicemail": 1}),
    ([visit(1, 0, 60, MISSED, reason="returned", landed_on="https://app.example.com")], {"offered": 1, "returned": 1}),
    ([visit(1, 0, 60, attempt(ALICE, "away"), reason="agent-away")], {}),
    ([visit(1, 0, 60, attempt(BOB, "dial-limit"), reason="agent-failed")], {}),
    ([visit(1, 0, 60, closed="true", reason="closed")], {"outside_hours": 1}),
    ([visit(1, 0, 60, MISSED, closed="true")], {"outside_hours": 1}),
    ([visit(1, 0, 60, closed="true", reason="voicemail", landed_on="voicemail")], {"voicemail": 1, "outside_hours": 1}),
    ([visit(1, 0, 60, RANG, answer_s="4", direction="outbound")], {}),
    # Newcomers wait in the queue before anyone is rung.
    ([visit(1, 0, 60, queued_s="55")], {"offered": 1, "abandoned": 1}),
    ([visit(1, 0, 60, queued_s="55", reason="queue-limit", landed_on="end")], {"offered": 1}),
    ([visit(1, 0, 60, queued_s="55", closed="true")], {"outside_hours": 1}),
    # It was answered, then transferred in vain.
    ([visit(1, 0, 60, RANG, answer_s="4", reason="voicemail")], {"offered": 1, "answered": 1, "answered_within": 1}),
    ([visit(1, 0, 60, RANG, answer_s="4", reason="returned")], {"offered": 1, "answered": 1, "answered_within": 1}),
])  # fmt: skip
def test_each_call_is_counted_by_what_became_of_it(sessions, expected):
    assert counted(*sessions) == expected


def test_the_visits_of_a_call_to_a_number_are_one_call_that_waits_since_the_first():
    first = visit(1, 0, 18, MISSED, reason="returned")
    assert counted(first, visit(2, 30, 60, RANG, answer_s="3")) == {"offered": 1, "answered": 1}
    assert counted(first, visit(2, 30, 60, RANG, answer_s="3"), within_s=33) == {
        "offered": 1, "answered": 1, "answered_within": 1,
    }  # fmt: skip
    # The caller left two seconds into the second visit, and had waited for longer.
    assert counted(visit(2, 30, 2, MISSED), first) == {"offered": 1, "abandoned": 1}
    assert counted(first, visit(2, 30, 9, MISSED, number=SALES)) == {"offered": 2, "abandoned": 1, "returned": 1}


def test_a_call_whose_visits_two_periods_divide_counts_where_it_ended_with_all_its_times():
    visits = [visit(1, -120, 60, MISSED, reason="returned"), visit(2, -20, 60, RANG, answer_s="10")]
    day_ms, found = 86_400_000, []
    for since_ms in (AT_MS - day_ms, AT_MS, AT_MS + day_ms):
        rows = ReportCsv("calls", full=True)
        report = OutcomeReport(since_ms, since_ms + day_ms, each=rows.add)
        for number, fields in enumerate(visits):
            report.add(f"{AT_MS}-{number}", fields)
        data = report.data(full=True)
        total, kinds = data["total"], dict(report.kinds)
        found.append((data["calls"], total["returned"], total["answered"], total["wait_longest_s"], kinds))
        lines = rows.file(report).decode().splitlines()
        assert len(lines) - 1 == data["calls"] == len(data["numbers"])
        (listed,) = [report.row_keys(one, full=True) for one in tables(data) if one.name == "answering"] or [[]]
        assert [len(report.calls_of(key, full=True)) for key in listed] == [1] * data["calls"]
    assert found == [(0, 0, 0, None, {"session": 1}), (1, 0, 1, 110, {"session": 1}), (0, 0, 0, None, {})]


def test_each_number_has_its_counts_and_waiting_times():
    others = (f"CA{number:032x}" for number in range(9))
    calls = [
        visit(1, 0, 60, RANG, session=next(others), answer_s="4"),
        visit(1, 0, 90, RANG, session=next(others), answer_s="25"),
        visit(1, 0, 70, MISSED, session=next(others)),
        visit(1, 0, 3, MISSED, session=next(others)),
        visit(1, 0, 60, RANG, session=next(others), answer_s="2", number=SALES),
        visit(1, 0, 60, RANG, session=next(others), answer_s="9", direction="outbound", number=HELP),
    ]
    report = report_of(*calls)
    data = report.data(full=True)
    one = data["numbers"][0]
    assert [one[name] for name in ("number", "calls", "inbound", *COUNTS)] == [NUMBER, 4, 4, 4, 2, 1, 1, 0, 0, 0]
    assert (one["wait_median_s"], one["wait_p95_s"], one["wait_longest_s"]) == (25, 70, 70)
    assert (data["calls"], data["total"]["inbound"], data["total"]["offered"]) == (6, 5, 5)
    assert [data["durations"][name]["count"] for name in ("call_answer", "call_abandon")] == [4, 1]
    (answering,) = (table for table in tables(report.data(full=False, within_s=2.5)) if table.name == "answering")
    assert answering.columns[3] == ">within 2.5 s"
    assert [tuple(row) for row in answering.rows] == [
        ("+…00", "4", "2", "0", "1", "0", "0", "0", "25.0 s", "70.0 s"),
        ("+…01", "1", "1", "1", "0", "0", "0", "0", "2.0 s", "2.0 s"),
    ]
    keys = report.row_keys(answering, full=False)
    assert [len(report.calls_of(key, full=False)) for key in keys] == [4, 1]


def test_the_time_in_queues_is_that_of_all_visits():
    others = (f"CA{number:032x}" for number in range(9))
    report = report_of(
        visit(1, 0, 18, MISSED, reason="returned", queued_s="10.5"),
        visit(2, 30, 60, RANG, answer_s="31", queued_s="30"),
        visit(1, 0, 60, session=next(others), queued_s="55"),
        visit(1, 0, 60, RANG, session=next(others), answer_s="4"),
    )
    data = report.data(full=True)
    queue = data["durations"]["call_queue"]
    assert [queue[name] for name in ("count", "median_s", "longest_s")] == [2, 40.5, 55]
    assert "2 calls waited in a queue: median 40.5 s, longest 55.0 s." in totals(data)
    (times,) = (table.rows for table in tables(data) if table.name == "durations")
    assert ("call in a queue", "2", "40.5 s", "55.0 s", "55.0 s") in [tuple(row) for row in times]
    assert not any("queue" in sentence for sentence in totals(report_of().data(full=True)))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_said_of_calls_that_no_one_was_offered(count):
    report = report_of(*[visit(1, 0, 60, RANG, answer_s="4", direction="outbound")] * count)
    assert [table.name for table in tables(report.data(full=True)) if table.name == "answering"] == []
    assert report.data(full=True)["total"]["wait_median_s"] is None
