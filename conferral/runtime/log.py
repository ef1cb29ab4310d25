"""Logging: structlog with static event names, known keys, and redaction.

Event names are a noun and a past participle in snake_case. Variable data goes under a key of `KEYS`, phone numbers and
other addresses under one of `REDACTED_KEYS`, which shows their last two digits. Secrets have no key at all.
"""

import asyncio
import logging
import math
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast
from weakref import WeakKeyDictionary

import structlog

from conferral.runtime import tracing
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import ConferralError, StoreForbiddenError, StoreUnaskedError, StoreUnreachableError
from conferral.runtime.redaction import mask_numbers, redact

if TYPE_CHECKING:  # the Python client needs no metrics
    from conferral.runtime.metrics import Metrics

#: Innermost frames shown of a traceback, and nearest causes (counts).
FRAMES_MAX = 30
CAUSES_MAX = 5
#: Keys with personal data: shown as the last two digits.
REDACTED_KEYS = frozenset({"address", "agent_address", "customer_address", "identity"})
#: Every key that a log line may have, in addition to structlog's own (`event`, `level`, `timestamp`, `exception`).
KEYS = REDACTED_KEYS | frozenset(
    {
        "session_id", "partition", "call_sid", "call_sids", "conference_sid", "event_id", "entry_id", "event_name",
        "state_from", "state_to", "outcome", "effect", "effect_id", "attempt", "duration_ms", "wait_s", "error_type",
        "status", "code", "request_id", "version", "host", "port", "url_path", "reason", "holder", "count", "party",
        "method", "command_id", "command", "setting", "task", "signal", "entries", "sessions", "bytes", "calls",
        "conferences", "pages", "findings", "behind", "destinations", "numbers", "where", "library", "option", "place",
        "token_name", "key_id", "names", "possible_cause",
    }
)  # fmt: skip
_KNOWN_KEYS = KEYS | {"event", "level", "timestamp", "exception", "exc_info", "stack_info"}

Event = MutableMapping[str, Any]


def _hide_personal_data(_logger: Any, _method: str, line: Event) -> Event:
    """Redact addresses, and drop unknown keys: they may hold a phone number."""
    for key in REDACTED_KEYS & line.keys():
        line[key] = redact(str(line[key]))
    for key in line.keys() - _KNOWN_KEYS:
        del line[key]
    return line


def _mask_numbers(_logger: Any, _method: str, line: Event) -> Event:
    """Mask numbers that libraries' errors may quote, even in a URL."""
    for key in ("exception", "reason"):
        value = line.get(key)
        if value and isinstance(value, str):
            line[key] = mask_numbers(value)
    return line


def _add_context(process: str) -> structlog.typing.Processor:
    """Return a step that adds what log viewers show: origin and message."""
    service = tracing.service_name()

    def add(_logger: Any, _method: str, line: Event) -> Event:
        line["service"], line["process"], line["message"] = service, process, str(line["event"]).replace("_", " ")
        if trace := tracing.trace_id():
            line["trace_id"] = trace
        return line

    return add


def _traceback_lines(error: BaseException, causes_left: int) -> list[str]:
    """Return the tracebacks of an error's causes, its own, then its group's.

    Only our own errors' texts are safe to show.
    """
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes_left:
        lines += [*_traceback_lines(cause, causes_left - 1), "", "which led to:", ""]
    lines += "".join(traceback.format_tb(error.__traceback__, limit=-FRAMES_MAX)).splitlines()
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    lines.append(f"{name}: {error}" if isinstance(error, ConferralError) else name)
    if isinstance(error, BaseExceptionGroup) and causes_left:
        for one in error.exceptions[:CAUSES_MAX]:
            lines += [f"  | {line}" for line in _traceback_lines(one, causes_left - 1)]
    return lines


#: Interval of log lines about refused requests, each with a count, by path and reason, seconds.
REFUSALS_LOG_EVERY_S = 60.0


class LogRateLimit:
    """A rate limit: one line of a kind per interval, with the count.

    At most `kinds_max` kinds within an interval have lines of their own; further ones share one.
    """

    def __init__(self, now_s: Callable[[], float], kinds_max: int = 1_000) -> None:
        #: Returns monotonic seconds.
        self._now_s = now_s
        self._kinds_max = kinds_max
        self._unlogged: Counter[Hashable] = Counter()
        #: When each kind was last logged, monotonic seconds.
        self._logged_at_s: dict[Hashable, float] = {}

    def count(self, kind: Hashable, every_s: float) -> int:
        """Count an occurrence; return the count to log, 0 within `every_s`."""
        now_s = self._now_s()
        if kind not in self._logged_at_s and len(self._logged_at_s) >= self._kinds_max:
            kind = self._forget_old_kinds(kind, now_s - every_s)
        self._unlogged[kind] += 1
        if now_s - self._logged_at_s.get(kind, -math.inf) < every_s:
            return 0
        self._logged_at_s[kind] = now_s
        return self._unlogged.pop(kind)

    def _forget_old_kinds(self, kind: Hashable, since_s: float) -> Hashable:
        """Forget the kinds logged before a time; return None without room."""
        self._logged_at_s = {one: at_s for one, at_s in self._logged_at_s.items() if at_s > since_s}
        self._unlogged = Counter({one: count for one, count in self._unlogged.items() if one in self._logged_at_s})
        return kind if len(self._logged_at_s) < self._kinds_max else None


