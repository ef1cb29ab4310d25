"""Redaction of phone numbers, except for their last two digits."""

import re
from urllib.parse import urlsplit, urlunsplit

#: The example number in our messages; it belongs to no one. Source: North American Numbering Plan, 555-0100 to 0199.
EXAMPLE = "+12025550145"
#: Separators between a number's digits: spaces, brackets, dots, slashes, any dash, and the same in URL encoding.
_SEPARATOR = r"(?:[\s().\-/+·•\u2010-\u2015\u2212]|%(?:09|20|28|29|2[BDEFbdef]|C2%A0|c2%a0))"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
#: An IPv4 address, before a path or where the digits end; or seven digits or more, with at most three separators
#: between two of them. One pass over both, since a text from outside may hold thousands.
_HOST_OR_NUMBER = re.compile(
    rf"(?P<host>(?a:{_OCTET}(?:\.{_OCTET}){{3}})(?=/|(?!{_SEPARATOR}{{0,3}}\d)))"
    rf"|\+?\d(?:{_SEPARATOR}{{0,3}}\d){{6,}}"
)
#: The end of a text that was cut, if it may be the beginning of a number, or of an encoded separator. Longer runs of
#: digits are no number, and would take as much time as they are long at each of their digits.
_CUT_NUMBER = re.compile(rf"\+?\d(?:{_SEPARATOR}{{0,3}}\d){{0,19}}{_SEPARATOR}{{0,3}}(?:%[0-9A-Fa-f%]{{0,4}})?$")

_LONG_DIGITS = re.compile(r"\+?\d[\d().-]{5,}\d")
#: A phone number inside other text, such as the JSON of attempts: with a plus sign, or as a SIP or client name.
_NUMBER_IN_TEXT = re.compile(r"\+\d[\d().-]{3,}\d|(?:(?<=sip:)|(?<=sips:)|(?<=client:))\d[\d().-]{3,}\d")


def redact(address: str) -> str:
    """Show only a number's last two digits, or the kind of another address.

    >>> redact("+14155550123"), redact("14155550123"), redact("client:alice")
    ('+…23', '…23', 'client:…')
    """
    has_digits = any(letter.isdigit() for letter in address)
    if address.startswith("+") or (has_digits and not re.search(r"[A-Za-z]", address)):
        return _keep_last_digits(address)
    kind, colon, _ = address.partition(":")
    return f"{kind}:…" if colon else "…"


def display_address(value: str, *, full: bool = False) -> str:
    """Return an address, with numbers such as `+…23` unless `full`."""
    if full or not value:
        return value
    if value.startswith("+"):
        return redact(value)
    return _LONG_DIGITS.sub(lambda found: redact(found.group()), value)


def mask_address_numbers(text: str, *, full: bool = False) -> str:
    """Mask numbers with a plus sign, or in SIP and client names.

    For our own texts, which may have `EXAMPLE`. `mask_numbers` masks all that may be a number.
    """
    return text if full else _NUMBER_IN_TEXT.sub(lambda one: one[0] if one[0] == EXAMPLE else redact(one[0]), text)


def _keep_last_digits(number: str) -> str:
    """Return a number's plus sign and last two digits."""
    digits = [letter for letter in number if letter.isdigit()]
    return "+" * number.startswith("+") + "…" + "".join(digits[-2:] if len(digits) > 2 else ())


def without_login(url: str) -> str:
    """Return a URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def mask_numbers(text: str) -> str:
    """Mask what may be a phone number in a text, except for its last digits.

    >>> mask_numbers("no route to +1 415 555 0123 or 4155550124 from 10.0.0.1")
    'no route to +…23 or …24 from 10.0.0.1'
    """
    return _HOST_OR_NUMBER.sub(_mask, text)


def cut_text(text: str, length_max: int) -> str:
    """Return the start of a text, without a number that was cut.

    Without its last digits, `mask_numbers` could not recognize it.

    >>> cut_text("no route to 4155550124", 16), cut_text("no route", 16)
    ('no route to ', 'no route')
    """
    return text if len(text) <= length_max else _CUT_NUMBER.sub("", text[:length_max])


def _mask(number: re.Match[str]) -> str:
    """Mask a number; keep the example number, and IPv4 addresses."""
    text = number.group()
    return text if number["host"] or text == EXAMPLE else _keep_last_digits(text)
