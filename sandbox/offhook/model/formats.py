"""Twilio's formats: dates, booleans, countries of numbers, tokens, SIDs."""

import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

E164 = re.compile(r"^\+[1-9]\d{1,14}$")
CALL_SID = re.compile(r"^CA[0-9a-f]{32}$")
CONFERENCE_SID = re.compile(r"^CF[0-9a-f]{32}$")

_COUNTRIES = (("+1", "US"), ("+44", "GB"), ("+49", "DE"), ("+33", "FR"), ("+61", "AU"), ("+81", "JP"))


def rfc2822(at_s: float | None) -> str | None:
    """Format seconds since 1970 as `Fri, 18 Feb 2011 21:07:19 +0000`."""
    return None if at_s is None else format_datetime(datetime.fromtimestamp(int(at_s), UTC))


def boolean(value: bool) -> str:
    """Return `true` or `false`, as Twilio's forms have it."""
    return "true" if value else "false"


def country(address: str) -> str:
    """Return a number's country by its prefix; empty for other addresses."""
    return next((name for prefix, name in _COUNTRIES if address.startswith(prefix)), "")


def national(address: str) -> str:
    """Return a US number as `(415) 555-0123`; other addresses as they are."""
    return re.sub(r"^\+1(\d{3})(\d{3})(\d{4})$", r"(\1) \2-\3", address)


def is_number(address: str) -> bool:
    """Whether the address is a phone number in E.164."""
    return E164.match(address) is not None


def dialable(address: str) -> str:
    """Return a US number in national form, `(415) 555-0123`, as `+1…`.

    Others as they are. Source: Twilio docs, TwiML <Dial> (`415-123-4567`).
    """
    found = re.fullmatch(r"1?([2-9]\d{9})", re.sub(r"[-.() ]", "", address))
    return f"+1{found[1]}" if found else address


def is_address(address: str) -> bool:
    """Whether it can be dialed: a number, `client:…`, `sip:…`, or `app:…`."""
    return is_number(address) or bool(re.match(r"^(client:|sips?:|app:).+", address))


def is_unsafe_client(address: str) -> bool:
    """Whether the REST API refuses a `client:` for its identity.

    Source: Twilio docs: Voice JavaScript SDK, `Device`; errors 21211 and 31105.
    """
    identity = address.partition("?")[0].removeprefix("client:")
    return address.startswith("client:") and re.fullmatch("[A-Za-z0-9_]{1,121}", identity) is None


def address_parameters(address: str) -> tuple[tuple[str, str], ...]:
    """Return a `client:`'s or `app:`'s parameters, or a `sip:`'s headers.

    Source: Twilio docs: How to Share Information Between Your Applications; Making SIP Calls.
    """
    query = address.partition("?")[2] if address.startswith(("app:", "client:", "sip:", "sips:")) else ""
    return tuple(parse_qsl(query, keep_blank_values=True))


def sip_host(address: str) -> str:
    """Return a SIP URI's host without its port; empty for others."""
    match = re.match(r"^sips?:[^@]+@([^:;?]+)", address)
    return match[1].lower() if match else ""


def split_url(text: str) -> SplitResult:
    """Split a URL; an invalid one, such as `http://[`, has only a path."""
    try:
        return urlsplit(text)
    except ValueError:
        return SplitResult("", "", text, "", "")


def is_url(text: str) -> bool:
    """Whether it is an absolute HTTP URL; Twilio refuses `_` in hosts."""
    parts = split_url(text)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "_" not in (parts.hostname or "")


def check_url(name: str, url: str) -> None:
    """Raise ValueError for what is neither empty nor a URL for Twilio."""
    if url and not is_url(url):
        raise ValueError(f"{name}: {url!r} is no URL, such as http://127.0.0.1:5000/voice")


def resolve(base_url: str, reference: str) -> str:
    """Resolve a valid URL in a document; an empty one is the document itself."""
    try:
        return urljoin(base_url, reference) if base_url else reference
    except ValueError:
        return reference


def with_query(url: str, params: tuple[tuple[str, str], ...]) -> str:
    """Return a URL with parameters in the query, before the fragment."""
    parts = split_url(url)
    query = "&".join(part for part in (parts.query, urlencode(params)) if part)
    return urlunsplit(parts._replace(query=query))


def call_token(call_sid: str) -> str:
    """Return a CallToken for this caller: percent-encoded JSON, like Twilio's."""
    return quote(f'{{"parentCallInfoToken":"{call_sid}","identityHeaderTokens":[]}}')


def make_sid(prefix: str, seed: str, count: int) -> str:
    """Return two letters and 32 hex digits, derived from the arguments.

    Source: Twilio docs: What is a String Identifier (SID)?
    """
    digest = hashlib.blake2b(f"{seed}/{prefix}/{count}".encode(), digest_size=16).hexdigest()
    return f"{prefix}{digest}"
