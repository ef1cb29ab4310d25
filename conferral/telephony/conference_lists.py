"""Conferences by name: names of our own, and Twilio's lists.

A session id that your app chose could be the name of another app's live conference, and the caller would join
strangers. So its name gets a digest made with the auth token: no one else can guess it, and the sweep can verify it.
Since October 2026, a list without `Status` shows conferences in progress only, and each request shows either live or
completed ones. Twilio doesn't say whether a list shows those that have not started (`init`). So a conference that no
list shows may still be live: only its own resource says that it is over.
Source: Twilio docs, Conference resource, `FriendlyName` (at most 128 characters); Twilio changelog, 2026-06-10,
2026-07-08, and 2026-09-23, "Conference list endpoint".
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from twilio.base import values
from twilio.rest import Client

from conferral.runtime.errors import ProviderRefusedError
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.http_client import if_found, label_requests, list_page, read_with_retry, text_of

#: A generated name: the session's id, a part that differs for each opening of it, and the digest.
_NAME = re.compile(r"([A-Za-z0-9_-]{1,64})-([0-9a-f]{8})([0-9a-f]{24})")


class ConferenceNames:
    """Generates and verifies conference names for one installation."""

    def __init__(self, tokens: Sequence[str], installation: str) -> None:
        self._tokens = tuple(tokens)
        self._installation = installation

    def __repr__(self) -> str:
        return "<ConferenceNames>"  # no secrets

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Return the names of an installation; both auth tokens verify."""
        tokens = [token.get_secret_value() for token in (settings.auth_token, settings.auth_token_secondary) if token]
        return cls(tokens, f"{settings.prefix} {settings.public_url}")

    def make(self, session_id: str, opener: str) -> str:
        """Return a session's name; the same opener (SID or id) gives the same."""
        opening = hashlib.sha256(opener.encode()).hexdigest()[:8]
        return f"{session_id}-{opening}{self._digest(self._tokens[0], session_id, opening)}"

    def session_of(self, name: str) -> str:
        """Return the session id in a generated name; empty for any other name."""
        match = _NAME.fullmatch(name)
        if match is None:
            return ""
        session_id, opening, digest = match.groups()
        ours = [hmac.compare_digest(digest, self._digest(token, session_id, opening)) for token in self._tokens]
        return session_id if any(ours) else ""

    def _digest(self, token: str, session_id: str, opening: str) -> str:
        """Return a digest that only the auth token's owner can make."""
        text = f"conference\n{self._installation}\n{session_id}\n{opening}"
        return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()[:24]


#: In an `init` conference, a party waits. Source: Twilio docs, Conference resource.
NOT_STARTED, STARTED, COMPLETED = "init", "in-progress", "completed"
#: In the order of a conference's life: one that starts meanwhile is in the second list.
LIVE_CONFERENCE_STATUSES = (NOT_STARTED, STARTED)
#: Most conferences of one session that are read; there is one, or two if a late leg opened a second.
CONFERENCES_MAX = 20
#: Newest conferences that the comparison of the lists reads of each (count).
_COMPARED_MAX = 100


#: Of a conference; none of Conferral's names has this form. Source: Twilio docs, "What is a String Identifier (SID)?".
_SID = re.compile(r"CF[0-9a-f]{1,32}", re.ASCII)


def is_conference_sid(name_or_sid: str) -> bool:
    """Whether it is a SID, so that the resource itself can be asked for."""
    # Twilio answers `/Conferences/NAME/Participants` with 405, which doesn't say who is in it.
    return _SID.fullmatch(name_or_sid) is not None


async def list_conferences(client: Client, name: str, status: str) -> list[Any]:
    """Return the conferences of a name and a status, newest first."""
    page = partial(client.conferences.page_async, friendly_name=name, status=status, page_size=CONFERENCES_MAX)
    try:
        listed = await list_page(page)
    except ProviderRefusedError:
        if status != NOT_STARTED:
            raise
        return []  # Twilio lists no conferences that have not started
    return [conference for conference in listed if conference.status == status]


async def is_live_conference(client: Client, conference_sid: str) -> bool:
    """Whether a conference is live, as its own resource says."""
    conference = await if_found(read_with_retry(client.conferences(conference_sid).fetch_async))
    return conference is not None and conference.status in LIVE_CONFERENCE_STATUSES


async def live_conferences(client: Client, name: str) -> list[Any]:
    """Return the listed live conferences of a name, started ones first."""
    waiting = await list_conferences(client, name, NOT_STARTED)
    started = await list_conferences(client, name, STARTED)
    sids = {text_of(conference.sid) for conference in started}
    return [*started, *(conference for conference in waiting if conference.sid not in sids)]


@dataclass(frozen=True, slots=True)
class ConferenceLists:
    """What an account's lists of conferences show, for `conferral check`."""

    #: Statuses whose list Twilio refuses; empty text for the list without `Status`.
    refused: tuple[str, ...]
    #: Live conferences that neither the list of `init` nor that of `in-progress` shows (count).
    missing: int
    #: Whether a list without `Status` also shows others than those in progress; None if none shows it.
    shows_all: bool | None


async def compare_conference_lists(client: Client) -> ConferenceLists:
    """Ask for the list without `Status`, and for each status."""
    listed: dict[str, dict[str, str]] = {}
    refused: list[str] = []
    with label_requests("check"):
        for status in ("", *LIVE_CONFERENCE_STATUSES, COMPLETED):
            page = partial(client.conferences.page_async, status=status or values.unset, page_size=_COMPARED_MAX)
            try:
                found = await list_page(page)
            except ProviderRefusedError as error:
                if error.http_status == 401:
                    raise  # it refuses any request
                refused.append(status)
                continue
            listed[status] = {text_of(one.sid): text_of(one.status) for one in found}
        live = {sid for found in listed.values() for sid, status in found.items() if status in LIVE_CONFERENCE_STATUSES}
        shown = {sid for status in LIVE_CONFERENCE_STATUSES for sid in listed.get(status, ())}
        is_cut = any(len(found) >= _COMPARED_MAX for found in listed.values())
        missing = 0 if is_cut else sum([await is_live_conference(client, sid) for sid in sorted(live - shown)])
    unfiltered = listed.get("", {})
    shows_all: bool | None = None
    if set(unfiltered.values()) - {STARTED}:
        shows_all = True
    elif "" in listed and len(unfiltered) < _COMPARED_MAX and (listed.get(NOT_STARTED) or listed.get(COMPLETED)):
        shows_all = False
    return ConferenceLists(tuple(refused), missing, shows_all)
