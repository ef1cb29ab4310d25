"""Time format for the page."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at_s: float) -> str:
    """Format a sandbox time, in seconds since 1970, as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
