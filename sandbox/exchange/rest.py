"""Finds what a REST request is about, and answers it.

Source: Twilio's OpenAPI description of the 2010-04-01 API.
"""

from __future__ import annotations

import re

from conferral.sandbox.exchange import recordings, resources, rest_account, rest_calls, rest_conferences
from conferral.sandbox.exchange.forms import Form, RestError, error_answer, not_found, not_modeled
from conferral.sandbox.exchange.inputs import Params, RestRequest
from conferral.sandbox.exchange.model import Recording
from conferral.sandbox.exchange.outputs import RestAnswer
from conferral.sandbox.exchange.work import Work

_ACCOUNT_RECORDINGS = re.compile(r"^/Recordings(/(?P<key>[^/]+))?\.json$")
_PATH = re.compile(
    r"^/(?P<kind>Calls|Conferences)(/(?P<sid>[^/]+?))??(/(?P<part>Recordings|Participants)(/(?P<key>.+))?)?\.json$"
)


def answer(work: Work, request: RestRequest) -> RestAnswer:
    """The answer to a request; a refusal is an answer too, and changes nothing."""
    match = _PATH.match(request.path)
    try:
        if request.path in {rest_account.ACCOUNT_PATH, rest_account.NUMBERS_PATH}:
            if request.method != "GET":  # neither is bought, renamed or closed here
                raise _not_allowed(request.method)
            return rest_account.answer(work, request.path, request.params)
        if of_account := _ACCOUNT_RECORDINGS.match(request.path):
            return _account_recordings(work, request, of_account["key"] or "")
        if match is None:
            raise not_modeled(request.path)
        kind, sid, part, key = match["kind"], match["sid"] or "", match["part"] or "", match["key"] or ""
        if kind == "Calls":
            return _calls(work, request, sid, part, key)
        return _conferences(work, request, sid, part, key)
    except RestError as error:
        return error_answer(error.status, error.code, error.message, error.more_info)


def _not_allowed(method: str) -> RestError:
    return RestError(405, 20004, f"Method not allowed: {method}")


def _calls(work: Work, request: RestRequest, sid: str, part: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not sid:
        if request.method == "POST":
            return rest_calls.create(work, form)
        if request.method == "GET":
            return rest_calls.listed(work, request.params)
        raise _not_allowed(request.method)
    call = rest_calls.find(work, sid, request.path)
    if part == "Recordings":
        if not key and request.method == "POST":
            return rest_calls.record(work, call, form)
        return _recordings(work, request, key, call.sid)
    if part:
        raise not_modeled(request.path)
    if request.method == "GET":
        return RestAnswer(200, resources.call(work.state, call))
    if request.method == "POST":
        return rest_calls.update(work, call, form)
    raise _not_allowed(request.method)


def _conferences(work: Work, request: RestRequest, sid: str, part: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not sid:
        if request.method == "GET":
            return rest_conferences.listed(work, request.params)
        raise _not_allowed(request.method)
    if part == "Participants":
        return _participants(work, request, sid, key)
    conference = rest_conferences.find(work, sid, request.path)
    if part == "Recordings":
        return _recordings(work, request, key, conference.sid)
    if request.method == "GET":
        return RestAnswer(200, resources.conference(work.state, conference))
    if request.method == "POST":
        return rest_conferences.update(work, conference, form)
    raise _not_allowed(request.method)


def _participants(work: Work, request: RestRequest, sid: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not key and request.method == "POST":
        return rest_conferences.create(work, sid, form)
    conference = rest_conferences.find(work, sid, request.path)
    if not key and request.method == "GET":
        return rest_conferences.listed_participants(work, conference, request.path, request.params)
    participant = rest_conferences.find_participant(work, conference, key, request.path)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.participant(work.state, conference, participant))
        case "POST":
            return rest_conferences.update_participant(work, conference, participant, form)
        case "DELETE":
            return rest_conferences.delete_participant(work, conference, participant)
    raise _not_allowed(request.method)


def _recordings(work: Work, request: RestRequest, key: str, owner_sid: str) -> RestAnswer:
    of_owner = [
        it for it in work.state.recordings.values() if owner_sid in (it.call_sid, it.leg_sid, it.conference_sid)
    ]
    if not key:
        if request.method != "GET":  # only a call's recording can be started by request
            raise _not_allowed(request.method)
        return _recording_list(work, request.path, of_owner, request.params)
    if key == "Twilio.CURRENT":
        found = next((it for it in reversed(of_owner) if it.ended_at_s is None), None)
    else:
        found = next((it for it in of_owner if it.sid == key), None)
    if found is None:
        raise not_found(request.path)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.recording(work.state, found))
        case "POST":
            return rest_calls.update_recording(work, found, Form(request.params))
        case "DELETE":
            recordings.delete(work, found)
            return RestAnswer(204)
    raise _not_allowed(request.method)


def _account_recordings(work: Work, request: RestRequest, key: str) -> RestAnswer:
    """All recordings of the account, whatever they are of.

    Source: Twilio docs, Recordings resource: list by CallSid, ConferenceSid, and DateCreated; fetch; delete.
    """
    form = Form(request.params)
    wanted = {name: form.get(name) for name in ("CallSid", "ConferenceSid")}
    found = [
        it
        for it in work.state.recordings.values()
        if wanted["CallSid"] in ("", it.call_sid) and wanted["ConferenceSid"] in ("", it.conference_sid)
    ]
    if not key:
        if request.method != "GET":  # a call's recording is started by its own path
            raise _not_allowed(request.method)
        return _recording_list(work, request.path, found, request.params)
    recording = work.state.recordings.get(key)
    if recording is None:
        raise not_found(request.path)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.recording(work.state, recording))
        case "DELETE":
            recordings.delete(work, recording)
            return RestAnswer(204)
    raise _not_allowed(request.method)


def _recording_list(work: Work, path: str, found: list[Recording], query: Params) -> RestAnswer:
    created = Form(query).time_filter("DateCreated")
    shown = [it for it in reversed(found) if created(it.started_at_s)]
    return resources.page(work.state, path, "recordings", shown, lambda it: resources.recording(work.state, it), query)
