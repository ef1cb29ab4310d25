import re
from functools import cache, partial

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from conferral.runtime.errors import SettingsError
from conferral.telephony.addresses import (
    AddressError,
    AddressKind,
    AllowList,
    is_caller_id,
    parse_address,
    region_of,
    without_params,
)
from tests.support.each import each
from tests.support.people import NUMBER

allow_list = cache(partial(AllowList.from_setting, own_number=NUMBER))


def allows(setting, text):
    """Whether a setting allows an address."""
    try:
        allow_list(setting).check(parse_address(text))
    except AddressError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "kind", "noun"),
    [
        ("+14155550123", AddressKind.NUMBER, "+14155550123"),
        ("client:alice", AddressKind.CLIENT, "alice"),
        ("client:Alice_40example_2Ecom", AddressKind.CLIENT, "Alice_40example_2Ecom"),
        ("client:" + "a" * 121, AddressKind.CLIENT, "a" * 121),
        ("sip:bob@example.com", AddressKind.SIP, "sip:bob@example.com"),
        ("sip:bob@example.com:5061;transport=tls", AddressKind.SIP, "sip:bob@example.com:5061;transport=tls"),
        ("sip:bob@example.com:65535", AddressKind.SIP, "sip:bob@example.com:65535"),
    ],
)
def test_an_address_is_a_number_a_client_or_a_sip_uri(text, kind, noun):
    address = parse_address(text)

    assert (address.kind, address.noun, address.text) == (kind, noun, text)


@each("text", ["+1 (415) 555-0123", "+1.415.555.0123", "+1-415-555-0123", "+1\u00a0415\u00a05550123"])
def test_separators_in_a_number_are_ignored(text):
    assert parse_address(text).text == "+14155550123"


