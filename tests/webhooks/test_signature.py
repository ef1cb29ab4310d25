from itertools import product
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from conferral.webhooks.authentication import Signature, SignatureCheck, parse_form, signed_text
from tests.support.each import each

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
#: The example of Twilio's documentation, "Webhooks security".
PUBLIC_BODY = urlencode(
    {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
).encode()
PUBLIC_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def is_valid(public_url, target, *, signature=PUBLIC_SIGNATURE, tokens=("12345",), body=PUBLIC_BODY):
    made = Signature(signature, tuple(token.encode() for token in tokens), "sha1")
    form = signed_text(parse_form(body)).encode()
    return SignatureCheck(public_url).is_valid(target, form, made, prefix_was_kept=False)


def test_the_public_example_is_accepted():
    assert is_valid("https://mycompany.com", "/myapp.php?foo=1&bar=2")


@each(
    "public_url, target, changes",
    [
        ("https://mycompany.com", "/myapp.php?foo=1&bar=3", {}),
        ("https://mycompany.com", "/myapp.php?bar=2&foo=1", {}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=%32", {}),
        ("https://mycompany.com", "/myapp.php/?foo=1&bar=2", {}),
        ("http://mycompany.com", "/myapp.php?foo=1&bar=2", {}),
        ("https://other.example", "/myapp.php?foo=1&bar=2", {}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"tokens": ("12346",)}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"body": PUBLIC_BODY + b"&x="}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"signature": ""}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"signature": PUBLIC_SIGNATURE + "x"}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"signature": PUBLIC_SIGNATURE.lower()}),
        ("https://mycompany.com", "/myapp.php?foo=1&bar=2", {"signature": "é\udcff"}),
    ],
)
def test_anything_that_differs_is_refused(public_url, target, changes):
    assert not is_valid(public_url, target, **changes)


HOST = "https://mycompany.com"
WITH_USER = "https://user:pass@mycompany.com:8443"


@pytest.mark.parametrize(
    ("configured", "as_signed"),
    [*product([HOST, f"{HOST}:443"], repeat=2), pytest.param(WITH_USER, WITH_USER, id="userinfo-and-port")],
)
def test_a_url_is_signed_with_or_without_its_port_and_else_as_configured(configured, as_signed):
    signature = RequestValidator("12345").compute_signature(as_signed + "/x", {"a": "1"})

    assert is_valid(configured, "/x", body=b"a=1", signature=signature)


@each("as_signed", ["to=client:o'hara@x", "to=client%3Ao%27hara%40x", "to=client%3Ao'hara%40x", "to=client:o%27hara@x"])
@each("as_sent", ["to=client:o'hara@x", "to=client%3Ao%27hara%40x", "to=client%3ao'hara%40x", "to=client:o%27hara%40x"])
def test_colon_at_sign_and_apostrophe_may_be_signed_in_another_encoding_than_sent(as_sent, as_signed):
    signature = RequestValidator("12345").compute_signature(f"{HOST}/x?{as_signed}", {"a": "1"})

    assert is_valid(HOST, f"/x?{as_sent}", body=b"a=1", signature=signature)
    assert not is_valid(HOST, f"/x?{as_sent.replace('hara', 'hare')}", body=b"a=1", signature=signature)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_every_form_that_the_library_accepts_is_accepted(pairs):
    class Fields(dict):
        def getall(self, name):
            return [value for other, value in pairs if other == name]

    validator = RequestValidator("12345")
    signature = validator.compute_signature("https://mycompany.com/x?y=1", Fields(pairs))

    assert validator.validate("https://mycompany.com/x?y=1", Fields(pairs), signature)
    assert is_valid("https://mycompany.com", "/x?y=1", body=urlencode(pairs).encode(), signature=signature)


# ---- forms ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_form_is_read_as_it_was_written(pairs):
    written = urlencode(pairs)

    assert parse_form(written.encode()) == parse_qsl(written, keep_blank_values=True)


@given(st.text('%+&=2BbAaCc3uU :,0é"\\{}\x7f\n'))
def test_odd_escapes_mean_what_the_standard_library_says(text):
    assert parse_form(text.encode()) == parse_qsl(text, keep_blank_values=True)


@given(st.binary())
def test_no_body_raises(body):
    parse_form(body)


def test_names_are_signed_by_code_point_and_values_of_a_name_once_each():
    form = parse_form(b"callSid=3&CallSid=2&CALLSID=1&a=2&a=1&a=2")

    assert signed_text(form) == "CALLSID1CallSid2a1a2callSid3"
