"""Pagination cursors: they name a page's last item, so lists may change."""

import base64
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from conferral.statemachine.ids import NAME_PATTERN

_CURSOR_MAX = 256
#: The largest score that Redis stores exactly: scores are floating-point numbers.
_SCORE_MAX = 2**53

_IdOrEmpty = Annotated[str, Meta(pattern=rf"^(?:{NAME_PATTERN.pattern})?\Z")]
#: Ids are times of 13 digits; Redis refuses more than 64 bits, and 19 digits always fit.
_EntryId = Annotated[str, Meta(pattern=r"^[0-9]{1,19}-[0-9]{1,19}\Z")]


class BadCursorError(ValueError):
    """The text is not a cursor of the list."""

    def __init__(self) -> None:
        super().__init__("cursor must be that of the page before")


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    @property
    def text(self) -> str:
        """The position as text."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


class LiveCursor(_Cursor, frozen=True, tag="live"):
    """A position among the live sessions, ordered by partition, then by id."""

    partition: Annotated[int, Meta(ge=0)]
    #: Id of the last listed session; empty before the first.
    after: _IdOrEmpty


class EndedCursor(_Cursor, frozen=True, tag="ended"):
    """A position among the ended sessions, by end and id, both descending."""

    #: End of the last listed session, Unix milliseconds; None before the first.
    ended_ms: Annotated[int, Meta(ge=0, lt=_SCORE_MAX)] | None
    after: _IdOrEmpty

    def __post_init__(self) -> None:
        if self.ended_ms is None and self.after:
            raise ValueError(self.after)


class LogCursor(_Cursor, frozen=True, tag="log"):
    """A position in a session's log."""

    entry_id: _EntryId


_T = TypeVar("_T")
OF_SESSIONS: msgspec.json.Decoder[LiveCursor | EndedCursor] = msgspec.json.Decoder(LiveCursor | EndedCursor)
OF_LOGS = msgspec.json.Decoder(LogCursor)


def read_cursor(text: str, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode a cursor of sessions or of a log; may raise BadCursorError."""
    if len(text) > _CURSOR_MAX or not text.isascii():
        raise BadCursorError
    try:
        return decoder.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, msgspec.DecodeError):
        raise BadCursorError from None
