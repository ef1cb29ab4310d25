"""The moment of a callback, as Twilio writes it."""

import time

import pytest

from conferral.telephony.callback_fields import moment_ms

#: 2026-11-20, 08:00 UTC.
EIGHT_O_CLOCK_MS = 1_795_161_600_000


@pytest.mark.parametrize(
    ("timestamp", "offset_s"),
    [
        ("Fri, 20 Nov 2026 08:00:00 +0000", 0),
        ("Fri, 20 Nov 2026 08:00:00 -0000", 0),
        ("Fri, 20 Nov 2026 08:00:00 +0200", -7_200),
    ],
)
def test_moment_does_not_depend_on_the_time_zone_of_the_machine(monkeypatch, timestamp, offset_s):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    moment_ms.cache_clear()
    try:
        assert moment_ms(timestamp) == EIGHT_O_CLOCK_MS + offset_s * 1_000
    finally:
        monkeypatch.undo()
        time.tzset()
