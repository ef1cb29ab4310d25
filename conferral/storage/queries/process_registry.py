"""Process registry: running processes and their statistics."""

from collections import Counter as Counted
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, field
from prometheus_client import Counter, Histogram

from conferral.runtime.json_decoding import json_decoder
from conferral.runtime.metrics import Metrics
from conferral.statemachine.record import BaseRecord, replace
from conferral.storage.connection.client import Client, ask, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms

#: Pause between two registrations of a webhooks process, seconds; a worker's is shorter.
REGISTER_EVERY_S = 2.0
#: Without a registration for this long, a process counts as stopped, milliseconds.
STOPPED_AFTER_MS = 15_000
#: After this long, it is removed from the list, milliseconds.
UNLISTED_AFTER_MS = 3_600_000
FAILURES_MAX = 10
#: Of a time in milliseconds (count).
_DIGITS_MAX = 15
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class ProcessStats(BaseRecord, frozen=True):
    """Counts since the process started; each kind of process fills in its own."""

    #: Twilio callbacks that were answered with TwiML or accepted.
    callbacks_accepted: _Count = 0
    #: Callbacks that were rejected: not signed, not understood, or not stored.
    callbacks_refused: _Count = 0
    #: Events that a worker has decided, also those without effect.
    events: _Count = 0
    commits: _Count = 0
    requests: _Count = 0
    #: Answered by Twilio with 429.
    rate_limited: _Count = 0
    #: Effects that failed, or whose result is unknown.
    given_up: _Count = 0
    #: Conferences ended because one party was left alone.
    lone_ended: _Count = 0
    dead_lettered: _Count = 0
    #: Failed requests by Twilio's code, or else by HTTP status (`http-500`, `unknown`).
    failures: Annotated[dict[str, _Count], Meta(max_length=FAILURES_MAX)] = field(default_factory=dict)


class Process(BaseRecord, frozen=True):
    """One process, as it registered itself."""

    name: str = ""
    #: `webhooks` or `worker`.
    kind: str = ""
    version: str = ""
    #: Statistics since its start; None for an older version, which sends none.
    stats: ProcessStats | None = None
    #: Time since it last registered, milliseconds by Redis's clock.
    seen_ms_ago: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it registered lately."""
        # If the clock was set back, a process that is long gone must not appear to run.
        return abs(self.seen_ms_ago) <= STOPPED_AFTER_MS


_decode_process = json_decoder(Process)


async def register(client: Client, keys: Keys, process: Process) -> None:
    """Register a running process, and remove those that are long dead."""
    now_ms = await server_time_ms(client, keys.processes)
    found = await ask(client, "HGETALL", keys.processes)
    gone = [name for name, body in found.items() if abs(now_ms - (_seen_ms(body) or 0)) > UNLISTED_AFTER_MS]
    await run_or_raise(
        client,
        ("HDEL", keys.processes, "", *gone),  # first: a full Redis accepts it
        ("HSET", keys.processes, process.name, b"%d %b" % (now_ms, msgspec.json.encode(process))),
    )


async def deregister(client: Client, keys: Keys, name: str) -> None:
    """Remove a stopped process."""
    await run_or_raise(client, ("HDEL", keys.processes, name))


async def read_processes(client: Client, keys: Keys, now_ms: int) -> list[Process]:
    """Return all processes that didn't stop, by name; some may have died.

    `now_ms` is Redis's time.
    """
    found = await ask(client, "HGETALL", keys.processes)
    processes = []
    for name, body in found.items():
        if (seen_ms := _seen_ms(body)) is not None:
            process = _decode(name.decode(errors="replace"), body.partition(b" ")[2])
            processes.append(replace(process, seen_ms_ago=now_ms - seen_ms))
    return sorted(processes, key=lambda process: process.name)


def _seen_ms(body: bytes) -> int | None:
    """Return when a process registered; None if another program wrote it."""
    text = body.partition(b" ")[0]
    return int(text) if text.isdigit() and len(text) <= _DIGITS_MAX else None


def _decode(name: str, info: bytes) -> Process:
    """Decode a registration; if it is unreadable, only the name is known."""
    try:
        return replace(_decode_process(info), name=name)
    except ValueError:
        return Process(name)


def stats_of(metrics: Metrics) -> ProcessStats:
    """Return a process's statistics from its metrics."""
    # Statuses are texts of three digits.
    answers = [(labels["status"], count) for labels, count in _counts(metrics.webhook_requests)]
    requests = [(labels["status"], count) for labels, count in _counts(metrics.rest_requests)]
    failures = Counted({labels["code"]: count for labels, count in _counts(metrics.rest_failures)})
    return ProcessStats(
        callbacks_accepted=sum(count for status, count in answers if status < "400"),
        callbacks_refused=sum(count for status, count in answers if status >= "400"),
        events=_sum(metrics.events),
        commits=sum(count for labels, count in _counts(metrics.commits) if labels["result"] == "ok"),
        requests=sum(count for _, count in requests),
        rate_limited=sum(count for status, count in requests if status == "429"),
        given_up=sum(count for labels, count in _counts(metrics.effects) if labels["outcome"] != "succeeded"),
        lone_ended=_sum(metrics.calls.lone_conferences_cleaned),
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
