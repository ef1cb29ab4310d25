"""Fallbacks: where a customer goes, in order, when no one answers."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import unquote_to_bytes, urlsplit

from conferral.runtime.limits import NO_TEXT, URL_MAX
from conferral.runtime.text import split_list
from conferral.runtime.urls import is_http_url
from conferral.statemachine.places import is_url
from conferral.statemachine.states import Place
from conferral.telephony.addresses import AddressError, AllowList, is_name, resolve_address

#: What makes no sense: after a transfer, the agents of no number are waited for; there is no one to call back whom no
#: agent took; and outside the hours, no one is waited for.
NOT_FOR_TRANSFERS = frozenset({Place.QUEUE})
NOT_FOR_INBOUND = frozenset({Place.RECALL})
NOT_FOR_CLOSED = NOT_FOR_INBOUND | NOT_FOR_TRANSFERS
#: Most places of one fallback (count).
PLACES_MAX = 3
#: A dot segment, a backslash, or a control character. A server may end a segment at anything that isn't unreserved.
#: Source: RFC 3986, sections 2.3 and 5.2.4.
_UNSAFE = re.compile(rf"(?:^|/)\.{{1,2}}(?![A-Za-z0-9._~-])|[\\{NO_TEXT}]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What a fallback may name."""

    #: The directory's addresses by name.
    names: Mapping[str, str] = field(repr=False)
    allowed: AllowList
    #: Prefixes of URLs (`CONFERRAL_RETURN_URLS`).
    return_urls: Sequence[str] = ()

    def parse(self, text: str, *, without: frozenset[Place]) -> tuple[str, ...]:
        """Return the places of a text with commas; raise AddressError."""
        return self.check(split_list(text), without=without)

    def check(self, places: Sequence[str], *, without: frozenset[Place]) -> tuple[str, ...]:
        """Return a fallback with addresses for its names; raise AddressError.

        One that is not allowed makes the whole fallback invalid. `without` are places that make no sense here.
        """
        if "" in places:
            raise AddressError(f"place {places.index('') + 1} is empty")
        if not 1 <= len(places) <= PLACES_MAX:
            raise AddressError(f"must be 1 to {PLACES_MAX} places, separated by commas")
        found = tuple(self._resolve(place, without) for place in places)
        if len(set(found)) < len(found):
            raise AddressError("must not name a place twice")
        if any(place == Place.END or is_url(place) for place in found[:-1]):
            raise AddressError(f"{Place.END} and a URL must be the last place")
        return found

    def _resolve(self, place: str, without: frozenset[Place]) -> str:
        """Return a word, a URL, or the address of a name; raise AddressError."""
        if place in without:
            raise AddressError(f"{place} is not possible here")
        if place in tuple(Place):
            return place
        if is_url(place):
            if "#" in place:
                raise AddressError("a return URL can't have a fragment, such as #rc=2")
            if not url_matches(place, self.return_urls):
                raise AddressError("CONFERRAL_RETURN_URLS does not allow this URL")
            return place
        nearest = get_close_matches(place, [word for word in Place if word not in without], 1)
        if nearest and is_name(place) and place not in self.names:
            raise AddressError(f"no place or destination has that name; did you mean {nearest[0]}?")
        return resolve_address(place, self.names, self.allowed).text


def url_matches(url: str, prefixes: Sequence[str]) -> bool:
    """Whether a URL starts with one of the prefixes, at a `/` of the path.

    Scheme, host, and port are equal. A URL with user info, a fragment, or dot segments, plain or encoded, never
    matches: another host or path could be meant.
    """
    if not is_http_url(url) or len(url) > URL_MAX or "#" in url or "\\" in url:
        return False
    parts = urlsplit(url)
    path = _decoded(parts.path)
    if "@" in parts.netloc or path is None or _UNSAFE.search(path):
        return False
    return any(_origin(url) == _origin(one) and _is_below(parts.path, urlsplit(one).path) for one in prefixes)


def _decoded(path: str) -> str | None:
    """Return what the last server may read of a path; None if it isn't UTF-8."""
    try:
        # Twilio or a proxy may decode once more. Full-width dots and slashes may count as plain ones.
        return unicodedata.normalize("NFKC", unquote_to_bytes(unquote_to_bytes(path)).decode())
    except UnicodeDecodeError:
        return None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _is_below(path: str, prefix: str) -> bool:
    prefix = prefix.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")
