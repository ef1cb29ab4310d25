"""REST API: Queues and their Members, which a request can dequeue.

Source: Twilio docs: Queue resource; Member resource.
"""

import re
from typing import Any

from offhook.model import queues, twiml_interpreter
from offhook.model.formats import rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.rest import resources
from offhook.model.rest_form import Form, NotFoundError, RestError
from offhook.model.state import Queue, Source
from offhook.model.transaction import Transaction

PATH = re.compile(r"^/Queues(/(?P<sid>[^/]+)(?P<part>/Members(/(?P<key>[^/]+))?)?)?\.json$")
NAME_MAX, SIZE_MAX = 64, 5000
FRONT = "Front"  #: Instead of a call's SID: the member at the front.


def respond(
    transaction: Transaction, request: RestRequest, sid: str, part: str | None, key: str | None
) -> RestAnswer | None:
    """Return the response; None if the resource does not have the method.

    Args:
        part: Whether it is about members.
        key: Of one of them: the call's SID, or `Front`.
    """
    if not sid and request.method == "POST":
        return _create(transaction, Form(request.params))
    if not sid:
        return _list(transaction, request) if request.method == "GET" else None
    queue = transaction.state.queues.get(sid)
    if queue is None:
        raise NotFoundError
    if not part:
        return _respond_queue(transaction, request, queue)
    if key is None:
        return _list_members(transaction, request, queue) if request.method == "GET" else None
    call_sid = next(iter(queue.members), "") if key == FRONT else key
    if call_sid not in queue.members:
        raise NotFoundError
    shown = _member_resource(transaction, queue, call_sid)
    if request.method == "POST":
        _dequeue(transaction, call_sid, Form(request.params))
    return RestAnswer(200, shown) if request.method in {"GET", "POST"} else None


def _create(transaction: Transaction, form: Form) -> RestAnswer:
    """Create an empty queue; its name must be new."""
    name, max_size = form.get("FriendlyName"), _max_size(form)
    if not name or len(name) > NAME_MAX:
        raise RestError(400, 20001, f"FriendlyName must have 1 to {NAME_MAX} characters")
    if queues.sid_of(name) in transaction.state.queues:
        raise RestError(400, 20001, f"A queue named {name} exists")
    queue = queues.queue_named(transaction, name)
    queue.max_size = max_size
    return RestAnswer(201, _queue_resource(transaction, queue))


def _respond_queue(transaction: Transaction, request: RestRequest, queue: Queue) -> RestAnswer | None:
    match request.method:
        case "POST":
            queue.max_size = _max_size(Form(request.params), queue.max_size)
        case "DELETE":
            if queue.members:
                raise RestError(400, 20001, "The queue is not empty")
            del transaction.state.queues[queue.sid]
            return RestAnswer(204)
    return RestAnswer(200, _queue_resource(transaction, queue)) if request.method in {"GET", "POST"} else None


def _max_size(form: Form, default: int = 1000) -> int:
    return form.integer("MaxSize", default, 0, SIZE_MAX)


def _dequeue(transaction: Transaction, call_sid: str, form: Form) -> None:
    """Take a member out of the queue, and run the TwiML of `Url`."""
    source = Source(form.url("Url"), form.method("Method"))
    if not source.url:
        raise RestError(400, 21205, "Url parameter is required.")
    twiml_interpreter.redirect_call(transaction, transaction.call(call_sid), source)


def _list(transaction: Transaction, request: RestRequest) -> RestAnswer:
    newest_first = list(reversed(transaction.state.queues.values()))
    return resources.list_page(
        transaction.state, request, "queues", newest_first, lambda _, it: _queue_resource(transaction, it),
        lambda it: it.number,
    )  # fmt: skip


def _list_members(transaction: Transaction, request: RestRequest, queue: Queue) -> RestAnswer:
    """List the members, the front first."""
    return resources.list_page(
        transaction.state,
        request,
        "queue_members",
        queue.members,
        lambda _, it: _member_resource(transaction, queue, it),
    )


def _queue_resource(transaction: Transaction, queue: Queue) -> dict[str, Any]:
    uri = f"{resources.account_uri(transaction.state)}/Queues/{queue.sid}"
    return {
        "account_sid": transaction.state.account_sid,
        "average_wait_time": queues.average_wait_s(transaction.state, queue, transaction.now_s),
        "current_size": len(queue.members),
        "date_created": rfc2822(queue.created_at_s),
        "date_updated": rfc2822(queue.created_at_s),
        "friendly_name": queue.name,
        "max_size": queue.max_size,
        "sid": queue.sid,
        "subresource_uris": {"members": f"{uri}/Members.json"},
        "uri": f"{uri}.json",
    }


def _member_resource(transaction: Transaction, queue: Queue, call_sid: str) -> dict[str, Any]:
    stay = transaction.state.calls[call_sid].queue_stay
    assert stay is not None  # as of all members
    return {
        "call_sid": call_sid,
        "date_enqueued": rfc2822(stay.since_s),
        "position": 1 + queue.members.index(call_sid),
        "queue_sid": queue.sid,
        "uri": f"{resources.account_uri(transaction.state)}/Queues/{queue.sid}/Members/{call_sid}.json",
        "wait_time": queues.wait_s(transaction.state, call_sid, transaction.now_s),
    }
