"""REST API: Calls (create, fetch, list, update, delete), their recordings.

Source: Twilio docs: Call resource; Call Recordings subresource; Error and Warning Dictionary (21201, 21205, 21220 …).
"""

import re
from urllib.parse import unquote

from offhook.model import calls, machine_detection, recordings, twiml_interpreter
from offhook.model.formats import is_address, is_number, is_unsafe_client
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.numbers import Number
from offhook.model.remarks import Remark
from offhook.model.rest import resources
from offhook.model.rest_form import Form, RestError
from offhook.model.state import FINAL, LIMIT_S, Call, Detection, Recording, RecordSettings, Source
from offhook.model.transaction import Transaction

INVALID_TO, INVALID_FROM = 21211, 21212
RING_S = 60
PARTICIPANT_BUFFER_S = 5.0  #: That Twilio always adds to a participant's `Timeout` (OpenAPI, CreateParticipant).
TWIML_MAX = 4000
DIGITS_MAX = 32
TIME_LIMIT_MAX_S = 86_400  #: Of calls for which Twilio raised the limit.
SEND_DIGITS = re.compile(rf"^[0-9A-D#*wW]{{0,{DIGITS_MAX}}}$")
FILTERS = {"To": "to", "From": "from_", "ParentCallSid": "parent_sid"}  #: Matched fields, besides the status.
RECORDING_EVENTS = ("in-progress", "completed", "absent")


def create(transaction: Transaction, form: Form) -> RestAnswer:
    """Dial a party, who then hears the TwiML of `Url` or `Twiml`."""
    application = _application(transaction, form)
    source = Source(application.voice_url, application.voice_method) if application else _twiml_source(form)
    if source is None or not (source.url or source.twiml):
        raise RestError(400, 21205, "Url parameter is required.")
    digits = form.get("SendDigits")
    if not SEND_DIGITS.match(digits):
        raise RestError(400, 20001, f"SendDigits must be at most {DIGITS_MAX} of 0-9, A-D, #, *, w and W")
    in_background = form.flag("AsyncAmd", default=False)
    detection = detection_of(transaction, form, "AsyncAmdStatusCallback", in_background=in_background)
    fallback_url, fallback_method = form.url("FallbackUrl"), form.method("FallbackMethod")
    subscription = form.subscription(transaction, "StatusCallback", calls.CALL_EVENTS, ("completed",), lenient=False)
    if application is not None:
        fallback_url, fallback_method = application.voice_fallback_url, application.voice_fallback_method
        subscription = application.subscription
    record_settings = dialed_record_settings(transaction, form)
    call = build_call(transaction, form)
    call.record_from_answer = record_settings
    call.start = source  # from here on, the request can't be rejected
    call.send_digits = digits
    call.detection = None if digits or not machine_detection.can_test(call) else detection
    call.fallback_url, call.fallback_method = fallback_url, fallback_method
    call.subscription = subscription
    start_or_queue(transaction, call)
    return RestAnswer(201, resources.call_resource(transaction.state, call))


def build_call(transaction: Transaction, form: Form) -> Call:
    """Create a leg for the Calls or Participants resource, not yet queued."""
    to = transaction.dialable(form.get("To"), INVALID_TO)
    from_ = transaction.dialable(form.get("From"), INVALID_FROM) if is_number(to) else form.get("From")
    if not to:
        raise RestError(400, 21201, "No 'To' number is specified")
    if not from_:
        raise RestError(400, 21213, "No 'From' number is specified")
    if not is_address(to) or (to.startswith("app:") and transaction.state.answering(to) is None):
        raise RestError(400, INVALID_TO, f"Invalid 'To' Phone Number: {to}")
    if is_unsafe_client(to):
        problem = "an identity is 1 to 121 letters, digits, or _; Twilio refuses others"
        if transaction.strict:
            raise RestError(400, INVALID_TO, f"Invalid 'To' Phone Number: {to}: {problem}")
        transaction.add_remarks([Remark(INVALID_TO, f"client: {problem}")])
    if is_number(to):
        _check_caller(transaction, form, from_)
    ring_s = form.integer("Timeout", RING_S, 1, 600)
    limit_s = form.integer("TimeLimit", int(LIMIT_S), 1, TIME_LIMIT_MAX_S)
    call = calls.new_call(transaction, from_, to, "outbound-api")
    call.ring_s = ring_s + transaction.behavior.ring_buffer_s
    call.limit_s = limit_s
    return call


