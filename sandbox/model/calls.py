"""The life of one leg: made, ringing, answered, over, with its status callbacks.

Source: Twilio docs: Call resource (Status values, StatusCallbackEvent).
"""

from __future__ import annotations

from typing import Literal

from conferral.sandbox.model import callback_parameters
from conferral.sandbox.model.formats import is_url, with_query
from conferral.sandbox.model.inputs import Params
from conferral.sandbox.model.outputs import CallbackRequest, ReleasePhone, RingPhone
from conferral.sandbox.model.state import Call, Subscription
from conferral.sandbox.model.transaction import Transaction

CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
TIMERS = ("start", "ring", "limit", "digits", "verb", "dial-limit", "redirect", "wait", "hold", "announce")
"""A call's timers that end with it; `old-action` outlives it."""
SIP_CODES = {"completed": 200, "busy": 486, "no-answer": 487, "canceled": 487, "failed": 404}


def new_call(
    transaction: Transaction, from_: str, to: str, direction: Literal["inbound", "outbound-api", "outbound-dial"]
) -> Call:
    """A new leg: ringing where somebody called us, else queued."""
    call = Call(
        sid=transaction.new_sid("CA"),
        from_=from_,
        to=to,
        direction=direction,
        status="ringing" if direction == "inbound" else "queued",
        created_at_s=transaction.now_s,
        updated_at_s=transaction.now_s,
        limit_s=transaction.rules.call_limit_s,
        number=transaction.state.created_counts["CA"],
    )
    transaction.state.calls[call.sid] = call
    transaction.state.live_calls[call.sid] = None
    transaction.changed_sids.add(call.sid)
    return call


def initiate(transaction: Transaction, call: Call) -> None:
    """Let the leg's phone be reached; its ring time counts from here until it rings, then anew."""
    if call.status != "queued":
        return
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "initiated", status="initiated")  # a word of callbacks alone, never a status
    transaction.emit(RingPhone(call.sid, call.from_, call.to, call.custom))


def start_ringing(transaction: Transaction, call: Call) -> bool:
    """The phone rings. False when it can't (any more)."""
    if call.status != "queued":
        return False
    _set_status(transaction, call, "ringing")
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "ringing")
    return True


def answer(transaction: Transaction, call: Call) -> bool:
    """The leg is picked up. False when it already was, or is over."""
    if call.status not in {"queued", "ringing"}:
        return False
    if call.status == "queued":
        start_ringing(transaction, call)
    transaction.stop_timer(call.sid, "ring")
    call.answered_at_s = transaction.now_s
    _set_status(transaction, call, "in-progress")
    transaction.set_timer(call.sid, "limit", call.limit_s)
    send_call_event(transaction, call, "answered")
    return True


def end(transaction: Transaction, call: Call, status: str, sip_code: int = 0) -> bool:
    """The leg is over; who was tied to it learns by the task `ended`. False when it already was.

    Args:
        transaction: The bench.
        call: The leg.
        status: Twilio's final status.
        sip_code: The SIP answer, where it isn't the usual one of that status.
    """
    if call.is_final:
        return False
    call.ended_at_s = transaction.now_s
    call.sip_code = sip_code or SIP_CODES[status]
    _set_status(transaction, call, status)
    for name in TIMERS:
        transaction.stop_timer(call.sid, name)
    transaction.state.live_calls.pop(call.sid, None)
    send_call_event(transaction, call, "completed")
    transaction.emit(ReleasePhone(call.sid))
    transaction.add_task("ended", call.sid)
    return True


def hang_up(transaction: Transaction, call: Call) -> bool:
    """Twilio lets the leg go: completed if it was answered, else canceled."""
    return end(transaction, call, "completed" if call.answered_at_s is not None else "canceled")


def send_call_event(transaction: Transaction, call: Call, event: str, status: str = "") -> None:
    """Send a status callback, if somebody asked for this event."""
    subscription = call.subscription
    if subscription is None or not subscription.url or event not in subscription.events:
        return
    sequence = call.callbacks_sent
    call.callbacks_sent += 1
    form = transaction.voice_params(call) + callback_parameters.call_event(call, sequence, transaction.now_s)
    if status:
        form = tuple((name, status if name == "CallStatus" else value) for name, value in form)
    emit_callback(transaction, subscription, "call", event, form, call.sid)


def emit_callback(
    transaction: Transaction,
    subscription: Subscription,
    kind: Literal["call", "conference", "recording"],
    event: str,
    form: Params,
    call_sid: str,
    conference_sid: str = "",
) -> None:
    """Send a callback as POST form or GET query."""
    if not is_url(subscription.url):
        transaction.add_debugger_entry(11100, "Invalid URL format: status callback", call_sid, subscription.url)
        return
    is_get = subscription.method == "GET"
    url = with_query(subscription.url, form) if is_get else subscription.url
    transaction.emit(
        CallbackRequest(kind, event, url, subscription.method, () if is_get else form, call_sid, conference_sid)
    )


def _set_status(transaction: Transaction, call: Call, status: str) -> None:
    call.status = status
    call.updated_at_s = transaction.now_s
