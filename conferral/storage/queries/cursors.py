"""Pagination cursors: they name a page's last item, so lists may change."""

import re
from typing import NamedTuple

from conferral.statemachine.ids import NAME_PATTERN

_SESSION = re.compile(rf"(?:live|ended-(?P<ended_ms>[0-9]{{1,16}}))-(?P<after>{NAME_PATTERN.pattern})")
#: Ids are times of 13 digits; Redis refuses more than 64 bits, and 19 digits always fit.
_LOG = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class BadCursorError(ValueError):
    """The text is not a cursor of the list."""

    def __init__(self) -> None:
        super().__init__("cursor must be that of the page before")


class SessionCursor(NamedTuple):
    """A position: live sessions by id, then ended ones, newest first."""

    #: End of the last listed session, Unix milliseconds; None among the live ones.
    ended_ms: int | None
    #: Id of the last listed session; empty before the first.
    after: str

    @property
    def text(self) -> str:
        """The position as text."""
        return f"live-{self.after}" if self.ended_ms is None else f"ended-{self.ended_ms}-{self.after}"

    @classmethod
    def parse(cls, text: str) -> "SessionCursor":
        """Return the position of a text; may raise BadCursorError."""
        if (found := _SESSION.fullmatch(text)) is None:
            raise BadCursorError
        return cls(int(found["ended_ms"]) if found["ended_ms"] else None, found["after"])


FIRST_LIVE = SessionCursor(None, "")
FIRST_ENDED = SessionCursor(2**53, "")


def check_log_cursor(text: str) -> str:
    """Return the id of a log entry; may raise BadCursorError."""
    if _LOG.fullmatch(text) is None:
        raise BadCursorError
    return text
