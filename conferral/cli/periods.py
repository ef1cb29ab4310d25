"""Periods on the command line: `--since` and `--until`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from conferral.runtime.clock import SystemClock, start_of_day

_SPAN = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time that an option means, in the machine's time zone.

    Args:
        text: ISO 8601 (without an offset: the machine's time zone), a span before `now` (`90m`, `2h`, `7d`), or
            `today` or `yesterday`: when that day starts.
        now: An aware time.

    Raises ValueError if it is none of these.
    """
    try:
        if span := _SPAN.fullmatch(text):
            return (now - timedelta(**{_UNITS[span[2]]: int(span[1])})).astimezone()
        if text in ("today", "yesterday"):
            day = now.astimezone().date() - timedelta(days=text == "yesterday")
            return _in_this_zone(start_of_day(day))
        found = datetime.fromisoformat(text)
        # A time that the clocks skip has no offset of its own; its timestamp is the first moment that exists.
        return found.astimezone() if found.tzinfo else _in_this_zone(found.timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            "must be ISO 8601 such as 2026-11-20T14:00 or 2026-11-20, a span such as 90m, 2h, or 7d, today, or "
            "yesterday"
        ) from None


def local_now() -> datetime:
    """Return the current time in the machine's time zone."""
    return _in_this_zone(SystemClock().wall_ms() / 1000)


def _in_this_zone(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone()


def _parse_option(text: str) -> datetime:
    try:
        return parse_time(text, local_now())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


_FORMS = "ISO 8601, a span such as 90m, 2h, or 7d, today, or yesterday (when that day starts)"
Since = Annotated[datetime | None, typer.Option(metavar="TIME", parser=_parse_option, help=f"From when on: {_FORMS}.")]
Until = Annotated[
    datetime | None,
    typer.Option(metavar="TIME", parser=_parse_option, help="Until when, in the same forms; default: now."),
]
