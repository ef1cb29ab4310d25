"""Numbers as carriers, PBXs, and phones write them: in URIs, without plus sign, with separators, as dialed."""

import phonenumbers
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from conferral.telephony.addresses import dialed_number, number_in, parse_uri
from tests.support.each import each
from tests.support.people import NUMBER, SALES

HOST = "acme.sip.twilio.com"


def fixed_lines():
    """An example number of each region, with the number of a business there."""
    kinds = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
    found = [phonenumbers.example_number_for_type(region, kind)
             for region in sorted(phonenumbers.SUPPORTED_REGIONS) for kind in kinds]  # fmt: skip
    return [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in found if number is not None]


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
