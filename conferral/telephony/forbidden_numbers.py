"""Numbers that are never dialed, or only if an entry names their range.

Emergency, premium-rate, and shared-cost numbers are never dialed. Costly numbers are dialed only if the allow-list has
a prefix that lies inside their range: `+4470` allows UK personal numbers, `+44` doesn't.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

#: Never dialed, whatever the list allows.
_FORBIDDEN_TYPES = {PhoneNumberType.PREMIUM_RATE: "premium-rate", PhoneNumberType.SHARED_COST: "shared-cost"}
#: Callers pay more for these than for an ordinary call.
_COSTLY_TYPES = {PhoneNumberType.PERSONAL_NUMBER: "personal", PhoneNumberType.PAGER: "pager"}
#: North American services that the library counts as ordinary numbers. Source: NANPA, "976" and "555 line numbers".
_COSTLY_IN_AMERICA = {
    re.compile(r"\+1[2-9][0-9]{2}976[0-9]{4}"): "976-exchange",
    re.compile(r"\+1[2-9][0-9]{2}5551212"): "directory-assistance",
}
#: Digits that complete a prefix, to see what kinds of numbers begin with it.
_FILLER = "2345678901234"
#: Leading digits, after the country code, that tell a service apart, such as 900 (count).
_SERVICE_DIGITS = 3
#: Digits that a caller may append to a complete number (count).
_EXTRA_DIGITS_MAX = 4
#: Emergency numbers that networks in most countries connect. Source: 3GPP TS 22.101, section 10.1.1, for 112 and 911.
_EMERGENCY_ANYWHERE = frozenset({"112", "911", "999"})
_INTERNATIONAL_PREFIX = re.compile(r"^(?:00|011)")
#: Keys of letters. Source: ITU-T E.161.
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
#: Before the first dial character: pauses and separators.
_LEAD = re.compile(r"[pwPW]*[^A-Za-z0-9]|[pwPW]+(?=[0-9])")
#: Ends a number in a user part: what follows may be an extension, a password, or a route.
_AFTER_NUMBER = re.compile(r"[*#,/=&]")
#: A vertical service code (`*67`, `1167`) before the number. Source: NANPA, "Vertical service codes".
_SERVICE_CODE = re.compile(r"11[0-9]{2}")
#: Digits for an outside line, and a pause, before the number (`9,911`).
_ACCESS_CODE = re.compile(r"[0-9]{1,3}[^0-9A-Za-z]*[pwxPWX*#,/=&](?:[^0-9A-Za-z]|[pwxPWX])*(?=[0-9])")


def kind_of_forbidden(parsed: PhoneNumber) -> str:
    """Return why a number is never dialed: its kind; empty if it may be."""
    return _kind_among(parsed, _FORBIDDEN_TYPES)


def kind_of_costly(parsed: PhoneNumber) -> str:
    """Return why a number costs more than others; empty if it doesn't."""
    text = e164(parsed)
    in_america = (words for pattern, words in _COSTLY_IN_AMERICA.items() if pattern.match(text))
    return _kind_among(parsed, _COSTLY_TYPES) or next(in_america, "")


def _kind_among(parsed: PhoneNumber, kinds: Mapping[int, str]) -> str:
    """Return the number's kind if it is one of these, else empty.

    The library does not know a number with a digit too many, which networks still connect. So for an invalid
    number, those that share the most leading digits decide.
    """
    if phonenumbers.is_valid_number(parsed):
        return kinds.get(phonenumbers.number_type(parsed), "")
    digits, code_length = e164(parsed)[1:], len(str(parsed.country_code))
    for shorter in range(1, _EXTRA_DIGITS_MAX + 1):
        complete = parse_possible(f"+{digits[:-shorter]}")
        if complete is not None and phonenumbers.is_valid_number(complete):
            return kinds.get(phonenumbers.number_type(complete), "")
    for shared in range(_SERVICE_DIGITS + 1, 0, -1):
        if types := _types_of_neighbors(digits[: code_length + shared], len(digits)):
            found = [kinds[one] for one in sorted(types) if one in kinds]
            return found[0] if found and (shared >= _SERVICE_DIGITS or len(found) == len(types)) else ""
    return ""


@lru_cache(maxsize=4096)
def lies_in_costly_range(prefix: str) -> bool:
    """Whether only costly numbers begin with an allow-list's prefix.

    >>> lies_in_costly_range("+4470"), lies_in_costly_range("+44"), lies_in_costly_range("+1415976")
    (True, False, True)
    """
    kinds = [kind_of_costly(one) for one in _completed(prefix[1:])]
    return bool(kinds) and all(kinds)


def is_emergency(parsed: PhoneNumber, region: str) -> bool:
    """Whether it is an emergency number, even after an area code (+49 30 112)."""
    national = phonenumbers.national_significant_number(parsed)  # keeps Italy's leading zeros
    subscriber = national[phonenumbers.length_of_geographical_area_code(parsed) :]
    return bool(region) and any(phonenumbers.is_emergency_number(digits, region) for digits in (national, subscriber))


