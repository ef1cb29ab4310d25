"""What the outcomes of a period say, in numbers, sentences, and tables."""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from conferral.operations import catalog
from conferral.outcomes.calls import COUNTED, CallSummary, call_key
from conferral.outcomes.outcome import OutcomeAttempt, OutcomeRecord
from conferral.runtime.redaction import display_address
from conferral.statemachine.ids import split_label
from conferral.statemachine.reasons import NOT_DIALED, EndReason
from conferral.statemachine.session import AGENT
from conferral.storage.queries.session_reader import Fields, SessionReader

#: Results of transfers that didn't connect the customer. `cancelled` isn't one: a user wanted that.
FAILED = frozenset({"failed", "recalled"})
RESULTS = ("completed", "failed", "recalled", "cancelled")
#: Modes of outcomes that are no transfers to another person: a parked call, and who retrieves it.
PARK_MODES = frozenset({"park", "retrieve"})
#: What became of parked calls, in JSON and in words; other results keep their name.
PARKS = {"park": "parked", "retrieve": "retrieved"}
EXPIRED = "expired"
#: Results of attempts that no person took although they rang; a machine may have answered, or no one pressed the key.
NOT_ANSWERED = frozenset({"no-answer", "no-confirmation", "answering-machine"})
#: Durations whose distribution is shown: the key in JSON, and words.
DURATIONS = {
    "transfer_answer": "transfer answered",
    "call_answer": "call answered",
    "call_abandon": "call abandoned",
    "call_queue": "call in a queue",
    "hold": "hold in a transfer",
    "consult": "consult",
}
#: Those of transfers, by the outcome's field.
_OF_TRANSFERS = {"transfer_answer": "answer_s", "hold": "hold_s", "consult": "consult_s"}
#: A call that is answered in this time is answered soon enough (seconds), unless the reader says otherwise.
WITHIN_S = 20.0
#: Bounds of the ranges of durations, in seconds; the last one has no end.
_BOUNDS_S = (0, 5, 10, 15, 20, 30, 60)
#: A session's seconds: the key in JSON, which is also the field without its unit, and words.
MINUTES = {
    "bridged": "in bridges",
    "conference": "in conferences",
    "participant": "in conferences, summed over participants",
    "held": "on hold, summed over participants",
    "alone": "alone in a conference",
}
#: Words for places of a fallback that aren't destinations.
PLACES = {"recall": "the agent (recall)", "end": "a message, then hang-up"}
#: An entry is written soon after its `ended_at`; the clocks of both differ by less than this.
_MARGIN_MS = 60_000
HOUR_MS = 3_600_000
#: How long around a period visits are read, for the calls that its start or end divides. Source: Twilio docs, Call
#: resource, `TimeLimit`: a call lasts at most four hours, unless another limit is given.
_AROUND_MS = 4 * HOUR_MS


@dataclass(slots=True)
class _AgentTotals:
    calls: int = 0
    talk_s: float = 0.0
    holds: int = 0


