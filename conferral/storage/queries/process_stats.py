"""Process statistics since the start, from the process's own metrics."""

from collections import Counter as Counted
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from prometheus_client import Counter, Histogram

from conferral.runtime.metrics import Metrics

FAILURES_MAX = 10
_COUNT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """Counts since the process started; each kind of process fills in its own."""

    #: Twilio callbacks that were answered with TwiML or accepted.
    callbacks_accepted: int = 0
    #: Callbacks that were rejected: not signed, not understood, or not stored.
    callbacks_refused: int = 0
    #: Events that have no effect, dropped under load.
    callbacks_shed: int = 0
    events: int = 0
    commits: int = 0
    requests: int = 0
    #: Answered by Twilio with 429.
    rate_limited: int = 0
    #: Effects that failed, or whose outcome is unknown.
    given_up: int = 0
    #: Conferences ended because one party was left alone.
    lone_ended: int = 0
    dead_lettered: int = 0
    #: Failed requests by Twilio's code, or else by HTTP status (`http-500`, `no-answer`).
    failures: dict[str, int] = field(default_factory=dict)


def stats_of(metrics: Metrics) -> ProcessStats:
    """Return a process's statistics from its metrics."""
    # Statuses are texts of three digits.
    answers = [(labels["status"], count) for labels, count in _counts(metrics.webhook_requests)]
    requests = [(labels["status"], count) for labels, count in _counts(metrics.rest_requests)]
    failures = Counted({labels["code"]: count for labels, count in _counts(metrics.rest_failures)})
    return ProcessStats(
        callbacks_accepted=sum(count for status, count in answers if status < "400"),
        callbacks_refused=sum(count for status, count in answers if status >= "400"),
        callbacks_shed=_sum(metrics.events_dropped),
        events=_sum(metrics.events),
        commits=sum(count for labels, count in _counts(metrics.commits) if labels["result"] == "ok"),
        requests=sum(count for _, count in requests),
        rate_limited=sum(count for status, count in requests if status == "429"),
        given_up=sum(count for labels, count in _counts(metrics.effects) if labels["outcome"] != "succeeded"),
        lone_ended=_sum(metrics.lone_conferences_cleaned),
        dead_lettered=_sum(metrics.dead_letters),
        failures=dict(failures.most_common(FAILURES_MAX)),
    )


def to_json(stats: ProcessStats) -> dict[str, Any]:
    """Return the statistics for JSON; zeros are omitted."""
    return {name: value for name, value in asdict(stats).items() if value}


def from_json(data: object) -> ProcessStats | None:
    """Return received statistics; None if invalid. Unknown ones are ignored."""
    if not isinstance(data, dict):
        return None
    known = ProcessStats.__dataclass_fields__.keys() - {"failures"}
    numbers = {name: value for name, value in data.items() if name in known and _is_count(value)}
    failures = data.get("failures")
    kept = failures.items() if isinstance(failures, dict) else ()
    return ProcessStats(**numbers, failures={str(code): one for code, one in [*kept][:FAILURES_MAX] if _is_count(one)})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX


def _sum(metric: Counter) -> int:
    return sum(count for _, count in _counts(metric))


def _counts(metric: Counter | Histogram) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the count of each label set of a metric."""
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith(("_total", "_count")):
                yield sample.labels, int(sample.value)
