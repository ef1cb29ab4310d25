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
            "From the moment an event was stored on its stream until its decision was committed",
            buckets=_FAST_S,
            registry=registry,
        )
        self.lone_conferences_cleaned = Counter(
            "conferral_lone_conferences_cleaned_total",
            "Conferences completed because one participant was left alone",
            registry=registry,
        )
        self.dead_letters = Counter(
            "conferral_dead_letters_total", "Entries put aside, by reason", ["reason"], registry=registry
        )
        self.store_failures = Counter(
            "conferral_store_failures_total",
            "What was asked of Redis while it was out of reach or refused, by everything in this process",
            registry=registry,
        )
        self.unexpected_errors = Counter(
            "conferral_unexpected_errors_total",
            "Unforeseen errors, by the kind of item that they cost (effect, timer, sweep, decision, webhook, task)",
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
            "Commands that wait to be routed, as the worker sees it that routes them; 0 on all others",
            registry=registry,
        )
        self.partitions_held = Gauge(
            "conferral_partitions_held", "Partitions whose lease this worker holds", registry=registry
        )
        self.partitions_unassigned = Gauge(
            "conferral_partitions_unassigned",
            "Partitions that nobody holds, as this worker sees it; every worker looks, so the newest counts",
            registry=registry,
        )
        self.workers_alive = Gauge(
            "conferral_workers_alive",
            "Workers alive as this one sees it, itself among them; each holds an equal share of the partitions",
            registry=registry,
        )

    def _add_requests(self, registry: CollectorRegistry) -> None:
        self.effects = Counter(
            "conferral_effects_total",
            "Effects carried out, by kind and outcome (succeeded, failed, unknown)",
            ["kind", "outcome"],
            registry=registry,
        )
        self.effect_retries = Counter(
            "conferral_effect_retries_total", "Repeated tries of effects, by kind", ["kind"], registry=registry
        )
        self.command_to_rest = Histogram(
            "conferral_command_to_rest_seconds",
            "From the moment a command was published until the REST request that it led to was sent",
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
            "no-answer); to hang up, or to look for, what is over already is no failure",
            ["code"],
            registry=registry,
        )
        self.rest_concurrency_limit = Gauge(
            "conferral_rest_concurrency_limit",
            "Effects, endings apart, that this worker may have at Twilio at the same time: fewer after a 429",
            registry=registry,
        )
        self.rest_breaker_open = Gauge(
            "conferral_rest_breaker_open",
            "1 while this worker sends Twilio nothing but endings and single tries, by reason (unreachable, "
            "credentials); a worker that sends nothing is back at 0 after 45 s",
            ["reason"],
            registry=registry,
        )

    def _add_transfers(self, registry: CollectorRegistry) -> None:
        self.transfers = Counter(
            "conferral_transfers_total",
            "Transfers that are over, by mode and by result (completed, failed, recalled, cancelled)",
            ["mode", "result"],
            registry=registry,
        )
        self.dial_attempts = Counter(
            "conferral_dial_attempts_total",
            "Attempts of transfers to reach somebody, by result (answered, busy, no-answer, rejected...)",
            ["result"],
            registry=registry,
        )

    def _add_sweep(self, registry: CollectorRegistry) -> None:
        self.sweeps = Counter(
            "conferral_sweeps_total", "Sweeps of the account, by result (done, given-up)", ["result"], registry=registry
        )
        self.sweep_seconds = Histogram(
            "conferral_sweep_seconds",
            "From the beginning of a sweep until its findings were published",
            buckets=(0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120),
            registry=registry,
        )
        self.sweep_last_success = Gauge(
            "conferral_sweep_last_success_timestamp_seconds",
            "When this worker has finished a sweep last, Unix time; one worker sweeps at a time, so the newest counts",
            registry=registry,
        )
        self.sweep_pages = Counter(
            "conferral_sweep_pages_total",
            "Pages of Twilio's lists that sweeps have read, by what they list (calls, conferences)",
            ["kind"],
            registry=registry,
        )
        self.sweep_findings = Counter(
            "conferral_sweep_findings_total",
            "Differences between Twilio's lists and the sessions that sweeps have told of, by kind (call-missing, "
            "conference-missing, call-answered, call-live, conference-live, conference-unknown); and sessions that "
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
            "Requests that were answered while Redis could not be reached, by route",
            ["route"],
            registry=registry,
        )
        self.events_shed = Counter(
            "conferral_events_shed_total",
            "Events that decide nothing and were left out under load, by reason (waiting, session, backlog)",
            ["reason"],
            registry=registry,
        )
        self.api_requests = Histogram(
            "conferral_api_request_seconds",
            "Requests answered by the control API, by route and HTTP status; those that wait for an outcome too",
            ["route", "status"],
            buckets=(*_FAST_S, 60),
            registry=registry,
        )

    def exposition(self) -> bytes:
        """Return the text for `/metrics`. Source: Prometheus docs, exposition formats."""
        return generate_latest(self.registry)
