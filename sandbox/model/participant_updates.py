"""Participant updates via REST: mute, hold, coach, announce, and the documents played to participants.

Source: Twilio docs: Participant resource; Conference resource (AnnounceUrl).
"""

from __future__ import annotations

from dataclasses import dataclass

from conferral.sandbox.model import calls, conferences, dialing, twiml_parser, wait_audio
from conferral.sandbox.model.state import Conference, Fetch, Participant, WaitAudio
from conferral.sandbox.model.transaction import Transaction
from conferral.sandbox.model.twiml_parser import TwimlError, Verb
from conferral.sandbox.model.wait_audio import Slot


@dataclass(frozen=True, slots=True)
class ParticipantChange:
    """The requested changes; None leaves a value unchanged."""

    muted: bool | None = None
    hold: bool | None = None
    hold_url: str | None = None
    hold_method: str = "GET"
    coaching: bool | None = None
    coach_sid: str | None = None
    end_on_exit: bool | None = None
    beep_on_exit: bool | None = None
    wait_url: str | None = None
    wait_method: str = "POST"
    announce_url: str = ""
    announce_method: str = "POST"


def update(
    transaction: Transaction, conference: Conference, participant: Participant, change: ParticipantChange
) -> None:
    """Apply an update; each actual change sends its event."""
    before = _modifiable_fields(participant)
    participant.updated_at_s = transaction.now_s
    if change.beep_on_exit is not None:
        participant.beep_on_exit = change.beep_on_exit
    if change.end_on_exit is not None and _accepts_end_on_exit(transaction, participant, change):
        participant.end_on_exit = change.end_on_exit
    if change.coach_sid is not None:
        participant.coach_sid = change.coach_sid
        participant.coaching = bool(change.coach_sid)
    if change.coaching is not None:
        participant.coaching = change.coaching
    if _modifiable_fields(participant) != before or change.wait_url is not None:
        conferences.send_conference_event(transaction, conference, "participant-modify", participant)
    if change.muted is not None and change.muted != participant.muted:
        participant.muted = change.muted
        event = "participant-mute" if change.muted else "participant-unmute"
        conferences.send_conference_event(transaction, conference, event, participant)
    _hold(transaction, conference, participant, change)
    if participant.muted or participant.is_held:
        participant.is_speaking = False
    if change.wait_url is not None and participant.wait_audio is not None:
        participant.wait_audio = wait_audio.begin(
            transaction, conference, participant.call_sid, "wait", change.wait_url, change.wait_method
        )
    if change.announce_url and participant.is_in:
        participant.announcement = wait_audio.begin(
            transaction, conference, participant.call_sid, "announce", change.announce_url, change.announce_method
        )


def _accepts_end_on_exit(transaction: Transaction, participant: Participant, change: ParticipantChange) -> bool:
    is_held_after = participant.is_held if change.hold is None else change.hold
    match transaction.rules.end_on_exit_update:
        case "taken":
            return True
        case "unless-held":
            return not is_held_after
        case "with-hold":
            return change.hold is not None and not is_held_after


def _modifiable_fields(participant: Participant) -> tuple[object, ...]:
    """Return what participant-modify reports, besides the wait URL."""
    return participant.end_on_exit, participant.beep_on_exit, participant.coaching, participant.coach_sid


def _hold(
    transaction: Transaction, conference: Conference, participant: Participant, change: ParticipantChange
) -> None:
    wanted = participant.is_held if change.hold is None else change.hold
    changed = wanted != participant.is_held
    participant.is_held = wanted
    if not wanted:
        participant.hold_audio = None
        transaction.stop_timer(participant.call_sid, "hold")
    elif changed or change.hold_url is not None:
        url = change.hold_url or None  # None: Twilio's music
        participant.hold_audio = wait_audio.begin(
            transaction, conference, participant.call_sid, "hold", url, change.hold_method
        )
    if changed:
        conferences.send_conference_event(
            transaction, conference, "participant-hold" if wanted else "participant-unhold", participant
        )


def announce_to_all(transaction: Transaction, conference: Conference, url: str, method: str) -> None:
    """Play a document to the whole conference, once."""
    joined = conference.joined()
    if joined:
        conference.announcement = wait_audio.begin(
            transaction, conference, joined[0].call_sid, "announce", url, method, owner_sid=conference.sid
        )


def on_document(transaction: Transaction, fetch: Fetch, content_type: str, body: bytes, base_url: str) -> None:
    """Handle a wait, hold, or announce document: TwiML, or audio that loops."""
    try:
        verbs = _playable(content_type, body, base_url, loops=fetch.purpose != "announce")
    except TwimlError as error:
        transaction.add_debugger_entry(error.code, error.message, fetch.call_sid, base_url)
        on_document_failed(transaction, fetch, error)
        return
    found = _find_audio(transaction, fetch)
    if found is None:
        return
    conference, participant, audio = found
    owner_sid = conference.sid if participant is None else participant.call_sid
    slot = _slot_of_purpose(fetch.purpose)
    if not wait_audio.on_document(transaction, audio, owner_sid, slot, verbs, base_url):
        _on_audio_ended(transaction, conference, participant, audio, slot)


