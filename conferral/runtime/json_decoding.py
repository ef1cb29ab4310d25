"""Decoding of JSON that strangers or other programs have written."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def json_decoder(kind: type[T]) -> Callable[[bytes | str], T]:
    """Return what decodes a value of a type, or raises ValueError.

    For some thousand levels, msgspec raises RecursionError, which no one else expects.
    """
    decode = msgspec.json.Decoder(kind).decode  # noqa: TID251  # for all others

    def decode_or_raise(text: bytes | str) -> T:
        try:
            return decode(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    return decode_or_raise


#: Decodes any JSON, or raises ValueError. Of two fields with the same name, it takes the last.
decode_json: Callable[[bytes | str], Any] = json_decoder(object)
