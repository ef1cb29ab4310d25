"""Numbers as carriers, PBXs, and phones write them: in URIs, without plus sign, with separators, as dialed."""

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from conferral.telephony.addresses import AddressError, AllowList, dialed_number, number_in, parse_address, parse_uri
from tests.support.each import each
from tests.support.people import NUMBER, SALES

ALLOWED = AllowList.from_setting("GB,DE,PL", NUMBER)
HOST = "acme.sip.twilio.com"


def e164(parsed):
    """A parsed number with its country code."""
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


def fixed_lines():
    """An example number of each region, with the number of a business there."""
    kinds = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
    found = [phonenumbers.example_number_for_type(region, kind)
             for region in sorted(phonenumbers.SUPPORTED_REGIONS) for kind in kinds]  # fmt: skip
    return [e164(number) for number in found if number is not None]


NUMBERS = fixed_lines()


@st.composite
def uris(draw, number):
    """A URI with that number as its user part."""
    digits = draw(st.sampled_from([number, number[1:], number.replace("+", "%2B")]))
    position = draw(st.integers(2, len(digits) - 2))
    if digits[position - 2 : position + 1].find("%") < 0:
        digits = digits[:position] + draw(st.sampled_from(["", "-", ".", "%20", " "])) + digits[position:]
    scheme = draw(st.sampled_from(["sip:", "sips:", "SIP:", "tel:"]))
    host = "" if scheme == "tel:" else draw(st.sampled_from([f"@{HOST}", "@192.0.2.7:5080", "@pbx.example"]))
    return scheme + digits + host + draw(st.sampled_from(["", ";user=phone", ";transport=tcp;user=phone"]))


@given(st.data())
def test_every_form_of_a_carriers_uri_shows_the_number(data):
    number = data.draw(st.sampled_from([SALES, "+442079460123", "+493012345678", "+390612345678"]))
    assert number_in(data.draw(uris(number)), NUMBER) == number


@each("number", NUMBERS)
def test_number_without_plus_is_read_as_international_or_national(number):
    # A business abroad, whose own numbers are too short or too long to be confused with it.
    found = number_in(f"sip:{number[1:]}@{HOST}", number)
    assert phonenumbers.parse(found).country_code == phonenumbers.parse(number).country_code


@each("number", NUMBERS)
def test_number_is_dialed_as_in_its_own_country_and_from_abroad(number):
    parsed = phonenumbers.parse(number)
    national = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    # Shorter numbers, in small countries, could be extensions.
    if sum(letter.isdigit() for letter in national) >= 7 and not set(national) - set("0123456789 ()-."):
        assert phonenumbers.parse(dialed_number(national, number)) == parsed
    assert dialed_number(f"011{number[1:]}", NUMBER) == number


@each(
    "text, number",
    [
        ("4155550123", "+14155550123"),
        ("14155550123", "+14155550123"),
        ("(415) 555-0123", "+14155550123"),
        ("415.555.0123", "+14155550123"),
        ("011442079460123", "+442079460123"),
        ("+442079460123", "+442079460123"),
        ("6246471946", "+16246471946"),  # an area code that the library does not know, not Indonesia
        ("911", ""),
        ("1911", ""),
        ("112", ""),
        ("1001", ""),
        ("5550123", ""),
        ("+0123456789", ""),
        ("4155550123x5", ""),
        ("alice", ""),
        ("", ""),
    ],
)
def test_what_a_phone_in_america_dials(text, number):
    assert dialed_number(text, NUMBER) == number


def test_number_without_a_scheme_is_read_as_dialed_and_a_clients_name_never():
    assert number_in("415 555 0101", NUMBER) == SALES
    assert number_in("client:4155550101", NUMBER) == ""


@given(st.text(max_size=60))
def test_no_text_breaks_the_parsers(text):
    found = number_in(text, NUMBER)
    assert found == "" or found.startswith("+")
    uri = parse_uri(text)
    assert uri is None or "@" not in uri.domain


def is_allowed(text):
    """Whether an address may be dialed."""
    try:
        ALLOWED.check(parse_address(text))
    except AddressError:
        return False
    return True


@each("text", ["+44 (0)20 7946 0123", "+44(0)20 7946 0123", "+44 (0) 20-7946-0123", "+44.(0).20.7946.0123",
               "+(44) (0)20 7946 0123", "+44 ( 0 )20 7946 0123",
               "+44\u00a0(0)\u00a020\u00a07946\u00a00123", "+44 (0) (20) 79460123"])  # fmt: skip
def test_zero_in_parentheses_after_the_country_code_is_left_out(text):
    assert parse_address(text).text == "+442079460123"
    assert number_in(text, NUMBER) == number_in(f"sip:{text}@{HOST}", NUMBER) == "+442079460123"


@each("text", ["(+44) (0)20 7946 0123", "011 44 (0)20 7946 0123"])
def test_number_as_a_phone_dials_it_may_have_its_zero_in_parentheses(text):
    assert dialed_number(text, NUMBER) == "+442079460123"


@each("number", NUMBERS)
def test_number_of_any_country_may_have_its_zero_in_parentheses(number):
    country = str(phonenumbers.parse(number).country_code)
    rest = number.removeprefix(f"+{country}").removeprefix("0")
    with_zero = f"+{country}0{rest}"
    parsed = phonenumbers.parse(with_zero)
    # Where the numbering plan has the number with its zero, as in Italy, the zero is meant.
    is_meant = phonenumbers.is_valid_number(parsed) and e164(parsed) == with_zero
    assert parse_address(f"+{country} (0){rest}").text == (with_zero if is_meant else number)


def test_zero_that_belongs_to_the_number_stays_also_where_a_phone_has_the_other():
    assert parse_address("+39 (0)331 123 4567").text == "+3903311234567"
    assert parse_address("+39 331 123 4567").text == "+393311234567"


@each("text", ["+4 (0)4 20 7946 0123", "+44 2(0)0 7946 0123", "+44 20 (0)7946 0123", "+44 (020) 7946 0123",
               "+44020 7946 0123", "+44 0 20 7946 0123", "+48 022 123 45 67"])  # fmt: skip
def test_any_other_zero_is_dialed_or_refused(text):
    assert parse_address(text).text == re.sub(r"[^+0-9]", "", text)
    assert not is_allowed(text)


@each("text", ["+44 020 7946 0123", "+44 (020) 7946 0123", "+4902012345678", "+48 022 123 45 67"])
def test_trunk_zero_without_parentheses_has_its_own_reason(text):
    reason = "^the phone number has a 0 after its country code: leave it out, or write it as [(]0[)]$"
    with pytest.raises(AddressError, match=reason):
        ALLOWED.check(parse_address(text))


@each("text", ["+44 (0)999", "+44 (0)909 879 0123", "+49 (0)110"])
def test_zero_in_parentheses_opens_no_number_that_is_never_dialed(text):
    assert not is_allowed(text)
