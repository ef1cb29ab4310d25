"""Values of the in-memory Redis, as the judges of a run read them."""

from typing import Any

from tests.support.memory_redis.values import FIRST_ID, LAST_ID, Stream


def entries_of(stream: Any) -> list[dict[bytes, bytes]]:
    """The entries of a stream, oldest first."""
    if not isinstance(stream, Stream):
        return []
    found = (parts for _, parts in stream.between(FIRST_ID, LAST_ID, None))
    return [dict(zip(parts[::2], parts[1::2], strict=True)) for parts in found]


def size_of(value: Any) -> int:
    """How much a key holds (count); 0 where there is none."""
    if value is None:
        return 0
    return len(value.entries) if isinstance(value, Stream) else len(getattr(value, "scores", value))
