"""Error translation: Twilio's responses as Conferral's errors, with a table of the codes that matter.

Only status, code, and Retry-After are kept. Twilio's messages are dropped because they quote phone numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import orjson
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException

from conferral.runtime.errors import (
    OutcomeUnknownError,
    ProviderBusyError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
)

#: The call is not in progress; usually it is over.
NOT_IN_PROGRESS = 21220


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One of Twilio's error codes."""

    code: int
    #: In Conferral's words.
    meaning: str
    error: type[ProviderError]
    #: Where Twilio documents it.
    source: str


#: Codes that decide what to do next, or that operators ask about.
CODES: tuple[CodeRow, ...] = (
    CodeRow(20001, "a parameter is wrong", ProviderRefusedError, "Twilio docs, Errors, 20001"),
    CodeRow(20003, "credentials wrong, or account suspended", ProviderRefusedError, "Twilio docs, Errors, 20003"),
    CodeRow(20403, "the account may not do this", ProviderRefusedError, "Twilio docs, Errors, 20403"),
    CodeRow(20404, "no such call, conference, or participant", ProviderGoneError, "Twilio docs, Errors, 20404"),
    CodeRow(20429, "too many requests, not processed", ProviderBusyError, "Twilio docs, Errors, 20429"),
    CodeRow(NOT_IN_PROGRESS, "the call is not in progress any more", ProviderGoneError, "Twilio docs, Errors, 21220"),
    CodeRow(10004, "the account has too many calls at once", ProviderRefusedError, "Twilio docs, Errors, 10004"),
    CodeRow(86008, "the account has too many calls at once", ProviderRefusedError, "Twilio docs, Errors, 86008"),
    CodeRow(16001, "the conference has not started", ProviderRefusedError, "Twilio docs, Errors, 16001"),
    CodeRow(16099, "the conference is not in progress", ProviderRefusedError, "Twilio docs, Errors, 16099"),
    CodeRow(16021, "the account has too many participants", ProviderRefusedError, "Twilio docs, Errors, 16021"),
    CodeRow(16022, "the conference does not exist or is over", ProviderGoneError, "Twilio docs, Errors, 16022"),
    # Labels are never reused, so an earlier copy of the request may have taken effect.
    CodeRow(16026, "the participant label is in use", OutcomeUnknownError, "Twilio docs, Errors, 16026"),
    CodeRow(13240, "the coached call is not in the conference", ProviderRefusedError, "Twilio docs, Errors, 13240"),
    CodeRow(16028, "the coached call is not in the conference", ProviderRefusedError, "Twilio docs, Errors, 16028"),
    CodeRow(16108, "more than one recording of the call runs", ProviderRefusedError, "Twilio docs, Errors, 16108"),
    CodeRow(16114, "no time for the recording just now", OutcomeUnknownError, "Twilio docs, Errors, 16114"),
    CodeRow(16025, "the participant label is in use", ProviderRefusedError, "Twilio docs, Errors, 16025"),
)  # fmt: skip
_BY_CODE = {row.code: row for row in CODES}


def from_status(http_status: int, code: int = 0, retry_after_s: float = 0.0) -> ProviderError:
    """Return the error for a response other than 2xx.

    A 404 without Twilio's own code does not prove that a call is gone: a wrong base URL or a proxy also answers 404,
    and a hangup would then count as done.

    Args:
        code: Twilio's error code, 0 if the body has none.
        retry_after_s: Seconds that Twilio asks to wait, 0.0 if it does not say.

    Source: Twilio docs, "Twilio API responses" (status codes) and "Error and Warning Dictionary".
    """
    if http_status >= 500 or http_status == 408:  # 408: Twilio's own timeout, for instance of a recording (16114)
        kind: type[ProviderError] = OutcomeUnknownError
    elif http_status == 429:
        kind = ProviderBusyError
    else:
        row = _BY_CODE.get(code)
        kind = row.error if row else ProviderRefusedError
    return kind(http_status=http_status, code=code, retry_after_s=retry_after_s)


def is_gone_error(http_status: int, code: int) -> bool:
    """Whether a response says that the call, conference, or participant is over or does not exist."""
    return isinstance(from_status(http_status, code), ProviderGoneError)


def from_exception(exception: TwilioException) -> ProviderError:
    """Return the error for an exception of the library.

    An exception without a status is a response that the library could not parse, so the outcome is unknown.
    """
    if isinstance(exception, TwilioRestException | TwilioServiceException):
        status, code = _number(exception.status), _number(exception.code)
        # The library uses the status as code if there is none.
        return from_status(status, code if code != status else 0)
    return OutcomeUnknownError()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the library's exceptions.

    Raises:
        ProviderError: the translated exception. A body of another shape than documented (a text instead of an object, a
            missing list) is an `OutcomeUnknownError`.
    """
    try:
        yield
    except TwilioException as exception:
        raise from_exception(exception) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # The library assumes the shape of a body, and its own messages may quote the body.
        raise OutcomeUnknownError from None


def code_of(body: bytes) -> int:
    """Return Twilio's error code in a body, 0 if there is none or the body is not JSON, for instance HTML."""
    content = json_object(body)
    return _number(content.get("code")) if content is not None else 0


def json_object(body: bytes) -> dict[str, object] | None:
    """Return a body as a JSON object; None if it is truncated, HTML, a list, or not UTF-8."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def retry_after_s(header: str | None, now_ms: int) -> float:
    """Return the seconds that a Retry-After header (seconds or an HTTP date) asks to wait; 0.0 if absent or invalid.

    Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:_RETRY_AFTER_DIGITS_MAX])
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now_ms / 1000)
    except (ValueError, TypeError, IndexError, OverflowError):  # all seen for invalid dates
        return 0.0


#: Longer waits are nonsense; truncated so that the number stays comparable.
_RETRY_AFTER_DIGITS_MAX = 9


def _number(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return 0
