"""`<Dial>`: the first child to answer wins, or the front of a `<Queue>`.

Source: Twilio docs, TwiML <Dial>; TwiML <Queue>.
"""

from offhook.model import callback_parameters, calls, conferences, queues, recordings
from offhook.model.formats import is_number, is_url, resolve
from offhook.model.messages import Params
from offhook.model.numbers import Subscription
from offhook.model.state import Call, Detection, Dial, JoinSettings, QueueStay, RecordSettings, Source
from offhook.model.transaction import Transaction
from offhook.model.twiml_grammar import SCHEMA_WARNING
from offhook.model.twiml_parser import Verb, address, custom_parameters, nouns

NOUNS_MAX = 10
RING_S = 30.0


def start(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Start a call's `<Dial>`; it is over if no target can be reached.

    Its action then says `failed`. Targets beyond `NOUNS_MAX` are ignored.
    """
    call.dial = Dial(verb, base_url)
    call.activity = "dialing"
    targets = nouns(verb)
    alone = next((noun.name for noun in targets if noun.name in {"Conference", "Queue"}), "")
    if alone and len(targets) > 1:
        transaction.add_debugger_entry(13000, f"Dial: {alone} must stand alone; only the first noun counts", call.sid)
        targets = targets[:1]
    if targets and targets[0].name == "Conference":
        _enter_conference(transaction, call, targets[0])
        return
    if targets and targets[0].name == "Queue":
        _dial_queue(transaction, call, queues.sid_of(targets[0].text))
        return
    if not verb.flag("answerOnBridge", default=False):
        calls.answer(transaction, call)
    if verb.get("record").startswith("record-from-ringing"):
        _record(transaction, call, call.dial)
    if len(targets) > NOUNS_MAX:
        said = f"Twilio dials {NOUNS_MAX} nouns at once; those after them are ignored"
        transaction.add_debugger_entry(SCHEMA_WARNING, said, call.sid)
    call.dial.waiting = list(targets[:NOUNS_MAX])
    if not _dial_next(transaction, call, call.dial):
        finish(transaction, call, "failed")


def _dial_next(transaction: Transaction, call: Call, dial: Dial) -> bool:
    """Dial all nouns, or the next if `sequential`; False if none can be."""
    children: list[Call] = []
    while dial.waiting and not (children and dial.verb.flag("sequential", default=False)):
        if (child := _make_child(transaction, call, dial.waiting.pop(0))) is not None:
            children.append(child)
    dial.children = [child.sid for child in children]
    for child in children:
        calls.initiate(transaction, child)
    return bool(children)


def _make_child(transaction: Transaction, parent: Call, noun: Verb) -> Call | None:
    """Create a noun's leg; None if its address or caller ID is invalid."""
    assert parent.dial is not None  # set by start()
    verb, base_url = parent.dial.verb, parent.dial.base_url
    to = transaction.dialable(address(noun), 13223) if noun.name == "Number" else address(noun)
    from_ = transaction.dialable(verb.get("callerId"), 13214) or parent.from_
    if noun.name == "Number" and (error := _dial_error(transaction, parent, from_, to)) is not None:
        transaction.add_debugger_entry(*error, parent.sid)
        parent.dial.error = error
        return None
    child = calls.new_call(transaction, from_, to, "outbound-dial")
    child.parent_sid = parent.sid
    child.ring_s = verb.number("timeout", RING_S)
    child.custom += custom_parameters(noun)
    child.subscription = subscription(noun, base_url, "statusCallback", "" if noun.name == "Client" else "completed")
    child.send_digits = noun.get("sendDigits")
    child.detection = _detection(noun, base_url)
    if noun.get("url"):
        child.start = Source(resolve(base_url, noun.get("url")), noun.get("method", "POST").upper())
    return child


def _detection(noun: Verb, base_url: str) -> Detection | None:
    """Return how to find out what answered; None if that wasn't asked for."""
    mode, silence_ms = noun.get("machineDetection"), noun.number("machineDetectionSilenceTimeout", 0)
    if not mode or noun.name == "Client":
        return None
    return Detection(
        waits_for_end=mode == "DetectMessageEnd",
        in_background=True,
        subscription=subscription(noun, base_url, "amdStatusCallback", ""),
        timeout_s=noun.number("machineDetectionTimeout", 30.0),
        silence_s=silence_ms / 1000 if silence_ms else None,
    )


def _dial_error(transaction: Transaction, parent: Call, from_: str, to: str) -> tuple[int, str] | None:
    """Return Twilio's code and message if a number can't be dialed, else None."""
    known = (parent.from_, parent.to, *transaction.state.numbers)
    if not is_number(to):
        return 13223, "Dial: invalid phone number format"
    if not is_number(from_):
        return 13214, "Dial: a callerId is needed to dial a number"
    called = transaction.state.called(parent.to)
    is_checked = transaction.behavior.verify_callers and not (called is not None and called.byoc_trunk_sid)
    if is_checked and from_ not in known:
        return 13214, "Dial: callerId is neither the caller's, the called, nor one of the account's"
    return None


def join_settings(noun: Verb, base_url: str) -> JoinSettings:
    """Return the join settings of a `<Conference>` element."""
    return JoinSettings(
        name=noun.text,
        label=noun.get("participantLabel"),
        muted=noun.flag("muted", default=False),
        coach_sid=noun.get("coach"),
        start_on_enter=noun.flag("startConferenceOnEnter", default=True),
        end_on_exit=noun.flag("endConferenceOnExit", default=False),
        beep=noun.get("beep", "true"),
        wait_url=(noun.get("waitUrl") and resolve(base_url, noun.get("waitUrl"))) if noun.has("waitUrl") else None,
        wait_method=noun.get("waitMethod", "POST").upper(),
        participants_max=int(noun.number("maxParticipants", 250)),
        jitter_buffer=noun.get("jitterBufferSize", "large"),
        record=noun.get("record", "do-not-record") in {"record-from-start", "true"},
        trim=noun.get("trim", "trim-silence"),
        recording_configuration=noun.get("recordingConfigurationId"),
        recording_subscription=subscription(noun, base_url, "recordingStatusCallback", "completed"),
        subscription=subscription(noun, base_url, "statusCallback", ""),
        region=noun.get("region"),
    )


def subscription(noun: Verb, base_url: str, attribute: str, default_events: str) -> Subscription | None:
    """Return the subscription in an element's `attribute`, or None."""
    if not noun.get(attribute):
        return None
    events = tuple(noun.get(f"{attribute}Event", default_events).split())
    return Subscription(resolve(base_url, noun.get(attribute)), noun.get(f"{attribute}Method", "POST").upper(), events)


def _enter_conference(transaction: Transaction, call: Call, noun: Verb) -> None:
    """Join the `<Conference>` of a `<Dial>`, or finish the `<Dial>` as failed."""
    assert call.dial is not None  # set by start()
    calls.answer(transaction, call)
    settings = join_settings(noun, call.dial.base_url)
    refused = conferences.join_error(transaction, settings)
    if refused is not None:
        transaction.add_debugger_entry(*refused, call.sid)
        finish(transaction, call, "failed")
        return
    limit_s = call.dial.verb.number("timeLimit", 0)
    if limit_s > 0:
        transaction.set_timer(call.sid, "dial-limit", limit_s)
    conferences.reserve(transaction, call, settings)
    conferences.enter(transaction, call)


def _dial_queue(transaction: Transaction, call: Call, queue_sid: str) -> None:
    """Take the front of the queue, now or within the `timeout`."""
    assert call.dial is not None  # set by start()
    calls.answer(transaction, call)
    if queue_sid not in transaction.state.queues:
        finish(transaction, call, "failed")
        return
    call.dial.queue_sid = queue_sid
    transaction.set_timer(call.sid, "dial-limit", call.dial.verb.number("timeout", RING_S))
    take_from_queue(transaction, call)


def take_from_queue(transaction: Transaction, call: Call) -> None:
    """Let a Dial that waits for someone in its queue have the front.

    TwiML of its noun plays to them before both are connected.
    """
    dial = call.dial
    if dial is None or dial.winner_sid:
        return
    queue = transaction.state.queues.get(dial.queue_sid)  # None if it was deleted meanwhile
    if queue is None or not queue.members:
        return
    transaction.stop_timer(call.sid, "dial-limit")
    member = queues.take_front(transaction, queue, call.sid)
    assert member.queue_stay is not None  # the Dial's from now on
    dial.children, dial.winner_sid = [member.sid], member.sid
    noun = nouns(dial.verb)[0]
    if not noun.get("url"):
        bridge(transaction, member)
        return
    member.activity = "fetching"
    source = Source(resolve(dial.base_url, noun.get("url")), noun.get("method", "POST").upper())
    extra = (*queues.stay_parameters(member.queue_stay, transaction.now_s), ("DequeingCallSid", call.sid))
    transaction.fetch(member, source, "whisper", extra)


def on_child_answered(transaction: Transaction, child: Call) -> None:
    """Press the noun's `sendDigits` first, then let the child win."""
    if child.send_digits:
        calls.send_digits(transaction, child)
    else:
        finish_ringing(transaction, child)


def finish_ringing(transaction: Transaction, child: Call) -> None:
    """Let the child that answered win: the others stop ringing.

    TwiML of its noun plays before both are connected.
    """
    parent = transaction.call(child.parent_sid)
    dial = parent.dial
    if dial is None or child.sid not in dial.children or dial.winner_sid:
        calls.hang_up(transaction, child)
        return
    dial.winner_sid = child.sid
    for sid in dial.children:
        if sid != child.sid:
            calls.hang_up(transaction, transaction.call(sid))  # another may have answered, and press keys
    if child.start is not None:
        child.activity = "fetching"
        child.generation += 1
        transaction.fetch(child, child.start, "whisper")
    else:
        bridge(transaction, child)


def bridge(transaction: Transaction, child: Call) -> None:
    """Bridge the child that answered with its parent; answer both."""
    if not child.dialer_sid or child.is_final:
        return
    parent = transaction.call(child.dialer_sid)
    dial = parent.dial
    if dial is None or dial.winner_sid != child.sid:
        return
    calls.answer(transaction, child)  # from a queue, it may still ring
    child.activity = "bridged"
    child.program = None
    dial.bridged_at_s = transaction.now_s
    calls.answer(transaction, parent)
    if dial.verb.get("record") in {"true", "record-from-answer", "record-from-answer-dual"}:
        _record(transaction, parent, dial)
    limit_s = dial.verb.number("timeLimit", 0)
    if limit_s > 0:
        transaction.set_timer(parent.sid, "dial-limit", limit_s)


def _record(transaction: Transaction, call: Call, dial: Dial) -> None:
    """Record both sides until the Dial ends; the recording is the caller's."""
    verb = dial.verb
    settings = RecordSettings(
        "DialVerb",
        2 if verb.get("record").endswith("-dual") else 1,
        verb.get("recordingTrack", "both"),
        subscription(verb, dial.base_url, "recordingStatusCallback", "completed"),
        verb.get("trim", "trim-silence"),
    )
    dial.recording_sid = recordings.start_for_call(transaction, call, settings).sid


def _stop_recording(transaction: Transaction, dial: Dial) -> None:
    recording = transaction.state.recordings.get(dial.recording_sid)
    if recording is not None and recording.ended_at_s is None:
        recordings.set_status(transaction, recording, "stopped")


def cut_short(transaction: Transaction, call: Call) -> None:
    """End the Dial at its timeLimit or on `*`."""
    if call.dial is None:
        return
    if call.activity == "conference":
        conferences.leave(transaction, call, "participant_hung_up")
        finish(transaction, call, "answered")
    elif call.dial.winner_sid:
        _release(transaction, transaction.call(call.dial.winner_sid))
    elif call.dial.queue_sid:
        finish(transaction, call, "no-answer")


def _release(transaction: Transaction, winner: Call) -> None:
    """Hang up the leg that a Dial connected; one from a queue goes on."""
    if winner.queue_stay is None:
        calls.hang_up(transaction, winner)
        return
    end_queue_stay(transaction, winner, winner.queue_stay, "bridged")


def end_queue_stay(transaction: Transaction, call: Call, stay: QueueStay, result: str) -> None:
    """Leave a queue, or the Dial that took the call out of it."""
    if stay.dialer_sid:
        on_child_left(transaction, call)
    queues.leave_queue(transaction, call, stay, result)


def on_child_left(transaction: Transaction, child: Call) -> None:
    """Remove a leg that ended or was redirected; finish its Dial if it can."""
    parent = transaction.call(child.dialer_sid)
    dial = parent.dial
    if dial is None or child.sid not in dial.children or parent.is_final:
        return
    dial.children.remove(child.sid)
    if child.sid == dial.winner_sid:
        finish(transaction, parent, "completed", child)
    elif not dial.children and not dial.winner_sid:
        if _dial_next(transaction, parent, dial):
            return
        if child.status == "failed" and is_number(child.to):
            dial.error = 13224, "Dial: Twilio does not support calling this number or the number is invalid"
        finish(transaction, parent, child.status, child)


def on_caller_ended(transaction: Transaction, call: Call) -> None:
    """End the Dial of a call that ended; the action's response isn't run."""
    dial = call.dial
    if dial is None:
        return
    child = hang_up_children(transaction, call)
    if not transaction.behavior.action_after_hang_up:
        call.dial = None
        return
    targets = nouns(dial.verb)
    in_conference = bool(targets) and targets[0].name == "Conference"
    abandoned = transaction.behavior.abandoned_child
    status = "answered" if in_conference else "completed" if dial.winner_sid else abandoned
    finish(transaction, call, status, child)


def hang_up_children(transaction: Transaction, call: Call) -> Call | None:
    """Hang up what a Dial placed; return the one that answered, else the last."""
    dial = call.dial
    if dial is None:
        return None
    _stop_recording(transaction, dial)
    if not dial.children:
        return None
    sids, dial.children = dial.children, []
    for sid in sids:
        child = transaction.call(sid)
        if child.queue_stay is not None:  # from a queue: they go on
            queues.leave_queue(transaction, child, child.queue_stay, "bridged")
            continue
        was_answered = child.answered_at_s is not None
        calls.end(transaction, child, "completed" if was_answered else transaction.behavior.abandoned_child)
    return transaction.call(dial.winner_sid or sids[-1])


def action_request(
    transaction: Transaction, call: Call, status: str, child: Call | None
) -> tuple[Source, Params] | None:
    """Return the source and parameters of a Dial's action; None without one."""
    dial = call.dial
    if dial is None or not dial.verb.has("action"):
        return None
    url = resolve(dial.base_url, dial.verb.get("action"))
    if not is_url(url):  # a relative URL in TwiML without a URL of its own
        transaction.add_debugger_entry(11100, "Invalid URL format: Dial action", call.sid, url)
        return None
    lasted_s = bridged = None
    if child is not None:
        bridged = dial.bridged_at_s is not None
        since_s = dial.bridged_at_s if dial.queue_sid else child.answered_at_s
        if since_s is not None:
            lasted_s = (child.ended_at_s if child.ended_at_s is not None else transaction.now_s) - since_s
    source = Source(url, dial.verb.get("method", "POST").upper())
    error = dial.error if status == "failed" else None
    extra = callback_parameters.dial_action(status, child, lasted_s, bridged, error)
    recording = transaction.state.recordings.get(dial.recording_sid)
    if recording is not None and not recordings.is_empty(transaction, recording):
        extra += callback_parameters.recorded(recording, transaction.state, transaction.now_s)
    return source, extra


def finish(transaction: Transaction, call: Call, status: str, child: Call | None = None) -> None:
    """End the Dial: request its action, else continue with the next verb."""
    if call.dial is not None:
        _stop_recording(transaction, call.dial)
    action = action_request(transaction, call, status, child)
    call.dial = None
    transaction.stop_timer(call.sid, "dial-limit")
    if action is not None and not call.is_final:
        call.program = None  # verbs after a Dial with an action are never reached
    transaction.request_action(call, action)