def _check_caller(transaction: Transaction, form: Form, from_: str) -> None:
    """Reject a caller ID that is neither the account's nor a CallToken's."""
    if not is_number(from_):
        raise RestError(400, INVALID_FROM, f"Invalid 'From' Phone Number: {from_}")
    if form.get("CallToken") and not transaction.behavior.accept_call_tokens:
        raise RestError(400, 21210, "'From' phone number not verified: the CallToken was refused")
    if not transaction.behavior.verify_callers or from_ in transaction.state.numbers:
        return
    token = unquote(form.get("CallToken"))
    if not any(call.sid in token and call.from_ == from_ for call in transaction.state.calls.values()):
        raise RestError(400, 21210, "'From' phone number provided is not yet verified for your account")


def _application(transaction: Transaction, form: Form) -> Number | None:
    """Return the application that handles a call: other URLs are ignored."""
    sid = form.get("ApplicationSid")
    found = transaction.state.application(sid)
    if sid and found is None:
        raise RestError(400, 21218, f"Invalid ApplicationSid: {sid}")
    return found


def detection_of(transaction: Transaction, form: Form, callback: str, *, in_background: bool) -> Detection | None:
    """Return how to detect a machine; None if that wasn't asked for.

    Args:
        callback: The parameter with the URL for a result in the background.
    """
    mode = form.one_of("MachineDetection", ("", "Enable", "DetectMessageEnd"))
    silence_ms = form.integer("MachineDetectionSilenceTimeout", 0, 0, 10_000)
    subscription = form.subscription(transaction, callback, (), (), lenient=True)
    detection = Detection(
        waits_for_end=mode == "DetectMessageEnd",
        in_background=in_background,
        subscription=subscription,
        timeout_s=form.integer("MachineDetectionTimeout", 30, 1, 120),
        silence_s=silence_ms / 1000 if silence_ms else None,
    )
    return detection if mode else None


def start_or_queue(transaction: Transaction, call: Call) -> bool:
    """Dial now (True), or as soon as calls per second allow (False)."""
    if transaction.behavior.calls_per_second > 0:
        start_s = max(transaction.now_s, transaction.state.next_dial_at_s)
        transaction.state.next_dial_at_s = start_s + 1 / transaction.behavior.calls_per_second
        call.queue_ms = int((start_s - transaction.now_s) * 1000)
        if start_s > transaction.now_s:
            transaction.set_timer(call.sid, "start", start_s - transaction.now_s)
            return False
    calls.initiate(transaction, call)
    return True


def _twiml_source(form: Form) -> Source | None:
    """Return the source of a call's TwiML, `Url` first; None if none was sent."""
    url = form.url("Url")
    if url:
        return Source(url, form.method("Method"))
    twiml = form.get("Twiml")
    if len(twiml) > TWIML_MAX:
        raise RestError(400, 20001, f"Twiml is longer than {TWIML_MAX} characters")
    return Source(twiml=twiml) if twiml else None


def update(transaction: Transaction, call: Call, form: Form) -> RestAnswer:
    """Redirect a call to new TwiML, or hang it up."""
    status = form.get("Status")
    if status not in {"", "canceled", "completed"}:
        raise RestError(400, 20001, f"Invalid Status: {status}")
    if call.is_final:
        raise RestError(400, 21220, "Call is not in-progress. Cannot redirect.")
    source = _twiml_source(form)
    if source is not None and not status and call.status != "in-progress":
        raise RestError(400, 21220, "Call is not in-progress. Cannot redirect.")
    fallback_url, fallback_method = form.url("FallbackUrl"), form.method("FallbackMethod")
    subscription = form.subscription(transaction, "StatusCallback", calls.CALL_EVENTS, ("completed",), lenient=False)
    limit_s = form.integer("TimeLimit", int(call.limit_s), 1, TIME_LIMIT_MAX_S)
    if fallback_url:  # from here on, the request can't be rejected
        call.fallback_url, call.fallback_method = fallback_url, fallback_method
    if subscription is not None:
        call.subscription = subscription
    if form.has("TimeLimit"):
        calls.limit(transaction, call, limit_s)
    if status == "completed" or (status == "canceled" and call.status in {"queued", "ringing"}):
        is_update = transaction.behavior.completed_participant == "updated"
        calls.hang_up(transaction, call, "participant_updated_via_api" if is_update else calls.HUNG_UP)
    elif source is not None and not status:
        twiml_interpreter.redirect_call(transaction, call, source)
    return RestAnswer(200, resources.call_resource(transaction.state, call))


