"""The life cycle of one leg (queued, ringing, in progress, final), with its status callbacks.

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
"""Timers that end with the call; `old-action` outlives it."""
SIP_CODES = {"completed": 200, "busy": 486, "no-answer": 487, "canceled": 487, "failed": 404}


def new_call(
    transaction: Transaction, from_: str, to: str, direction: Literal["inbound", "outbound-api", "outbound-dial"]
) -> Call:
    """Create a leg: ringing if inbound, else queued."""
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
    """Start reaching the leg's phone. Its ring timeout runs until it rings, then starts over."""
    if call.status != "queued":
        return
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "initiated", status="initiated")  # a callback's word, never a status
    transaction.emit(RingPhone(call.sid, call.from_, call.to, call.custom))


def start_ringing(transaction: Transaction, call: Call) -> bool:
    """Let the phone ring; False if it can't (any more)."""
    if call.status != "queued":
        return False
    _set_status(transaction, call, "ringing")
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "ringing")
    return True


def answer(transaction: Transaction, call: Call) -> bool:
    """Answer the leg; False if it was answered before, or has ended."""
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
    """End the leg with Twilio's final status; False if it had ended before.

    The task `ended` informs related legs. `sip_code` is given if it isn't the usual one of that status.
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
    """Hang up the leg: completed if it was answered, else canceled."""
    return end(transaction, call, "completed" if call.answered_at_s is not None else "canceled")


def send_call_event(transaction: Transaction, call: Call, event: str, status: str = "") -> None:
    """Send a status callback, if the leg is subscribed to this event."""
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
    """Emit a callback as POST form or GET query."""
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
