"""Participant updates via REST (Twilio docs: Participant, Conference).

`rest/conference_routes.py` parses them, and answers with errors.
"""

from offhook.model import calls, conferences, dialing, twiml_parser
from offhook.model.conferences import Channel, begin_audio
from offhook.model.formats import resolve
from offhook.model.messages import FetchPurpose
from offhook.model.rest_form import Form
from offhook.model.state import Conference, Fetch, Participant, Source, WaitAudio
from offhook.model.transaction import Transaction
from offhook.model.twiml_grammar import WAIT_VERBS
from offhook.model.twiml_parser import Document, TwimlError, Verb


def update(transaction: Transaction, conference: Conference, participant: Participant, form: Form) -> None:
    """Apply an update; each actual change sends its event. Raise RestError."""
    muted, hold, coaching = map(form.optional_flag, ("Muted", "Hold", "Coaching"))
    end_on_exit = form.optional_flag("EndConferenceOnExit")
    hold_method, wait_method = form.method("HoldMethod", "GET"), form.method("WaitMethod")
    hold_url, wait_url = form.url("HoldUrl"), form.url("WaitUrl")
    announce_url, announce_method = form.url("AnnounceUrl"), form.method("AnnounceMethod")
    # From here on, the request can't be rejected.
    before = _modifiable_fields(participant)
    participant.updated_at_s = transaction.now_s
    if end_on_exit is not None and _accepts_end_on_exit(transaction, participant, hold):
        participant.end_on_exit = end_on_exit
    if form.has("CallSidToCoach"):
        participant.coach_sid = form.get("CallSidToCoach")
        participant.coaching = bool(participant.coach_sid)
    if coaching is not None:
        participant.coaching = coaching
    if _modifiable_fields(participant) != before or form.has("WaitUrl"):
        conferences.send_conference_event(transaction, conference, "participant-modify", participant)
    if muted is not None and muted != participant.muted:
        participant.muted = muted
        event = "participant-mute" if muted else "participant-unmute"
        conferences.send_conference_event(transaction, conference, event, participant)
    if form.has("HoldUrl") or hold not in {None, participant.is_held}:
        _hold_or_unhold(transaction, conference, participant, hold, Source(hold_url, hold_method))
    if participant.muted or participant.is_held:
        participant.is_speaking = False
    if form.has("WaitUrl") and participant.wait_audio is not None:
        begin_audio(transaction, Channel(conference, participant, "wait"), wait_url, wait_method)
    if announce_url and participant.is_in:
        begin_audio(transaction, Channel(conference, participant, "announce"), announce_url, announce_method)


def _accepts_end_on_exit(transaction: Transaction, participant: Participant, hold: bool | None) -> bool:
    """Whether the change takes effect; Twilio doesn't say what a hold does."""
    is_held_after = participant.is_held if hold is None else hold
    match transaction.behavior.end_on_exit_update:
        case "taken":
            return True
        case "unless-held":
            return not is_held_after
        case "with-hold":
            return hold is not None and not is_held_after


def _modifiable_fields(participant: Participant) -> tuple[object, ...]:
    """Return what participant-modify reports, besides the wait URL."""
    return participant.end_on_exit, participant.coaching, participant.coach_sid


def _hold_or_unhold(
    transaction: Transaction, conference: Conference, participant: Participant, hold: bool | None, audio: Source
) -> None:
    """Set a participant's hold, if given, and what they hear meanwhile."""
    wanted = participant.is_held if hold is None else hold
    changed = wanted != participant.is_held
    participant.is_held = wanted
    if not wanted:
        participant.hold_audio = None
        transaction.stop_timer(participant.call_sid, "hold")
    else:  # without a URL, Twilio's music
        begin_audio(transaction, Channel(conference, participant, "hold"), audio.url or None, audio.method)
    if changed:
        event = "participant-hold" if wanted else "participant-unhold"
        conferences.send_conference_event(transaction, conference, event, participant)


def on_document(transaction: Transaction, fetch: Fetch, content_type: str, body: bytes, base_url: str) -> None:
    """Play a wait, hold, or announce document: TwiML, or audio that loops."""
    try:
        document = _playable_document(transaction, fetch, content_type, body, base_url)
    except TwimlError as error:
        transaction.add_debugger_entry(error.code, error.message, fetch.call_sid, base_url, level="error")
        on_document_failed(transaction, fetch, error)
        return
    if found := _requested_by(transaction, fetch):
        channel, audio = found
        transaction.add_remarks(document.remarks, fetch.call_sid, base_url)
        audio.verbs, audio.position, audio.base_url = document.verbs, 0, base_url
        _play(transaction, channel, audio)


