"""How phone numbers are shown outside of Redis and the pages that ask for them: by their last two digits."""

import re

#: What our own words show as an example of a number: reserved for fiction, so it is nobody's and may be shown.
#: Source: North American Numbering Plan, 555-0100 to 555-0199.
EXAMPLE = "+12025550145"
#: What stands between the digits of a number: spaces, brackets, dots, slashes, any dash, and the same as in a URL.
_SEPARATOR = r"(?:[\s().\-/+·•\u2010-\u2015\u2212]|%(?:09|20|28|29|2[BDEFbdef]|C2%A0|c2%a0))"
#: Seven digits or more with at most three of those between two of them.
_LONG_DIGITS = re.compile(rf"\+?\d(?:{_SEPARATOR}{{0,3}}\d){{6,}}")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
#: The address of a host, alone or in front of a path.
_HOST = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?=/|$)", re.ASCII)


def redact(address: str) -> str:
    """An address that may be shown: the last two digits of a number, the kind of anything else.

    >>> redacted("+14155550123")
    '+…23'
    >>> redacted("client:alice")
    'client:…'
    """
    digits = [letter for letter in address if letter.isdigit()]
    if address.startswith("+") or (digits and not re.search(r"[A-Za-z]", address)):
        return f"+…{''.join(digits[-2:])}" if len(digits) > 2 else "+…"
    kind, colon, _ = address.partition(":")
    return f"{kind}:…" if colon else "…"


def mask_numbers(text: str) -> str:
    """A text in which whatever may be somebody's number is cut to its last two digits.

    >>> mask_numbers("no route to +1 415 555 0123 from 10.0.0.1")
    'no route to +…23 from 10.0.0.1'
    """
    return _LONG_DIGITS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    text = found.group()
    if text == EXAMPLE:
        return text
    host = _HOST.match(text)
    if host is not None:
        return host.group() + mask_numbers(text[host.end() :])
    return redact("+" + text)