def delete(call: Call) -> RestAnswer:
    """Delete the record of a call that has ended; its recordings stay."""
    if not call.is_final:
        raise RestError(409, 20009, "Cannot delete this resource before it is complete")
    call.is_deleted = True
    return RestAnswer(204)


def list_calls(transaction: Transaction, request: RestRequest) -> RestAnswer:
    """List calls, newest first, by status, addresses, and times."""
    form = Form(request.params)
    state = transaction.state
    status, started, ended = form.get("Status"), form.period("StartTime"), form.period("EndTime")
    wanted = [(name, form.get(field)) for field, name in FILTERS.items() if form.get(field)]
    newest_s = transaction.now_s - transaction.behavior.list_delay_s
    # Most calls have ended: a query for live ones must not scan all of them.
    scanned = state.calls if not status or status in FINAL else state.live_calls
    found = [
        call
        for call in (state.calls[sid] for sid in reversed(scanned))
        if (not status or call.status == status)
        and call.created_at_s <= newest_s
        and not call.is_deleted
        and started(call.started_at_s)
        and ended(call.ended_at_s)
        and all(getattr(call, name) == value for name, value in wanted)
    ]
    return resources.list_page(state, request, "calls", found, resources.call_resource, lambda it: it.number)


def start_recording(transaction: Transaction, call: Call, form: Form) -> RestAnswer:
    """Start recording a call in progress."""
    is_refused = call.activity == "bridged" and transaction.behavior.recording_of_a_child == "refused"
    is_refused = is_refused or call.activity == "relaying"
    if call.status != "in-progress" or is_refused:
        raise RestError(400, 21220, "Requested resource is not eligible for recording")
    settings = _record_settings(transaction, form, "StartCallRecordingAPI", "do-not-trim")
    running = recordings.running_of(transaction.state, call.sid)
    if running is None or transaction.behavior.second_recording == "another":
        running = recordings.start_for_call(transaction, call, settings)
    return RestAnswer(201, resources.recording_resource(transaction.state, running))


def dialed_record_settings(transaction: Transaction, form: Form) -> RecordSettings | None:
    """Return how to record a dialed call from its answer; None if it isn't."""
    if not form.flag("Record", default=False):
        return None
    return _record_settings(transaction, form, "OutboundAPI", "trim-silence")


def _record_settings(transaction: Transaction, form: Form, source: str, trim: str) -> RecordSettings:
    """Return how to record a call; `trim` is the default of `Trim`."""
    return RecordSettings(
        source,
        2 if form.one_of("RecordingChannels", ("mono", "dual")) == "dual" else 1,
        form.one_of("RecordingTrack", ("both", "inbound", "outbound")),
        form.subscription(transaction, "RecordingStatusCallback", RECORDING_EVENTS, ("completed",), lenient=True),
        form.one_of("Trim", tuple(dict.fromkeys((trim, "do-not-trim", "trim-silence")))),
        form.get("RecordingConfigurationId"),
    )


def update_recording(transaction: Transaction, recording: Recording, form: Form) -> RestAnswer:
    """Pause, resume, or stop a recording."""
    status = form.get("Status")
    if status not in {"in-progress", "paused", "stopped"}:
        raise RestError(400, 20001, f"Invalid Status: {status}")
    if recording.ended_at_s is not None:
        raise RestError(404, 20404, "The recording is not in progress")
    recordings.set_status(transaction, recording, status, form.one_of("PauseBehavior", ("silence", "skip")))
    shown = resources.recording_resource(transaction.state, recording)
    return RestAnswer(200, shown | {"status": status})  # as requested: a stopped one is already `processing` or done
