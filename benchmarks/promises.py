"""What the benchmarks must show on a quiet machine: one table for the verdict of a run and for docs/performance.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.support.figures import Results, shown


@dataclass(frozen=True)
class Promise:
    """A figure, its bound if it has one, and figures to compare it with."""

    label: str
    benchmark: str
    figure: str
    unit: str
    least: float | None = None
    most: float | None = None
    others: Sequence[tuple[str, str]] = ()
    factor: float = 1.0
    #: Show how many times more instead of which share.
    is_inverse: bool = False

    def rounds(self, results: Results) -> list[float]:
        """Return the figure of each round, in the shown unit."""
        measured = results.rounds(self.benchmark, self.figure)
        return [1 / one if self.is_inverse else one * self.factor for one in measured]

    def value(self, results: Results, figure: str = "") -> float | None:
        """Return the median of the rounds, in the shown unit; None if it was not measured."""
        rounds = results.rounds(self.benchmark, figure) if figure else self.rounds(results)
        return median(rounds) if rounds else None

    @property
    def bound(self) -> str:
        """The bound in words."""
        if self.least is not None:
            return f"at least {self.least:g}"
        return "" if self.most is None else f"at most {self.most:g}"

    def is_kept(self, results: Results) -> bool:
        """Whether it was measured and lies within its bound."""
        value = self.value(results)
        return value is not None and (self.least or value) <= value <= (self.most or value)

    def verdict(self, results: Results) -> str:
        """Return one line."""
        value = self.value(results)
        measured = "not measured" if value is None else f"{shown(value)} {self.unit}".replace(" %", "%")
        kept = "ok    " if self.is_kept(results) else "MISSED"
        return f"{kept} {self.label}: {measured} ({self.bound or 'no bound'})"


PROMISES = (
    Promise("Worker: events on one core", "worker", "worker.core_events_per_s", "events/s"),
    Promise("Worker: CPU of an event, times as much with taskiq", "worker", "taskiq_to_worker_times", "times",
            least=1.5, others=(("Conferral, µs", "worker.cpu_us"), ("taskiq, µs", "taskiq.cpu_us"))),
    Promise("Redis: how long a script blocks others, p99, with full batches", "worker", "script_p99_ms", "ms", most=5),
    Promise("Redis: CPU of a live event, webhooks and worker together, at 900 events/s", "redis_cpu", "live_event_us",
            "µs", most=200),
    Promise("Redis: what a replica adds to a commit, with nothing else running: p50", "replica",
            "added.p50_ms", "ms", others=(("without, ms", "alone.p50_ms"),)),
    Promise("The same: p99", "replica", "added.p99_ms", "ms", most=2, others=(("without, ms", "alone.p99_ms"),)),
    Promise("A callback while the replica lags by 0.5 s: p50", "replica_lag", "callback_500_ms.p50_ms", "ms",
            others=(("0.1 s, ms", "callback_100_ms.p50_ms"), ("0 s, ms", "callback_none.p50_ms"))),
    Promise("A command, to its REST request, while the replica lags by 0.5 s: p50", "replica_lag",
            "command_500_ms.p50_ms", "ms",
            others=(("0.1 s, ms", "command_100_ms.p50_ms"), ("0 s, ms", "command_none.p50_ms"))),
    Promise("Webhooks: CPU of a callback, against bare aiohttp", "ingest", "bare_to_webhooks_times", "times", most=5,
            is_inverse=True, others=(("aiohttp, µs", "bare.cpu_us"), ("Conferral, µs", "webhooks.cpu_us"))),
    Promise("Webhooks: CPU of a handler with Twilio's validator and one XADD, against a callback", "ingest",
            "idiomatic_to_webhooks_times", "times", least=1.5, others=(("such a handler, µs", "idiomatic.cpu_us"),)),
    Promise("Command published to REST request sent, idle: p50", "latency", "command_p50_ms", "ms", most=8),
    Promise("Command published to REST request sent, idle: p99", "latency", "command_p99_ms", "ms", most=16),
    Promise("Silence that Conferral adds to a conversion: p50", "silence", "added.p50_ms", "ms",
            others=(("whole silence, ms", "system.p50_ms"),)),
    Promise("Silence that Conferral adds to a conversion: p99", "silence", "added.p99_ms", "ms", most=10,
            others=(("whole silence, ms", "system.p99_ms"),)),
    Promise("Takeover after `kill -9`, 1,000 live sessions: p50", "takeover", "takeover_p50_s", "s", most=2.5),
    Promise("Takeover after `kill -9`, 1,000 live sessions: p99", "takeover", "takeover_p99_s", "s", most=3.5,
            others=(("kills", "kills_count"),)),
    Promise("Worker: idle, without calls, sweeps included", "idle", "worker.percent", "% of a core"),
    Promise("Worker: idle, with 10,000 live sessions, between sweeps", "idle", "loaded.percent", "% of a core"),
    Promise("A session's change reaches its desks, with 500 desks on one process: p50", "desks", "change_p50_ms", "ms"),
    Promise("The same: p99", "desks", "change_p99_ms", "ms", most=200,
            others=(("webhooks, % of a core", "webhooks.percent"),)),
    Promise("Worker: memory of a live session", "memory", "worker_bytes", "KB", most=5, factor=1e-3),
    Promise("Redis: memory of a live session, its log and index included", "memory", "redis_bytes", "KB", most=8,
            factor=1e-3),
    Promise("Warm transfer: CPU of webhooks and worker", "transfer", "conferral.cpu_ms", "ms",
            others=(("Twilio's sample with Flask and gunicorn, ms", "sample.cpu_ms"),)),
    Promise("Warm transfer: requests to Twilio", "transfer", "conferral.rest_requests", "",
            others=(("Twilio's sample", "sample.rest_requests"),)),
    Promise("Warm transfer: requests from Twilio", "transfer", "conferral.webhook_requests", "",
            others=(("Twilio's sample", "sample.webhook_requests"),)),
    Promise("Local Twilio: from the command to its first answer", "start", "first_answer_s", "s", most=0.5,
            others=(("CPU, s", "cpu_s"),)),
    Promise("Local Twilio: fixture `twilio_sandbox`, for a test that leaves a call", "start", "fixture_ms", "ms",
            most=50),
)  # fmt: skip
