"""What the API does to those in a room: mute, hold, coach, announce, and the documents that play to them.

Source: Twilio docs: Participant resource; Conference resource (AnnounceUrl).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conferral.sandbox.exchange import calls, conferences, dialing, tunes, twiml
from conferral.sandbox.exchange.model import Conference, Fetch, Participant, Tune
from conferral.sandbox.exchange.twiml import TwimlError, Verb
from conferral.sandbox.exchange.work import Work

Slot = Literal["wait", "hold", "announce"]


@dataclass(frozen=True, slots=True)
class Change:
    """What an update asks for; None leaves things as they are."""

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


def update(work: Work, conference: Conference, participant: Participant, change: Change) -> None:
    """Apply an update; each thing that really changes has its event."""
    before = _modifiable(participant)
    participant.updated_at_s = work.now_s
    if change.beep_on_exit is not None:
        participant.beep_on_exit = change.beep_on_exit
    if change.end_on_exit is not None and _takes_end_on_exit(work, participant, change):
        participant.end_on_exit = change.end_on_exit
    if change.coach_sid is not None:
        participant.coach_sid = change.coach_sid
        participant.coaching = bool(change.coach_sid)
    if change.coaching is not None:
        participant.coaching = change.coaching
    if _modifiable(participant) != before or change.wait_url is not None:
        conferences.tell(work, conference, "participant-modify", participant)
    if change.muted is not None and change.muted != participant.muted:
        participant.muted = change.muted
        event = "participant-mute" if change.muted else "participant-unmute"
        conferences.tell(work, conference, event, participant)
    _hold(work, conference, participant, change)
    if participant.muted or participant.hold:
        participant.is_speaking = False
    if change.wait_url is not None and participant.wait is not None:
        participant.wait = tunes.begin(
            work, conference, participant.call_sid, "wait", change.wait_url, change.wait_method
        )
    if change.announce_url and participant.is_in:
        participant.announcement = tunes.begin(
            work, conference, participant.call_sid, "announce", change.announce_url, change.announce_method
        )


def _takes_end_on_exit(work: Work, participant: Participant, change: Change) -> bool:
    is_held_after = participant.hold if change.hold is None else change.hold
    match work.rules.end_on_exit_update:
        case "taken":
            return True
        case "unless-held":
            return not is_held_after
        case "with-hold":
            return change.hold is not None and not is_held_after


def _modifiable(participant: Participant) -> tuple[object, ...]:
    """What participant-modify tells of, beside the wait URL."""
    return participant.end_on_exit, participant.beep_on_exit, participant.coaching, participant.coach_sid


def _hold(work: Work, conference: Conference, participant: Participant, change: Change) -> None:
    wanted = participant.hold if change.hold is None else change.hold
    changed = wanted != participant.hold
    participant.hold = wanted
    if not wanted:
        participant.held = None
        work.stop_timer(participant.call_sid, "hold")
    elif changed or change.hold_url is not None:
        url = change.hold_url or None  # nothing given: Twilio's music
        participant.held = tunes.begin(work, conference, participant.call_sid, "hold", url, change.hold_method)
    if changed:
        conferences.tell(work, conference, "participant-hold" if wanted else "participant-unhold", participant)


def announce_to_all(work: Work, conference: Conference, url: str, method: str) -> None:
    """Play a document to everybody in the room, once."""
    joined = conference.joined()
    if joined:
        conference.announcement = tunes.begin(
            work, conference, joined[0].call_sid, "announce", url, method, owner_sid=conference.sid
        )


def document(work: Work, fetch: Fetch, content_type: str, body: bytes, base_url: str) -> None:
    """A wait, hold or announce document has come: TwiML, or audio that is played over and over."""
    try:
        verbs = _playable(content_type, body, base_url, loops=fetch.purpose != "announce")
    except TwimlError as error:
        work.report(error.code, error.message, fetch.call_sid, base_url)
        document_failed(work, fetch, error)
        return
    found = _find(work, fetch)
    if found is None:
        return
    conference, participant, tune = found
    owner_sid = conference.sid if participant is None else participant.call_sid
    slot = _slot(fetch.purpose)
    if not tunes.loaded(work, tune, owner_sid, slot, verbs, base_url):
        _ended(work, conference, participant, tune, slot)


def _playable(content_type: str, body: bytes, url: str, *, loops: bool) -> tuple[Verb, ...]:
    if content_type.startswith("audio/"):
        return (Verb("Play", (("loop", "0"),) if loops else (), url),)
    verbs = twiml.parse(content_type, body)
    for verb in verbs:
        if verb.name not in twiml.WAIT_VERBS:
            raise TwimlError(13238, f"<{verb.name}> is not allowed in a wait, hold or announce document")
    return verbs


def _slot(name: str) -> Slot:
    return "wait" if name == "wait" else "hold" if name == "hold" else "announce"


def _find(work: Work, fetch: Fetch) -> tuple[Conference, Participant | None, Tune] | None:
    """Whose document it is; None when nobody waits for it any more."""
    conference = work.live_conference(fetch.conference_sid)
    if conference is None:
        return None
    shared = conference.announcement
    if fetch.purpose == "announce" and shared is not None and shared.generation == fetch.generation:
        return conference, None, shared
    participant = conference.participants.get(fetch.call_sid)
    tune = tunes.slot_of(participant, _slot(fetch.purpose)) if participant else None
    if participant is None or tune is None or tune.generation != fetch.generation:
        return None
    return conference, participant, tune


def document_failed(work: Work, fetch: Fetch, error: TwimlError) -> None:
    """A document could not be got: without its wait document a call drops out of the room; the rest plays music."""
    found = _find(work, fetch)
    if found is None:
        return
    conference, participant, tune = found
    if fetch.purpose == "announce":
        _announced(work, conference, participant, tune, failure=error.message)
    elif fetch.purpose == "hold":
        tune.kind = "music"
    elif participant is not None:
        call = work.call(participant.call_sid)
        hangs_up = work.rules.failed_wait == "hung-up"
        conferences.leave(work, call, "participant_hung_up" if hangs_up else "participant_add_failed")
        if call.dial is not None:
            dialing.finish(work, call, "failed")
        else:
            calls.hang_up(work, call)


def wake(work: Work, sid: str, name: str) -> None:
    """A verb of a tune is over; `sid` is a participant's call, or the conference for an announcement to all."""
    slot = _slot(name)
    if sid in work.state.conferences:
        conference = work.conference(sid)
        if conference.announcement is not None:
            _woken(work, conference, None, conference.announcement, slot)
        return
    call = work.call(sid)
    live = work.live_conference(call.conference_sid) if call.conference_sid else None
    participant = live.participants.get(sid) if live else None
    own = tunes.slot_of(participant, slot) if participant else None
    if live is not None and own is not None:
        _woken(work, live, participant, own, slot)


