"""`<Record>`: a caller's message (Twilio docs: TwiML <Record>).

What a caller says is text; speech takes as long as that of a `<Say>`. The beep takes no time.
"""

from math import inf

from offhook.model import callback_parameters, calls, dialing, recordings
from offhook.model.messages import AskForSpeech
from offhook.model.state import Call, Record, Recording, RecordSettings
from offhook.model.transaction import Task, Transaction
from offhook.model.twiml_parser import Verb

SILENCE_S, LENGTH_MAX_S = 5.0, 3600.0  #: Defaults of `timeout` and `maxLength`.
FINISHING_KEYS = "1234567890*#"


def start(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Start to record the caller."""
    calls.answer(transaction, call)
    subscription = dialing.subscription(verb, base_url, "recordingStatusCallback", "completed")
    settings = RecordSettings("RecordVerb", 1, "inbound", subscription, verb.get("trim", "trim-silence"))
    recording = recordings.start_for_call(transaction, call, settings)
    call.activity = "recording"
    ends_at_s = transaction.now_s + verb.number("maxLength", LENGTH_MAX_S)
    call.record = Record(verb, base_url, recording.sid, ends_at_s)
    transaction.outputs.append(AskForSpeech(call.sid))
    _set_timer(transaction, call, call.record)


def start_in_background(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Start each `<Recording>` of a `<Start>`; the next verb follows at once."""
    calls.answer(transaction, call)
    for noun in verb.children:
        settings = RecordSettings(
            "StartCallRecordingTwiML",
            2 if noun.get("channels", "dual") == "dual" else 1,
            noun.get("track", "both"),
            dialing.subscription(noun, base_url, "recordingStatusCallback", "completed"),
            noun.get("trim", "trim-silence"),
            noun.get("recordingConfigurationId"),
        )
        recordings.start_for_call(transaction, call, settings)
    transaction.tasks.append(Task("run", call.sid))


def speak(transaction: Transaction, call: Call, record: Record, text: str) -> None:
    """Record what the caller says; without text, speech of unknown length."""
    if record.spoken_from_s is None:
        record.spoken_from_s = transaction.now_s
    lasts_s = len(text) * transaction.behavior.say_s_per_character if text else inf
    record.spoken_until_s = transaction.now_s + lasts_s
    if (recording := transaction.state.recordings.get(record.recording_sid)) is not None:
        recording.text = f"{recording.text} {text}".strip()
    _set_timer(transaction, call, record)


def fall_silent(transaction: Transaction, call: Call, record: Record) -> None:
    """End the caller's speech."""
    record.spoken_until_s = min(record.spoken_until_s, transaction.now_s)
    _set_timer(transaction, call, record)


def press(transaction: Transaction, call: Call, digit: str) -> None:
    """End the recording if this key of the caller's does."""
    if call.record is not None and digit in call.record.verb.get("finishOnKey", FINISHING_KEYS):
        finish(transaction, call, digit)


def _set_timer(transaction: Transaction, call: Call, record: Record) -> None:
    """Let the recording end after a silence, or at its maximum length."""
    silent_since_s = max(record.spoken_until_s, transaction.now_s)
    ends_at_s = min(silent_since_s + record.verb.number("timeout", SILENCE_S), record.ends_at_s)
    transaction.set_timer(call.sid, "verb", ends_at_s - transaction.now_s)


def stop(transaction: Transaction, call: Call, record: Record) -> Recording | None:
    """Stop recording; return the recording, or None if it is empty."""
    call.record = None
    transaction.stop_timer(call.sid, "verb")
    recording = transaction.state.recordings.get(record.recording_sid)  # None once it was deleted by the API
    if recording is not None and recording.ended_at_s is None:
        recording.is_silent = record.spoken_from_s is None
        if recording.settings.trim == "trim-silence" and record.spoken_from_s is not None:
            recording.skipped_s += record.spoken_from_s - recording.started_at_s
            recording.skipped_s += max(transaction.now_s - record.spoken_until_s, 0.0)
        recordings.set_status(transaction, recording, "stopped")
    if recording is None or recordings.is_empty(transaction, recording):
        return None
    if record.verb.flag("transcribe", default=False):
        _transcribe(transaction, call, record, recording)
    return recording


def _transcribe(transaction: Transaction, call: Call, record: Record, recording: Recording) -> None:
    """Keep, and report, what the caller said; it takes no time."""
    recording.transcription_sid = transaction.new_sid("TR")
    if (to := dialing.subscription(record.verb, record.base_url, "transcribeCallback", "")) is not None:
        spoken = callback_parameters.transcription(recording, transaction.state)
        form = transaction.voice_params(call) + spoken
        calls.emit_callback(transaction, to, "recording", "transcription", form)


def finish(transaction: Transaction, call: Call, digits: str = "") -> None:
    """Stop recording; request the action or, after silence, run the next verb."""
    record = call.record
    if record is None:
        return
    recording, extra = stop(transaction, call, record), None
    if recording is not None:
        extra = (*callback_parameters.recorded(recording, transaction.state, transaction.now_s), ("Digits", digits))
    transaction.end_verb(call, record.verb, record.base_url, extra)
