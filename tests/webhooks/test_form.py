from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from conferral.webhooks.authentication import parse_form, signed_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


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
