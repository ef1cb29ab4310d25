"""What the outcomes of a period say, in numbers, sentences, and tables."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from conferral.operations import wording, words
from conferral.operations.outcomes import outcome_data
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.text import join_words

#: Results of transfers that didn't connect the customer. `cancelled` isn't one: a user wanted that.
FAILED = frozenset({"failed", "recalled"})
RESULTS = ("completed", "failed", "recalled", "cancelled")
#: Results of attempts that no person took although they rang: `no-answer`; a machine answered; no one pressed the key.
NOT_ANSWERED = ("no-answer", "no-confirmation", "answering-machine")
#: A session's seconds: the entry's field, the key in JSON, and words.
MINUTES = {
    "bridged_s": ("bridged", "in bridges"),
    "conference_s": ("conference", "in conferences"),
    "participant_s": ("participant", "in conferences, summed over participants"),
    "held_s": ("held", "on hold, summed over participants"),
    "alone_s": ("alone", "alone in a conference"),
}
#: Durations whose distribution is shown: the key in JSON; an outcome's kind and field; and words.
DURATIONS = {
    "transfer_answer": ("transfer", "answer_s", "transfer answered"),
    "call_answer": ("session", "answer_s", "call answered"),
    "hold": ("transfer", "hold_s", "hold in a transfer"),
    "consult": ("transfer", "consult_s", "consult"),
}
#: Words for places of a fallback that aren't destinations.
_PLACES = {"recall": "the agent (recall)", "end": "a message, then hang-up"}
#: Rows of a table for people (count); JSON has all.
ROWS_MAX = 20
#: An entry is written soon after its `ended_at`; the clocks of both differ by less than this.
_MARGIN_MS = 60_000

_Seconds = Annotated[float, msgspec.Meta(ge=0)] | None


class _Attempt(msgspec.Struct):
    to: str | None = None
    result: str | None = None
    rang_s: _Seconds = None


@dataclass(slots=True)
class Rung:
    """How the attempts to reach one destination ended (counts)."""

    results: Counter[str] = field(default_factory=Counter)
    #: The longest time that it rang, answered or not, in seconds.
    longest_s: float = 0.0

    @property
    def not_answered(self) -> int:
        """Attempts that rang, and that no person took."""
        return sum(self.results[one] for one in NOT_ANSWERED)

    @property
    def otherwise(self) -> dict[str, int]:
        """Other results, such as `busy`, or `taken` by another target."""
        return {name: count for name, count in self.results.most_common() if name not in (*NOT_ANSWERED, "answered")}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations; percentiles are durations that occurred (nearest rank)."""

    count: int
    median_s: float | None = None
    p95_s: float | None = None
    longest_s: float | None = None
    total_s: float = 0.0


