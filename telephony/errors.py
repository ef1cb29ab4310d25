"""Twilio's answers as our errors: one table of the codes that matter, and the rule for everything else.

Only status, code and Retry-After are carried on. Twilio's message texts are left behind, because they quote numbers.
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

#: The call is not in progress: over, as a rule.
NOT_IN_PROGRESS = 21220


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One of Twilio's error codes."""

    code: int
    #: In our own words.
    meaning: str
    error: type[ProviderError]
    #: Where Twilio says so.
    source: str


#: The codes whose meaning decides what is done next, or that operators ask about.
CODES: tuple[CodeRow, ...] = (
    CodeRow(20001, "a parameter is wrong", ProviderRefusedError, "Twilio docs, Errors, 20001"),
    CodeRow(20003, "credentials wrong, or account suspended", ProviderRefusedError, "Twilio docs, Errors, 20003"),
    CodeRow(20403, "the account may not do this", ProviderRefusedError, "Twilio docs, Errors, 20403"),
    CodeRow(20404, "no such call, room or participant", ProviderGoneError, "Twilio docs, Errors, 20404"),
    CodeRow(20429, "too many requests, not processed", ProviderBusyError, "Twilio docs, Errors, 20429"),
    CodeRow(NOT_IN_PROGRESS, "the call is not in progress any more", ProviderGoneError, "Twilio docs, Errors, 21220"),
    CodeRow(10004, "the account has too many calls at once", ProviderRefusedError, "Twilio docs, Errors, 10004"),
    CodeRow(86008, "the account has too many calls at once", ProviderRefusedError, "Twilio docs, Errors, 86008"),
    CodeRow(16001, "the conference has not started", ProviderRefusedError, "Twilio docs, Errors, 16001"),
    CodeRow(16099, "the conference is not in progress", ProviderRefusedError, "Twilio docs, Errors, 16099"),
    CodeRow(16021, "the account has too many participants", ProviderRefusedError, "Twilio docs, Errors, 16021"),
    CodeRow(16022, "the conference does not exist or is over", ProviderGoneError, "Twilio docs, Errors, 16022"),
    # Labels are never reused, so an earlier copy of the request may have been carried out.
    CodeRow(16026, "the participant label is in use", OutcomeUnknownError, "Twilio docs, Errors, 16026"),
    CodeRow(13240, "the coached call is not in the room", ProviderRefusedError, "Twilio docs, Errors, 13240"),
    CodeRow(16028, "the coached call is not in the room", ProviderRefusedError, "Twilio docs, Errors, 16028"),
    CodeRow(16108, "more than one recording of the call runs", ProviderRefusedError, "Twilio docs, Errors, 16108"),
    CodeRow(16114, "no time for the recording just now", OutcomeUnknownError, "Twilio docs, Errors, 16114"),
    CodeRow(16025, "the participant label is in use", ProviderRefusedError, "Twilio docs, Errors, 16025"),
)  # fmt: skip
_BY_CODE = {row.code: row for row in CODES}


def from_status(http_status: int, code: int = 0, retry_after_s: float = 0.0) -> ProviderError:
    """The error for an answer that is not 2xx.

    A 404 alone does not say that a call is gone: a wrong base URL or a proxy answers 404 too, and a hang-up would then
    count as done. Only Twilio's own code does.

    Args:
        http_status: Status of the answer.
        code: Twilio's error code, 0 when the body named none.
        retry_after_s: Seconds that Twilio asks to wait, 0.0 when it did not say.

    Source: Twilio docs, "Twilio API responses" (status codes) and "Error and Warning Dictionary".
    """
    if http_status >= 500 or http_status == 408:  # 408: time ran out over there, as of a recording (16114)
        kind: type[ProviderError] = OutcomeUnknownError
    elif http_status == 429:
        kind = ProviderBusyError
    else:
        row = _BY_CODE.get(code)
        kind = row.error if row else ProviderRefusedError
    return kind(http_status=http_status, code=code, retry_after_s=retry_after_s)


def is_gone_error(http_status: int, code: int) -> bool:
    """Whether an answer says that the call, room or participant is over, or not there any more."""
    return isinstance(from_status(http_status, code), ProviderGoneError)


def from_exception(exception: TwilioException) -> ProviderError:
    """The error for what the library raised.

    An exception without a status is an answer whose shape the library could not read, so nobody knows what happened.
    """
    if isinstance(exception, TwilioRestException | TwilioServiceException):
        status, code = _number(exception.status), _number(exception.code)
        # The library puts the status where a code is missing.
        return from_status(status, code if code != status else 0)
    return OutcomeUnknownError()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Around a use of the library: nothing foreign comes out of it.

    Raises:
        ProviderError: what the library raised, translated. A body of another shape than documented (a text where an
            object should be, no list where one should be) is an `OutcomeUnknownError`.
    """
    try:
        yield
    except TwilioException as exception:
        raise from_exception(exception) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # The library takes the shape of a body for granted; its own texts may quote what the body holds.
        raise OutcomeUnknownError from None


def code_of(body: bytes) -> int:
    """Twilio's error code in a body, 0 when there is none or the body is something else, HTML for instance."""
    content = json_object(body)
    return _number(content.get("code")) if content is not None else 0


def json_object(body: bytes) -> dict[str, object] | None:
    """A body as a JSON object, None when it is none: cut short, HTML, a list, not UTF-8."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def retry_after_s(header: str | None, now_ms: int) -> float:
    """What a Retry-After header asks for.

    Args:
        header: The header's text: seconds or an HTTP date; None when absent.
        now_ms: Unix milliseconds.

    Returns:
        Seconds to wait, 0.0 when the header is absent, in the past or can't be understood.

    Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:_RETRY_AFTER_DIGITS_MAX])
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now_ms / 1000)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of them seen for dates that are none
        return 0.0


#: A wait of more digits is nonsense; it is cut so that it stays a number that can be compared.
_RETRY_AFTER_DIGITS_MAX = 9


def _number(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return 0
