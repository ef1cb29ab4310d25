"""A session's recordings at Twilio: find and delete them.

Source: Twilio docs, Recordings resource, "Delete a Recording"; Recordings subresources of Call and Conference.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from twilio.rest import Client

from conferral.runtime.errors import ProviderRefusedError
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import if_found, read_with_retry, text_of

#: Records of one page. Source: Twilio docs, Recordings resource, `PageSize`.
_PAGE_SIZE = 100
_UNAUTHORIZED = 401


async def find_recordings(client: Client, owners: Iterable[str]) -> list[str]:
    """Return the SIDs of the recordings of calls and conferences.

    Raise ProviderError if a list can't be read. What Twilio no longer knows has no recordings.
    """
    found: list[str] = []
    with label_requests("find_recordings"):
        for sid in owners:
            owner = client.conferences(sid) if sid.startswith("CF") else client.calls(sid)
            read = partial(owner.recordings.list_async, page_size=_PAGE_SIZE)
            found += [text_of(one.sid) for one in await if_found(read_with_retry(read)) or ()]
    return found


async def delete_recordings(client: Client, recordings: Iterable[str]) -> dict[str, ProviderRefusedError]:
    """Delete recordings; return what Twilio refuses, by SID.

    One that is gone counts as deleted. Raise ProviderError if Twilio can't be asked.
    """
    refused: dict[str, ProviderRefusedError] = {}
    with label_requests("delete_recording"):
        for sid in recordings:
            delete: Any = client.recordings(sid).delete_async
            try:
                await if_found(read_with_retry(delete))
            except ProviderRefusedError as error:
                if error.http_status == _UNAUTHORIZED:
                    raise
                refused[sid] = error
    return refused
