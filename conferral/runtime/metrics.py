"""Metrics, in one table. Labels are bounded: no ids, no addresses."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class QueueMetrics:
    """What the worker that offers callers shows of queues."""

    def __init__(self, gauge: Callable[..., Gauge], counter: Callable[..., Counter]) -> None:
        self.callers = gauge("conferral_queue_callers", "Callers who wait in queues, in the worker that offers them")
        self.longest_wait = gauge("conferral_queue_longest_wait_seconds", "How long the first of them has waited")
        self.offers = counter(
            "conferral_offers_total",
            "Offers of waiting callers to desks (sent; away: of these, the agent did not answer)",
            ["result"],
        )


class CallMetrics:
    """What became of calls."""

    def __init__(self, counter: Callable[..., Counter]) -> None:
        self.sessions_ended = counter(
            "conferral_sessions_ended_total", "Sessions that ended, by end reason", ["reason"]
        )
        self.lone_conferences_cleaned = counter(
            "conferral_lone_conferences_cleaned_total", "Conferences ended because one participant was left alone"
        )
        self.calls_outside_hours = counter("conferral_calls_outside_hours_total", "Calls outside business hours")
        self.agents_skipped = counter("conferral_agents_skipped_total", "Agents who were away, and not rung")
        self.busy_rings = counter("conferral_busy_rings_total", "Rings that desks rejected by themselves as busy")
        self.fallbacks = counter(
            "conferral_fallbacks_total",
            "Fallback places that were tried (recall, destination, voicemail, url)",
            ["place"],
        )
        self.lost_agents = counter(
            "conferral_lost_agents_total", "Agents with a desk whose leg was lost, and who were rung again"
        )
        self.messages = counter("conferral_messages_total", "Messages left in the voicemail")
        self.recordings = counter(
            "conferral_recordings_total",
            "Recordings of calls and conferences that Twilio has finished, by result (completed, absent, failed)",
            ["result"],
        )
        self.transfers = counter(
            "conferral_transfers_total",
            "Finished transfers, by mode and result (completed, failed, recalled, cancelled)",
            ["mode", "result"],
        )
        self.dial_attempts = counter(
            "conferral_dial_attempts_total",
            "Dial attempts of transfers, by result (answered, busy, no-answer, rejected...)",
            ["result"],
        )
        self.hold_limits = counter(
            "conferral_hold_limits_total", "Holds ended by CONFERRAL_HOLD_LIMIT, by kind (hold, consult)", ["kind"]
        )
        self.dials_refused = counter(
            "conferral_dials_refused_total",
            "Commands and dials refused by a limit of dials, by limit (session, minute)",
            ["limit"],
        )


class Metrics:
    """One process's metrics, on a registry; only workers export gauges."""

    def __init__(self, *, is_worker: bool = True) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        #: Each metric's labels, by its name.
        self.labels: dict[str, Sequence[str]] = {}
        self._gauges_registry = self.registry if is_worker else None
        self.sessions = self._gauge("conferral_sessions", "Live sessions of partitions held here, by state", ["state"])
        self.events = self._counter(
            "conferral_events_total", "Events processed, by name and outcome", ["event_name", "outcome"]
        )
        self.commits = self._counter(
            "conferral_commits_total", "Commits: ok, already, conflict, lost, unknown", ["result"]
        )
        self.callback_to_commit = self._histogram(
            "conferral_callback_to_commit_seconds",
            "Time from storing an event on its stream to committing the decision",
        )
        self.dead_letters = self._counter("conferral_dead_letters_total", "Dead letters, by reason", ["reason"])
        self.handoff_options_ignored = self._counter(
            "conferral_handoff_options_ignored_total",
            "Invalid options of hand-offs, by option; `unknown`: names that no option has",
            ["option"],
        )
        self.queue = QueueMetrics(self._gauge, self._counter)
        self.calls = CallMetrics(self._counter)
        self.writes_refused = self._counter(
            "conferral_writes_refused_total",
            "Entries that Redis refused for good, by kind (dead: a dead letter; commit: log entries, outcomes, or "
            "statuses of commands, whose keys another program has written to)",
            ["kind"],
        )
        self.redis_warnings = self._gauge(
            "conferral_redis_warnings",
            "1 for each state of Redis that loses calls or results (eviction; commands, outcomes, dead: the stream "
            "takes no entries), checked once a minute",
            ["kind"],
        )
        self.store_failures = self._counter(
            "conferral_store_failures_total",
            "Redis requests of this process that failed because Redis was unreachable or refused",
        )
        self.unexpected_errors = self._counter(
            "conferral_unexpected_errors_total",
            "Unforeseen errors, by the kind of item that was lost (effect, timer, sweep, decision, webhook, task)",
            ["where"],
        )
        self.malformed_requests = self._counter(
            "conferral_malformed_requests_total", "HTTP requests refused with 400 because they could not be parsed"
        )
        self.connections_dropped = self._counter(
            "conferral_connections_dropped_total",
            "Connections closed because too many waited to send a complete request: the longest waiting ones",
        )
        self._add_partitions()
        self._add_requests()
        self._add_sweep()
        self._add_outcomes()
        self._add_webhooks()

    def _counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        self.labels[name] = labels
        return Counter(name, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        self.labels[name] = labels
        return Gauge(name, help_text, labels, registry=self._gauges_registry)

    def _histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), buckets: Sequence[float] = _FAST_S
    ) -> Histogram:
        self.labels[name] = labels
        return Histogram(name, help_text, labels, buckets=buckets, registry=self.registry)

    def _add_partitions(self) -> None:
        self.partition_lag = self._gauge(
            "conferral_partition_lag_events", "Unprocessed events of a partition held here", ["partition"]
        )
        self.commands_waiting = self._gauge(
            "conferral_commands_waiting", "Commands waiting to be routed, as the worker sees that routes them; else 0"
        )
        self.commands_expired = self._counter("conferral_commands_expired_total", "Commands that expired", ["status"])
        self.partitions_held = self._gauge("conferral_partitions_held", "Partitions whose lease this worker holds")
        self.leases_acquired = self._counter(
            "conferral_leases_acquired_total",
            "Partitions that this worker acquired, by how the previous lease ended: `clean` (released, or never held), "
            "`expired`",
            ["outcome"],
        )
        self.redis_losses = self._counter(
            "conferral_redis_losses_total",
            "Partitions whose owner found that Redis had lost writes: each of their live sessions reads Twilio once",
        )
        self.unreplicated_writes = self._counter(
            "conferral_redis_unreplicated_writes_total",
            "Writes that count although no replica has them: none acknowledges, and Redis takes writes all the same",
        )
        self.lease_round_trip = self._gauge(
            "conferral_lease_round_trip_seconds",
            "How long Redis took to renew this worker's leases; leases last three times as long, 2 to 10 s",
        )
        self.sending_allowed = self._gauge(
            "conferral_sending_allowed",
            "1 while this worker may send requests to Twilio: its leases are renewed in time",
        )
        self.partitions_unassigned = self._gauge(
            "conferral_partitions_unassigned",
            "Partitions without an owner, as seen by this worker; every worker checks, so use the newest value",
        )
        self.workers_alive = self._gauge(
            "conferral_workers_alive",
            "Live workers as seen by this one, including itself; each holds an equal share of the partitions",
        )

    def _add_requests(self) -> None:
        self.effects = self._counter(
            "conferral_effects_total",
            "Effects executed, by kind and outcome (succeeded, failed, unknown)",
            ["kind", "outcome"],
        )
        self.effect_retries = self._counter("conferral_effect_retries_total", "Retries of effects, by kind", ["kind"])
        self.command_to_rest = self._histogram(
            "conferral_command_to_rest_seconds",
            "Time from publishing a command to sending the REST request that it caused",
        )
        self.rest_requests = self._histogram(
            "conferral_rest_request_seconds",
            "REST requests to Twilio, by kind of effect and HTTP status (0: no response)",
            ["kind", "status"],
        )
        self.rest_failures = self._counter(
            "conferral_rest_failures_total",
            "REST requests to Twilio that failed, by Twilio's error code, or else by HTTP status (http-500), "
            "unknown (no response), or unreadable; hanging up or reading a call that has already ended does not count",
            ["code"],
        )
        self.rest_concurrency_limit = self._gauge(
            "conferral_rest_concurrency_limit",
            "Maximum number of concurrent Twilio requests of this worker, except hang-ups",
        )
        self.rest_slot_wait = self._histogram(
            "conferral_rest_slot_wait_seconds",
            "How long requests to Twilio waited for one of this worker's slots, by priority (ending: hang-ups; change; "
            "read: someone waits for it; background-read: no one does)",
            ["priority"],
        )
        self.rest_breaker_open = self._gauge(
            "conferral_rest_breaker_open",
            "1 while this worker sends Twilio only hang-ups and probes, by reason (unreachable, "
            "credentials); returns to 0 after 45 s if the worker sends nothing",
            ["reason"],
        )

    def _add_sweep(self) -> None:
        self.sweeps = self._counter("conferral_sweeps_total", "Account sweeps, by result (done, given-up)", ["result"])
        self.sweep_seconds = self._histogram(
            "conferral_sweep_seconds",
            "Time from the start of a sweep to publishing its findings",
            buckets=(0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120),
        )
        self.sweep_last_success = self._gauge(
            "conferral_sweep_last_success_timestamp_seconds",
            "End of this worker's last finished sweep, Unix time; one worker sweeps at a time, so use the newest",
        )
        self.sweep_pages = self._counter(
            "conferral_sweep_pages_total",
            "Pages of Twilio's lists read by sweeps, by resource (calls, conferences)",
            ["kind"],
        )
        self.sweep_findings = self._counter(
            "conferral_sweep_findings_total",
            "Differences that sweeps found between Twilio's lists and the sessions, by kind (call-missing, "
            "conference-missing, call-answered, call-live, conference-live, conference-unknown, "
            "bridge-unknown); also sessions that read Twilio because Redis lost writes (writes-lost)",
            ["kind"],
        )

    def _add_outcomes(self) -> None:
        self.outcome_requests = self._histogram(
            "conferral_outcome_request_seconds",
            "Requests to CONFERRAL_OUTCOMES_URL, by result (delivered, gone, redirected, refused, failed, timeout, "
            "unreachable, malformed)",
            ["result"],
        )
        self.outcomes_waiting = self._gauge(
            "conferral_outcomes_waiting_sessions",
            "Sessions with outcomes to send, as seen by the worker that sends them; 0 on the others",
        )
        self.outcomes_undelivered = self._gauge(
            "conferral_outcomes_undelivered",
            "Outcomes not delivered within three days, as seen by the worker that sends them; 0 on the others",
        )
        self.outcomes_stopped = self._gauge(
            "conferral_outcomes_stopped", "1 while nothing is sent because CONFERRAL_OUTCOMES_URL responded with 410"
        )

    def _add_webhooks(self) -> None:
        self.webhook_requests = self._histogram(
            "conferral_webhook_request_seconds",
            "Responses of the webhooks, by route and HTTP status",
            ["route", "status"],
        )
        self.webhook_rejections = self._counter(
            "conferral_webhook_rejections_total",
            "Requests that the webhooks rejected, by route and reason (unsigned, wrong-signature, too-large...)",
            ["route", "reason"],
        )
        self.webhook_store_errors = self._counter(
            "conferral_webhook_store_errors_total", "Responses while Redis was unreachable, by route", ["route"]
        )
        self.api_refusals = self._counter(
            "conferral_api_refusals_total",
            "Requests that the control API refused, by the error's type (unauthorized, forbidden, too-many...)",
            ["reason"],
        )
        self.api_requests = self._histogram(
            "conferral_api_request_seconds",
            "Responses of the control API, by route and HTTP status; includes the wait for an outcome, but not "
            "event streams",
            ["route", "status"],
            buckets=(*_FAST_S, 60),
        )
        self.labels["conferral_streams"] = ()
        self.streams = Gauge("conferral_streams", "Open event streams of this webhooks process", registry=self.registry)
        self.labels["conferral_desk_streams"] = ()
        self.desk_streams = Gauge(
            "conferral_desk_streams", "Open event streams of desks of this webhooks process", registry=self.registry
        )
        self.desk_tokens_refused = self._counter(
            "conferral_desk_tokens_refused_total",
            "Desk tokens that were refused, by reason (wrong; expired; issuer: may make none; foreign: an API token)",
            ["reason"],
        )
        self.desk_sign_ins = self._counter("conferral_desk_sign_ins_total", "Sign-ins at desks (link, proxy)", ["by"])
        self.desk_sign_ins_refused = self._counter(
            "conferral_desk_sign_ins_refused_total",
            "Sign-ins at desks that were refused, by reason (code: wrong, used, or too old; proxy: it names no one, or "
            "someone whom the directory doesn't know; over: the sign-in has ended; origin: another site's page; "
            "issuer: the token may make none)",
            ["reason"],
        )
        self.desk_take_overs = self._counter("conferral_desk_take_overs_total", "Lines hung up to ring elsewhere", [])
        self.streams_refused = self._counter(
            "conferral_streams_refused_total", "Event streams refused because too many were open"
        )
        self.streams_dropped = self._counter(
            "conferral_streams_dropped_total", "Event streams closed because their reader was 1 MiB behind"
        )

    def exposition(self) -> bytes:
        """Return the text for `/metrics` (Prometheus docs, exposition formats)."""
        return generate_latest(self.registry)
