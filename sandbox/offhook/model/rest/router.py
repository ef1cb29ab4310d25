"""Route REST requests to resources (Twilio's OpenAPI, 2010-04-01)."""

import re
from typing import NoReturn

from offhook.model.formats import CONFERENCE_SID
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.remarks import request_not_modeled
from offhook.model.rest import (
    account_routes,
    call_routes,
    conference_routes,
    message_routes,
    number_routes,
    parameters,
    queue_routes,
    recording_routes,
    resources,
)
from offhook.model.rest_form import Form, NotFoundError, RestError, error_answer, method_not_allowed, not_found_answer
from offhook.model.state import Conference
from offhook.model.transaction import Transaction

_PATH = re.compile(
    r"^/(?P<kind>Calls|Conferences)"
    r"(/(?P<sid>[^/]+)(/(?P<part>Recordings|Participants)(/(?P<key>[^/]+))?)?)?\.json$"
)


def respond(transaction: Transaction, request: RestRequest) -> RestAnswer:
    """Return the response; a rejected request changes nothing."""
    try:
        transaction.add_remarks(parameters.check(request, strict=transaction.strict))
        return _respond(transaction, request) or _refuse(request.method)
    except NotFoundError as error:
        path = resources.account_uri(transaction.state) + request.path
        if error.is_modeled:
            return not_found_answer(path)
        remark = request_not_modeled(request.method, path)
        transaction.add_remarks([remark])
        return not_found_answer(path, remark.message)
    except RestError as error:
        return error_answer(error.status, error.code, error.message)


def _refuse(method: str) -> NoReturn:
    raise method_not_allowed(method)


def _respond(transaction: Transaction, request: RestRequest) -> RestAnswer | None:
    """Return the response; None if the resource does not have the method."""
    if parameters.is_refused(request):
        raise NotFoundError(is_modeled=False)
    if request.path == account_routes.ACCOUNT_PATH or request.path.startswith(account_routes.READ_ONLY_PATHS):
        return account_routes.respond(transaction.state, request) if request.method == "GET" else None
    if of_number := number_routes.PATH.match(request.path):
        return number_routes.respond(transaction, request, of_number["kind"], of_number["sid"] or "")
    if of_account := recording_routes.ACCOUNT_PATH.match(request.path):
        return recording_routes.respond(transaction, request, of_account["key"] or "")
    if of_text := recording_routes.TRANSCRIPTIONS_PATH.match(request.path):
        recording_sid, key = of_text["recording"] or "", of_text["key"] or ""
        return recording_routes.respond_transcriptions(transaction.state, request, recording_sid, key)
    if of_queue := queue_routes.PATH.match(request.path):
        return queue_routes.respond(transaction, request, of_queue["sid"] or "", of_queue["part"], of_queue["key"])
    if of_message := message_routes.PATH.match(request.path):
        return message_routes.respond(transaction, request, of_message["sid"] or "")
    if of_media := message_routes.MEDIA_PATH.match(request.path):
        return message_routes.respond_media(transaction.state, request, of_media["sid"], of_media["key"] or "")
    if recording_routes.MEDIA_PATH.match(request.path):
        return recording_routes.respond_media(transaction.state, request)
    match = _PATH.match(request.path)
    if match is None:
        raise NotFoundError(is_modeled=False)
    sid, part, key = match["sid"] or "", match["part"] or "", match["key"] or ""
    if match["kind"] == "Calls":
        return _route_call(transaction, request, sid, part, key)
    return _route_conference(transaction, request, sid, part, key)


def _route_call(transaction: Transaction, request: RestRequest, sid: str, part: str, key: str) -> RestAnswer | None:
    """Route `/Calls[/sid[/part[/key]]]`; None if it lacks the method."""
    form = Form(request.params)
    if not sid:
        if request.method == "POST":
            return call_routes.create(transaction, form)
        return call_routes.list_calls(transaction, request) if request.method == "GET" else None
    if sid not in transaction.state.calls or transaction.state.calls[sid].is_deleted:
        raise NotFoundError
    call = transaction.call(sid)
    if part == "Recordings":
        if not key and request.method == "POST":
            return call_routes.start_recording(transaction, call, form)
        return recording_routes.respond(transaction, request, key, call.sid)
    if part:
        raise NotFoundError(is_modeled=False)
    if request.method == "DELETE":
        return call_routes.delete(call)
    if request.method == "GET":
        return RestAnswer(200, resources.call_resource(transaction.state, call))
    return call_routes.update(transaction, call, form) if request.method == "POST" else None


def _route_conference(
    transaction: Transaction, request: RestRequest, sid: str, part: str, key: str
) -> RestAnswer | None:
    """Route `/Conferences[/sid[/part[/key]]]`; None if it lacks the method."""
    form = Form(request.params)
    if not sid:
        return conference_routes.list_conferences(transaction, request) if request.method == "GET" else None
    if part == "Participants" and not key and request.method == "POST":
        return conference_routes.create_participant(transaction, sid, form)
    if part == "Participants" and not key and not CONFERENCE_SID.match(sid):
        raise method_not_allowed(request.method)  # a name takes a new participant, and nothing else
    if sid not in transaction.state.conferences:
        raise NotFoundError
    conference = transaction.conference(sid)
    if part == "Participants":
        return _route_participant(transaction, request, conference, key)
    if part == "Recordings":
        return recording_routes.respond(transaction, request, key, conference.sid)
    if request.method == "GET":
        return RestAnswer(200, conference_routes.conference_resource(transaction, conference))
    return conference_routes.update(transaction, conference, form) if request.method == "POST" else None


def _route_participant(
    transaction: Transaction, request: RestRequest, conference: Conference, key: str
) -> RestAnswer | None:
    """Route a conference's participants, or the one `key`; None: no method.

    Args:
        key: The participant's call SID or label; empty for the list.
    """
    if not key and request.method == "GET":
        return conference_routes.list_participants(transaction, conference, request)
    participant = conference_routes.find_participant(transaction, conference, key)
    match request.method:
        case "GET":
            return RestAnswer(200, resources.participant_resource(transaction.state, conference, participant))
        case "POST":
            return conference_routes.update_participant(transaction, conference, participant, Form(request.params))
        case "DELETE":
            return conference_routes.delete_participant(transaction, conference, participant)
    return None
