"""REST API: recordings of calls, of conferences, and of the account.

Source: Twilio docs, Recordings resource: list; fetch; update; delete; fetch a recording's media file.
"""

import re
from typing import Literal, cast

from offhook.model import recordings
from offhook.model.media import silence
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.rest import call_routes, resources
from offhook.model.rest_form import Form, NotFoundError, RestError
from offhook.model.state import Recording, State
from offhook.model.transaction import Transaction

TRANSCRIPTIONS_PATH = re.compile(r"^(/Recordings/(?P<recording>[^/]+))?/Transcriptions(/(?P<key>[^/]+))?\.json$")
ACCOUNT_PATH = re.compile(r"^/Recordings(/(?P<key>[^/]+))?\.json$")
MEDIA_PATH = re.compile(r"^(/(Calls|Conferences)/[^/]+)?/Recordings/(?P<sid>RE[0-9a-f]{32})(\.(?P<format>wav|mp3))?$")


def respond(transaction: Transaction, request: RestRequest, key: str, owner_sid: str = "") -> RestAnswer | None:
    """Return the recordings of a call or conference, or all, or the one `key`."""
    state = transaction.state
    known = [it for it in state.recordings.values() if owner_sid in ("", it.call_sid, it.leg_sid, it.conference_sid)]
    show = resources.recording_resource if owner_sid else resources.account_recording_resource
    if not key:
        if request.method != "GET":  # a recording is started under its call's path
            return None
        return resources.list_page(state, request, "recordings", _filtered(known, request)[::-1], show)
    is_current = owner_sid and key == "Twilio.CURRENT"  # the newest unfinished one
    found = next((it for it in reversed(known) if it.sid == key or (is_current and it.ended_at_s is None)), None)
    if found is None:
        raise NotFoundError
    match request.method:
        case "GET":
            return RestAnswer(200, show(state, found))
        case "POST" if owner_sid:
            return call_routes.update_recording(transaction, found, Form(request.params))
        case "DELETE":
            recordings.delete(transaction, found)
            return RestAnswer(204)
    return None


def respond_transcriptions(state: State, request: RestRequest, recording_sid: str, key: str) -> RestAnswer | None:
    """Return the transcriptions of a recording, or all, or the one `key`."""
    if recording_sid and recording_sid not in state.recordings:
        raise NotFoundError
    found = [
        it
        for it in reversed(state.recordings.values())
        if it.transcription_sid and recording_sid in ("", it.sid) and key in ("", it.transcription_sid)
    ]
    show = resources.transcription_resource
    if not key:
        return resources.list_page(state, request, "transcriptions", found, show) if request.method == "GET" else None
    if not found:
        raise NotFoundError
    if request.method == "DELETE":
        found[0].transcription_sid = ""
        return RestAnswer(204)
    return RestAnswer(200, show(state, found[0])) if request.method == "GET" else None


def _filtered(known: list[Recording], request: RestRequest) -> list[Recording]:
    form = Form(request.params)
    created, call_sid, conference_sid = form.period("DateCreated"), form.get("CallSid"), form.get("ConferenceSid")
    return [
        it
        for it in known
        if created(it.started_at_s) and call_sid in ("", it.call_sid) and conference_sid in ("", it.conference_sid)
    ]


def respond_media(state: State, request: RestRequest) -> RestAnswer | None:
    """Return a recording's file, once it is complete."""
    if request.method != "GET":
        return None
    found = MEDIA_PATH.fullmatch(request.path)
    recording = state.recordings.get(found["sid"]) if found else None
    if found is None or recording is None or recording.status != "completed" or recording.ended_at_s is None:
        raise NotFoundError
    channels = Form(request.params).integer("RequestedChannels", recording.settings.channels, 1, 2)
    if channels > recording.settings.channels:
        raise RestError(400, 16113, "Cannot download a dual-channel presentation of a mono recording")
    file_format = cast('Literal["wav", "mp3"]', found["format"] or "wav")
    return RestAnswer(200, media=silence(file_format, recording.length_s(recording.ended_at_s), channels))
