"""Pagination cursors: opaque text that names a page's last item, so that it stays valid when the list changes."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import orjson

from conferral.statemachine.ids import NAME_PATTERN

_ENTRY_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
#: Maximum length of a cursor (characters).
_CURSOR_MAX = 256
#: The largest score that Redis stores exactly: scores are floating-point numbers.
_SCORE_MAX = 2**53


class BadCursorError(ValueError):
    """The text is not a cursor of the list."""

    def __init__(self) -> None:
        super().__init__("cursor must be that of the page before")


@dataclass(frozen=True, slots=True)
class LiveCursor:
    """A position among the live sessions, ordered by partition, then by id."""

    partition: int
    #: Id of the last listed session; empty before the first.
    after: str

    @property
    def text(self) -> str:
        """The position as text."""
        return _encode(["live", self.partition, self.after])


@dataclass(frozen=True, slots=True)
class EndedCursor:
    """A position among the ended sessions of all partitions, ordered by end, then by id, both descending."""

    #: End of the last listed session, Unix milliseconds; None before the first.
    ended_ms: int | None
    #: Its id.
    after: str

    @property
    def text(self) -> str:
        """The position as text."""
        return _encode(["ended", self.ended_ms, self.after])


@dataclass(frozen=True, slots=True)
class LogCursor:
    """A position in a session's log."""

    #: Id of the last listed entry.
    entry_id: str

    @property
    def text(self) -> str:
        """The position as text."""
        return _encode(["log", self.entry_id])


def read_cursor(text: str) -> LiveCursor | EndedCursor:
    """Decode a cursor of sessions; raise BadCursorError if it is none."""
    match _decode(text):
        case ["live", int(partition), str(after)] if partition >= 0 and _is_id_or_empty(after):
            return LiveCursor(partition, after)
        case ["ended", None, ""]:
            return EndedCursor(None, "")
        case ["ended", int(ended_ms), str(after)] if 0 <= ended_ms < _SCORE_MAX and _is_id_or_empty(after):
            return EndedCursor(ended_ms, after)
    raise BadCursorError


def read_log_cursor(text: str) -> LogCursor:
    """Decode a cursor of a log; raise BadCursorError if it is none."""
    match _decode(text):
        case ["log", str(entry_id)] if _ENTRY_ID.fullmatch(entry_id):
            return LogCursor(entry_id)
    raise BadCursorError


def _is_id_or_empty(text: str) -> bool:
    return text == "" or NAME_PATTERN.fullmatch(text) is not None


def _encode(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _decode(text: str) -> Any:
    if len(text) > _CURSOR_MAX or not text.isascii():
        raise BadCursorError
    try:
        return orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise BadCursorError from None
