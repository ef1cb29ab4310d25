from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.webhooks.authentication import parse_form

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_form_is_read_as_it_was_written(pairs):
    form = parse_form(urlencode(pairs).encode())

    expected = parse_qsl(urlencode(pairs), keep_blank_values=True)
    assert set(form) == {name for name, _ in expected}
    for name in form:
        values = [value for other, value in expected if other == name]
        assert form[name] == values[0]
        assert form.repeated.get(name, [form[name]]) == values


@given(st.text("%+&=2BbAaCc3 :,0é"))
def test_odd_escapes_mean_what_the_standard_library_says(text):
    try:
        form = parse_form(text.encode())
    except UnicodeDecodeError:
        return

    first = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="strict"):
        first.setdefault(name, value)
    assert dict(form) == first


@given(st.text('%+&=25cCuU0"\\{}:,\x7f\n'))
def test_characters_that_json_escapes_mean_themselves(text):
    first = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        first.setdefault(name, value)
    assert dict(parse_form(text.encode(), errors="surrogateescape")) == first


@given(st.binary())
def test_no_body_raises_anything_but_a_decoding_error(body):
    parse_form(body, errors="surrogateescape")
    try:
        parse_form(body)
    except UnicodeDecodeError:
        return


def test_blank_values_and_names_without_equals_are_kept():
    assert dict(parse_form(b"a=&b&c=1")) == {"a": "", "b": "", "c": "1"}


def test_a_name_sent_twice_keeps_all_values():
    form = parse_form(b"a=2&b=1&a=1&a=2")

    assert form["a"] == "2"
    assert form.repeated == {"a": ["2", "1", "2"]}


def test_names_are_signed_by_code_point_and_values_of_a_name_once_each():
    form = parse_form(b"callSid=3&CallSid=2&CALLSID=1&a=2&a=1&a=2")

    assert form.signed_text() == "CALLSID1CallSid2a1a2callSid3"


@pytest.mark.parametrize("body", [b"a=\xff", b"a=%FF", b"%C3=1"])
def test_form_that_is_not_utf_8_is_refused_unless_its_bytes_are_kept(body):
    with pytest.raises(UnicodeDecodeError):
        parse_form(body)
    assert "\ufffd" in str(dict(parse_form(body, errors="surrogateescape").readable()))
