"""The life cycle of one leg, with its callbacks (Twilio docs: Call)."""

from typing import Literal

from offhook.model import callback_parameters
from offhook.model.formats import address_parameters, is_url, with_query
from offhook.model.messages import CallbackKind, CallbackRequest, Params, PhoneConnected, ReleasePhone, RingPhone
from offhook.model.numbers import Subscription
from offhook.model.state import Call
from offhook.model.transaction import Task, Transaction

CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
TIMERS = ("start", "ring", "limit", "digits", "detection", "verb", "dial-limit", "redirect", "wait", "hold", "announce")
"""Timers that end with the call; `old-action` outlives it.

`start`: Twilio dials a queued call. `ring`: no one answered. `limit`: the longest that a call may last. `digits`: the
keys of `SendDigits` were pressed. `detection`: it is known what answered. `verb`: a TwiML verb, a prompt, or the wait
for a key is over.
`dial-limit`: `timeLimit`.
`redirect`: a redirected call begins its new TwiML; shortly before, `old-action` requests the action of the Dial that it
left. The others: a verb of `conferences.AUDIO_FIELDS` is over, or its document is requested again.
"""
HUNG_UP = "participant_hung_up"  #: ReasonParticipantLeft.
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
        custom=address_parameters(to),
        number=transaction.state.created_counts["CA"],
    )
    transaction.state.calls[call.sid] = call
    transaction.state.live_calls[call.sid] = None
    transaction.changed_sids.add(call.sid)
    return call


def initiate(transaction: Transaction, call: Call) -> None:
    """Dial a queued leg; its ring timeout starts over once it rings."""
    if call.status != "queued":
        return
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "initiated", status="initiated")  # a callback's word, never a status
    transaction.outputs.append(RingPhone(call.sid, call.from_, call.to, call.custom))
    if transaction.state.answering(call.to) is not None:
        transaction.tasks.append(Task("arrive", call.sid))


def start_ringing(transaction: Transaction, call: Call) -> bool:
    """Let a queued leg's phone ring; return False if it wasn't queued."""
    if call.status != "queued":
        return False
    _set_status(transaction, call, "ringing")
    call.rang_at_s = transaction.now_s
    transaction.set_timer(call.sid, "ring", call.ring_s)
    send_call_event(transaction, call, "ringing")
    return True


def answer(transaction: Transaction, call: Call) -> None:
    """Answer the leg, unless it was answered before, or has ended."""
    if call.status not in {"queued", "ringing"}:
        return
    start_ringing(transaction, call)
    transaction.stop_timer(call.sid, "ring")
    call.answered_at_s = transaction.now_s
    _set_status(transaction, call, "in-progress")
    limit(transaction, call, call.limit_s)
    transaction.outputs.append(PhoneConnected(call.sid))
    send_call_event(transaction, call, "answered")
    if call.far_sid and call.direction == "inbound":
        transaction.tasks.append(Task("far-answered", call.far_sid))


def send_digits(transaction: Transaction, call: Call) -> None:
    """Press the keys that the leg's dial asks for, before anything else."""
    call.activity = "sending-digits"
    # `w` waits half a second, `W` one; a digit takes no time.
    transaction.set_timer(call.sid, "digits", 0.5 * call.send_digits.count("w") + call.send_digits.count("W"))


def limit(transaction: Transaction, call: Call, limit_s: float) -> None:
    """Let the leg end so long after its answer."""
    call.limit_s = limit_s
    if call.answered_at_s is not None:
        transaction.set_timer(call.sid, "limit", call.answered_at_s + limit_s - transaction.now_s)


def end(transaction: Transaction, call: Call, status: str, sip_code: int = 0, left_reason: str = HUNG_UP) -> None:
    """End a leg that hasn't ended; the task `ended` informs related legs.

    `left_reason` is why it leaves its conference.
    """
    if call.is_final:
        return
    call.ended_at_s = transaction.now_s
    call.sip_code = sip_code or SIP_CODES[status]
    _set_status(transaction, call, status)
    for name in TIMERS:
        transaction.stop_timer(call.sid, name)
    transaction.state.live_calls.pop(call.sid, None)
    if transaction.behavior.final_callback == "first":
        send_call_event(transaction, call, "completed")
    transaction.outputs.append(ReleasePhone(call.sid))
    transaction.tasks.append(Task("ended", call.sid, left_reason))


def hang_up(transaction: Transaction, call: Call, left_reason: str = HUNG_UP) -> None:
    """Hang up the leg; its status says whether it was answered.

    Source: TwiML changelog, August 2024: an inbound call that was never in progress ends as `no-answer`.
    """
    unanswered = "no-answer" if call.direction == "inbound" else "canceled"
    status = "completed" if call.answered_at_s is not None else unanswered
    end(transaction, call, status, left_reason=left_reason)


def send_call_event(transaction: Transaction, call: Call, event: str, status: str = "") -> None:
    """Send a subscribed callback; `status` replaces the call's own in it."""
    subscription = call.subscription
    if subscription is None or not subscription.url or event not in subscription.events:
        return
    sequence = call.callbacks_sent
    call.callbacks_sent += 1
    form = transaction.voice_params(call) + callback_parameters.call_event(call, sequence, transaction.now_s)
    if call.is_final and (recording := transaction.state.recordings.get(call.recording_sid)) is not None:
        form += callback_parameters.recorded(recording, transaction.state, transaction.now_s)
    if status:
        form = tuple((name, status if name == "CallStatus" else value) for name, value in form)
    emit_callback(transaction, subscription, "call", event, form)


def emit_callback(
    transaction: Transaction, subscription: Subscription, kind: CallbackKind, event: str, form: Params
) -> None:
    """Emit a callback; an invalid URL is only reported in the debugger."""
    given = dict(form)
    call_sid = given.get("CallSid", "")
    owner_sid = given.get("ConferenceSid") or call_sid or given.get("MessageSid", "")
    if not is_url(subscription.url):
        transaction.add_debugger_entry(11100, "Invalid URL format: status callback", call_sid, subscription.url)
        return
    is_get = subscription.method == "GET"
    url = with_query(subscription.url, form) if is_get else subscription.url
    sent = () if is_get else form
    transaction.outputs.append(CallbackRequest(kind, event, url, subscription.method, sent, call_sid, owner_sid))


def _set_status(transaction: Transaction, call: Call, status: str) -> None:
    call.status = status
    call.updated_at_s = transaction.now_s
