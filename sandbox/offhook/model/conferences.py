"""Conferences: joins, leaves, start, end, audio, callbacks.

Source: Twilio docs: TwiML <Conference>; Conference resource; Participant resource.
"""

from dataclasses import dataclass

from offhook.model import callback_parameters, calls, recordings
from offhook.model.formats import CALL_SID, CONFERENCE_SID
from offhook.model.messages import FetchPurpose, Params
from offhook.model.state import Call, Conference, JoinSettings, Participant, Source, WaitAudio
from offhook.model.transaction import Task, Transaction

EVENT_GROUPS = {
    "conference-start": "start",
    "conference-end": "end",
    "participant-join": "join",
    "participant-leave": "leave",
    "participant-mute": "mute",
    "participant-unmute": "mute",
    "participant-hold": "hold",
    "participant-unhold": "hold",
    "participant-modify": "modify",
    "participant-speech-start": "speaker",
    "participant-speech-stop": "speaker",
    "announcement-end": "announcement",
    "announcement-fail": "announcement",
}
"""The subscription word of each event."""

REASON_TEXTS = {
    "conference-ended-via-api": "Conference ended via API",
    "last-participant-left": "The last participant left",
    "last-participant-kicked": "The last participant was removed",
    "participant-with-end-conference-on-exit-left": "Participant {} with endConferenceOnExit left the conference",
    "participant-with-end-conference-on-exit-kicked": "Participant {} with endConferenceOnExit was removed",
}
"""By ReasonConferenceEnded; braces stand for the participant's CallSid."""

AUDIO_FIELDS = {"wait": "wait_audio", "hold": "hold_audio", "announce": "announcement"}  #: By purpose and timer's name.
PAUSED = -1  #: Position in a document that will be requested again shortly.


def send_conference_event(
    transaction: Transaction,
    conference: Conference,
    event: str,
    participant: Participant | None = None,
    extra: Params = (),
) -> None:
    """Send a callback, if the first participant's settings subscribe to it.

    Before anyone has joined, an event about a participant who failed to join uses that participant's settings.
    """
    subscription = conference.subscription
    if not conference.settings_applied and participant is not None:
        subscription = participant.settings.subscription
    if subscription is None or not subscription.url or EVENT_GROUPS[event] not in subscription.events:
        return
    conference.sequence += 1  # counts events sent, from 1
    form = callback_parameters.conference_event(
        conference, transaction.state.account_sid, event, transaction.now_s, participant, extra
    )
    calls.emit_callback(transaction, subscription, "conference", event, form)


def shown_status(transaction: Transaction, conference: Conference) -> str:
    """Return the status that the API shows (`unstarted_conference`)."""
    is_unstarted = conference.status == "init" and len(conference.joined()) > 1
    return transaction.behavior.unstarted_conference if is_unstarted else conference.status


def join_error(transaction: Transaction, settings: JoinSettings) -> tuple[int, str] | None:
    """Return Twilio's error code and message if these can't join, else None."""
    conference = transaction.live_conference(settings.name)
    if CONFERENCE_SID.match(settings.name) and conference is None:
        return 13236, "Dial->Conference: the conference is not live"
    if len(settings.label) > 128 or "/" in settings.label or CALL_SID.match(settings.label):
        return 16023, "Participant label is not valid"
    members = conference.participants if conference else {}
    if settings.label and any(p.label == settings.label for p in members.values()):
        return 16025, "Participant label is in use"
    if settings.coach_sid:
        coached = members.get(settings.coach_sid)
        if coached is None or not coached.is_in:
            return 13240, "Dial->Conference: the call to coach is not in the conference"
        if coached.is_held:
            return 16027, "Participant to be whispered is on hold"
    limit = conference.participants_max if conference and conference.settings_applied else settings.participants_max
    if len(members) >= limit:
        return 16020, "Conference is full"
    return None


def reserve(transaction: Transaction, call: Call, settings: JoinSettings) -> tuple[Conference, Participant]:
    """Add a call, which rings or is about to join, to a conference."""
    conference = transaction.live_conference(settings.name)
    if conference is None:
        conference = Conference(transaction.new_sid("CF"), settings.name, transaction.now_s, transaction.now_s)
        conference.number = transaction.state.created_counts["CF"]
        transaction.state.conferences[conference.sid] = conference
        transaction.state.conference_sids[settings.name] = conference.sid
        transaction.changed_sids.add(conference.sid)
    participant = Participant(
        call.sid,
        settings,
        "queued",
        transaction.now_s,
        transaction.now_s,
        label=settings.label,
        muted=settings.muted,
        coaching=bool(settings.coach_sid),
        coach_sid=settings.coach_sid,
        end_on_exit=settings.end_on_exit,
    )
    conference.participants[call.sid] = participant
    call.conference_sid = conference.sid
    return conference, participant