def distribution_of(durations_s: Iterable[float]) -> Distribution:
    """Return the distribution of durations in any order."""
    values = sorted(durations_s)
    if not values:
        return Distribution(0)
    median_s, p95_s = (values[-(-len(values) * percent // 100) - 1] for percent in (50, 95))
    return Distribution(len(values), median_s, p95_s, values[-1], round(sum(values), 3))


@dataclass(slots=True)
class OutcomeReport:
    """The outcomes that ended within a period, counted."""

    #: The period, Unix milliseconds; the end is not included.
    since_ms: int
    until_ms: int
    #: If older outcomes of the period may have been removed: when the oldest in Redis was written; else 0.
    oldest_ms: int = 0
    #: Entries that can't be read (count).
    malformed: int = 0
    calls: int = 0
    voicemails: int = 0
    #: By mode and result.
    transfers: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: By destination, in full.
    rung: defaultdict[str, Rung] = field(default_factory=lambda: defaultdict(Rung))
    #: By key of `DURATIONS`, in seconds.
    durations: dict[str, "array[float]"] = field(default_factory=lambda: {name: array("d") for name in DURATIONS})
    landed_on: Counter[str] = field(default_factory=Counter)
    failure_reasons: Counter[str] = field(default_factory=Counter)
    end_reasons: Counter[str] = field(default_factory=Counter)
    #: By field of `MINUTES`.
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _seen: set[str] = field(default_factory=set)

    def add(self, entry_id: str, fields: Fields) -> None:
        """Count an entry if it ended in the period and repeats no other."""
        ended_ms = wording.parse_time_ms(fields.get("ended_at", "")) or int(entry_id.split("-")[0])
        if not self.since_ms <= ended_ms < self.until_ms:
            return
        parsed = _parse(fields)
        if parsed is None:
            self.malformed += 1
        elif fields["id"] not in self._seen:
            self._seen.add(fields["id"])
            self._count(*parsed)

    def _count(self, outcome: Mapping[str, Any], attempts: Iterable[_Attempt]) -> None:
        kind, result, reason = outcome["kind"], outcome.get("result") or "unknown", outcome.get("reason") or "unknown"
        if kind == "transfer":
            self.transfers[outcome.get("mode") or "unknown", result] += 1
            if result in FAILED:
                self.failure_reasons[reason] += 1
        elif kind == "session":
            self.calls += 1
            self.end_reasons[reason] += 1
            for name in MINUTES:
                self.seconds[name] += outcome.get(name) or 0
        self.voicemails += kind == "voicemail"
        for key, (of_kind, name, _) in DURATIONS.items():
            if kind == of_kind and (value_s := outcome.get(name)) is not None:
                self.durations[key].append(value_s)
        if landed_on := outcome.get("landed_on"):
            self.landed_on[landed_on] += 1
        for attempt in attempts:
            if attempt.result != "dial-limit":  # then it was not dialed
                rung = self.rung[attempt.to or "unknown"]
                rung.results[attempt.result or "unknown"] += 1
                rung.longest_s = max(rung.longest_s, attempt.rang_s or 0.0)

    def results(self) -> Counter[str]:
        """Return how many transfers had each result, in the usual order."""
        found: Counter[str] = Counter()
        for (_, result), count in sorted(self.transfers.items(), key=lambda one: _result_rank(one[0][1])):
            found[result] += count
        return found

    def worst(self) -> list[tuple[str, Rung]]:
        """Return what was rung, by address; most unanswered attempts first."""
        return sorted(self.rung.items(), key=lambda one: (-one[1].not_answered, -one[1].longest_s, one[0]))


def _result_rank(result: str) -> tuple[int, str]:
    return RESULTS.index(result) if result in RESULTS else len(RESULTS), result


def _parse(fields: Fields) -> tuple[Mapping[str, Any], list[_Attempt]] | None:
    """Return an entry's typed fields, and its attempts; None if malformed."""
    data = outcome_data(fields)
    found, is_empty = data.get("attempts") or [], fields.get("attempts", "") in ("", "[]")
    if not (fields.get("id") and fields.get("kind") and wording.parse_time_ms(fields.get("ended_at", ""))):
        return None
    if any(text and data[name] is None for name, text in fields.items()) or is_empty is bool(found):
        return None
    try:
        return data, msgspec.convert(found, list[_Attempt])
    except msgspec.ValidationError:
        return None


async def read_report(reader: SessionQueries, since_ms: int, until_ms: int) -> OutcomeReport:
    """Read a period's outcomes, in chunks; the end is not included."""
    report = OutcomeReport(since_ms, until_ms)
    oldest_ms = await reader.outcomes_trimmed_before_ms()
    report.oldest_ms = oldest_ms if oldest_ms > since_ms else 0
    after = f"{max(0, since_ms - _MARGIN_MS)}-0"
    while found := await reader.outcomes(after):
        after = found[-1][0]
        for entry_id, fields in found:
            report.add(entry_id, fields)
    return report


def report_data(report: OutcomeReport, *, full: bool) -> dict[str, Any]:
    """Return the report for programs, with numbers masked unless `full`."""
    return {
        "since": _local(report.since_ms).isoformat(),
        "until": _local(report.until_ms).isoformat(),
        "oldest": _local(report.oldest_ms).isoformat() if report.oldest_ms else None,
        "malformed": report.malformed,
        "calls": report.calls,
        "voicemails": report.voicemails,
        "transfers": [
            {"mode": mode, "result": result, "count": count}
            for (mode, result), count in sorted(report.transfers.items())
        ],
        "rung": [
            {
                "to": wording.display_address(to, full=full),
                "rung": one.results.total(),
                "answered": one.results["answered"],
                "not_answered": one.not_answered,
                "longest_s": one.longest_s,
                "results": dict(one.results),
            }
            for to, one in report.worst()
        ],
        "durations": {key: asdict(distribution_of(values)) for key, values in report.durations.items()},
        "landed_on": _worded(report.landed_on, {}, full=full),
        "failure_reasons": dict(report.failure_reasons),
        "end_reasons": dict(report.end_reasons),
        "minutes": {key: round(report.seconds[name] / 60, 1) for name, (key, _) in MINUTES.items()},
    }


def _local(at_ms: int) -> datetime:
    """Return a time in the machine's time zone."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone()


def _shown(at_ms: int) -> str:
    local = _local(at_ms)
    return f"{local:%Y-%m-%d %H:%M} UTC{local.isoformat()[-6:]}"


def period_line(report: OutcomeReport) -> str:
    """Return the period in the machine's time zone, with its offset."""
    return f"{_shown(report.since_ms)} to {_shown(report.until_ms)}"


def totals(report: OutcomeReport, *, full: bool) -> str:
    """Return what happened, in a few sentences."""
    if not (report.calls or report.transfers or report.voicemails):
        return "Nothing ended in this period."
    results = join_words([f"{count:,} {name}" for name, count in report.results().items()], "and")
    text = f"{_counted(report.calls, 'call')} ended, and {_counted(report.transfers.total(), 'transfer')}"
    text += f"{': ' if results else ''}{results}. "
    if report.voicemails:
        text += f"{_counted(report.voicemails, 'message')} recorded. "
    if rung := sum(one.results.total() for one in report.rung.values()):
        silent = [(to, one.not_answered) for to, one in report.worst() if one.not_answered]
        by = wording.limit_notes([f"{wording.display_address(to, full=full)} ({count:,})" for to, count in silent], 3)
        missed = sum(count for _, count in silent)
        text += f"{missed:,} of {_counted(rung, 'ring')} not answered{': ' if by else ''}{', '.join(by)}. "
    answer = distribution_of(report.durations["transfer_answer"])
    if answer.count:
        text += f"Half of the transfers were answered within {_seconds(answer.median_s)}, 95% {_seconds(answer.p95_s)}."
    return text.rstrip()


def report_notes(report: OutcomeReport) -> list[str]:
    """Return what the report lacks, in sentences."""
    found = []
    if report.oldest_ms:
        found.append(f"Redis has no outcomes from before {_shown(report.oldest_ms)}, so this may be incomplete.")
    if report.malformed:
        found.append(f"Left out, because they can't be read: {_counted(report.malformed, 'outcome')}.")
    return found


class Table(NamedTuple):
    """A table of the report. A column that begins with `>` has numbers."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(report: OutcomeReport, *, full: bool) -> list[Table]:
    """Return the report's tables, the most important first."""
    results, modes = list(report.results()), sorted({mode for mode, _ in report.transfers})
    rung = [
        (
            wording.display_address(to, full=full),
            f"{one.not_answered:,}",
            f"{one.results['answered']:,}",
            f"{one.results.total():,}",
            _seconds(one.longest_s),
            ", ".join(f"{count:,} {name}" for name, count in one.otherwise.items()),
        )
        for to, one in report.worst()
    ]
    transfers = [(mode, *(f"{report.transfers[mode, result]:,}" for result in results)) for mode in modes]
    durations = [
        (DURATIONS[key][2], f"{one.count:,}", *map(_seconds, (one.median_s, one.p95_s, one.longest_s, one.total_s)))
        for key, values in report.durations.items()
        if (one := distribution_of(values)).count
    ]
    minutes = [(what, f"{report.seconds[name] / 60:,.1f}") for name, (_, what) in MINUTES.items() if report.calls]
    rung_columns = ("destination", ">not answered", ">answered", ">rung", ">longest ring", "otherwise")
    return [
        Table("rung", "Who was rung, and who did not answer", rung_columns, _cut(rung)),
        Table("transfers", "Transfers", ("mode", *(f">{one}" for one in results)), transfers),
        Table(
            "durations",
            "Time to answer, holds, and consults",
            ("", ">count", ">median", ">95%", ">longest", ">total"),
            durations,
        ),
        _counts_table("failures", "Why transfers failed", _worded(report.failure_reasons, words.TRANSFER_FAILURES)),
        _counts_table("fallbacks", "Where fallbacks took callers", _worded(report.landed_on, _PLACES, full=full)),
        _counts_table("ends", "Why calls ended", _worded(report.end_reasons, words.END_REASONS)),
        Table("minutes", "Minutes", ("", ">minutes"), minutes),
    ]


def _counts_table(name: str, title: str, counts: Mapping[str, int]) -> Table:
    return Table(name, title, ("", ">count"), _cut([(one, f"{count:,}") for one, count in counts.items()]))


def _worded(counts: Counter[str], known: Mapping[str, str], *, full: bool = False) -> dict[str, int]:
    """Return counts by words, most first. A comma separates several words."""
    found: Counter[str] = Counter()
    for reason, count in counts.items():
        texts = (known.get(one) or wording.display_address(one, full=full) for one in reason.split(","))
        found[", ".join(texts)] += count
    return dict(found.most_common())


def _cut(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    more = len(rows) - ROWS_MAX
    return rows if more <= 1 else [*rows[:ROWS_MAX], (f"and {more:,} more", *[""] * (len(rows[0]) - 1))]


def _seconds(value_s: float | None) -> str:
    return f"{value_s or 0:,.1f} s"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
