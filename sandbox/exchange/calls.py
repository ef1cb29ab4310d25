"""The life of one leg: made, ringing, answered, over, with its status callbacks.

Source: Twilio docs: Call resource (Status values, StatusCallbackEvent).
"""

from __future__ import annotations

from typing import Literal

from conferral.sandbox.exchange import params
from conferral.sandbox.exchange.inputs import Params
from conferral.sandbox.exchange.model import Call, Subscription
from conferral.sandbox.exchange.outputs import CallbackRequest, ReleasePhone, RingPhone
from conferral.sandbox.exchange.texts import is_url, with_query
from conferral.sandbox.exchange.work import Work

CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
TIMERS = ("start", "ring", "limit", "digits", "verb", "dial-limit", "redirect", "wait", "hold", "announce")
"""A call's timers that end with it; `old-action` outlives it."""
SIP_CODES = {"completed": 200, "busy": 486, "no-answer": 487, "canceled": 487, "failed": 404}


def make(work: Work, from_: str, to: str, direction: Literal["inbound", "outbound-api", "outbound-dial"]) -> Call:
    """A new leg: ringing where somebody called us, else queued."""
    call = Call(
        sid=work.new_sid("CA"),
        from_=from_,
        to=to,
        direction=direction,
        status="ringing" if direction == "inbound" else "queued",
        created_at_s=work.now_s,
        updated_at_s=work.now_s,
        limit_s=work.rules.call_limit_s,
        number=work.state.made["CA"],
    )
    work.state.calls[call.sid] = call
    work.state.live[call.sid] = None
    work.touched.add(call.sid)
    return call


def initiate(work: Work, call: Call) -> None:
    """Let the leg's phone be reached; its ring time counts from here until it rings, then anew."""
    if call.status != "queued":
        return
    work.set_timer(call.sid, "ring", call.ring_s)
    tell(work, call, "initiated", status="initiated")  # a word of callbacks alone, never a status
    work.emit(RingPhone(call.sid, call.from_, call.to, call.custom))


def rings(work: Work, call: Call) -> bool:
    """The phone rings. False when it can't (any more)."""
    if call.status != "queued":
        return False
    _set_status(work, call, "ringing")
    work.set_timer(call.sid, "ring", call.ring_s)
    tell(work, call, "ringing")
    return True


def answered(work: Work, call: Call) -> bool:
    """The leg is picked up. False when it already was, or is over."""
    if call.status not in {"queued", "ringing"}:
        return False
    if call.status == "queued":
        rings(work, call)
    work.stop_timer(call.sid, "ring")
    call.answered_at_s = work.now_s
    _set_status(work, call, "in-progress")
    work.set_timer(call.sid, "limit", call.limit_s)
    tell(work, call, "answered")
    return True


def end(work: Work, call: Call, status: str, sip_code: int = 0) -> bool:
    """The leg is over; who was tied to it learns by the task `ended`. False when it already was.

    Args:
        work: The bench.
        call: The leg.
        status: Twilio's final status.
        sip_code: The SIP answer, where it isn't the usual one of that status.
    """
    if call.is_final:
        return False
    call.ended_at_s = work.now_s
    call.sip_code = sip_code or SIP_CODES[status]
    _set_status(work, call, status)
    for name in TIMERS:
        work.stop_timer(call.sid, name)
    work.state.live.pop(call.sid, None)
    tell(work, call, "completed")
    work.emit(ReleasePhone(call.sid))
    work.later("ended", call.sid)
    return True


def hang_up(work: Work, call: Call) -> bool:
    """Twilio lets the leg go: completed if it was answered, else canceled."""
    return end(work, call, "completed" if call.answered_at_s is not None else "canceled")


def tell(work: Work, call: Call, event: str, status: str = "") -> None:
    """Send a status callback, if somebody asked for this event."""
    subscription = call.subscription
    if subscription is None or not subscription.url or event not in subscription.events:
        return
    sequence = call.callbacks_sent
    call.callbacks_sent += 1
    form = work.voice_params(call) + params.call_event(call, sequence, work.now_s)
    if status:
        form = tuple((name, status if name == "CallStatus" else value) for name, value in form)
    emit_callback(work, subscription, "call", event, form, call.sid)


def emit_callback(
    work: Work,
    subscription: Subscription,
    kind: Literal["call", "conference", "recording"],
    event: str,
    form: Params,
    call_sid: str,
    conference_sid: str = "",
) -> None:
    """Send a callback as POST form or GET query."""
    if not is_url(subscription.url):
        work.report(11100, "Invalid URL format: status callback", call_sid, subscription.url)
        return
    is_get = subscription.method == "GET"
    url = with_query(subscription.url, form) if is_get else subscription.url
    work.emit(CallbackRequest(kind, event, url, subscription.method, () if is_get else form, call_sid, conference_sid))


def _set_status(work: Work, call: Call, status: str) -> None:
    call.status = status
    call.updated_at_s = work.now_s
