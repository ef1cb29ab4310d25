"""Numbers that no one may dial, new area codes, and costly ranges: whole classes, by enumeration and generation."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.telephony.addresses import parse_address
from conferral.telephony.forbidden_numbers import kind_of_costly, kind_of_forbidden
from tests.support.each import each
from tests.telephony.test_addresses import COSTLY, DEAR, EVERYWHERE, allows, examples

#: Area codes with a service of their own, so none of them is a new one: toll-free, premium-rate, personal, machines.
SERVICES = {"500", "521", "522", "523", "524", "525", "526", "527", "528", "529", "532", "533", "535", "538", "542",
            "543", "544", "545", "546", "547", "549", "550", "552", "553", "554", "556", "566", "558", "569", "577",
            "578", "588", "589", "600", "622", "633", "644", "655", "677", "688", "700", "710", "800", "822", "833",
            "844", "855", "866", "877", "888", "880", "881", "882", "883", "900"}  # fmt: skip


def unknown_area_codes():
    """The North American area codes that the library does not know, without services and codes such as 911."""
    codes = [str(code) for code in range(200, 1000) if str(code)[1] != "9" and not str(code).endswith("11")]
    return [
        code
        for code in codes
        if code not in SERVICES
        and not any(
            phonenumbers.is_valid_number(phonenumbers.parse(f"+1{code}{number}")) for number in ("2345678", "5550123")
        )
    ]


# ---- new area codes ----------------------------------------------------------------------------------------------


def test_prefix_of_a_new_area_code_admits_a_possible_number():
    codes = unknown_area_codes()
    assert len(codes) > 20
    assert {"624", "565"} <= set(codes)
    assert [code for code in codes if not allows(f"US,+1{code}", f"+1{code}5550123")] == []
    assert [code for code in codes if allows("US,+1", f"+1{code}5550123")] == []


def test_prefix_admits_no_premium_or_shared_cost_number_of_any_length():
    admitted = []
    for number in examples(DEAR):
        code = phonenumbers.parse(number).country_code
        for digits in (number, *(number + extra for extra in ("0", "5", "9", "00", "99"))):
            prefix = digits[: len(str(code)) + 3]  # longer than the country code
            if 8 <= len(digits) <= 16 and allows(prefix, digits):
                admitted.append(digits)
    assert admitted == []


@each("number", ["+19001550143", "+19000000000", "+4490012345670", "+49900123456789", "+4495012345678"])
def test_invalid_number_in_a_premium_range_stays_refused_under_its_own_prefix(number):
    assert not allows(number[:5], number)


@each("number, kind", [
    # Up to four digits too many.
    ("+359700123451663", "shared-cost"), ("+2302190123747", "pager"), ("+3984122966993", ""), ("+66190012345", ""),
    # Which numbers share four digits, three, or fewer.
    ("+35650039123", "premium-rate"), ("+12647201234", ""), ("+3278711234", "shared-cost"), ("+34808123456", ""),
    ("+21681501234", "premium-rate"), ("+590310123456", ""), ("+9669280170108", "premium-rate"),
    # Only those that are about as long count.
    ("+398481234", "shared-cost"), ("+20900123456", "premium-rate"), ("+2090012345", ""),
])  # fmt: skip
def test_invalid_number_is_of_the_kind_of_those_that_share_most_digits(number, kind):
    parsed = phonenumbers.parse(number)
    assert not phonenumbers.is_valid_number(parsed)
    assert (kind_of_forbidden(parsed) or kind_of_costly(parsed)) == kind


# ---- costly numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [10, pytest.param(1, marks=pytest.mark.soak)])
def test_costly_number_needs_a_prefix_inside_its_range(nth):
    numbers = examples(COSTLY)[::nth]
    numbers += ["+447012345678", "+39199123456", "+14159761234", "+16509761234", "+14155551212"]
    assert len(numbers) > 70 / nth
    assert [number for number in numbers if allows(EVERYWHERE, number)] == []
    by_code = [f"+{phonenumbers.parse(number).country_code}" for number in numbers]
    assert [number for number, code in zip(numbers, by_code, strict=True) if allows(code, number)] == []
    # In Japan, longer numbers that begin with these digits are mobile numbers.
    japanese = "+81601234567"
    assert [number for number in numbers if not allows(number, number)] == [one for one in numbers if one == japanese]


@each(
    "setting, number, allowed",
    [
        ("GB,+4470", "+447012345678", True),
        ("GB,+44", "+447012345678", False),
        ("GB,+447", "+447012345678", False),
        ("GB,+4476", "+447601123456", False),  # +44 7624 are mobile numbers
        ("GB,+447601", "+447601123456", True),
        ("IT,+39199", "+39199123456", True),
        ("US,+1415", "+14159761234", False),
        ("US,+1415976", "+14159761234", True),
        ("US,+1415555", "+14155551212", False),
        ("US,+14155551212", "+14155551212", True),
        ("US,+4470,sip:example.com", "sip:447012345678@example.com", True),
        ("US,sip:example.com", "sip:447012345678@example.com", False),
        ("GB,+44,sip:example.com", "sip:+447012345678@example.com", False),
    ],
)
def test_which_prefix_lies_inside_a_costly_range(setting, number, allowed):
    assert allows(setting, number) is allowed


# ---- numbers in SIP users ----------------------------------------------------------------------------------------

#: What a gateway in the US may dial, and no one may: emergency, premium-rate, costly; as digits and on a keypad.
NUMBERS = ("911", "112", "999", "19005550143", "9005550143", "01119005550143", "0019005550143",
           "0119005550143", "011911", "190055501430", "4155551212", "14159761234", "448712345678",
           "011447012345678")  # fmt: skip
pauses = st.text("pwPW", max_size=3)
separators = st.text("().-_~!$'", max_size=2)


@st.composite
def dialed_users(draw):
    """A user part that a gateway may dial as one of `NUMBERS`."""
    number = draw(st.sampled_from(NUMBERS))
    spaced = "".join(digit + draw(separators) for digit in number)
    lead = draw(st.sampled_from(["", "*67", "*82", "*31*", "(", ".", "-", "9,", "0x", "99,w"]))
    tail = draw(st.sampled_from(["", "*x", "*", "a", "x", "/x", "=a", ",bob", "w1", "&1", "p9"]))
    start = draw(pauses)
    return start + lead + spaced + tail


@given(dialed_users())
def test_user_part_that_may_be_dialed_as_a_forbidden_number_is_refused(user):
    assert not allows("US,GB,+1,+44,sip:example.com", f"sip:{user}@example.com")


@given(dialed_users())
def test_so_it_is_under_any_escape(user):
    escaped = "".join(f"%{ord(letter):02X}" for letter in user)[:60]
    escaped = escaped[: len(escaped) // 3 * 3]
    whole = len(escaped) == 3 * len(user)
    assert not (whole and allows("US,sip:example.com", f"sip:{escaped}@example.com"))


@each("user", ["911", "112", "9-1-1", "(911)", "*67911", "_911", "%39%31%31", "%2B19005550143", "+19005550143",
               "19005550143", "0019005550143", "+190055501430", "911/x", "911=a", "911,bob", "911w1",
               "+19005550143/bob", "1900FLOWERS", "1-900-FLOWERS", "p1900flowers", "900FLOWERS", "1900FLOWERSX",
               "9,911", "0x911", "9,1,911", "0#112", "0119005550143", "00112",
               "p911", "w911", "911a", "19005550143*x", "9w1w1", "1167911", "+1911", "+1900bob",
               "+1-900-555-0143"])  # fmt: skip
def test_separators_and_escapes_change_nothing_and_letters_count_as_on_a_keypad(user):
    assert not allows("US,+1,sip:example.com", f"sip:{user}@example.com")


@each("user", ["9911", "100", "2001x15", "9,14155550123", "011902125550123", "011442079460123", "14155550123x911"])
def test_an_extension_or_an_ordinary_number_may_be_dialed(user):
    assert allows("US,sip:example.com", f"sip:{user}@example.com")


# ---- localized domains -------------------------------------------------------------------------------------------

EDGES = [edge + private for private in ("", "-ix") for edge in (
    "ashburn", "umatilla", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney", "us1", "us2", "ie1",
    "de1", "sg1", "jp1", "br1", "au1")]  # fmt: skip


@each("edge", EDGES)
def test_localized_name_is_the_same_domain_and_the_global_one_is_dialed(edge):
    localized = f"acme.sip.{edge}.twilio.com"
    for setting in ("sip:acme.sip.twilio.com", f"sip:{localized}"):
        assert allows(setting, f"sip:bob@{localized}")
        assert allows(setting, "sip:bob@acme.sip.twilio.com")
        assert not allows(setting, f"sip:bob@other.sip.{edge}.twilio.com")
    assert parse_address(f"sip:bob@{localized};transport=tls").text == "sip:bob@acme.sip.twilio.com;transport=tls"


@each("host", ["acme.sip.twilio.com.evil.example", "acme.sip.us1.twilio.com.evil.example", "sip.twilio.com",
               "acme.pstn.us1.twilio.com", "acme.sip.us1.twilio.example"])  # fmt: skip
def test_no_other_host_passes_for_the_domain(host):
    assert not allows("sip:acme.sip.twilio.com", f"sip:bob@{host}")