@dataclass(slots=True)
class _Answering:
    """What became of calls."""

    #: By what each is counted as.
    calls: Counter[tuple[str, ...]] = field(default_factory=Counter)
    #: Of answered and abandoned calls, in seconds.
    waits_s: list[float] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return the counts of inbound calls, and their waiting times."""
        counts = {name: sum(count for names, count in self.calls.items() if name in names) for name in COUNTED}
        return counts | {f"wait_{name}": value for name, value in _percentiles(self.waits_s).items()}


class ReportedCall(NamedTuple):
    """A call that a row of a table counts."""

    #: When the outcome ended, Unix milliseconds.
    at_ms: int
    session: str
    #: In full.
    customer: str


@dataclass(frozen=True, slots=True)
class TransferStats:
    """Transfers that finished within the last hour."""

    transfers: int
    failed: int
    #: Percentage that failed; None without transfers.
    failed_percent: float | None
    #: 95th percentile of the time until someone took the call, in seconds; None without answers.
    answer_p95_s: float | None


@dataclass(slots=True)
class OutcomeReport:
    """The outcomes that ended within a period, counted."""

    #: The period, Unix milliseconds; the end is not included.
    since_ms: int
    until_ms: int
    #: Whether Redis may have removed outcomes of the period.
    is_trimmed: bool = False
    #: By kind; empty for entries that can't be read.
    kinds: Counter[str] = field(default_factory=Counter)
    #: By mode and result.
    transfers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    #: By what became of the parked call.
    parks: Counter[str] = field(default_factory=Counter)
    #: By our number (in full): `transfers`, and `failed` of these.
    numbers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    #: By address (in full).
    agents: defaultdict[str, _AgentTotals] = field(default_factory=lambda: defaultdict(_AgentTotals))
    #: By destination (in full) and result.
    rung: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    #: Addresses (in full) that were rung as an agent's.
    rung_agents: set[str] = field(default_factory=set, repr=False)
    #: The longest time that each destination rang, in seconds.
    longest_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    #: Of transfers, by key of `DURATIONS`, in seconds.
    durations: dict[str, "array[float]"] = field(default_factory=lambda: {key: array("d") for key in _OF_TRANSFERS})
    landed_on: Counter[str] = field(default_factory=Counter)
    failure_reasons: Counter[str] = field(default_factory=Counter)
    end_reasons: Counter[str] = field(default_factory=Counter)
    #: By key of `MINUTES`.
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    #: By what their sessions share, also of calls that ended shortly before or after the period.
    summaries: defaultdict[tuple[str, str], CallSummary] = field(
        default_factory=lambda: defaultdict(CallSummary), repr=False
    )
    #: By table and what its row counts (in full), each session once.
    calls: defaultdict[tuple[str, str], dict[str, ReportedCall]] = field(
        default_factory=lambda: defaultdict(dict), repr=False
    )
    #: Gets each outcome that counts, and other sessions of these calls.
    each: Callable[[OutcomeRecord], None] | None = None
    _seen: set[str] = field(default_factory=set)

    def add(self, entry_id: str, fields: Fields) -> None:
        """Count an entry if it ended in the period and repeats no other.

        A call ends with its last session, so sessions around the period may belong to its calls.
        """
        outcome = OutcomeRecord.of(entry_id, fields)
        ended_ms = round(1000 * outcome.ended_at.timestamp()) if outcome.ended_at else int(entry_id.split("-")[0])
        is_session, is_within = outcome.kind == "session", self.since_ms <= ended_ms < self.until_ms
        is_near = is_session and self.since_ms - _AROUND_MS <= ended_ms < self.until_ms + _AROUND_MS
        if not (is_within or is_near):
            return
        if outcome.damaged or not (outcome.id and outcome.kind and outcome.ended_at):
            self.kinds[""] += is_within
        elif outcome.id not in self._seen:
            self._seen.add(outcome.id)
            if is_session:
                self.summaries[call_key(outcome.session, outcome.number)].add(outcome)
            if is_within:
                self._count(outcome)
                call = ReportedCall(ended_ms, outcome.session, outcome.customer)
                for row in _rows_of(outcome):
                    self.calls[row][outcome.session] = call
            if self.each is not None:
                self.each(outcome)

    def includes(self, call: CallSummary) -> bool:
        """Whether a call's last session ended in the period."""
        return self.since_ms <= round(1000 * call.ended_s) < self.until_ms

    def _ended_calls(self) -> list[CallSummary]:
        return [call for call in self.summaries.values() if self.includes(call)]

    def _count(self, outcome: OutcomeRecord) -> None:
        """Add one outcome, with its attempts and agents, to the totals."""
        kind = outcome.kind
        self.kinds[kind] += 1
        is_park = kind == "transfer" and outcome.mode in PARK_MODES
        if is_park:
            self.parks[_park_result(outcome)] += 1
        elif kind == "transfer":
            self._count_transfer(outcome)
        elif kind == "session":
            self.end_reasons[outcome.reason or "unknown"] += 1
            for key in MINUTES:
                self.seconds[key] += getattr(outcome, f"{key}_s") or 0
        for agent in outcome.agents:
            shown = self.agents[agent["address"] or "unknown"]
            shown.calls += 1
            shown.talk_s += agent["talk_s"] or 0.0
            shown.holds += agent["holds"] or 0
        if outcome.landed_on:
            self.landed_on[outcome.landed_on] += 1
        for attempt in outcome.attempts:
            if attempt["result"] not in NOT_DIALED:
                to = attempt["to"] or "unknown"
                self.rung[to][attempt["result"] or "unknown"] += 1
                self.longest_s[to] = max(self.longest_s[to], attempt["rang_s"] or 0.0)
                if _is_of_agent(outcome, attempt):
                    self.rung_agents.add(to)

    def row_keys(self, table: "Table", *, full: bool) -> list[str]:
        """Return for each row of a table what finds its calls; empty without.

        A key has no number in it, and stays while outcomes are added.
        """
        first = reversed([(str(number), row) for number, row in enumerate(self.calls) if row[0] == table.name])
        known = {_row_of(*row, full=full): number for number, row in first}
        rows = self._ranked(table.name) or [row[0] for row in table.rows]
        return [known.get(row, "") for row in rows]

    def calls_of(self, row_key: str, *, full: bool) -> list[ReportedCall]:
        """Return the calls that a row counts, the newest first."""
        rows = [(of, _row_of(of, counted, full=full)) for of, counted in self.calls]
        wanted = {str(number): row for number, row in enumerate(rows)}.get(row_key)
        found = (
            call
            for row, (of, calls) in zip(rows, self.calls.items(), strict=True)
            for call in calls.values()
            if row == wanted and (of[0] != "answering" or self.includes(self.summaries[call_key(call.session, of[1])]))
        )
        return sorted({*found}, reverse=True)

    def _count_transfer(self, outcome: OutcomeRecord) -> None:
        result = outcome.result or "unknown"
        self.transfers[outcome.mode or "unknown"][result] += 1
        if result in FAILED:
            self.failure_reasons[outcome.reason or "unknown"] += 1
        if outcome.number:
            self.numbers[outcome.number] += Counter(transfers=1, failed=int(result in FAILED))
        for key, name in _OF_TRANSFERS.items():
            # After a failed transfer, the fallback answered, not the target.
            is_of_fallback = key == "transfer_answer" and bool(outcome.landed_on)
            if not is_of_fallback and (value_s := getattr(outcome, name)) is not None:
                self.durations[key].append(value_s)

    def missed(self, address: str) -> int:
        """Return how many rings an address did not answer."""
        return sum(self.rung[address][result] for result in NOT_ANSWERED) if address in self.rung else 0

    def _rings(self, address: str) -> dict[str, int]:
        """Return what became of an address's rings."""
        counts = self.rung.get(address, Counter())
        return {"rung": counts.total(), "answered": counts["answered"], "missed": self.missed(address),
                "busy": counts["busy"], "declined": counts["rejected"]}  # fmt: skip

    def _answering(self, within_s: float) -> tuple[_Answering, defaultdict[str, _Answering]]:
        """Return what became of all calls, and of those to each number."""
        total, by_number = _Answering(), defaultdict[str, _Answering](_Answering)
        for call in self._ended_calls():
            names = call.counted_as(within_s)
            for one in (total, by_number[call.number]):
                one.calls[names] += 1
                if "answered" in names or "abandoned" in names:
                    one.waits_s.append(call.wait_s)
        return total, by_number

    def _durations(self, key: str) -> Iterable[float]:
        calls = self._ended_calls()
        match key:
            case "call_answer":
                return (one.wait_s for one in calls if one.is_answered)
            case "call_abandon":
                return (one.wait_s for one in calls if one.is_abandoned)
            case "call_queue":
                return (one.queued_s for one in calls if one.queued_s is not None)
            case _:
                return self.durations[key]

    def _all_agents(self) -> dict[str, _AgentTotals]:
        """Return those who talked, and those who were only rung."""
        return {address: _AgentTotals() for address in self.rung_agents} | self.agents

    def _ranked(self, table: str) -> list[str]:
        """Return what a table of addresses counts, in order of its rows."""
        match table:
            case "rung":
                return sorted(self.rung, key=lambda to: (-self.missed(to), -self.longest_s[to], to))
            case "agents":
                agents = self._all_agents()
                return sorted(agents, key=lambda address: (-agents[address].talk_s, address))
            case "numbers" | "answering":
                ended = self._ended_calls()
                calls = Counter(one.number for one in ended)
                inbound = {one.number for one in ended if one.is_inbound}
                numbers = sorted({*calls, *self.numbers} - {""}, key=lambda number: (-calls[number], number))
                return [one for one in numbers if table == "numbers" or one in inbound]
            case _:
                return []

    def data(
        self,
        *,
        full: bool,
        zone: tzinfo | None = None,
        name_of: Callable[[str], str] = str,
        within_s: float = WITHIN_S,
    ) -> dict[str, Any]:
        """Return the report for JSON, with phone numbers masked unless `full`.

        Its times are in the given zone, by default the machine's. Those who were rung, and agents, are named by
        `name_of`, by default by their address. Calls answered in `within_s` are counted.
        """
        results: Counter[str] = sum(self.transfers.values(), Counter())
        agents = self._all_agents()
        total, by_number = self._answering(within_s)
        return {
            "since": _local(self.since_ms, zone), "until": _local(self.until_ms, zone),
            "trimmed": self.is_trimmed, "malformed": self.kinds[""],
            "calls": total.calls.total(), "voicemails": self.kinds["voicemail"],
            "results": {one: results[one] for one in (*RESULTS, *sorted(results.keys() - {*RESULTS})) if results[one]},
            "transfers": {mode: dict(counts) for mode, counts in sorted(self.transfers.items())},
            "parks": dict(self.parks.most_common()),
            "within_s": within_s, "total": total.data(),
            "numbers": [
                {"number": display_address(number, full=full), "calls": of_number.calls.total(), **of_number.data(),
                 **{name: self.numbers[number][name] for name in ("transfers", "failed")}}
                for number, of_number in ((one, by_number[one]) for one in self._ranked("numbers"))
            ],
            "agents": [
                {"address": display_address(name_of(address), full=full), **self._rings(address), "calls": one.calls,
                 "talk_s": round(one.talk_s, 3), "holds": one.holds}
                for address, one in ((address, agents[address]) for address in self._ranked("agents"))
            ],
            "rung": [
                {"to": display_address(name_of(to), full=full), "rung": counts.total(), "answered": counts["answered"],
                 "not_answered": self.missed(to), "longest_s": self.longest_s[to],
                 "results": dict(counts.most_common())}
                for to, counts in ((to, self.rung[to]) for to in self._ranked("rung"))
            ],
            "durations": {key: _distribution(self._durations(key)) for key in DURATIONS},
            "landed_on": worded(self.landed_on, partial(places_text, names={}, full=full)),
            "failure_reasons": dict(self.failure_reasons.most_common()),
            "end_reasons": dict(self.end_reasons.most_common()),
            "minutes": {key: round(self.seconds[key] / 60, 1) for key in MINUTES},
        }  # fmt: skip