def participation(transaction: Transaction, call: Call) -> tuple[Conference, Participant] | None:
    """Return a call's live conference and its participant; None without one."""
    conference = transaction.live_conference(call.conference_sid) if call.conference_sid else None
    participant = conference.participants.get(call.sid) if conference is not None else None
    return None if conference is None or participant is None else (conference, participant)


def mark_connecting(transaction: Transaction, call: Call) -> None:
    """Mark a participant as being dialed, no longer queued."""
    found = participation(transaction, call)
    if found is not None and found[1].status == "queued":
        found[1].status = "connecting"


def mark_ringing(transaction: Transaction, call: Call) -> None:
    """Mark a participant as ringing; with early media, it may count as a join."""
    conference = transaction.conference(call.conference_sid)
    participant = conference.participants.get(call.sid)
    if participant is None:
        return
    participant.status = "ringing"
    if participant.settings.early_media and transaction.behavior.early_media_counts_as_join:
        _apply_settings(conference, participant)
        _send_join(transaction, conference, participant)
    _start_if_possible(transaction, conference)


def enter(transaction: Transaction, call: Call) -> None:
    """Let a reserved participant join, which may start the conference."""
    conference = transaction.conference(call.conference_sid)
    participant = conference.participants[call.sid]
    participant.status = "connected"
    participant.updated_at_s = transaction.now_s
    call.activity = "conference"
    call.join_settings = None
    _apply_settings(conference, participant)
    conference.region = conference.region or participant.settings.region  # the first participant with a region sets it
    if participant.coaching and participant.coach_sid not in conference.participants:
        _clear_coach(transaction, participant)
    _send_join(transaction, conference, participant)
    _start_if_possible(transaction, conference)
    if conference.status == "init":
        settings, channel = participant.settings, Channel(conference, participant, "wait")
        begin_audio(transaction, channel, settings.wait_url, settings.wait_method)


def _start_if_possible(transaction: Transaction, conference: Conference) -> None:
    """Start a conference of two, if one of them may (`early_media_starts`)."""
    joined = conference.joined()
    present = list(joined)
    if transaction.behavior.early_media_starts:
        present += [p for p in conference.participants.values() if p.status == "ringing" and p.settings.early_media]
    if conference.status == "init" and joined and len(present) >= 2 and any(p.settings.start_on_enter for p in present):
        _start(transaction, conference)


def _apply_settings(conference: Conference, first: Participant) -> None:
    """Let the first participant's settings be the conference's for good."""
    if conference.settings_applied:
        return
    conference.settings_applied = True
    conference.subscription = first.settings.subscription
    conference.participants_max = first.settings.participants_max
    conference.recording_settings = first.settings if first.settings.record else None


def _send_join(transaction: Transaction, conference: Conference, participant: Participant) -> None:
    if not participant.join_was_sent:
        participant.join_was_sent = True
        send_conference_event(transaction, conference, "participant-join", participant)


def _clear_coach(transaction: Transaction, coach: Participant) -> None:
    """End the coaching of a participant who has left (`orphaned_coach`)."""
    if transaction.behavior.orphaned_coach == "heard":
        coach.coaching = False
        coach.coach_sid = ""


def set_speaking(transaction: Transaction, call: Call, *, starts: bool) -> None:
    """Start or stop a participant's speech; ignored while no one can hear it."""
    found = participation(transaction, call)
    if found is None:
        return
    conference, participant = found
    if not participant.is_in or participant.is_speaking == starts or conference.status == "init":
        return
    if participant.muted or participant.is_held:
        return
    participant.is_speaking = starts
    event = "participant-speech-start" if starts else "participant-speech-stop"
    send_conference_event(transaction, conference, event, participant)


def _start(transaction: Transaction, conference: Conference) -> None:
    conference.status = "in-progress"
    conference.updated_at_s = transaction.now_s
    for participant in conference.participants.values():
        participant.wait_audio = None
        transaction.stop_timer(participant.call_sid, "wait")
    send_conference_event(transaction, conference, "conference-start")
    if conference.recording_settings is not None:
        recordings.start_for_conference(transaction, conference, conference.recording_settings)


def leave(transaction: Transaction, call: Call, reason: str, *, was_removed: bool = False) -> None:
    """Remove a participant, joined or not; the leg itself is unchanged.

    `call` already has its status after leaving; `was_removed` (by the API) shows in the conference's end reason.
    """
    found = participation(transaction, call)
    call.conference_sid = ""
    if found is None:
        return
    conference, participant = found
    del conference.participants[call.sid]
    was_in = participant.is_in
    ends_it = was_in and participant.end_on_exit
    if ends_it and transaction.behavior.ending_leave == "last":
        _remove_all(transaction, conference, "moderator_ended_conference")
    _after_removal(transaction, conference, participant, call, reason if was_in else "participant_add_failed")
    for other in conference.participants.values():
        if other.coaching and other.coach_sid == call.sid:
            _clear_coach(transaction, other)
    how = "kicked" if was_removed else "left"
    if ends_it:
        finish(transaction, conference, f"participant-with-end-conference-on-exit-{how}", participant)
    elif not conference.joined() and (was_in or not conference.participants):
        finish(transaction, conference, f"last-participant-{how}", participant)


