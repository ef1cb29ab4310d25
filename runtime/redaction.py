"""Redaction of phone numbers, except for their last two digits."""

import re
from urllib.parse import urlsplit, urlunsplit

#: The example number in our messages; it belongs to no one. Source: North American Numbering Plan, 555-0100 to 0199.
EXAMPLE = "+12025550145"
#: Separators between a number's digits: spaces, brackets, dots, slashes, any dash, and the same in URL encoding.
_SEPARATOR = r"(?:[\s().\-/+·•\u2010-\u2015\u2212]|%(?:09|20|28|29|2[BDEFbdef]|C2%A0|c2%a0))"
#: Seven digits or more, with at most three separators between two of them.
_LONG_DIGITS = re.compile(rf"\+?\d(?:{_SEPARATOR}{{0,3}}\d){{6,}}")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
#: An IPv4 address, alone or followed by a path.
_HOST = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?=/|$)", re.ASCII)


def redact(address: str) -> str:
    """Show only a number's last two digits, or the kind of another address.

    >>> redact("+14155550123"), redact("14155550123"), redact("client:alice")
    ('+…23', '…23', 'client:…')
    """
    has_digits = any(letter.isdigit() for letter in address)
    if address.startswith("+") or (has_digits and not re.search(r"[A-Za-z]", address)):
        return _cut(address)
    kind, colon, _ = address.partition(":")
    return f"{kind}:…" if colon else "…"


def _cut(number: str) -> str:
    """Cut a number to its last two digits; keep its plus sign."""
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
    return _LONG_DIGITS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    """Cut a number; keep the example number and a leading IPv4 address."""
    text = found.group()
    if text == EXAMPLE:
        return text
    if host := _HOST.match(text):
        return host.group() + mask_numbers(text[host.end() :])
    return _cut(text)
