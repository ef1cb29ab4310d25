"""Twilio's answers become our errors by one table, and nothing of their texts is carried on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioException

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.telephony.errors import (
    code_of,
    from_status,
    retry_after_s,
    translate_errors,
)
from tests.support.each import each
from tests.support.people import CUSTOMER


@each(
    "http_status, code, expected",
    [
        (400, 20001, ProviderRefusedError),
        (400, 21220, ProviderGoneError),
        (400, 21211, ProviderRefusedError),
        (400, 13240, ProviderRefusedError),
        (400, 16028, ProviderRefusedError),
        (408, 0,     ResultUnknownError),
        (408, 16114, ResultUnknownError),
        (400, 16114, ResultUnknownError),
        (400, 16108, ProviderRefusedError),
        (401, 20003, ProviderRefusedError),
        (403, 20403, ProviderRefusedError),
        (404, 20404, ProviderGoneError),
        # A wrong TWILIO_API_URL answers 404 to everything; hang-ups must not count as done then.
        (404, 0,     ProviderRefusedError),
        (302, 0,     ProviderRefusedError),
        (429, 0,     RateLimitedError),
        (429, 20429, RateLimitedError),
        (503, 20429, ResultUnknownError),
        (500, 20500, ResultUnknownError),
        (502, 0,     ResultUnknownError),
        (503, 21220, ResultUnknownError),
        (400, 16001, ProviderRefusedError),
        (400, 16099, ProviderRefusedError),
        (400, 16021, ProviderRefusedError),
        (400, 10004, ProviderRefusedError),
        (400, 86008, ProviderRefusedError),
        (400, 16022, ProviderGoneError),
        *((400, code, ProviderRefusedError) for code in (16023, 16024, 16025)),
        (400, 16026, ResultUnknownError),
        (400, 16030, ResultUnknownError),
        (400, 20429, RateLimitedError),
        (499, 0,     ProviderRefusedError),
    ],
)  # fmt: skip
def test_each_answer_has_one_error(http_status: int, code: int, expected: type[ProviderError]) -> None:
    error = from_status(http_status, code, retry_after_s=1.5)

    assert type(error) is expected
    assert (error.http_status, error.code, error.retry_after_s) == (http_status, code, 1.5)


@each("foreign", [
    ValueError(CUSTOMER), TypeError(CUSTOMER), KeyError(CUSTOMER), AttributeError(CUSTOMER), OverflowError(CUSTOMER),
    IndexError(CUSTOMER), TwilioException("Unable to fetch page", CUSTOMER),
])  # fmt: skip
def test_body_that_the_library_stumbles_over_is_an_unknown_outcome(foreign: Exception) -> None:
    with pytest.raises(ResultUnknownError) as caught, translate_errors():
        raise foreign

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert CUSTOMER not in str(caught.value)


NOON = "Tue, 20 Oct 2026 12:00:00 GMT"


@each(
    "header, expected",
    [
        (None, 0.0),
        ("", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("-7", 0.0),
        ("soon", 0.0),
        ("9" * 40, 999_999_999.0),
        ("Tue, 20 Oct 2026 12:00:05 GMT", 5.0),
        ("Tue, 20 Oct 2026 12:00:05 -0000", 5.0),
        ("Tue, 20 Oct 2026 14:00:05 +0200", 5.0),
        ("Tue, 20 Oct 2026 12:00:05", 5.0),
        ("Tue, 20 Oct 2026 11:00:00 GMT", 0.0),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", 0.0),
        ("Mon, 1 Jan 2027 00:00:00 -99999999999999", 0.0),
        ("Mon, 1 Jan 2027 00:00:00 -" + "9" * 400, 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, expected: float) -> None:
    assert retry_after_s({} if header is None else {"Retry-After": header, "Date": NOON}) == expected


@settings(max_examples=30)
@given(
    st.text("0123456789 ,:+-GMTWedOct\u0663", max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,12} Oct -?\d{1,12} \d{1,12}:\d{1,4}:\d{1,4} [-+]\d{1,20}", fullmatch=True)
)
def test_retry_after_that_is_nonsense_asks_for_nothing_or_a_number(header: str) -> None:
    assert 0.0 <= retry_after_s({"Retry-After": header, "Date": NOON}) < float("inf")


@each(
    "body, code",
    [
        (b'{"code": 21220, "message": "Call is not in-progress."}', 21220),
        (b'{"code": "21220"}', 21220),
        (b'{"code": "123456789"}', 123_456_789),
        (b'{"code": "1234567890"}', 0),
        (b'{"code": 1234567890}', 0),
        (b'{"code": null}', 0),
        (b'{"code": [1]}', 0),
        (b'{"code": "many"}', 0),
        (b"[21220]", 0),
        (b"<html>Bad gateway</html>", 0),
        (b'{"code": 212', 0),
        (b"\xff\xfe", 0),
        (b"", 0),
    ],
)
def test_code_is_read_from_any_body(body: bytes, code: int) -> None:
    assert code_of(body) == code
