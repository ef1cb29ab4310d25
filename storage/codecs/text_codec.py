"""Text decoding of hashes and stream entries from any writer."""

from collections.abc import Mapping
from functools import lru_cache


def decode_fields(raw_fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Decode the fields of a hash or entry; replace invalid UTF-8."""
    return {_decode_name(name): value.decode(errors="replace") for name, value in raw_fields.items()}


@lru_cache(4_096)
def _decode_name(raw: bytes) -> str:
    """Decode a field's name; cached, because thousands of hashes share the same few."""
    return raw.decode(errors="replace")
