"""Hashes and entries as text, whoever has written them."""

from collections.abc import Mapping
from functools import lru_cache


def decode_fields(raw_fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """The fields of a hash or an entry as text; what is no UTF-8 is replaced."""
    return {_decode_name(name): value.decode(errors="replace") for name, value in raw_fields.items()}


@lru_cache(4_096)
def _decode_name(raw: bytes) -> str:
    """A field's name: the same few in thousands of records, so that each is kept once."""
    return raw.decode(errors="replace")
