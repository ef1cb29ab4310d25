"""Delete sessions' recordings at Twilio (`conferral forget --recordings`)."""

from collections.abc import Iterable

import structlog

from conferral.operations.erasure import ErasurePlan, ErasureRefused
from conferral.runtime.errors import ProviderError
from conferral.runtime.settings import TwilioSettings
from conferral.telephony.recordings import delete_recordings, find_recordings
from conferral.telephony.twilio_requests import opened_client

log = structlog.get_logger()


async def erase_recordings(
    settings: TwilioSettings, sessions: Iterable[ErasurePlan], *, dry_run: bool
) -> tuple[dict[str, int], list[str]]:
    """Delete the recordings of sessions, before the sessions are erased.

    Return counts by session id (in a dry run, of those found), and what Twilio refuses, with its answer. Raise
    ErasureRefused if Twilio can't be asked: Redis still has what a repetition needs.
    """
    counts, answers = dict[str, int](), list[str]()
    try:
        async with opened_client(settings) as client:
            for session in sessions:
                found = dict.fromkeys([*session.recordings, *await find_recordings(client, session.legs)])
                refused = {} if dry_run else await delete_recordings(client, found)
                counts[session.session_id] = len(found) - len(refused)
                answers += (f"{sid}: HTTP {error.http_status}, code {error.code}" for sid, error in refused.items())
                if not dry_run:
                    log.info("recordings_deleted", session_id=session.session_id, count=counts[session.session_id])
    except ProviderError as error:
        answer = f"HTTP {error.http_status}" if error.http_status else "no answer"
        raise ErasureRefused(f"Twilio can't be asked for recordings ({answer}); nothing was erased in Redis") from None
    return counts, answers