def _is_of_agent(outcome: OutcomeRecord, attempt: OutcomeAttempt) -> bool:
    """Whether an agent was rung, not a customer or a target's phone."""
    to, party = attempt["to"] or "", split_label(attempt["label"] or "")[0]
    is_sip_agent = to.startswith("sip:") and to != outcome.customer
    return to.startswith("client:") or is_sip_agent or (to != "" and party.partition("-")[0] == AGENT)


def _rows_of(outcome: OutcomeRecord) -> Iterator[tuple[str, str]]:
    """Yield the tables, and what their rows count, that an outcome is in."""
    if outcome.number:
        yield "numbers", outcome.number
    if outcome.kind == "session":
        if outcome.number:
            yield "answering", outcome.number
        yield "ends", outcome.reason or "unknown"
    elif outcome.kind == "transfer" and outcome.mode in PARK_MODES:
        yield "parks", _park_result(outcome)
    elif outcome.kind == "transfer":
        yield "transfers", outcome.mode or "unknown"
        if outcome.result in FAILED:
            yield "failures", outcome.reason or "unknown"
    if outcome.landed_on:
        yield "fallbacks", outcome.landed_on
    for agent in outcome.agents:
        yield "agents", agent["address"] or "unknown"
    for attempt in outcome.attempts:
        if attempt["result"] not in NOT_DIALED:
            yield "rung", attempt["to"] or "unknown"
            yield "agents", attempt["to"] or "unknown"


