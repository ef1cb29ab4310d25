"""Process statistics since the start, from the process's own metrics."""

from collections import Counter as Counted
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field
from prometheus_client import Counter, Histogram

from conferral.runtime.metrics import Metrics
from conferral.statemachine.record import BaseRecord

FAILURES_MAX = 10
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class ProcessStats(BaseRecord, frozen=True):
    """Counts since the process started; each kind of process fills in its own."""

    #: Twilio callbacks that were answered with TwiML or accepted.
    callbacks_accepted: _Count = 0
    #: Callbacks that were rejected: not signed, not understood, or not stored.
    callbacks_refused: _Count = 0
    #: Events that have no effect, dropped under load.
    callbacks_shed: _Count = 0
    events: _Count = 0
    commits: _Count = 0
    requests: _Count = 0
    #: Answered by Twilio with 429.
    rate_limited: _Count = 0
    #: Effects that failed, or whose outcome is unknown.
    given_up: _Count = 0
    #: Conferences ended because one party was left alone.
    lone_ended: _Count = 0
    dead_lettered: _Count = 0
    #: Failed requests by Twilio's code, or else by HTTP status (`http-500`, `no-answer`).
    failures: Annotated[dict[str, _Count], Meta(max_length=FAILURES_MAX)] = field(default_factory=dict)


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


def _sum(metric: Counter) -> int:
    return sum(count for _, count in _counts(metric))


def _counts(metric: Counter | Histogram) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the count of each label set of a metric."""
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith(("_total", "_count")):
                yield sample.labels, int(sample.value)
