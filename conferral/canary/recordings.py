"""Probe how a bridged call is recorded; the recordings are deleted."""

import aiohttp
from twilio.rest import Client

from conferral.canary.calls import attempt
from conferral.canary.findings import FlowResult
from conferral.telephony.recordings import delete_recordings

#: Twilio's code for a call that can't be recorded.
_REFUSED = 21220
DEADLINE_S = 5.0


async def probe_recording(result: FlowResult, client: Client, api_url: str, parent_sid: str, child_sid: str) -> None:
    """Record the called side of a bridge twice, and ask for the file."""
    child = client.calls(child_sid)
    first, code = await attempt(child.recordings.create_async())
    by_sid = {parent_sid: "parents", child_sid: "own"}
    reading = by_sid.get(str(first.call_sid)) if first else "refused" if code == _REFUSED else None
    result.observe("recording_of_a_child", reading)
    recorded = child if first else client.calls(parent_sid)
    if first is None:
        first, _ = await attempt(recorded.recordings.create_async())
    second, _ = await attempt(recorded.recordings.create_async())
    both = {one.sid: one for one in (first, second) if one is not None}
    seen = None if first is None or second is None else "same" if len(both) == 1 else "another"
    result.observe("second_recording", seen)
    for sid, recording in both.items():
        await attempt(client.calls(recording.call_sid).recordings(sid).update_async(status="stopped"))
    status = await _status_of_file(client, api_url, next(iter(both), ""))
    result.observe("recording_files", {200: "public", 401: "authenticated", 403: "authenticated"}.get(status))
    await delete_recordings(client, both)


async def _status_of_file(client: Client, api_url: str, recording_sid: str) -> int:
    """Return with what Twilio answers a request for a file; 0 for no answer."""
    if not recording_sid:
        return 0
    url = f"{api_url}/2010-04-01/Accounts/{client.account_sid}/Recordings/{recording_sid}.mp3"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as session,
            session.get(url) as response,
        ):
            return response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0