def _park_result(outcome: OutcomeRecord) -> str:
    is_expired, result = outcome.reason.startswith(EndReason.PARK_TIMEOUT), outcome.result or "unknown"
    return EXPIRED if is_expired else PARKS[outcome.mode] if result == "completed" else result


def _row_of(table: str, counted: str, *, full: bool) -> str:
    """Return a row: its first cell, or its address in full."""
    places = partial(places_text, names=PLACES, full=full)
    words: dict[str, Callable[[str], str]] = {
        "failures": catalog.transfer_failure, "ends": catalog.reason_text, "fallbacks": places,
    }  # fmt: skip
    return words.get(table, str)(counted)


def _percentiles(durations_s: Iterable[float]) -> dict[str, float | None]:
    """Return percentiles: durations that occurred (nearest rank)."""
    values = sorted(durations_s)
    ranks = {"median_s": 50, "p95_s": 95, "longest_s": 100}
    return {name: values[-(-len(values) * rank // 100) - 1] if values else None for name, rank in ranks.items()}


def _distribution(durations_s: Iterable[float]) -> dict[str, Any]:
    """Return percentiles, and how many durations are in each range."""
    values = [*durations_s]
    counts = Counter(bisect_right(_BOUNDS_S, value) for value in values)
    ranges = [*(f"{low}-{high}" for low, high in pairwise(_BOUNDS_S)), f"{_BOUNDS_S[-1]}+"]
    return {
        "count": len(values),
        **_percentiles(values),
        "ranges_s": {name: counts[number] for number, name in enumerate(ranges, 1)},
    }


async def read_report(
    reader: SessionReader,
    since_ms: int,
    until_ms: int,
    each: Callable[[OutcomeRecord], None] | None = None,
    around_ms: int = _AROUND_MS,
) -> OutcomeReport:
    """Read a period's outcomes, in chunks; the end is not included.

    `each` gets those that count, and other sessions of these calls, which are read `around_ms` earlier.

    Before Redis 7, it is unknown whether some were erased among others.
    """
    stream, first_id = reader.keys.outcomes, f"{max(0, since_ms)}-0"
    is_trimmed = await reader.is_trimmed_after(stream, first_id) or await reader.is_deleted_after(stream, first_id)
    report = OutcomeReport(since_ms, until_ms, is_trimmed, each=each)
    after = f"{max(0, since_ms - around_ms - _MARGIN_MS)}-0"
    while found := await reader.outcomes(after):
        after = found[-1][0]
        for entry_id, fields in found:
            report.add(entry_id, fields)
    return report


async def read_last_hour(reader: SessionReader, now_ms: int) -> TransferStats:
    """Return statistics of the last hour's transfers, if still stored."""
    report = await read_report(reader, now_ms - HOUR_MS, now_ms + HOUR_MS, around_ms=0)  # a worker's clock may be ahead
    transfers = sum(counts.total() for counts in report.transfers.values())
    failed = report.failure_reasons.total()
    failed_percent = round(100 * failed / transfers, 1) if transfers else None
    answers = report.data(full=True)["durations"]["transfer_answer"]
    return TransferStats(transfers, failed, failed_percent, answers["p95_s"])


def _local(at_ms: int, zone: tzinfo | None) -> str:
    """Return a time with its offset, by default in the machine's time zone."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone).isoformat()


class Table(NamedTuple):
    """A table of the report. A column that begins with `>` has numbers."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def worded(counts: Mapping[str, int], words_of: Callable[[str], str]) -> dict[str, int]:
    """Return the counts by the words for what was counted, the highest first."""
    by_text: Counter[str] = Counter()
    for counted, count in counts.items():
        by_text[words_of(counted)] += count
    return dict(by_text.most_common())


def places_text(places: str, names: Mapping[str, str], *, full: bool) -> str:
    """Name the places of a fallback, comma-separated; others are addresses."""
    return ", ".join(names.get(part) or display_address(part, full=full) for part in places.split(","))
