"""Periods on the command line, in the machine's time zone."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from conferral.cli.periods import parse_time
from conferral.runtime.clock import start_of_day
from tests.support.each import each

#: Half past two at night in Berlin; in UTC, the day before.
NOW = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@each(
    "text, expected",
    [
        ("90m", "2026-11-20T23:00:00+01:00"),
        ("2h", "2026-11-20T22:30:00+01:00"),
        ("7d", "2026-11-14T00:30:00+01:00"),
        ("today", "2026-11-21T00:00:00+01:00"),
        ("yesterday", "2026-11-20T00:00:00+01:00"),
        ("2026-11-19", "2026-11-19T00:00:00+01:00"),
        ("2026-07-19T14:00", "2026-07-19T14:00:00+02:00"),
        ("2026-11-19T14:00:00Z", "2026-11-19T15:00:00+01:00"),
        ("20261119T1400+0300", "2026-11-19T12:00:00+01:00"),
    ],
)
def test_times_are_understood(text, expected):
    assert parse_time(text, NOW).isoformat() == expected


@each("text", ["", "tomorrow", "7", "7w", "-2h", "999999d", "2026-13-01", "9999-12-31T23:59-12:00"])
def test_other_texts_are_refused_with_the_valid_forms(text):
    with pytest.raises(ValueError, match="90m, 2h, or 7d, today, or yesterday"):
        parse_time(text, NOW)


@each("zone, day, start", [
    ("Africa/Cairo", "2026-04-24", "2026-04-24T01:00:00+03:00"),
    ("America/Havana", "2026-03-08", "2026-03-08T01:00:00-04:00"),
    ("America/Santiago", "2026-09-06", "2026-09-06T01:00:00-03:00"),
    ("Asia/Beirut", "2026-03-29", "2026-03-29T01:00:00+03:00"),
    ("America/Havana", "2026-11-01", "2026-11-01T00:00:00-04:00"),
])  # fmt: skip
def test_a_day_without_midnight_starts_with_the_first_moment_that_exists(monkeypatch, zone, day, start):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    noon = datetime.fromisoformat(f"{day}T17:00:00+00:00")
    assert parse_time("today", noon).isoformat() == parse_time(day, noon).isoformat() == start
    assert parse_time("yesterday", noon + timedelta(days=1)).isoformat() == start
    assert start_of_day(noon.date(), ZoneInfo(zone)) == datetime.fromisoformat(start).timestamp()


def test_a_day_starts_at_midnight_also_when_clocks_change():
    after_the_change = datetime(2026, 10, 25, 12, tzinfo=UTC)
    today, tomorrow = (parse_time("today", after_the_change + timedelta(days=days)) for days in (0, 1))

    assert (tomorrow - today, today.utcoffset()) == (timedelta(hours=25), timedelta(hours=2))
