"""Log lines of tests, written without the paint of structlog's default: stories write thousands, and few are read."""

import time
from typing import Any

import structlog


def _line(_logger: Any, method: str, fields: Any) -> str:
    event = fields.pop("event", "")
    trace = fields.pop("exception", "")
    words = " ".join(f"{name}={value!r}" for name, value in fields.items())
    # The date comes first, as in structlog's own lines: tests of printed output recognize a log line by it.
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} {method:8} {event} {words}" + (f"\n{trace}" if trace else "")


def configure() -> None:
    """Sets it up, for tests that need no log of their own."""
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.processors.format_exc_info, _line], cache_logger_on_first_use=False)


configure()