def _playable(content_type: str, body: bytes, url: str, *, loops: bool) -> tuple[Verb, ...]:
    if content_type.startswith("audio/"):
        return (Verb("Play", (("loop", "0"),) if loops else (), url),)
    verbs = twiml_parser.parse_twiml(content_type, body)
    for verb in verbs:
        if verb.name not in twiml_parser.WAIT_VERBS:
            raise TwimlError(13238, f"<{verb.name}> is not allowed in a wait, hold or announce document")
    return verbs


def _slot_of_purpose(name: str) -> Slot:
    return "wait" if name == "wait" else "hold" if name == "hold" else "announce"


def _find_audio(transaction: Transaction, fetch: Fetch) -> tuple[Conference, Participant | None, WaitAudio] | None:
    """Return the audio that a document is for; None if it is obsolete."""
    conference = transaction.live_conference(fetch.conference_sid)
    if conference is None:
        return None
    shared = conference.announcement
    if fetch.purpose == "announce" and shared is not None and shared.generation == fetch.generation:
        return conference, None, shared
    participant = conference.participants.get(fetch.call_sid)
    audio = wait_audio.audio_of(participant, _slot_of_purpose(fetch.purpose)) if participant else None
    if participant is None or audio is None or audio.generation != fetch.generation:
        return None
    return conference, participant, audio


def on_document_failed(transaction: Transaction, fetch: Fetch, error: TwimlError) -> None:
    """Handle a failed fetch: wait audio drops the participant, hold audio becomes music, an announcement ends."""
    found = _find_audio(transaction, fetch)
    if found is None:
        return
    conference, participant, audio = found
    if fetch.purpose == "announce":
        _on_announcement_ended(transaction, conference, participant, audio, failure=error.message)
    elif fetch.purpose == "hold":
        audio.kind = "music"
    elif participant is not None:
        call = transaction.call(participant.call_sid)
        hangs_up = transaction.rules.failed_wait == "hung-up"
        conferences.leave(transaction, call, "participant_hung_up" if hangs_up else "participant_add_failed")
        if call.dial is not None:
            dialing.finish(transaction, call, "failed")
        else:
            calls.hang_up(transaction, call)


def on_verb_timer(transaction: Transaction, sid: str, name: str) -> None:
    """Handle the end of a wait audio verb; `sid` is a participant's call, or the conference if all hear it."""
    slot = _slot_of_purpose(name)
    if sid in transaction.state.conferences:
        conference = transaction.conference(sid)
        if conference.announcement is not None:
            _advance(transaction, conference, None, conference.announcement, slot)
        return
    call = transaction.call(sid)
    live = transaction.live_conference(call.conference_sid) if call.conference_sid else None
    participant = live.participants.get(sid) if live else None
    own = wait_audio.audio_of(participant, slot) if participant else None
    if live is not None and own is not None:
        _advance(transaction, live, participant, own, slot)


def _advance(
    transaction: Transaction, conference: Conference, participant: Participant | None, audio: WaitAudio, slot: Slot
) -> None:
    owner_sid = conference.sid if participant is None else participant.call_sid
    if wait_audio.is_paused(audio):
        wait_audio.request(transaction, conference, _fetch_participant(conference, participant), slot, audio)
    elif not wait_audio.next_verb(transaction, audio, owner_sid, slot):
        _on_audio_ended(transaction, conference, participant, audio, slot)


def _fetch_participant(conference: Conference, participant: Participant | None) -> str:
    """Return the call for which to fetch a document; for an announcement to all, the first participant's."""
    return conference.joined()[0].call_sid if participant is None else participant.call_sid


def _on_audio_ended(
    transaction: Transaction, conference: Conference, participant: Participant | None, audio: WaitAudio, slot: Slot
) -> None:
    if slot == "announce" and not wait_audio.has_redirect(audio):
        _on_announcement_ended(transaction, conference, participant, audio)
        return
    owner_sid = conference.sid if participant is None else participant.call_sid
    wait_audio.request_again(
        transaction, conference, _fetch_participant(conference, participant), slot, audio, owner_sid
    )


def _on_announcement_ended(
    transaction: Transaction,
    conference: Conference,
    participant: Participant | None,
    audio: WaitAudio,
    failure: str = "",
) -> None:
    if participant is None:
        conference.announcement = None
    else:
        participant.announcement = None
    if failure and transaction.rules.announcement_failure == "unreported":
        return
    extra = [("AnnounceUrl", audio.requested_url)]
    if failure:
        extra.append(("ReasonAnnouncementFailed", failure))
    event = "announcement-fail" if failure else "announcement-end"
    conferences.send_conference_event(transaction, conference, event, participant, tuple(extra))