class _TolerantStream:
    """A stream that may lose lines: a full disk must not stop the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _LibraryHandler(logging.Handler):
    """Logs where a library logged; its text may quote a token or a number."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogRateLimit(SystemClock().monotonic_s)

    def emit(self, record: logging.LogRecord) -> None:
        where = {"library": record.name, "where": f"{record.filename}:{record.lineno}"}
        if record.name.startswith("opentelemetry"):
            # An endpoint that is down fails every few seconds, and harms no call.
            if count := self._limit.count(where["where"], LOG_EVERY_S):
                structlog.get_logger().warning("library_logged", **where, count=count)
            return
        error = record.exc_info[1] if record.exc_info else None
        log_line = structlog.get_logger().error if record.levelno >= logging.ERROR else structlog.get_logger().warning
        fields = {"error_type": type(error).__name__, "exc_info": error} if error is not None else {}
        log_line("library_logged", **where, **fields)


def configure(
    log_format: Literal["console", "json"] | None,
    stream: TextIO | None = None,
    level: str = "info",
    *,
    process: str,
    cache_loggers: bool = True,
) -> None:
    """Set up logging for the process.

    Args:
        log_format: `console` for people, `json` for machines; None chooses by whether the stream is a terminal.
        stream: By default standard error, so that standard output carries only results.
        process: What runs, such as `worker`; every line in JSON names it.
        cache_loggers: False if the configuration may change later.
    """
    stream = stream or sys.stderr
    as_json = log_format == "json" or (log_format is None and not stream.isatty())
    tolerant = cast("TextIO", _TolerantStream(stream))
    renderer: Any = structlog.processors.JSONRenderer(default=repr)  # ASCII, which every stream's encoding has
    if not as_json:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_personal_data,
            structlog.processors.ExceptionRenderer(lambda given: "\n".join(_traceback_lines(given[1], CAUSES_MAX))),
            _mask_numbers,
            *([_add_context(process)] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(tolerant),
        cache_logger_on_first_use=cache_loggers,
    )
    # Libraries log through the standard module: show their warnings, not their chatter.
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


log = structlog.get_logger()

#: Interval between two lines about unreachable Redis, seconds. Everything that uses Redis hits the same outage, often a
#: hundred times a second.
LOG_EVERY_S = 60.0
#: How long a refusal of our user is shown, seconds: what meets one tries again sooner.
FORBIDDEN_SHOWN_S = 3.0


@dataclass(slots=True)
class _Failures:
    limit: LogRateLimit = field(default_factory=lambda: LogRateLimit(lambda: asyncio.get_running_loop().time()))
    metrics: "list[Metrics]" = field(default_factory=list)
    #: The last time that Redis refused our user, by the loop's clock, seconds; and the state that it named.
    forbidden_at_s: float = -math.inf
    forbidden_state: str = ""


#: A process has one loop.
_failures: WeakKeyDictionary[asyncio.AbstractEventLoop, _Failures] = WeakKeyDictionary()


def count_outages(metrics: "Metrics") -> None:
    """Count the running loop's failed Redis requests in these metrics."""
    _failures.setdefault(asyncio.get_running_loop(), _Failures()).metrics.append(metrics)


def log_unreachable(error: Exception, **fields: Any) -> None:
    """Count a failed Redis request; log the first, then one a minute."""
    if isinstance(error, StoreUnaskedError):
        return
    failures = _failures.setdefault(asyncio.get_running_loop(), _Failures())
    if isinstance(error, StoreForbiddenError):
        failures.forbidden_at_s, failures.forbidden_state = asyncio.get_running_loop().time(), error.state
    for metrics in failures.metrics:
        metrics.store_failures.inc()
    reason = str(error) or type(error).__name__
    # What names a key is another error than an outage, which everything meets.
    if count := failures.limit.count("store" if isinstance(error, StoreUnreachableError) else reason, LOG_EVERY_S):
        log.warning("store_unreachable", reason=reason, count=count, **fields)


def unreplicated_writes(metrics: "Metrics") -> Callable[[], None]:
    """Return what counts a write that no replica has; it logs once a minute."""
    limit = LogRateLimit(lambda: asyncio.get_running_loop().time())

    def note() -> None:
        metrics.unreplicated_writes.inc()
        if count := limit.count("unreplicated", LOG_EVERY_S):
            log.warning("writes_unreplicated", count=count)

    return note


def recent_refusal() -> str:
    """Return the state in which Redis lately refused our user; empty if none."""
    loop = asyncio.get_running_loop()
    failures = _failures.get(loop)
    is_shown = failures is not None and loop.time() - failures.forbidden_at_s < FORBIDDEN_SHOWN_S
    return failures.forbidden_state if failures is not None and is_shown else ""
