"""What is valid in a setting: the checks and types of values."""

import re
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from conferral.runtime import limits
from conferral.runtime.setting_errors import ExplainedError
from conferral.runtime.urls import is_http_url, is_plain_beyond_loopback, replaced_host

#: Instead of a URL: play nothing.
SILENCE = "none"
#: Distinct characters of an API token without a warning, at least: 20 random hexadecimal digits have fewer once in
#: millions.
API_TOKEN_CHARACTERS_MIN = 6
_NOT_SPOKEN = re.compile(f"[{limits.NO_TEXT}{limits.NOT_IN_XML}{limits.SURROGATES}]")
#: Excluded from a base URL, besides what a URL needs to be: TwiML would escape an ampersand.
_NOT_IN_BASE_URL = re.compile(r"""[?#{}<>"\\^`|&]""")
#: Longest base URL (characters): it occurs five times in the TwiML that moves a call, of which Twilio takes 4,000.
#: Source: Twilio docs, Call resource, `Twiml`.
BASE_URL_MAX = 400


def _valid_http_url(value: str) -> str:
    # aiohttp reads a brace in a route as the start of a pattern.
    if not is_http_url(value) or _NOT_IN_BASE_URL.search(value) or len(value) > BASE_URL_MAX:
        raise ValueError("must be an http:// or https:// URL without query")
    return value.rstrip("/")


def _valid_url_prefixes(value: object) -> tuple[str, ...]:
    prefixes = tuple(part.strip() for part in str(value).split(",")) if isinstance(value, str) else ()
    for position, prefix in enumerate(prefixes, start=1):
        if not is_http_url(prefix) or re.search(r"[?#@\\]", prefix):
            raise ValueError(f"entry {position} must be an http:// or https:// URL without user, query, and fragment")
    return prefixes


def _valid_origins(value: object) -> tuple[str, ...]:
    """Return origins as browsers send them. Source: RFC 6454, section 6.1."""
    origins = tuple(part.strip().lower() for part in str(value).split(",")) if isinstance(value, str) else ()
    for position, origin in enumerate(origins, start=1):
        if not is_http_url(origin) or re.search(r"[?#@\\]|//.*/", origin) or is_plain_beyond_loopback(origin):
            raise ValueError(f"entry {position} must be https://HOST, or http:// on loopback, without path")
    return tuple(re.sub("(?<=^https)(://.*):443$|(?<=^http)(://.*):80$", r"\1\2", origin) for origin in origins)


def _valid_api_url(value: str) -> str:
    # A login would need the header that carries the account's credentials.
    if "@" in urlsplit(value).netloc:
        raise ValueError("must be without user and password")
    if host := replaced_host(value):
        raise ExplainedError(f"Twilio has switched this host off: use https://{host}")
    return value


def _valid_audio_url(value: str) -> str:
    if value != SILENCE and (not is_http_url(value) or "#" in value):
        raise ValueError(f"must be the http:// or https:// URL of audio, or {SILENCE}")
    return value


def spoken_greeting(value: str) -> str:
    """Return a text to be spoken; raise ValueError if it can't be."""
    if not value.strip():
        raise ValueError("must say something")
    if len(value) > limits.SPOKEN_MAX or _NOT_SPOKEN.search(value):
        raise ValueError(limits.SPOKEN_RULE)
    return value


def _check_secret(pattern: str, value: SecretStr) -> SecretStr:
    if not re.fullmatch(pattern, value.get_secret_value()):
        raise ValueError("must have another form")  # `setting_errors` says which
    return value


def token_weakness(token: SecretStr) -> str:
    """Return why an API token can be guessed, in words; empty if it can't."""
    value = token.get_secret_value()
    if len(set(value)) < API_TOKEN_CHARACTERS_MIN:
        return f"a token of {len(set(value))} different characters can be guessed"
    return ""


def _valid_desk_url(value: str) -> str:
    if is_plain_beyond_loopback(value):
        raise ValueError("must be https://, or http:// on loopback: browsers allow a microphone nowhere else")
    return value


def _valid_networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    parts = [part.strip() for part in str(value).split(",")] if isinstance(value, str) else []
    try:
        return tuple(ip_network(part) for part in parts)
    except ValueError:
        raise ValueError("must be addresses and networks") from None


HttpUrl = Annotated[str, AfterValidator(_valid_http_url)]
ApiUrl = Annotated[HttpUrl, AfterValidator(_valid_api_url)]
AudioUrl = Annotated[str, AfterValidator(_valid_audio_url)]
UrlPrefixes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_valid_url_prefixes)]
DeskUrl = Annotated[HttpUrl, AfterValidator(_valid_desk_url)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_valid_networks)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_valid_origins)]
Greeting = Annotated[str, AfterValidator(spoken_greeting)]
# A trailing newline, or a blank value, would become the key of signatures.
Secret = Annotated[SecretStr, AfterValidator(partial(_check_secret, "[!-~]+"))]
# Source: RFC 6750, section 2.1: the header allows nothing else.
ProxySecret = Annotated[SecretStr, AfterValidator(partial(_check_secret, "[!-~]{20,}"))]
BearerToken = Annotated[SecretStr, AfterValidator(partial(_check_secret, r"(?=.{20})[A-Za-z0-9._~+/-]+=*"))]
