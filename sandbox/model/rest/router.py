"""Route REST requests to their resources.

Source: Twilio's OpenAPI description of the 2010-04-01 API.
"""

from __future__ import annotations

import re

from conferral.sandbox.model import recordings
from conferral.sandbox.model.inputs import RestRequest
from conferral.sandbox.model.outputs import RestAnswer
from conferral.sandbox.model.rest import account_routes, call_routes, conference_routes, resources
from conferral.sandbox.model.rest.form import Form, RestError, error_answer, not_found, not_modeled
from conferral.sandbox.model.state import Recording
from conferral.sandbox.model.transaction import Transaction

_ACCOUNT_RECORDINGS = re.compile(r"^/Recordings(/(?P<key>[^/]+))?\.json$")
_PATH = re.compile(
    r"^/(?P<kind>Calls|Conferences)"
    r"(/(?P<sid>[^/]+)(/(?P<part>Recordings|Participants)(/(?P<key>[^/]+))?)?)?\.json$"
)


def respond(transaction: Transaction, request: RestRequest) -> RestAnswer:
    """Return the response to a request; a rejected request changes nothing."""
    match = _PATH.match(request.path)
    try:
        if request.path in {account_routes.ACCOUNT_PATH, account_routes.NUMBERS_PATH}:
            if request.method != "GET":  # numbers and accounts are read-only here
                raise _not_allowed(request.method)
            return account_routes.respond(transaction, request.path, request.params)
        if of_account := _ACCOUNT_RECORDINGS.match(request.path):
            return _account_recordings(transaction, request, of_account["key"] or "")
        if match is None:
            raise not_modeled(request.path)
        kind, sid, part, key = match["kind"], match["sid"] or "", match["part"] or "", match["key"] or ""
        if kind == "Calls":
            return _calls(transaction, request, sid, part, key)
        return _conferences(transaction, request, sid, part, key)
    except RestError as error:
        return error_answer(error.status, error.code, error.message, error.more_info)


def _not_allowed(method: str) -> RestError:
    return RestError(405, 20004, f"Method not allowed: {method}")


def _calls(transaction: Transaction, request: RestRequest, sid: str, part: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not sid:
        if request.method == "POST":
            return call_routes.create(transaction, form)
        if request.method == "GET":
            return call_routes.list_calls(transaction, request.params)
        raise _not_allowed(request.method)
    call = call_routes.find(transaction, sid, request.path)
    if part == "Recordings":
        if not key and request.method == "POST":
            return call_routes.start_recording(transaction, call, form)
        return _recordings(transaction, request, key, call.sid)
    if part:
        raise not_modeled(request.path)
    if request.method == "GET":
        return RestAnswer(200, resources.call_resource(transaction.state, call))
    if request.method == "POST":
        return call_routes.update(transaction, call, form)
    raise _not_allowed(request.method)


def _conferences(transaction: Transaction, request: RestRequest, sid: str, part: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not sid:
        if request.method == "GET":
            return conference_routes.list_conferences(transaction, request.params)
        raise _not_allowed(request.method)
    if part == "Participants":
        return _participants(transaction, request, sid, key)
    conference = conference_routes.find(transaction, sid, request.path)
    if part == "Recordings":
        return _recordings(transaction, request, key, conference.sid)
    if request.method == "GET":
        return RestAnswer(200, resources.conference_resource(transaction.state, conference))
    if request.method == "POST":
        return conference_routes.update(transaction, conference, form)
    raise _not_allowed(request.method)


def _participants(transaction: Transaction, request: RestRequest, sid: str, key: str) -> RestAnswer:
    form = Form(request.params)
    if not key and request.method == "POST":
        return conference_routes.create_participant(transaction, sid, form)
    conference = conference_routes.find(transaction, sid, request.path)
    if not key and request.method == "GET":
        return conference_routes.list_participants(transaction, conference, request.path, request.params)
    participant = conference_routes.find_participant(transaction, conference, key, request.path)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.participant_resource(transaction.state, conference, participant))
        case "POST":
            return conference_routes.update_participant(transaction, conference, participant, form)
        case "DELETE":
            return conference_routes.delete_participant(transaction, conference, participant)
    raise _not_allowed(request.method)


def _recordings(transaction: Transaction, request: RestRequest, key: str, owner_sid: str) -> RestAnswer:
    of_owner = [
        it for it in transaction.state.recordings.values() if owner_sid in (it.call_sid, it.leg_sid, it.conference_sid)
    ]
    if not key:
        return _recording_list(transaction, request, of_owner)
    if key == "Twilio.CURRENT":
        found = next((it for it in reversed(of_owner) if it.ended_at_s is None), None)
    else:
        found = next((it for it in of_owner if it.sid == key), None)
    if found is not None and request.method == "POST":
        return call_routes.update_recording(transaction, found, Form(request.params))
    return _recording(transaction, request, found)


def _account_recordings(transaction: Transaction, request: RestRequest, key: str) -> RestAnswer:
    """Handle the account's recordings, of calls and conferences.

    Source: Twilio docs, Recordings resource: list by CallSid, ConferenceSid, and DateCreated; fetch; delete.
    """
    form = Form(request.params)
    wanted = {name: form.get(name) for name in ("CallSid", "ConferenceSid")}
    found = [
        it
        for it in transaction.state.recordings.values()
        if wanted["CallSid"] in ("", it.call_sid) and wanted["ConferenceSid"] in ("", it.conference_sid)
    ]
    if not key:
        return _recording_list(transaction, request, found)
    return _recording(transaction, request, transaction.state.recordings.get(key))


def _recording(transaction: Transaction, request: RestRequest, found: Recording | None) -> RestAnswer:
    if found is None:
        raise not_found(request.path)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.recording_resource(transaction.state, found))
        case "DELETE":
            recordings.delete(transaction, found)
            return RestAnswer(204)
    raise _not_allowed(request.method)


def _recording_list(transaction: Transaction, request: RestRequest, found: list[Recording]) -> RestAnswer:
    if request.method != "GET":  # a recording is started under its call's path
        raise _not_allowed(request.method)
    created = Form(request.params).time_filter("DateCreated")
    shown = [it for it in reversed(found) if created(it.started_at_s)]
    return resources.list_page(
        transaction.state,
        request.path,
        "recordings",
        shown,
        lambda it: resources.recording_resource(transaction.state, it),
        request.params,
    )