def forbidden_in_user(user: str, regions: Iterable[str]) -> tuple[str, tuple[PhoneNumber, ...]]:
    """Judge a SIP user part as the number that a gateway may dial.

    Return why it is never dialed, empty if it may be, and the costly numbers that it may be read as. A user part that
    begins with a letter is a name.
    """
    regions = sorted({one for one in regions if one})
    costly: list[PhoneNumber] = []
    for digits in _dialed_digits(user):
        short = {digits, _INTERNATIONAL_PREFIX.sub("", digits, 1)}
        if short & _EMERGENCY_ANYWHERE or any(phonenumbers.is_emergency_number(digits, one) for one in regions):
            return "emergency", ()
        for parsed in _readings(digits, regions):
            if forbidden := kind_of_forbidden(parsed):
                return forbidden, ()
            if any(is_emergency(parsed, one) for one in regions):
                return "emergency", ()
            if kind_of_costly(parsed):
                costly.append(parsed)
    return "", tuple(costly)


def numbers_in_user(user: str, regions: Iterable[str]) -> Iterator[PhoneNumber]:
    """Yield the numbers that a gateway may read in a SIP user part."""
    known = sorted({one for one in regions if one})
    return (parsed for digits in _dialed_digits(user) for parsed in _readings(digits, known))


def _dialed_digits(user: str) -> list[str]:
    """Return the digits that the leading dial characters of a user part make.

    Readings differ in whether letters and pauses count, and in what ends the number.

    >>> _dialed_digits("1900FLOWERS")
    ['1900', '19003569377']
    >>> _dialed_digits("bob911")
    []
    """
    rest = user
    while found := _LEAD.match(rest):
        rest = rest[found.end() :]
    if not rest[:1].isdigit():
        return []
    texts = [rest]
    if any(sign in user[: len(user) - len(rest)] for sign in "*#"):
        texts += [rest[2:].lstrip("*#"), rest[3:].lstrip("*#")]
    elif code := _SERVICE_CODE.match(rest):
        texts.append(rest[code.end() :])
    while code := _ACCESS_CODE.match(rest):
        rest = rest[code.end() :]
        texts.append(rest)
    texts += [re.sub("[pwPW]", "", text) for text in texts]
    # The number ends at a sign, or the gateway drops it; a letter ends it, or counts as on a keypad.
    numbers = [number for text in texts for number in (_AFTER_NUMBER.split(text)[0], text)]
    reads = [read for one in numbers for read in (re.split("[A-Za-z]", one)[0], one.lower().translate(_KEYS))]
    return [digits for digits in dict.fromkeys(re.sub("[^0-9]", "", read) for read in reads) if digits]


def _readings(digits: str, regions: Sequence[str]) -> Iterator[PhoneNumber]:
    """Return the numbers that networks may connect these digits to."""
    international = _INTERNATIONAL_PREFIX.sub("", digits)
    abroad = parse_possible(f"+{international}")
    texts = [(f"+{international}", None), *((digits, one) for one in regions)]
    if abroad is None or not phonenumbers.is_valid_number(abroad):  # a gateway may take what is left for a national one
        texts += [(international, one) for one in regions]
    for text, region in texts:
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        phonenumbers.truncate_too_long_number(parsed)  # networks connect once the digits are complete
        if phonenumbers.is_possible_number(parsed):
            yield parsed


@lru_cache(maxsize=4096)
def _types_of_neighbors(prefix: str, length: int) -> set[int]:
    """Return types of valid numbers, about as long, that begin with a prefix."""
    lengths = range(max(len(prefix), length - 1), length + 2)
    texts = {(prefix + digit + _FILLER)[:count] for count in lengths for digit in "0123456789"}
    numbers = (parse_possible(f"+{text}") for text in texts)
    return {phonenumbers.number_type(one) for one in numbers if one is not None} - {PhoneNumberType.UNKNOWN}


def _completed(prefix: str) -> Iterator[PhoneNumber]:
    """Return valid numbers of all lengths that begin with a prefix."""
    starts = [prefix + f"{two:02d}" for two in range(100)]
    for text in sorted({(start + _FILLER)[:length] for start in starts for length in range(len(prefix), 16)}):
        parsed = parse_possible(f"+{text}")
        if parsed is not None and phonenumbers.is_valid_number(parsed):
            yield parsed


def parse_possible(text: str, region: str | None = None) -> PhoneNumber | None:
    """Return the complete number in a text, of a region if given; or None."""
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return parsed if is_possible(parsed) else None


def is_possible(parsed: PhoneNumber) -> bool:
    """Whether a number is complete, assigned or not."""
    return bool(phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE)


def e164(parsed: PhoneNumber) -> str:
    """Return a number with a plus sign and its country code."""
    return str(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))