def _woken(work: Work, conference: Conference, participant: Participant | None, tune: Tune, slot: Slot) -> None:
    owner_sid = conference.sid if participant is None else participant.call_sid
    if tunes.is_resting(tune):
        tunes.request(work, conference, _listener(conference, participant), slot, tune)
    elif not tunes.next_verb(work, tune, owner_sid, slot):
        _ended(work, conference, participant, tune, slot)


def _listener(conference: Conference, participant: Participant | None) -> str:
    """On whose behalf a document is asked for: one that all hear, on that of the first who is there."""
    return conference.joined()[0].call_sid if participant is None else participant.call_sid


def _ended(work: Work, conference: Conference, participant: Participant | None, tune: Tune, slot: Slot) -> None:
    if slot == "announce" and not tunes.redirects(tune):
        _announced(work, conference, participant, tune)
        return
    owner_sid = conference.sid if participant is None else participant.call_sid
    tunes.again(work, conference, _listener(conference, participant), slot, tune, owner_sid)


def _announced(
    work: Work, conference: Conference, participant: Participant | None, tune: Tune, failure: str = ""
) -> None:
    if participant is None:
        conference.announcement = None
    else:
        participant.announcement = None
    if failure and work.rules.announcement_failure == "untold":
        return
    extra = [("AnnounceUrl", tune.asked_url)]
    if failure:
        extra.append(("ReasonAnnouncementFailed", failure))
    event = "announcement-fail" if failure else "announcement-end"
    conferences.tell(work, conference, event, participant, tuple(extra))
