"""Metrics: name, unit, and labels of each, in one table. Labels are bounded: no ids, no addresses."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """One process's metrics, on their own registry, so that tests and multiple servers don't share counts."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.sessions = Gauge(
            "conferral_sessions", "Live sessions of the partitions held here, by state", ["state"], registry=registry
        )
        self.events = Counter(
            "conferral_events_total",
            "Events decided, by name and outcome",
            ["event_name", "outcome"],
            registry=registry,
        )
        self.commits = Counter(
            "conferral_commits_total", "Commits: ok, already, conflict, lost, unknown", ["result"], registry=registry
        )
        self.callback_to_commit = Histogram(
            "conferral_callback_to_commit_seconds",
            "Time from storing an event on its stream to committing the decision",
            buckets=_FAST_S,
            registry=registry,
        )
        self.lone_conferences_cleaned = Counter(
            "conferral_lone_conferences_cleaned_total",
            "Conferences ended because one participant was left alone",
            registry=registry,
        )
        self.dead_letters = Counter(
            "conferral_dead_letters_total", "Entries that were dead-lettered, by reason", ["reason"], registry=registry
        )
        self.store_failures = Counter(
            "conferral_store_failures_total",
            "Redis requests of this process that failed because Redis was unreachable or refused",
            registry=registry,
        )
        self.unexpected_errors = Counter(
            "conferral_unexpected_errors_total",
            "Unforeseen errors, by the kind of item that was lost (effect, timer, sweep, decision, webhook, task)",
            ["where"],
            registry=registry,
        )
        self.malformed_requests = Counter(
            "conferral_malformed_requests_total",
            "HTTP requests refused with 400 because they could not be parsed",
            registry=registry,
        )
        self._add_partitions(registry)
        self._add_requests(registry)
        self._add_transfers(registry)
        self._add_sweep(registry)
        self._add_webhooks(registry)

    def _add_partitions(self, registry: CollectorRegistry) -> None:
        self.partition_lag = Gauge(
            "conferral_partition_lag_events",
            "Undecided events of a partition held here",
            ["partition"],
            registry=registry,
        )
        self.commands_waiting = Gauge(
            "conferral_commands_waiting",
            "Commands waiting to be routed, as seen by the worker that routes them; 0 on the others",
            registry=registry,
        )
        self.partitions_held = Gauge(
            "conferral_partitions_held", "Partitions whose lease this worker holds", registry=registry
        )
        self.leases_acquired = Counter(
            "conferral_leases_acquired_total",
            "Partitions that this worker acquired, by how the previous lease ended: `clean` (released, or never held), "
            "`disconnected` (the holder was killed: its connection to Redis is closed), `expired`",
            ["outcome"],
            registry=registry,
        )
        self.partitions_unassigned = Gauge(
            "conferral_partitions_unassigned",
            "Partitions without a holder, as seen by this worker; every worker checks, so use the newest value",
            registry=registry,
        )
        self.workers_alive = Gauge(
            "conferral_workers_alive",
            "Live workers as seen by this one, including itself; each holds an equal share of the partitions",
            registry=registry,
        )

    def _add_requests(self, registry: CollectorRegistry) -> None:
        self.effects = Counter(
            "conferral_effects_total",
            "Effects executed, by kind and outcome (succeeded, failed, unknown)",
            ["kind", "outcome"],
            registry=registry,
        )
        self.effect_retries = Counter(
            "conferral_effect_retries_total", "Retries of effects, by kind", ["kind"], registry=registry
        )
        self.command_to_rest = Histogram(
            "conferral_command_to_rest_seconds",
            "Time from publishing a command to sending the REST request that it caused",
            buckets=_FAST_S,
            registry=registry,
        )
        self.rest_requests = Histogram(
            "conferral_rest_request_seconds",
            "REST requests to Twilio, by kind of effect and HTTP status (0: no answer)",
            ["kind", "status"],
            buckets=_FAST_S,
            registry=registry,
        )
        self.rest_failures = Counter(
            "conferral_rest_failures_total",
            "REST requests to Twilio that failed, by Twilio's error code, or else by HTTP status (http-500, "
            "no-answer); hanging up or reading a call that has already ended does not count",
            ["code"],
            registry=registry,
        )
        self.rest_concurrency_limit = Gauge(
            "conferral_rest_concurrency_limit",
            "Maximum number of concurrent Twilio requests of this worker, except hang-ups: fewer after a 429",
            registry=registry,
        )
        self.rest_breaker_open = Gauge(
            "conferral_rest_breaker_open",
            "1 while this worker sends Twilio only hang-ups and probes, by reason (unreachable, "
            "credentials); returns to 0 after 45 s if the worker sends nothing",
            ["reason"],
            registry=registry,
        )

    def _add_transfers(self, registry: CollectorRegistry) -> None:
        self.transfers = Counter(
            "conferral_transfers_total",
            "Finished transfers, by mode and result (completed, failed, recalled, cancelled)",
            ["mode", "result"],
            registry=registry,
        )
        self.dial_attempts = Counter(
            "conferral_dial_attempts_total",
            "Dial attempts of transfers, by result (answered, busy, no-answer, rejected...)",
            ["result"],
            registry=registry,
        )

    def _add_sweep(self, registry: CollectorRegistry) -> None:
        self.sweeps = Counter(
            "conferral_sweeps_total", "Sweeps of the account, by result (done, given-up)", ["result"], registry=registry
        )
        self.sweep_seconds = Histogram(
            "conferral_sweep_seconds",
            "Time from the start of a sweep to publishing its findings",
            buckets=(0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120),
            registry=registry,
        )
        self.sweep_last_success = Gauge(
            "conferral_sweep_last_success_timestamp_seconds",
            "End of this worker's last finished sweep, Unix time; one worker sweeps at a time, so use the newest",
            registry=registry,
        )
        self.sweep_pages = Counter(
            "conferral_sweep_pages_total",
            "Pages of Twilio's lists read by sweeps, by resource (calls, conferences)",
            ["kind"],
            registry=registry,
        )
        self.sweep_findings = Counter(
            "conferral_sweep_findings_total",
            "Differences that sweeps found between Twilio's lists and the sessions, by kind (call-missing, "
            "conference-missing, call-answered, call-live, conference-live, conference-unknown); also sessions that "
            "were checked because Redis was rolled back (rolled-back)",
            ["kind"],
            registry=registry,
        )

    def _add_webhooks(self, registry: CollectorRegistry) -> None:
        self.webhook_requests = Histogram(
            "conferral_webhook_request_seconds",
            "Requests answered by the webhooks, by route and HTTP status",
            ["route", "status"],
            buckets=_FAST_S,
            registry=registry,
        )
        self.webhook_store_errors = Counter(
            "conferral_webhook_store_errors_total",
            "Requests answered while Redis was unreachable, by route",
            ["route"],
            registry=registry,
        )
        self.events_shed = Counter(
            "conferral_events_shed_total",
            "Events that decide nothing and were shed under load, by reason (waiting, session, backlog)",
            ["reason"],
            registry=registry,
        )
        self.api_requests = Histogram(
            "conferral_api_request_seconds",
            "Requests answered by the control API, by route and HTTP status; includes the wait for an outcome",
            ["route", "status"],
            buckets=(*_FAST_S, 60),
            registry=registry,
        )

    def exposition(self) -> bytes:
        """Return the text for `/metrics`. Source: Prometheus docs, exposition formats."""
        return generate_latest(self.registry)
