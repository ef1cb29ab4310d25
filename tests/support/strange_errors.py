"""Errors of every kind that code can raise without having planned to, for tests of boundaries."""

import asyncio
import errno
import json
import ssl
import struct
from collections.abc import Callable

import msgspec
import redis.exceptions
from aiohttp import ClientPayloadError
from twilio.base.exceptions import TwilioException

from conferral.runtime.errors import (
    ConferralError,
    ResultUnknownError,
    SettingsError,
    StoreError,
    StoreUnreachableError,
)

#: What such an error may quote, and no log line may show.
SECRET = "AC-secret-token +14155550123"


class UnforeseenError(Exception):
    """An error that can't even be shown."""

    def __str__(self) -> str:
        raise ValueError(SECRET)


def _unicode() -> UnicodeDecodeError:
    return UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "invalid start byte")


ANY_ERRORS: dict[str, Callable[[], BaseException]] = {
    "ArithmeticError": lambda: OverflowError("cannot convert float infinity to integer"),
    "AssertionError": lambda: AssertionError(SECRET),
    "AttributeError": lambda: AttributeError("'NoneType' object has no attribute 'writelines'"),
    "CancelledError": asyncio.CancelledError,
    "ClientError": lambda: ClientPayloadError(SECRET),
    "ConferralError": lambda: ConferralError("one of ours that no one catches"),
    "DataError": lambda: redis.exceptions.DataError(SECRET),
    "EOFError": EOFError,
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [KeyError(SECRET), UnforeseenError()]),
    "IndexError": lambda: IndexError("list index out of range"),
    "JSONDecodeError": lambda: json.JSONDecodeError(SECRET, SECRET, 0),
    "EncodeError": lambda: msgspec.EncodeError(SECRET),
    "KeyError": lambda: KeyError(SECRET),
    "RuntimeError": lambda: RuntimeError(SECRET),
    "OSError": lambda: OSError(errno.EMFILE, "Too many open files"),
    "ResultUnknownError": ResultUnknownError,
    "RecursionError": RecursionError,
    "RedisError": lambda: redis.exceptions.RedisError(SECRET),
    "SSLError": lambda: ssl.SSLError(SECRET),
    "SettingsError": lambda: SettingsError(("TWILIO_NUMBER is no number",)),
    "StopAsyncIteration": StopAsyncIteration,
    "StopIteration": StopIteration,
    "StoreError": lambda: StoreError("Redis refused"),
    "StoreUnreachableError": lambda: StoreUnreachableError("Redis can't be reached"),
    "StrangeError": UnforeseenError,
    "StructError": lambda: struct.error(SECRET),
    "TimeoutError": TimeoutError,
    "TwilioException": lambda: TwilioException(SECRET),
    "TypeError": lambda: TypeError(SECRET),
    "UnicodeError": _unicode,
    "ValueError": lambda: ValueError(SECRET),
    "ZeroDivisionError": ZeroDivisionError,
}
