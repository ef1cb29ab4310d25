"""Who comes into the conference, who leaves it, and the grace for whoever is left alone."""

from collections.abc import Set

from conferral.statemachine.actions.dialling import watch_dials
from conferral.statemachine.actions.parties import note_gone, note_over
from conferral.statemachine.departures import next_name
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import (
    CallProgressed,
    CallsRead,
    ConferenceEnded,
    ConferenceEvent,
    ConferenceStarted,
    ConfirmOverdue,
    DialEnded,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.statemachine.guards.calls import party_of_call
from conferral.statemachine.guards.company import comes_back
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import CUSTOMER, GUEST, Party
from conferral.statemachine.states import CallStatus, PartyStatus, State


def note_join(scratch: Scratch, event: ParticipantJoined) -> None:
    """One is in."""
    note_room(scratch, event)
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is None:
        return
    # Somebody who was dialled may show up before answering, with early media: that is not yet taking part.
    proves_answer = not party.dial_id or not party.early_media
    takes_part = party.answered or proves_answer
    scratch.change_party(
        party,
        call_sid=event.call_sid,
        status=PartyStatus.CONNECTED if takes_part else party.status,
        answered=party.answered or (bool(party.dial_id) and proves_answer),
        in_room=True,
        # A participant comes in as its join says: neither held, nor with a leaving that ends the conference.
        held=False,
        muted=party.is_supervisor,
        coaches="",
        ends_conference=False,
        asked="",
        updating="",
        waits=not event.starts_conference and not party.is_supervisor and not scratch.session.in_room,
        room_sequence=event.sequence if event.sequence is not None else party.room_sequence,
    )
    if event.starts_conference:
        end_waiting(scratch)
    if len(scratch.session.in_room) > 1:
        scratch.change(is_idle=False)
    if not takes_part and ConfirmOverdue.timer not in scratch.session.timers:
        # Should the callback of the answer be lost, a look will tell.
        scratch.set_timer(ConfirmOverdue.timer, scratch.policy.confirm_ms)
    scratch.change(moved_at_ms=scratch.now_ms)
    watch_dials(scratch)


def end_waiting(scratch: Scratch) -> None:
    """Somebody is in who starts the conference: nobody hears wait music any more."""
    for party in tuple(scratch.session.parties.values()):
        if party.waits:
            scratch.change_party(party, waits=False)


def let_arrival_go(scratch: Scratch, event: ParticipantJoined) -> None:
    """Somebody has reached the conference who is to leave: hung up, once more if need be."""
    if event.starts_conference:
        end_waiting(scratch)
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.reason = "joined when nobody waited any more"


def note_start(scratch: Scratch, event: ConferenceStarted) -> None:
    """The conference has started."""
    note_room(scratch, event)
    end_waiting(scratch)
    scratch.change(is_idle=False)


def note_guest(scratch: Scratch, event: ParticipantJoined) -> None:
    """A call that is none of ours was brought in by somebody else. It counts as company."""
    guest = Party(
        next_name(scratch.session, GUEST),
        event.label,
        call_sid=event.call_sid,
        status=PartyStatus.CONNECTED,
        in_room=True,
        room_sequence=event.sequence if event.sequence is not None else -1,
    )
    scratch.change(parties={**scratch.session.parties, guest.name: guest})
    # With more than two in the room nobody's leaving ends it.
    for party in tuple(scratch.session.parties.values()):
        if party.end_wanted:
            scratch.change_party(party, end_wanted=False)


def note_room(scratch: Scratch, event: ConferenceEvent) -> None:
    """The conference's SID is known; while somebody is in one, another does not take its place."""
    if not scratch.session.in_room:
        _enter(scratch, event.conference_sid)


def _enter(scratch: Scratch, conference_sid: str) -> None:
    """From here on this is the session's conference. Each one counts its events for itself."""
    if conference_sid == scratch.session.conference_sid:
        return
    left = scratch.session.conference_sid
    former = scratch.session.former_rooms
    rooms = (*former, left) if left else former
    scratch.change(conference_sid=conference_sid, former_rooms=rooms, checked_sequence=0, is_idle=False)
    recording = scratch.session.recording
    if left and recording is not None and recording.of_conference:
        scratch.change(recording=None)  # it is over with its conference; the next one has its own
    for party in tuple(scratch.session.parties.values()):
        scratch.change_party(party, room_sequence=-1)


def note_room_gone(scratch: Scratch, _event: ConferenceEnded) -> None:
    """The room closed before both were in; a leg that still comes opens another one, which is then ours."""
    leave_room(scratch)


def leave_room(scratch: Scratch) -> None:
    """Nobody is in a conference any more."""
    _enter(scratch, "")
    for party in tuple(scratch.session.parties.values()):
        scratch.change_party(
            party, in_room=False, waits=False, held=False, ends_conference=False, asked="", updating=""
        )


def note_left_room(scratch: Scratch, event: ParticipantLeft) -> None:
    """One is out of the room; its call goes on."""
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is not None:
        sequence = event.sequence if event.sequence is not None else party.room_sequence
        # Why somebody is gone is told better by the call's own end, which was taken before.
        reason = party.left_reason if party.is_gone else event.left_reason
        scratch.change_party(party, in_room=False, room_sequence=sequence, left_reason=reason)


def take_room_from(scratch: Scratch, event: CallsRead) -> None:
    """Who is in the room is taken from a look at Twilio."""
    if event.conference_sid:
        _enter(scratch, event.conference_sid)
    inside = {participant.call_sid for participant in event.participants}
    for party in tuple(scratch.session.parties.values()):
        if party.in_room != (party.call_sid in inside):
            scratch.change_party(party, in_room=party.call_sid in inside)
    end_waiting_for(scratch, inside)


def take_presence_from(scratch: Scratch, event: CallsRead) -> None:
    """Whoever a look shows in the room is in it. Who is missing there may just not be listed yet."""
    if not event.conference_sid:
        return
    if not scratch.session.in_room:
        _enter(scratch, event.conference_sid)
    if event.conference_sid != scratch.session.conference_sid:
        return
    inside = [seen for seen in event.participants if not seen.is_ringing]
    has_started = len(inside) > 1 and any(seen.starts_conference for seen in inside)
    for seen in event.participants:
        party = scratch.session.party_of(call_sid=seen.call_sid, label=seen.label)
        if party is None or party.is_gone or party.in_room:
            continue
        if seen.is_ringing:
            scratch.change_party(party, call_sid=seen.call_sid)
            continue
        status = PartyStatus.CONNECTED if not party.dial_id or party.answered else party.status
        waits = not (has_started or seen.starts_conference or party.is_supervisor)
        scratch.change_party(party, call_sid=seen.call_sid, in_room=True, status=status, waits=waits)
    end_waiting_for(scratch, {seen.call_sid for seen in event.participants})


def end_waiting_for(scratch: Scratch, inside: Set[str]) -> None:
    """Whoever is seen in the room, but a customer or a supervisor, has started it, should nobody have told so."""
    for party in scratch.session.in_room:
        takes_part = party.call_sid in inside and party.status is PartyStatus.CONNECTED
        if takes_part and party.name != CUSTOMER and not party.is_supervisor:
            end_waiting(scratch)
            scratch.change(is_idle=scratch.session.is_idle and len(inside) < 2)


def take_absences_from(scratch: Scratch, event: CallsRead) -> None:
    """Whoever a look does not show in a conference that has been the same for a while is not in it."""
    same = bool(event.conference_sid) and event.conference_sid == scratch.session.conference_sid
    if not same or scratch.now_ms - scratch.session.moved_at_ms < scratch.policy.look_again_ms:
        return
    inside = {seen.call_sid for seen in event.participants}
    for party in scratch.session.in_room:
        if party.call_sid not in inside:
            scratch.change_party(party, in_room=False)


def note_checked(scratch: Scratch, event: CallsRead) -> None:
    """A look has made up for whatever was not heard of the conference until now, if it has shown that one."""
    session = scratch.session
    if event.conference_sid == session.conference_sid:
        scratch.change(checked_sequence=session.seen.highest(session.conference_sid), company_looks=0)


def note_leaving(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has left, whatever told so."""
    if isinstance(event, CallProgressed):
        party = party_of_call(scratch, event)
        if party is not None:
            note_over(scratch, party, event)
        return
    label = event.label if isinstance(event, ParticipantLeft) else ""
    party = scratch.session.party_of(call_sid=event.call_sid, label=label)
    if party is None:
        return
    if isinstance(event, ParticipantLeft):
        note_left_room(scratch, event)
        if _may_have_refused(scratch, party, event):
            # The call's own callback tells a refusal from a busy line; should it be lost, a look at Twilio has to do.
            due_ms = scratch.now_ms + scratch.policy.leave_check_ms
            scratch.change_party(scratch.session.parties[party.name], dial_due_ms=due_ms)
            watch_dials(scratch)
            return
        # A leg that somebody else gave other TwiML is no longer ours: it counts as gone and is not hung up.
        settled = scratch.state in (State.CONFERENCED, State.TRANSFERRING) and not _is_moved_by_us(scratch, party)
        moved_away = settled and event.left_reason == "participant_updated_via_api"
        hung_up = event.hung_up and not comes_back(scratch, party, event)
        if hung_up or moved_away:
            failed = event.left_reason == "participant_add_failed"  # then the call's status tells why
            reason = event.call_status if failed else event.left_reason or event.call_status
            note_gone(scratch, party.name, reason)
    else:
        scratch.change_party(party, in_room=False, was_out=event.dial == "conference")
        if event.party_is_gone:
            note_gone(scratch, party.name, event.call_status)


def _is_moved_by_us(scratch: Scratch, party: Party) -> bool:
    """Whether a move of ours is under way, or was lately, that takes someone out of the conference and in again."""
    session = scratch.session
    moved_at_ms = max(party.moved_again_ms, session.moved_at_ms if session.repaired else 0)
    lately = bool(moved_at_ms) and scratch.now_ms - moved_at_ms < scratch.policy.look_again_ms
    return lately or bool(session.redirecting)


def _may_have_refused(scratch: Scratch, party: Party, event: ParticipantLeft) -> bool:
    """Whether somebody who is being dialled did not come in, and Twilio says `busy` of it, as it does of a refusal."""
    dialling = scratch.state in (State.CONFERENCED, State.TRANSFERRING) and bool(party.dial_id)
    waits = dialling and not (party.answered or party.is_gone or party.is_leaving)
    return waits and event.left_reason == "participant_add_failed" and event.call_status == CallStatus.BUSY
