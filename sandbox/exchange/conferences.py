"""Rooms: who enters, who leaves and why, when a room starts and ends, and the callbacks about it.

Source: Twilio docs: TwiML <Conference>; Conference resource; Participant resource.
"""

from __future__ import annotations

from conferral.sandbox.exchange import calls, params, recordings, tunes
from conferral.sandbox.exchange.inputs import Params
from conferral.sandbox.exchange.model import Call, Conference, JoinOrder, Participant
from conferral.sandbox.exchange.texts import CALL_SID, CONFERENCE_SID
from conferral.sandbox.exchange.work import Work

GROUPS = {
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
"""The word to subscribe by for each event."""

REASON_TEXTS = {
    "conference-ended-via-api": "Conference ended via API",
    "last-participant-left": "The last participant left",
    "last-participant-kicked": "The last participant was removed",
    "participant-with-end-conference-on-exit-left": "A participant with endConferenceOnExit left",
    "participant-with-end-conference-on-exit-kicked": "A participant with endConferenceOnExit was removed",
}


def tell(
    work: Work, conference: Conference, event: str, participant: Participant | None = None, extra: Params = ()
) -> None:
    """Send a conference callback, if the first participant's settings ask for this event.

    Before anybody has joined, an event about a participant who never got in follows that participant's settings.
    """
    settings = conference.events
    if not conference.events_fixed and participant is not None:
        settings = participant.order.events
    if settings is None or not settings.url or GROUPS[event] not in settings.events:
        return
    conference.sequence += 1  # counts what is sent, from 1
    form = params.conference_event(conference, work.state.account_sid, event, work.now_s, participant, extra)
    call_sid = participant.call_sid if participant else ""
    calls.emit_callback(work, settings, "conference", event, form, call_sid, conference.sid)


def find_or_make(work: Work, name: str) -> Conference:
    """The live conference of this name or SID, else a new one of this name."""
    found = work.live_conference(name)
    if found is not None:
        return found
    conference = Conference(work.new_sid("CF"), name, work.now_s, work.now_s)
    conference.number = work.state.made["CF"]
    work.state.conferences[conference.sid] = conference
    work.state.rooms[name] = conference.sid
    work.touched.add(conference.sid)
    return conference


def refusal(work: Work, order: JoinOrder) -> tuple[int, str] | None:
    """Why this order can't enter, as Twilio's error code and words; None when it can."""
    conference = work.live_conference(order.name)
    if CONFERENCE_SID.match(order.name) and conference is None:
        return 13236, "Dial->Conference: the conference is not live"
    if len(order.label) > 128 or "/" in order.label or CALL_SID.match(order.label):
        return 16023, "Participant label is not valid"
    members = conference.participants if conference else {}
    if order.label and any(p.label == order.label for p in members.values()):
        return 16025, "Participant label is in use"
    if order.coach_sid:
        coached = members.get(order.coach_sid)
        if coached is None or not coached.is_in:
            return 13240, "Dial->Conference: the call to coach is not in the conference"
        if coached.hold:
            return 16027, "Participant to be whispered is on hold"
    full = conference.participants_max if conference and conference.events_fixed else order.participants_max
    if len(members) >= full:
        return 16020, "Conference is full"
    return None


def reserve(work: Work, call: Call, order: JoinOrder, *, by_rest: bool) -> tuple[Conference, Participant]:
    """Put the call on the list of a room, still outside: it rings, or is about to enter."""
    conference = find_or_make(work, order.name)
    participant = Participant(
        call.sid,
        order,
        "queued",
        work.now_s,
        work.now_s,
        by_rest,
        label=order.label,
        muted=order.muted,
        coaching=bool(order.coach_sid),
        coach_sid=order.coach_sid,
        end_on_exit=order.end_on_exit,
        beep_on_exit=order.beep in {"true", "onExit"},
    )
    conference.participants[call.sid] = participant
    call.conference_sid = conference.sid
    return conference, participant


def connecting(work: Work, call: Call) -> None:
    """A participant's leg has left the queue."""
    conference = work.live_conference(call.conference_sid) if call.conference_sid else None
    participant = conference.participants.get(call.sid) if conference else None
    if participant is not None and participant.status == "queued":
        participant.status = "connecting"


def ringing(work: Work, call: Call) -> None:
    """A participant's phone rings; with early media the room hears it, which may already count as a join."""
    conference = work.conference(call.conference_sid)
    participant = conference.participants.get(call.sid)
    if participant is None:
        return
    participant.status = "ringing"
    if participant.order.early_media and work.rules.early_media_counts_as_join:
        _fix_settings(conference, participant)
        _say_join(work, conference, participant)


def enter(work: Work, call: Call) -> None:
    """A call on the list gets in. The room starts when two are in and one of them may start it."""
    conference = work.conference(call.conference_sid)
    participant = conference.participants[call.sid]
    participant.status = "connected"
    participant.updated_at_s = work.now_s
    call.activity = "conference"
    call.join = None
    _fix_settings(conference, participant)
    conference.region = conference.region or participant.order.region  # of the first one who names one
    conference.ever_joined = True
    if participant.coaching and participant.coach_sid not in conference.participants:
        _orphan(work, participant)
    _say_join(work, conference, participant)
    joined = conference.joined()
    if conference.status == "init" and len(joined) >= 2 and any(p.order.start_on_enter for p in joined):
        _start(work, conference)
    elif conference.status == "init":
        order = participant.order
        participant.wait = tunes.begin(work, conference, call.sid, "wait", order.wait_url, order.wait_method)


def _fix_settings(conference: Conference, first: Participant) -> None:
    if conference.events_fixed:
        return
    conference.events_fixed = True
    conference.events = first.order.events
    conference.participants_max = first.order.participants_max
    conference.recording = first.order if first.order.record else None


def _say_join(work: Work, conference: Conference, participant: Participant) -> None:
    if not participant.joined_event:
        participant.joined_event = True
        tell(work, conference, "participant-join", participant)


def _orphan(work: Work, coach: Participant) -> None:
    """Whom somebody coached is gone."""
    if work.rules.orphaned_coach == "heard":
        coach.coaching = False
        coach.coach_sid = ""


def speaks(work: Work, call: Call, *, starts: bool) -> None:
    """A member begins or stops to speak; nothing is said of somebody who is muted or held, or before the start."""
    conference = work.live_conference(call.conference_sid) if call.conference_sid else None
    participant = conference.participants.get(call.sid) if conference is not None else None
    if conference is None or participant is None or not participant.is_in or participant.is_speaking == starts:
        return
    if participant.muted or participant.hold or conference.status == "init":
        return
    participant.is_speaking = starts
    tell(work, conference, "participant-speech-start" if starts else "participant-speech-stop", participant)


def _start(work: Work, conference: Conference) -> None:
    conference.status = "in-progress"
    conference.updated_at_s = work.now_s
    for participant in conference.participants.values():
        participant.wait = None
        work.stop_timer(participant.call_sid, "wait")
    tell(work, conference, "conference-start")
    if conference.recording is not None:
        recordings.start_for_conference(work, conference, conference.recording)


def leave(work: Work, call: Call, reason: str, *, kicked: bool = False) -> None:
    """The call leaves its room, or the list of it; the room may end with that. The leg itself is not touched.

    Args:
        work: The bench.
        call: The leg, with its status as it is after leaving.
        reason: Twilio's ReasonParticipantLeft; for somebody who never got in `participant_add_failed` is said.
        kicked: Whether the API removed it, which the reason of the room's end tells.
    """
    conference = work.live_conference(call.conference_sid) if call.conference_sid else None
    call.conference_sid = ""
    participant = conference.participants.pop(call.sid, None) if conference is not None else None
    if conference is None or participant is None:
        return
    was_in = participant.is_in
    _say_leave(work, conference, participant, call, reason if was_in else "participant_add_failed")
    for other in conference.participants.values():
        if other.coaching and other.coach_sid == call.sid:
            _orphan(work, other)
    how = "kicked" if kicked else "left"
    if was_in and participant.end_on_exit:
        finish(work, conference, f"participant-with-end-conference-on-exit-{how}", participant)
    elif not conference.joined() and (was_in or not conference.participants):
        finish(work, conference, f"last-participant-{how}", participant)


def _say_leave(work: Work, conference: Conference, participant: Participant, call: Call, reason: str) -> None:
    for slot in ("wait", "hold", "announce"):
        work.stop_timer(call.sid, slot)
    if call.activity == "conference":
        call.activity = "idle"
    extra = (("ParticipantCallStatus", call.status), ("ReasonParticipantLeft", reason))
    tell(work, conference, "participant-leave", participant, extra)
    announced = participant.announcement
    if announced is not None and work.rules.announcement_of_a_leaver == "ended":
        tell(work, conference, "announcement-end", None, (("AnnounceUrl", announced.asked_url),))


def finish(work: Work, conference: Conference, reason: str, ending: Participant | None = None) -> None:
    """The room ends: everybody in it leaves, legs with TwiML go on at their action, others are hung up.

    Those who still ring are not reached by this: nothing happens to them.
    """
    if conference.status == "completed":
        return
    for participant in list(conference.participants.values()):
        if not participant.is_in:
            continue
        member = work.call(participant.call_sid)
        del conference.participants[participant.call_sid]
        member.conference_sid = ""
        via_api = reason == "conference-ended-via-api"
        _say_leave(
            work,
            conference,
            participant,
            member,
            "conference_ended_via_api" if via_api else "moderator_ended_conference",
        )
        let_go(work, member)
    conference.participants.clear()
    conference.status = "completed"
    conference.updated_at_s = work.now_s
    conference.reason_ended = reason
    conference.announcement = None
    work.stop_timer(conference.sid, "announce")
    work.state.rooms.pop(conference.name, None)
    extra = [("ReasonConferenceEnded", reason), ("Reason", REASON_TEXTS[reason])]
    if ending is not None:
        conference.call_sid_ending = ending.call_sid
        extra.append(("CallSidEndingConference", ending.call_sid))
        if ending.label:
            extra.append(("ParticipantLabelEndingConference", ending.label))
    tell(work, conference, "conference-end", None, tuple(extra))
    recordings.stop_all_of(work, conference.sid)


def let_go(work: Work, call: Call) -> None:
    """A leg that its room let go: on with its TwiML, or hung up where it has none."""
    if call.is_final:
        return
    if call.dial is not None:
        work.later("dial-over", call.sid, "answered")
    else:
        calls.hang_up(work, call)


def kick(work: Work, call: Call) -> None:
    """Remove a participant by the API; one who still rings is hung up."""
    was_in = call.activity == "conference"
    leave(work, call, "participant_updated_via_api", kicked=True)
    if was_in:
        let_go(work, call)
    else:
        calls.hang_up(work, call)


def late_answer(work: Work, call: Call, order: JoinOrder) -> None:
    """A participant answers when the room it was called for has ended."""
    call.conference_sid = ""
    if work.rules.late_answer == "new-room" and not CONFERENCE_SID.match(order.name):
        reserve(work, call, order, by_rest=True)
        enter(work, call)
    else:
        calls.hang_up(work, call)


def member(work: Work, conference: Conference, key: str) -> Participant | None:
    """The participant with this CallSid or label."""
    found = conference.participants.get(key)
    if found is None:
        found = next((p for p in conference.participants.values() if p.label and p.label == key), None)
    if found is not None:
        work.call(found.call_sid)
    return found
