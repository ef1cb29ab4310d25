"""Hours in which the agents of a number are rung, in local time.

The local time of the call decides, so a change of clocks needs no rule: a time that it skips counts as the time after,
and a time that it repeats counts both times.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"({'|'.join(_DAYS)})"
_TIME = r"([0-9]{1,2}):([0-9]{2})"
_SPAN = re.compile(rf"{_DAY}(?:-{_DAY})? +{_TIME}-{_TIME}", re.IGNORECASE)
_DAY_MINUTES = 1440
#: Days ahead in which the next opening is looked for (count): a week, and a long row of holidays.
_SEARCHED_DAYS = 28


class OpenSpan(NamedTuple):
    """A span of time on one day of the week; minutes count from its midnight."""

    #: From 0, Monday.
    weekday: int
    start: int
    #: Not included; more than a day if the span crosses midnight.
    end: int


def parse_hours(text: str) -> tuple[OpenSpan, ...]:
    """Return the spans of hours; raise ValueError with the part that is wrong.

    >>> parse_hours("Sat-Sun 10:00-14:00")
    (OpenSpan(weekday=5, start=600, end=840), OpenSpan(weekday=6, start=600, end=840))
    """
    return tuple(span for part in text.split(",") for span in _parse_part(part.strip()))


def _parse_part(part: str) -> list[OpenSpan]:
    found = _SPAN.fullmatch(part)
    if found is None:
        raise ValueError(f"{_shown(part)} is not understood; write days and times such as Mon-Fri 09:00-17:30")
    first, last, *times = found.groups()
    start, end = (_minute(part, *times[at : at + 2]) for at in (0, 2))
    if start in (_DAY_MINUTES, end):
        raise ValueError(f"{_shown(part)} has no length; a whole day is 00:00-24:00")
    start_day = _DAYS.index(first.lower())
    count = (_DAYS.index((last or first).lower()) - start_day) % 7 + 1
    length = (end - start) % _DAY_MINUTES or _DAY_MINUTES
    return [OpenSpan((start_day + later) % 7, start, start + length) for later in range(count)]


def _shown(part: str) -> str:
    """Return a part in quotes, unless it may hold a number."""
    return repr(part[:40]) if sum(map(str.isdigit, part)) <= 8 else "a part"


def _minute(part: str, hour: str, minute: str) -> int:
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY_MINUTES:
        raise ValueError(f"{_shown(part)} has a time that is none; times are 00:00 to 24:00")
    return found


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of a number."""

    spans: tuple[OpenSpan, ...]
    zone: ZoneInfo
    #: Days on which no span begins.
    holidays: frozenset[date] = frozenset()

    def include(self, now_ms: int) -> bool:
        """Whether a moment is within the hours, Unix milliseconds."""
        now = self.local_time(now_ms)
        minute = now.hour * 60 + now.minute
        # A span that crosses midnight belongs to its first day.
        return self._has(now.date(), minute) or self._has(now.date() - timedelta(1), minute + _DAY_MINUTES)

    def _has(self, day: date, minute: int) -> bool:
        return any(span.start <= minute < span.end for span in self._spans_of(day))

    def _spans_of(self, day: date) -> Sequence[OpenSpan]:
        return () if day in self.holidays else [span for span in self.spans if span.weekday == day.weekday()]

    def next_start(self, now_ms: int) -> datetime | None:
        """Return when a later span begins, in local time; None if none is near."""
        now = self.local_time(now_ms).replace(tzinfo=None)
        for later in range(_SEARCHED_DAYS):
            day = now.date() + timedelta(later)
            starts = (datetime.combine(day, time()) + timedelta(minutes=span.start) for span in self._spans_of(day))
            if found := min((start for start in starts if start > now), default=None):
                return found
        return None

    def local_time(self, now_ms: int) -> datetime:
        """Return the local time of a moment."""
        return datetime.fromtimestamp(now_ms / 1000, self.zone)