def _playable_document(transaction: Transaction, fetch: Fetch, content_type: str, body: bytes, url: str) -> Document:
    """Return a document that only plays; an audio file is one Play."""
    if content_type.startswith("audio/"):
        return Document((Verb("Play", () if fetch.purpose == "announce" else (("loop", "0"),), url),))
    document = twiml_parser.parse_twiml(content_type, body, strict=transaction.strict)
    for verb in document.verbs:
        if verb.name not in WAIT_VERBS:
            raise TwimlError(13238, f"<{verb.name}> is not allowed in a wait, hold or announce document")
    return document


def _requested_by(transaction: Transaction, fetch: Fetch) -> tuple[Channel, WaitAudio] | None:
    """Return who hears a document, and its audio; None if it is obsolete."""
    conference = transaction.live_conference(fetch.conference_sid)
    if conference is not None:
        for hearer in (None, conference.participants.get(fetch.call_sid)):
            channel = Channel(conference, hearer, fetch.purpose)
            if channel.audio is not None and channel.audio.generation == fetch.generation:
                return channel, channel.audio
    return None


def on_document_failed(transaction: Transaction, fetch: Fetch, error: TwimlError) -> None:
    """Drop the waiter, play music, or report: their document failed."""
    found = _requested_by(transaction, fetch)
    if found is None:
        return
    channel, audio = found
    if fetch.purpose == "announce":
        _end_announcement(transaction, channel, audio, failure=error.message)
    elif fetch.purpose == "hold":
        audio.kind = "music"
    else:
        call = transaction.call(fetch.call_sid)
        hangs_up = transaction.behavior.failed_wait == "hung-up"
        conferences.leave(transaction, call, "participant_hung_up" if hangs_up else "participant_add_failed")
        if call.dial is not None:
            dialing.finish(transaction, call, "failed")
        else:
            calls.hang_up(transaction, call)


def on_audio_timer(transaction: Transaction, sid: str, purpose: FetchPurpose) -> None:
    """Play the next verb, or request the document again."""
    if sid in transaction.state.conferences:  # an announcement to everyone
        channel = Channel(transaction.conference(sid), None, purpose)
    elif found := conferences.participation(transaction, transaction.call(sid)):
        channel = Channel(*found, purpose)
    else:
        return
    audio = channel.audio
    if audio is None:
        return
    if audio.position == conferences.PAUSED:
        conferences.request_document(transaction, channel)
    else:
        audio.position += 1
        _play(transaction, channel, audio)


def _play(transaction: Transaction, channel: Channel, audio: WaitAudio) -> None:
    """Play the current verb; at the end, request the document again."""
    verb, behavior = audio.verb, transaction.behavior
    if verb is not None and verb.name != "Redirect":
        if channel.purpose == "announce" and channel.participant is not None:
            transaction.call(channel.participant.call_sid).digits_sent += verb.get("digits")
        transaction.set_timer(channel.timer_owner, channel.purpose, twiml_parser.duration_s(verb, behavior))
        return
    if verb is not None:
        audio.source = Source(resolve(audio.base_url, verb.text), verb.get("method", "POST").upper())
    elif channel.purpose == "announce":
        _end_announcement(transaction, channel, audio)
        return
    audio.verbs = ()
    pause_s = audio.requested_at_s + behavior.wait_document_pause_s - transaction.now_s
    if pause_s > 0:
        transaction.set_timer(channel.timer_owner, channel.purpose, pause_s)
        audio.position = conferences.PAUSED
    else:
        conferences.request_document(transaction, channel)


def _end_announcement(transaction: Transaction, channel: Channel, audio: WaitAudio, failure: str = "") -> None:
    channel.replace_audio(None)
    if failure and transaction.behavior.announcement_failure == "unreported":
        return
    extra = [("AnnounceUrl", audio.requested_url)]
    if failure:
        extra.append(("ReasonAnnouncementFailed", failure))
    event = "announcement-fail" if failure else "announcement-end"
    conferences.send_conference_event(transaction, channel.conference, event, channel.participant, tuple(extra))
