"""REST API resources as JSON, and list pages (Twilio's OpenAPI, paging)."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from offhook.model import callback_parameters
from offhook.model.formats import is_number, make_sid, national, rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.rest_form import Form, RestError
from offhook.model.state import Call, Conference, Participant, Recording, State

Item = TypeVar("Item")

CALL_PARTS = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip
RECORDING_PARTS = ("add_on_results", "transcriptions")


def account_uri(state: State) -> str:
    """Return the path with which all of the account's resources begin."""
    return f"/{callback_parameters.API_VERSION}/Accounts/{state.account_sid}"


def call_resource(state: State, call: Call) -> dict[str, Any]:
    """Return a Call resource."""
    uri = f"{account_uri(state)}/Calls/{call.sid}"
    unused = ("annotation", "caller_name", "forwarded_from", "group_sid", "price", "trunk_sid")
    own = call.to if call.direction == "inbound" else call.from_
    return {
        **dict.fromkeys(unused),
        "sid": call.sid,
        "date_created": rfc2822(call.created_at_s),
        "date_updated": rfc2822(call.updated_at_s),
        "parent_call_sid": call.parent_sid or None,
        "account_sid": state.account_sid,
        "to": call.to,
        "to_formatted": national(call.to),
        "from": call.from_,
        "from_formatted": national(call.from_),
        "phone_number_sid": make_sid("PN", own, 0) if own in state.numbers and is_number(own) else None,
        "status": call.status,
        "start_time": rfc2822(call.started_at_s),
        "end_time": rfc2822(call.ended_at_s),
        "duration": str(callback_parameters.duration(call)) if call.is_final else None,
        "price_unit": "USD",
        "answered_by": call.answered_by or None,
        "direction": call.direction,
        "api_version": callback_parameters.API_VERSION,
        "queue_time": str(call.queue_ms),
        "uri": f"{uri}.json",
        "subresource_uris": {part: f"{uri}/{part.title().replace('_', '')}.json" for part in CALL_PARTS},
    }


def conference_resource(state: State, conference: Conference) -> dict[str, Any]:
    """Return a Conference resource."""
    uri = f"{account_uri(state)}/Conferences/{conference.sid}"
    return {
        "account_sid": state.account_sid,
        "date_created": rfc2822(conference.created_at_s),
        "date_updated": rfc2822(conference.updated_at_s),
        "api_version": callback_parameters.API_VERSION,
        "friendly_name": conference.name,
        "region": conference.region or "us1",
        "sid": conference.sid,
        "status": conference.status,
        "uri": f"{uri}.json",
        "subresource_uris": {"participants": f"{uri}/Participants.json", "recordings": f"{uri}/Recordings.json"},
        "reason_conference_ended": conference.reason_ended or None,
        "call_sid_ending_conference": conference.call_sid_ending or None,
    }


def participant_resource(state: State, conference: Conference, participant: Participant) -> dict[str, Any]:
    """Return a Participant resource; only that of a new one has `queue_time`."""
    return {
        "account_sid": state.account_sid,
        "call_sid": participant.call_sid,
        "label": participant.label or None,
        "call_sid_to_coach": participant.coach_sid or None,
        "coaching": participant.coaching,
        "conference_sid": conference.sid,
        "date_created": rfc2822(participant.created_at_s),
        "date_updated": rfc2822(participant.updated_at_s),
        "end_conference_on_exit": participant.end_on_exit,
        "muted": participant.muted,
        "hold": participant.is_held,
        "start_conference_on_enter": participant.settings.start_on_enter,
        "status": participant.status,
        "uri": f"{account_uri(state)}/Conferences/{conference.sid}/Participants/{participant.call_sid}.json",
    }


