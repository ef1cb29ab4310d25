"""Timestamps in Redis: ISO 8601, UTC, milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache

#: A batch has one time, and Twilio sends whole seconds, so the same few values recur.
_CACHE_MAX = 4096
#: The latest time that can be formatted, Unix milliseconds.
_LATEST_MS = 253_402_300_799_000


@lru_cache(_CACHE_MAX)
def to_iso(unix_ms: int) -> str:
    """Format as ISO 8601; return empty text for 0, which means "unknown".

    >>> to_iso(1_000)
    '1970-01-01T00:00:01.000Z'
    """
    if not unix_ms:
        return ""
    unix_ms = min(max(unix_ms, 0), _LATEST_MS)  # hand-written entry ids may use any unit
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(_CACHE_MAX)
def from_iso(text: str) -> int:
    """Parse what `to_iso` formats; raise ValueError if it is not a time."""
    if not text:
        return 0
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (OverflowError, OSError):
        raise ValueError("a time out of range") from None