def _after_removal(
    transaction: Transaction, conference: Conference, participant: Participant, call: Call, reason: str
) -> None:
    for name in AUDIO_FIELDS:
        transaction.stop_timer(call.sid, name)
    if call.activity == "conference":
        call.activity = "idle"
    extra: Params = (("ParticipantCallStatus", call.status), ("ReasonParticipantLeft", reason))
    send_conference_event(transaction, conference, "participant-leave", participant, extra)


def finish(transaction: Transaction, conference: Conference, reason: str, ended_by: Participant | None = None) -> None:
    """End the conference: joined legs go on with their TwiML, or are hung up."""
    if conference.status == "completed":
        return
    via_api = reason == "conference-ended-via-api"
    _remove_all(transaction, conference, "conference_ended_via_api" if via_api else "moderator_ended_conference")
    conference.participants.clear()
    conference.status = "completed"
    conference.updated_at_s = transaction.now_s
    conference.reason_ended = reason
    conference.announcement = None
    transaction.stop_timer(conference.sid, "announce")
    transaction.state.conference_sids.pop(conference.name, None)
    extra = [
        ("ReasonConferenceEnded", reason),
        ("Reason", REASON_TEXTS[reason].format(ended_by.call_sid if ended_by else "")),
    ]
    if ended_by is not None:
        conference.call_sid_ending = ended_by.call_sid
        extra.append(("CallSidEndingConference", ended_by.call_sid))
        if ended_by.label:
            extra.append(("ParticipantLabelEndingConference", ended_by.label))
    send_conference_event(transaction, conference, "conference-end", None, tuple(extra))
    recordings.stop_all_of(transaction, conference.sid)


def _remove_all(transaction: Transaction, conference: Conference, reason: str) -> None:
    """Let all joined participants leave a conference that ends."""
    for participant in conference.joined():
        member = transaction.call(participant.call_sid)
        del conference.participants[participant.call_sid]
        member.conference_sid = ""
        _after_removal(transaction, conference, participant, member, reason)
        continue_after_conference(transaction, member)


def continue_after_conference(transaction: Transaction, call: Call) -> None:
    """Continue a leg with its TwiML after its conference, or hang it up."""
    if call.is_final:
        return
    if call.dial is not None:
        transaction.tasks.append(Task("dial-over", call.sid, "answered"))  # the action's DialCallStatus
    else:
        calls.hang_up(transaction, call)


def answer_late(transaction: Transaction, call: Call, settings: JoinSettings) -> None:
    """After an answer to an ended conference, open a new one or hang up."""
    call.conference_sid = ""
    if transaction.behavior.late_answer == "new-conference" and not CONFERENCE_SID.match(settings.name):
        reserve(transaction, call, settings)
        enter(transaction, call)
    else:
        calls.hang_up(transaction, call)


@dataclass(frozen=True, slots=True)
class Channel:
    """Audio to one participant (wait, hold, announcement), or to everyone."""

    conference: Conference
    participant: Participant | None  #: None for an announcement to everyone.
    purpose: FetchPurpose

    @property
    def audio(self) -> WaitAudio | None:
        """The audio that plays; None without any."""
        found: WaitAudio | None = getattr(self.participant or self.conference, AUDIO_FIELDS[self.purpose], None)
        return found

    def replace_audio(self, audio: WaitAudio | None) -> None:
        """Replace the audio that plays; None removes it."""
        setattr(self.participant or self.conference, AUDIO_FIELDS[self.purpose], audio)

    @property
    def timer_owner(self) -> str:
        """SID of the owner of the audio's timer."""
        return self.participant.call_sid if self.participant is not None else self.conference.sid


def begin_audio(transaction: Transaction, channel: Channel, url: str | None, method: str) -> None:
    """Start audio from a URL: None is Twilio's music, empty is silence."""
    transaction.stop_timer(channel.timer_owner, channel.purpose)
    if url:
        channel.replace_audio(WaitAudio("document", Source(url, method), requested_url=url))
        request_document(transaction, channel)
    else:
        channel.replace_audio(WaitAudio("music" if url is None else "silence"))


def request_document(transaction: Transaction, channel: Channel) -> None:
    """Request a document for the participant's call, or the first one's."""
    audio, conference = channel.audio, channel.conference
    if audio is None or audio.source is None:
        return
    audio.position = 0
    audio.generation = transaction.state.fetch_count + 1  # a late response to an older request is ignored
    audio.requested_at_s = transaction.now_s
    transaction.fetch(
        transaction.call((channel.participant or conference.joined()[0]).call_sid),
        audio.source,
        channel.purpose,
        (("ConferenceSid", conference.sid), ("FriendlyName", conference.name)),
        generation=audio.generation,
        conference_sid=conference.sid,
    )
