"""Shows calls, conferences, participants and recordings as the REST API does, and cuts lists into pages.

Source: Twilio's OpenAPI description of the 2010-04-01 API; Twilio docs: Twilio API responses (paging).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from conferral.sandbox.exchange import params
from conferral.sandbox.exchange.forms import Form, RestError
from conferral.sandbox.exchange.inputs import Params
from conferral.sandbox.exchange.model import Call, Conference, Participant, Recording, State
from conferral.sandbox.exchange.outputs import RestAnswer
from conferral.sandbox.exchange.texts import rfc2822

Item = TypeVar("Item")

CALL_PARTS = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip


def account_uri(state: State) -> str:
    """The account's part of every address, relative to the host."""
    return f"/{params.API_VERSION}/Accounts/{state.account_sid}"


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def call(state: State, it: Call) -> dict[str, Any]:
    """A Call resource."""
    uri = f"{account_uri(state)}/Calls/{it.sid}"
    return {
        "sid": it.sid,
        "date_created": rfc2822(it.created_at_s),
        "date_updated": rfc2822(it.updated_at_s),
        "parent_call_sid": it.parent_sid or None,
        "account_sid": state.account_sid,
        "to": it.to,
        "to_formatted": it.to,
        "from": it.from_,
        "from_formatted": it.from_,
        "phone_number_sid": None,
        "status": it.status,
        "start_time": rfc2822(it.answered_at_s),
        "end_time": rfc2822(it.ended_at_s),
        "duration": str(params.duration(it)) if it.is_final else None,
        "price": None,
        "price_unit": "USD",
        "direction": it.direction,
        "answered_by": None,
        "api_version": params.API_VERSION,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": str(it.queue_ms),
        "trunk_sid": None,
        "uri": f"{uri}.json",
        "subresource_uris": {part: f"{uri}/{_camel(part)}.json" for part in CALL_PARTS},
    }


def conference(state: State, it: Conference) -> dict[str, Any]:
    """A Conference resource."""
    uri = f"{account_uri(state)}/Conferences/{it.sid}"
    return {
        "account_sid": state.account_sid,
        "date_created": rfc2822(it.created_at_s),
        "date_updated": rfc2822(it.updated_at_s),
        "api_version": params.API_VERSION,
        "friendly_name": it.name,
        "region": it.region or "us1",
        "sid": it.sid,
        "status": it.status,
        "uri": f"{uri}.json",
        "subresource_uris": {"participants": f"{uri}/Participants.json", "recordings": f"{uri}/Recordings.json"},
        "reason_conference_ended": it.reason_ended or None,
        "call_sid_ending_conference": it.call_sid_ending or None,
    }


def participant(state: State, room: Conference, it: Participant) -> dict[str, Any]:
    """A Participant resource."""
    return {
        "account_sid": state.account_sid,
        "call_sid": it.call_sid,
        "label": it.label or None,
        "call_sid_to_coach": it.coach_sid or None,
        "coaching": it.coaching,
        "conference_sid": room.sid,
        "date_created": rfc2822(it.created_at_s),
        "date_updated": rfc2822(it.updated_at_s),
        "end_conference_on_exit": it.end_on_exit,
        "muted": it.muted,
        "hold": it.hold,
        "start_conference_on_enter": it.order.start_on_enter,
        "status": it.status,
        "queue_time": None,
        "uri": f"{account_uri(state)}/Conferences/{room.sid}/Participants/{it.call_sid}.json",
    }


def recording(state: State, it: Recording) -> dict[str, Any]:
    """A recording of a call or of a conference."""
    place = f"Conferences/{it.conference_sid}" if it.conference_sid else f"Calls/{it.call_sid}"
    shown: dict[str, Any] = {
        "account_sid": state.account_sid,
        "api_version": params.API_VERSION,
        "call_sid": it.call_sid or None,
        "conference_sid": it.conference_sid or None,
        "date_created": rfc2822(it.started_at_s),
        "date_updated": rfc2822(it.updated_at_s),
        "start_time": rfc2822(it.started_at_s),
        "duration": None if it.ended_at_s is None else str(int(it.length_s(it.ended_at_s))),
        "sid": it.sid,
        "price": None,
        "price_unit": None,
        "status": it.status,
        "channels": it.order.channels,
        "source": it.order.source,
        "error_code": it.error_code or None,
        "encryption_details": None,
        "uri": f"{account_uri(state)}/{place}/Recordings/{it.sid}.json",
    }
    if not it.conference_sid:
        shown["track"] = it.order.track
    return shown


def page(
    state: State,
    path: str,
    key: str,
    items: Sequence[Item],
    show: Callable[[Item], dict[str, Any]],
    query: Params,
    age: Callable[[Item], int] | None = None,
) -> RestAnswer:
    """One page of a list, with links to its neighbours; `PageSize` is at most 1000.

    Args:
        state: All there is.
        path: What was asked for, behind the account's part.
        key: The list's name in the answer.
        items: The whole list; only those of the page are shown.
        show: Makes a resource of one.
        query: What was asked.
        age: A number that falls along the list. With it the link to the next page goes on behind the last one shown,
            whatever has come or gone meanwhile; without it pages are counted off.

    Raises:
        RestError: PageSize, Page or PageToken is not within its bounds.
    """
    form = Form(query)
    size = form.whole("PageSize", 50, 1, 1000)
    number = form.whole("Page", 0, 0, 1_000_000)
    start = number * size
    token = form.get("PageToken")
    if age is not None and token:
        if not re.fullmatch(r"PA[0-9]{1,12}", token):
            raise RestError(400, 20001, "Invalid PageToken")
        behind = int(token.removeprefix("PA"))
        first = bisect_right(items, -behind, key=lambda it: -age(it))
    else:
        first = start
    on_page = items[first : first + size]
    shown = [show(it) for it in on_page]
    uri = account_uri(state) + quote(path)
    filters = tuple((name, value) for name, value in query if name not in {"Page", "PageSize", "PageToken"})

    def link(index: int, behind: int | None = None) -> str:
        mark = (("PageToken", f"PA{behind}"),) if behind is not None else ()
        return f"{uri}?{urlencode((*filters, ('PageSize', size), ('Page', index), *mark))}"

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
