"""Twilio's callbacks about announcements."""

import pytest

from conferral.statemachine.events import AnnouncementEnded
from tests.support.each import each
from tests.telephony.test_callback_events import conference, fields


@pytest.mark.parametrize(
    ("url", "command", "played"),
    [
        ("https://example.com/voice/announcement?command=c1&session=CS1&v=1#rc=2", "c1", ""),
        ("https://example.com/a.wav#rc=2", "", "https://example.com/a.wav"),
        ("https://example.com/".ljust(2_001, "a"), "", "https://example.com/".ljust(2_000, "a")),
        ("https://example.com/voice/announcement?session=CS1&v=1", "", ""),
        ("", "", ""),
    ],
)
def test_announcement_is_identified_by_its_url(url, command, played):
    event = conference(fields("announcement_ends", AnnounceUrl=url))

    assert (event.command, event.url) == (command, played)


@each(
    "expected, kept",
    [
        (None, ""),
        ("", ""),
        ("HTTP error 11200 at wait", "HTTP error 11200 at wait"),
        ("could not fetch https://u:p@example.com/a.wav", "could not fetch \u2026"),
        ("call to +1 (415) 555-0123 failed", "call to +\u202623 failed"),
        ("a\nb\x00", "a\u2026b\u2026"),
        ("x" * 999, "x" * 200),
        ("x" * 194 + " +14155550123 failed", "x" * 194 + " +\u202623 "),
    ],
)
def test_why_an_announcement_failed_is_kept_without_what_must_not_be_shown(expected, kept):
    event = conference(fields("announcement_to_one_fails", ReasonAnnouncementFailed=expected))

    assert isinstance(event, AnnouncementEnded)
    assert event.reason == kept
