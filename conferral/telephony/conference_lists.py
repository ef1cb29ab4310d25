"""Twilio's lists of conferences.

Since October 2026, a list without `Status` shows conferences in progress only, and each request shows either live or
completed ones. `init` is a documented status; whether its list is complete is not. So a conference that no list shows
may still be live: only its own resource says that it is over.
Source: Twilio changelog, 2026-06-10, 2026-07-08, and 2026-09-23, "Conference list endpoint"; twilio-python 9.13.
"""

import re
from functools import partial
from typing import Any

from twilio.rest import Client

from conferral.runtime.errors import ProviderRefusedError
from conferral.telephony.twilio_requests import if_found, list_page, read_with_retry, text_of

#: In an `init` conference, a party waits. Source: Twilio docs, Conference resource.
NOT_STARTED, STARTED, COMPLETED = "init", "in-progress", "completed"
#: In the order of a conference's life: one that starts meanwhile is in the second list.
LIVE_CONFERENCE_STATUSES = (NOT_STARTED, STARTED)
#: Most conferences of one session that are read; there is one, or two if a late leg opened a second.
CONFERENCES_MAX = 20

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