@each(
    "text",
    [
        "", " ", "+1 415 555 0123\n", "+1/415/555/0123", "+1 41+5 555 0123",
        "14155550123", "(415) 555-0123", "+0123456789", "+1415555012345678", "+14155550123\n", " +14155550123",
        "911", "112", "+1911", "client:", "client:a b", "client:a\r\nb", "client:a?x=1", "sip:", "sip:bob",
        "client:" + "a" * 122, "client:alice.b", "client:alice@example.com", "client:alice-b", "client:älice",
        "sip:@example.com", "sip:bob@example.com\r\nX: y", "sips:bob@example.com", "tel:+14155550123",
        "sip:bob@example.com?header=x", "+١٤١٥٥٥٥٠١٢٣", "CLIENT:alice", "sip:bob@example.com:0",
        "sip:bob@example.com:65536", "sip:bob%40evil.example@example.com", "sip:bob%00@example.com",
        "sip:bob%2540@example.com", "sip:bob%0d%0a@example.com", "sip:bob%4@example.com", "sip:%@example.com",
        "sip:b%C3%B6b@example.com", "sip:bob%3Bphone-context=x@example.com", "sip:bob%3Ax@example.com",
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_words_without_the_address(text):
    with pytest.raises(AddressError) as caught:
        parse_address(text)

    reason = caught.value.reason
    assert not re.search(r"\d{3}|alice", reason.replace("+12025550145", "").replace("1 to 121 letters", ""))


@each(
    "identity, which",
    [("alice.b", "has '.'"), ("a@b", "has '@'"), ("a-b", "has '-'"), ("a\n", r"has '\n'"), ("", "is empty"),
     ("é", r"has '\xe9'"), ("a" * 122, "is longer")],
)  # fmt: skip
def test_an_identity_that_twilio_does_not_dial_is_refused_by_what_is_wrong_with_it(identity, which):
    with pytest.raises(AddressError) as caught:
        parse_address(f"client:{identity}")

    rule = "must be 1 to 121 letters, digits, or _, since Twilio dials no others; this one"
    assert caught.value.reason == f"the name after client: {rule} {which}"


@each(
    "text, reason",
    [("911", "short and emergency"), ("+555012", "short and emergency"), ("5550123", "must be a number")],
)
def test_short_number_and_one_without_country_code_have_their_own_reasons(text, reason):
    with pytest.raises(AddressError, match=reason):
        parse_address(text)


@given(st.text())
def test_no_text_raises_anything_but_our_error(text):
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert not re.search(r"\s", address.text)


def test_address_repr_hides_the_number():
    assert repr(parse_address("+14155550123")) == "<Address number>"


@each(
    "number, region",
    [
        ("+14155550123", "US"),
        ("+12025550100", "US"),
        ("+14165550123", "CA"),
        ("+18765550123", "JM"),
        ("+12845550123", "VG"),
        ("+14150550123", "US"),
        ("+18760550123", "JM"),
        ("+18095550123", "DO"),
        ("+442079460123", "GB"),
        ("+447700900123", "GB"),
        ("+77172555555", "KZ"),
        ("+353201234567", "IE"),
        ("+19115551234", ""),
        ("+15550100", ""),
        ("+9991234567", ""),
    ],
)
def test_a_region_follows_the_numbering_plan_even_for_reserved_numbers(number, region):
    assert region_of(number) == region


@each(
    "setting, text, allowed",
    [
        (None, "+14155550123", True),
        (None, "+18765550123", False),  # +1, but Jamaica
        (None, "+442079460123", False),
        (None, "client:alice", True),
        (None, "sip:bob@example.com", False),
        ("US,GB", "+442079460123", True),
        ("US,GB", "client:alice", False),
        ("+4420", "+442079460123", True),
        ("+4420", "+441619460123", False),
        ("+1", "+18765550123", True),  # said in so many words
        ("+1", "+19005550123", False),  # premium, whatever the list says
        ("GB", "+448712345678", False),
        ("GB", "+448431234567", False),  # shared cost
        ("US", "+19115551234", False),
        ("sip:example.com", "sip:bob@example.com", True),
        ("sip:example.com", "sip:bob@EXAMPLE.com", True),
        ("sip:example.com", "sip:bob@evil.example.com", False),
        ("sip:example.com", "sip:example.com@evil.example", False),
        ("client:, US", "client:alice", True),
        ("", "+14155550123", False),
        ("GB,+44", "+4402079460123", False),  # the trunk prefix left in
        ("US", "+15550100", False),  # possible, but assigned to no one
        ("CA", "+13101234", True),  # complete with seven digits
        ("+98", "+989601", True),
        ("sip:example.com", "sip:bob@example.com:5061", True),
        ("sip:example.com", "sip:bob@example.com:22", False),
        ("sip:example.com:5080", "sip:bob@example.com:5080", True),
        ("sip:example.com:5080", "sip:bob@example.com", False),
        ("sip:example.com:5060", "sip:bob@example.com:5060", True),
        ("US,sip:example.com", "sip:+14155550123@example.com", True),
        ("US,sip:example.com", "sip:b%6Fb.2@example.com", True),  # an escape that changes nothing
        ("sip:example.com", "sip:+14155550123@example.com", False),  # a gateway would dial it
    ],
)
def test_only_destinations_on_the_allow_list_may_be_dialed(setting, text, allowed):
    assert allows(setting, text) is allowed


def examples(types):
    """The library's example numbers of some types, for all regions and the country codes that belong to none."""
    regions = [phonenumbers.example_number_for_type(region, kind)
               for region in sorted(phonenumbers.SUPPORTED_REGIONS) for kind in types]  # fmt: skip
    nowhere = [phonenumbers.example_number_for_non_geo_entity(code)
               for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)]  # fmt: skip
    found = [*regions, *(number for number in nowhere if phonenumbers.number_type(number) in types)]
    return [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in found if number is not None]


DEAR = (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST)
COSTLY = (PhoneNumberType.PERSONAL_NUMBER, PhoneNumberType.PAGER)
ORDINARY = tuple(kind for kind in PhoneNumberType.values() if kind not in (*DEAR, *COSTLY, PhoneNumberType.UNKNOWN))
EVERYTHING = ",".join(f"+{digit}" for digit in range(1, 10))
EVERYWHERE = ",".join(sorted(phonenumbers.SUPPORTED_REGIONS))


def dialed(texts):
    return [text for text in texts if re.fullmatch(r"\+[0-9]{7,15}", text) and allows(EVERYTHING, text)]


def test_no_premium_or_shared_cost_number_is_dialed_with_digits_too_many():
    numbers = examples(DEAR)
    longer = [number + extra for number in numbers for extra in ("", *"0123456789", "00", "45", "99", "999", "0000")]

    assert len(numbers) > 150
    assert dialed(longer) == []


def test_a_premium_or_shared_cost_number_that_lacks_digits_is_dialed_only_if_it_is_an_ordinary_number():
    shorter = {number[:-cut] for number in examples(DEAR) for cut in (1, 2, 3)}
    # +60 16 001 2345 is a mobile number in Malaysia, and +60 1600 12 3456 a premium-rate number.
    ordinary = {"+60160012345", "+56600123456", "+353152012345", "+35315201234", "+353185012345", "+35318501234",
                "+85519001234", "+9619012345", "+9618012345", "+9609001234", "+508810123", "+6619001234"}  # fmt: skip

    assert set(dialed(shorter)) <= ordinary


def test_every_ordinary_example_number_is_dialed_where_its_region_is_allowed():
    numbers = examples(ORDINARY)

    assert len(numbers) > 1000
    assert [number for number in numbers if not allows(f"{EVERYWHERE},+8", number)] == []


@pytest.mark.parametrize("text", ["+19005550123", "+18765550123", "+15550100", "sip:bob@example.com"])
def test_a_refusal_names_no_address(text):
    with pytest.raises(AddressError) as caught:
        AllowList.from_setting(None, NUMBER).check(parse_address(text))

    assert not re.search(r"\d", str(caught.value))
    assert "bob" not in str(caught.value)


@each(
    "setting", ["usa", "us", "XX", "US,4420", "US,client:alice", "US,sip:", "+0", "US,https://x", "sip:x.example:70000"]
)
def test_an_entry_that_is_no_entry_is_named_by_its_position(setting):
    with pytest.raises(SettingsError) as caught:
        AllowList.from_setting(setting, NUMBER)

    position = 1 + setting.count(",")
    assert caught.value.problems[0].startswith(f"CONFERRAL_ALLOWED_DESTINATIONS: entry {position} ")


@each("shown, address", [
    ("client:alice?name=Ada", "client:alice"), ("client:alice", "client:alice"),
    ("sip:bob@example.com?X-name=Ada", "sip:bob@example.com"), ("+14155550199", "+14155550199"), ("", ""),
])  # fmt: skip
def test_an_address_is_shown_with_or_without_params(shown, address):
    assert without_params(shown) == address


@each(
    "caller, shown",
    [("+14155550199", True), ("client:alice", False), ("anonymous", False), ("", False), ("+266696687", False),
     ("+10000000000", False), ("+1415555019", False), ("+4402079460123", False), ("+442079460123", True)],
)  # fmt: skip
def test_a_caller_is_shown_only_where_there_is_a_number(caller, shown):
    assert is_caller_id(caller) is shown
