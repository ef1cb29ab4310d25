"""Error translation; Twilio's messages are dropped, as they quote numbers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from twilio.base.exceptions import TwilioException

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.runtime.json_decoding import decode_json

#: Longer waits are implausible; truncated so that the number stays comparable.
_RETRY_AFTER_DIGITS_MAX = 9
#: The call is not in progress; usually it is over.
NOT_IN_PROGRESS = 21220
#: Codes that do not mean a plain refusal. Source: Twilio docs, "Error and Warning Dictionary".
_BY_CODE: dict[int, type[ProviderError]] = {
    NOT_IN_PROGRESS: ProviderGoneError,
    16022: ProviderGoneError,  # The conference does not exist or is over.
    20404: ProviderGoneError,  # No such call, conference, or participant.
    20429: RateLimitedError,  # Too many requests, not processed.
    # The participant label is in use. Labels are never reused, so an earlier copy of the request may have taken effect.
    16026: ResultUnknownError,
    16030: ResultUnknownError,  # Twilio failed to add the participant: "try your request again later".
    16114: ResultUnknownError,  # Twilio can't act on the recording now.
}


def from_status(http_status: int, code: int = 0, retry_after_s: float = 0.0) -> ProviderError:
    """Return the error for a response other than 2xx.

    A 404 without Twilio's own code may come from a wrong base URL or a proxy, so it does not prove that a call is gone.
    Source: Twilio docs, "Twilio API responses" (status codes) and "Error and Warning Dictionary".
    """
    if http_status >= 500 or http_status == 408:  # 408: Twilio's own timeout, for instance of a recording (16114)
        kind: type[ProviderError] = ResultUnknownError
    elif http_status == 429:
        kind = RateLimitedError
    else:
        kind = _BY_CODE.get(code, ProviderRefusedError)
    return kind(http_status=http_status, code=code, retry_after_s=retry_after_s)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise ResultUnknownError for the library's errors about a body."""
    try:
        yield
    except (TwilioException, ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # The library assumes the shape of a body, and its own messages may quote the body.
        raise ResultUnknownError from None


def code_of(body: bytes) -> int:
    """Return Twilio's error code in a body, 0 if there is none."""
    value = (parse_json_object(body) or {}).get("code")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return int(value) if isinstance(value, int) and abs(value) < 10**9 else 0


def parse_json_object(body: bytes) -> dict[str, object] | None:
    """Return a body as a JSON object, None if it is anything else."""
    try:
        content = decode_json(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def is_answer(body: bytes, *, is_page: bool) -> bool:
    """Whether a body is a JSON object, and a page has a list of records.

    The library takes other records than a list as none, and an empty list would mean that everyone has left.
    """
    content = parse_json_object(body)
    if content is None:
        return False
    return not is_page or any(isinstance(value, list) for value in content.values())


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return a Retry-After header's seconds; 0.0 if absent or invalid.

    Source: RFC 9110, section 10.2.3: seconds, or a date, which the same server's `Date` turns into seconds.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:_RETRY_AFTER_DIGITS_MAX])
    until_ms, now_ms = date_ms(text), sent_at_ms(headers)
    return 0.0 if until_ms is None or now_ms is None else max(0.0, (until_ms - now_ms) / 1000)


def sent_at_ms(headers: Mapping[str, str]) -> int | None:
    """Return a response's `Date` (RFC 9110, section 6.6.1), Unix milliseconds."""
    return date_ms(headers.get("Date", ""))


@lru_cache(64)  # Twilio's times are whole seconds, so many callbacks have the same
def date_ms(text: str) -> int | None:
    """Return an RFC 5322 date as Unix milliseconds; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):  # all seen for invalid dates
        return None
