"""REST API: Messages.

Source: Twilio docs: Message resource; errors 21211, 21602, 21603, 21604, 21606, 21617.
"""

import re
from mimetypes import guess_type
from typing import Any

from offhook.model import callback_parameters, text_messages
from offhook.model.formats import is_number, make_sid, rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.numbers import Subscription
from offhook.model.rest import resources
from offhook.model.rest_form import Form, NotFoundError, RestError
from offhook.model.state import State, TextMessage
from offhook.model.transaction import Transaction

PATH = re.compile(r"^/Messages(/(?P<sid>[^/]+))?\.json$")
MEDIA_PATH = re.compile(r"^/Messages/(?P<sid>[^/]+)/Media(/(?P<key>[^/]+))?\.json$")
BODY_MAX = 1600
_SENDER = re.compile(r"[a-z]+:.+|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 +&_-]{1,11}")  #: Of a channel, short code, or name.


def respond(transaction: Transaction, request: RestRequest, sid: str) -> RestAnswer | None:
    """Return the list or one of it, after a change; None: no such method."""
    state, form = transaction.state, Form(request.params)
    if not sid:
        if request.method == "POST":
            return RestAnswer(201, message_resource(state, _create(transaction, form)))
        return _list_page(state, request, form) if request.method == "GET" else None
    found = state.messages.get(sid)
    if found is None:
        raise NotFoundError
    if request.method == "DELETE":
        del state.messages[sid]
        return RestAnswer(204)
    if request.method == "POST":
        if form.has("Body"):
            if form.get("Body"):
                raise RestError(400, 20001, "Body may only be emptied")
            found.body = ""
    elif request.method != "GET":
        return None
    return RestAnswer(200, message_resource(state, found))


def respond_media(state: State, request: RestRequest, sid: str, key: str) -> RestAnswer | None:
    """Return the media that a message names, or the one `key`; no file."""
    if (message := state.messages.get(sid)) is None:
        raise NotFoundError
    of_key = {make_sid("ME", url, 0): url for url in message.media_urls}

    def show(_: State, key: str) -> dict[str, Any]:
        return {
            "account_sid": state.account_sid,
            "content_type": guess_type(of_key[key])[0] or "application/octet-stream",
            "date_created": rfc2822(message.created_at_s),
            "date_updated": rfc2822(message.created_at_s),
            "parent_sid": sid,
            "sid": key,
            "uri": f"{resources.account_uri(state)}/Messages/{sid}/Media/{key}.json",
        }

    if not key:
        listed = resources.list_page(state, request, "media_list", list(of_key), show)
        return listed if request.method == "GET" else None
    if key not in of_key:
        raise NotFoundError
    if request.method == "DELETE":
        message.media_urls = tuple(it for it in message.media_urls if it != of_key[key])
        return RestAnswer(204)
    return RestAnswer(200, show(state, key)) if request.method == "GET" else None


def _create(transaction: Transaction, form: Form) -> TextMessage:
    to, from_, service = form.get("To"), form.get("From"), form.get("MessagingServiceSid")
    if not to:
        raise RestError(400, 21604, "A 'To' phone number is required.")
    if not (from_ or service):
        raise RestError(400, 21603, "A 'From' phone number is required.")
    to = transaction.dialable(to, 21211)
    if not (is_number(to) or re.fullmatch(r"[a-z]+:.+", to)):
        raise RestError(400, 21211, f"Invalid 'To' Phone Number: {to}")
    _check_sender(transaction, from_)
    body, media_urls = form.get("Body"), form.all("MediaUrl")
    if not (body or media_urls):
        raise RestError(400, 21602, "Message body is required.")
    if len(body) > BODY_MAX:
        raise RestError(400, 21617, f"The concatenated message body exceeds the {BODY_MAX} character limit")
    callback = form.url("StatusCallback", 21609)
    subscription = Subscription(callback, "POST", text_messages.EVENTS) if callback else None
    sender = from_ or next(iter(transaction.state.own_numbers()), "")
    message = text_messages.new_message(transaction, sender, to, body, "outbound-api", subscription, media_urls)
    message.service_sid = service
    if service:
        message.status = "accepted"
    return text_messages.send(transaction, message)


def _check_sender(transaction: Transaction, from_: str) -> None:
    is_own = transaction.state.is_own_number(from_) or not transaction.behavior.verify_callers
    if from_ and not (is_own if is_number(from_) else _SENDER.fullmatch(from_)):
        raise RestError(400, 21606, f"The 'From' phone number {from_} is not one of your account's that sends messages")


def _list_page(state: State, request: RestRequest, form: Form) -> RestAnswer:
    to, from_, sent = form.get("To"), form.get("From"), form.period("DateSent")
    found = [
        it
        for it in reversed(state.messages.values())
        if to in ("", it.to) and from_ in ("", it.from_) and sent(it.sent_at_s)
    ]
    return resources.list_page(state, request, "messages", found, message_resource)


def message_resource(state: State, it: TextMessage) -> dict[str, Any]:
    """Return a Message resource."""
    uri = f"{resources.account_uri(state)}/Messages/{it.sid}"
    return {
        **dict.fromkeys(("error_code", "error_message", "price")),
        "account_sid": state.account_sid,
        "api_version": callback_parameters.API_VERSION,
        "body": it.body,
        "date_created": rfc2822(it.created_at_s),
        "date_sent": rfc2822(it.sent_at_s),
        "date_updated": rfc2822(it.updated_at_s),
        "direction": it.direction,
        "from": it.from_ or None,
        "messaging_service_sid": it.service_sid or None,
        "num_media": str(len(it.media_urls)),
        "num_segments": str(it.segment_count),
        "price_unit": "USD",
        "sid": it.sid,
        "status": it.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": it.to,
        "uri": f"{uri}.json",
    }
