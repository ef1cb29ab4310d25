"""What the webhooks leave out under load: events that decide nothing, so that those that decide are stored in time.

What may be left out says the event's class (`Event.ignored_because`); everything else is stored, or its sender is told
that it was not.
"""

from collections import Counter
from enum import StrEnum

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import Event

log = structlog.get_logger()

#: Events of one session that are taken in the long run, count a second, and how many at once.
SESSION_EVENTS_PER_S = 50.0
SESSION_BURST = 50.0
#: Sessions whose rate is kept, count; about 3 MB. Who was forgotten begins anew.
SESSIONS_MAX = 10_000
#: Undecided events above which a partition is far behind, count: a worker decides so many in a tenth of a second.
BEHIND_EVENTS = 2_000
#: How often it is asked how many there are, seconds: of partitions that something is stored in.
BACKLOG_READ_EVERY_S = 1.0
#: How often the log tells what was left out, seconds.
LOG_EVERY_S = 10.0


class Reason(StrEnum):
    """Why an event was left out."""

    #: Much waits for Redis in this process.
    WAITING = "waiting"
    #: Its session has more events than `SESSION_EVENTS_PER_S`.
    SESSION = "session"
    #: More than `BEHIND_EVENTS` of its partition are undecided.
    BACKLOG = "backlog"


class SessionRates:
    """How many events sessions have: a token bucket for each of those that were heard of last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Tokens left, and when they were counted, monotonic seconds; who was heard of first stands first.
        self._buckets: dict[str, tuple[float, float]] = {}

    def try_acquire(self, session_id: str) -> bool:
        """Counts an event; whether its session is within its rate."""
        now_s = self._clock.monotonic_s()
        tokens, counted_at_s = self._buckets.get(session_id, (SESSION_BURST, now_s))
        tokens = min(SESSION_BURST, tokens + (now_s - counted_at_s) * SESSION_EVENTS_PER_S)
        is_within = tokens >= 1.0
        self._buckets[session_id] = (tokens - is_within, now_s)
        if len(self._buckets) > SESSIONS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return is_within


class Backlogs:
    """Which partitions are far behind, as far as it is known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When it was asked for last, monotonic seconds.
        self._read_at_s: dict[int, float] = {}
        self._behind: set[int] = set()

    def is_due(self, partition: int) -> bool:
        """Whether it is time to ask how many events are undecided; whoever is told so asks."""
        if not self._is_due(partition):
            return False
        self._read_at_s[partition] = self._clock.monotonic_s()
        return True

    def update(self, partition: int, pending_count: int) -> None:
        """Takes note of how many there are (count)."""
        if pending_count > BEHIND_EVENTS:
            self._behind.add(partition)
        else:
            self._behind.discard(partition)

    def is_behind(self, partition: int) -> bool:
        """Whether a partition is far behind; not when it is time to ask, or nobody would where all is left out."""
        return partition in self._behind and not self._is_due(partition)

    def _is_due(self, partition: int) -> bool:
        requested_at_s = self._read_at_s.get(partition)
        return requested_at_s is None or self._clock.monotonic_s() - requested_at_s >= BACKLOG_READ_EVERY_S


class LoadShedding:
    """Says of each event whether it is left out; counts and tells those that are."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._rates = SessionRates(clock)
        self.backlogs = Backlogs(clock)
        #: What was left out and the log has not told yet, and when it told last, monotonic seconds.
        self._unlogged: Counter[Reason] = Counter()
        self._logged_at_s: dict[Reason, float] = {}

    def should_shed(self, event: Event, partition: int, *, is_overloaded: bool) -> bool:
        """Whether an event is not to be stored; to be asked once for each.

        Args:
            event: What happened.
            partition: Where it would be stored.
            is_overloaded: Whether much waits for Redis already.
        """
        is_within = self._rates.try_acquire(event.session_id)
        if not event.ignored_because:
            return False
        if not is_within:
            self._record_shed(Reason.SESSION, event, partition)
        elif is_overloaded:
            self._record_shed(Reason.WAITING, event, partition)
        elif self.backlogs.is_behind(partition):
            self._record_shed(Reason.BACKLOG, event, partition)
        else:
            return False
        return True

    def _record_shed(self, reason: Reason, event: Event, partition: int) -> None:
        self._metrics.events_shed.labels(reason.value).inc()
        self._unlogged[reason] += 1
        now_s = self._clock.monotonic_s()
        told_at_s = self._logged_at_s.get(reason)
        if told_at_s is None or now_s - told_at_s >= LOG_EVERY_S:
            self._logged_at_s[reason] = now_s
            count = self._unlogged.pop(reason)
            log.warning(
                "events_shed", reason=reason.value, count=count, session_id=event.session_id, partition=partition
            )
