"""Load shedding: under load, webhooks drop events that have no effect.

`Event.ignored_because` marks them. Any other event is stored, or its sender gets an error.
"""

from enum import StrEnum

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.log import LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import Event

log = structlog.get_logger()

#: Token bucket of a session: refill rate per second, and burst, count.
SESSION_EVENTS_PER_S = 50.0
SESSION_BURST = 50.0
#: Sessions whose rate is tracked, count; about 3 MB. An evicted session starts with a full bucket.
SESSIONS_MAX = 10_000
#: Undecided events above which a partition is behind: a worker decides this many in a tenth of a second.
BEHIND_EVENTS = 2_000
#: Interval at which a partition's backlog is read, seconds; only if it receives events.
BACKLOG_READ_EVERY_S = 1.0
LOG_EVERY_S = 10.0


class Reason(StrEnum):
    """Why an event was dropped."""

    #: Too much in this process waits for Redis.
    WAITING = "waiting"
    SESSION = "session"
    BACKLOG = "backlog"


class SessionRates:
    """A token bucket of events for each recent session."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Tokens left, and when they were counted, monotonic seconds; the oldest session first.
        self._buckets: dict[str, tuple[float, float]] = {}

    def try_acquire(self, session_id: str) -> bool:
        """Count an event; return whether its session is within its rate."""
        now_s = self._clock.monotonic_s()
        tokens, counted_at_s = self._buckets.get(session_id, (SESSION_BURST, now_s))
        tokens = min(SESSION_BURST, tokens + (now_s - counted_at_s) * SESSION_EVENTS_PER_S)
        is_within = tokens >= 1.0
        self._buckets[session_id] = (tokens - is_within, now_s)
        if len(self._buckets) > SESSIONS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return is_within


class Backlogs:
    """Tracks which partitions are behind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When a backlog may be read next, monotonic seconds.
        self._due_at_s: dict[int, float] = {}
        self._waiting: dict[int, int] = {}

    def is_due(self, partition: int) -> bool:
        """Whether to read a backlog now; True once per `BACKLOG_READ_EVERY_S`."""
        now_s = self._clock.monotonic_s()
        if now_s < self._due_at_s.get(partition, now_s):
            return False
        self._due_at_s[partition] = now_s + BACKLOG_READ_EVERY_S
        return True

    def update(self, partition: int, waiting: int) -> None:
        """Note a partition's number of undecided events."""
        self._waiting[partition] = waiting

    def is_behind(self, partition: int) -> bool:
        """Whether a partition is behind; never if the event must cause a read."""
        is_fresh = self._clock.monotonic_s() < self._due_at_s.get(partition, 0.0)
        return is_fresh and self._waiting.get(partition, 0) > BEHIND_EVENTS


class LoadShedding:
    """Decides whether to drop an event; counts and logs drops."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._metrics = metrics
        self._rates = SessionRates(clock)
        self.backlogs = Backlogs(clock)
        self._log_limit = LogRateLimit(clock)

    def should_shed(self, event: Event, partition: int, *, is_overloaded: bool) -> bool:
        """Whether to drop an event; counts it towards its session's rate."""
        is_within = self._rates.try_acquire(event.session_id)
        if not event.ignored_because:
            return False
        if not is_within:
            reason = Reason.SESSION
        elif is_overloaded:
            reason = Reason.WAITING
        elif self.backlogs.is_behind(partition):
            reason = Reason.BACKLOG
        else:
            return False
        self._metrics.events_dropped.labels(reason.value).inc()
        if count := self._log_limit.count(reason, LOG_EVERY_S):
            log.warning(
                "events_dropped", reason=reason.value, count=count, session_id=event.session_id, partition=partition
            )
        return True