def recording_resource(state: State, recording: Recording) -> dict[str, Any]:
    """Return a recording of a call or of a conference."""
    owner_path = (
        f"Conferences/{recording.conference_sid}" if recording.conference_sid else f"Calls/{recording.call_sid}"
    )
    shown: dict[str, Any] = {
        **dict.fromkeys(("encryption_details", "price", "price_unit")),
        "account_sid": state.account_sid,
        "api_version": callback_parameters.API_VERSION,
        "call_sid": recording.call_sid or None,
        "conference_sid": recording.conference_sid or None,
        "date_created": rfc2822(recording.started_at_s),
        "date_updated": rfc2822(recording.updated_at_s),
        "start_time": rfc2822(recording.started_at_s),
        "duration": None if recording.ended_at_s is None else str(int(recording.length_s(recording.ended_at_s))),
        "sid": recording.sid,
        "status": recording.status,
        "channels": recording.settings.channels,
        "source": recording.settings.source,
        "error_code": recording.error_code or None,
        "uri": f"{account_uri(state)}/{owner_path}/Recordings/{recording.sid}.json",
    }
    if not recording.conference_sid:
        shown["track"] = recording.settings.track
    return shown


def account_recording_resource(state: State, recording: Recording) -> dict[str, Any]:
    """Return a recording as the account's resource, which has its file's URL."""
    shown = recording_resource(state, recording)
    uri = f"{account_uri(state)}/Recordings/{recording.sid}"
    shown.pop("track", None)
    return shown | {
        "media_url": callback_parameters.recording_url(recording, state),
        "subresource_uris": {part: f"{uri}/{part.title().replace('_', '')}.json" for part in RECORDING_PARTS},
        "uri": f"{uri}.json",
    }


def transcription_resource(state: State, recording: Recording) -> dict[str, Any]:
    """Return the transcription of what a `<Record>` recorded."""
    status, text = callback_parameters.transcribed(recording)
    return {
        "account_sid": state.account_sid,
        "api_version": callback_parameters.API_VERSION,
        "date_created": rfc2822(recording.ended_at_s),
        "date_updated": rfc2822(recording.ended_at_s),
        "duration": str(int(recording.length_s(recording.ended_at_s or 0.0))),
        "price": None,
        "price_unit": "USD",
        "recording_sid": recording.sid,
        "sid": recording.transcription_sid,
        "status": status,
        "transcription_text": text or None,
        "type": "fast",
        "uri": f"{account_uri(state)}/Transcriptions/{recording.transcription_sid}.json",
    }


def list_page(
    state: State,
    request: RestRequest,
    key: str,
    items: Sequence[Item],
    show: Callable[[State, Item], dict[str, Any]],
    age: Callable[[Item], int] | None = None,
) -> RestAnswer:
    """Return one page of a list; raise RestError for a bad page or page size.

    `age` decreases along the list: the next page continues after the last item shown, even if the list changes.
    Without it, pages are counted by offset.
    """
    form = Form(request.params)
    size = form.integer("PageSize", 50, 1, 1000)
    number = form.integer("Page", 0, 0, 1_000_000)
    start = number * size
    token = form.get("PageToken")
    first = start
    if age is not None and token:
        if not re.fullmatch(r"PA[0-9]{1,12}", token):
            raise RestError(400, 20001, "Invalid PageToken")
        last_shown = int(token.removeprefix("PA"))
        first = bisect_right(items, -last_shown, key=lambda it: -age(it))
    on_page = items[first : first + size]
    shown = [show(state, it) for it in on_page]
    uri = account_uri(state) + quote(request.path)
    filters = tuple((name, value) for name, value in request.params if name not in {"Page", "PageSize", "PageToken"})

    def link(page: int, last_shown: int | None = None) -> str:
        page_token = (("PageToken", f"PA{last_shown}"),) if last_shown is not None else ()
        return f"{uri}?{urlencode((*filters, ('PageSize', size), ('Page', page), *page_token))}"

    last = (age(on_page[-1]) if age is not None else number + 1) if on_page else None

    return RestAnswer(
        200,
        {
            key: shown,
            "end": start + len(shown) - 1 if shown else 0,
            "first_page_uri": link(0),
            "next_page_uri": link(number + 1, last) if first + size < len(items) else None,
            "page": number,
            "page_size": size,
            "previous_page_uri": link(number - 1) if number else None,
            "start": start,
            "uri": link(number),
        },
    )
