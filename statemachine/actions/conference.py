"""Conference membership: joins, departures, what reads show, and recovery."""

from collections.abc import Collection, Iterable, Sequence

from conferral.statemachine import events, guards
from conferral.statemachine.actions import parties
from conferral.statemachine.actions.dials import note_answer_time
from conferral.statemachine.actions.participants import clear_end_on_exit, note_outage, set_end_on_exit, suspect
from conferral.statemachine.actions.recording import expect_recording, note_conference_recording
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import CallsRead, ConferenceFound, Event, ParticipantSeen
from conferral.statemachine.ids import call_of_visit, split_label
from conferral.statemachine.legs import note_facts, overtake_reads
from conferral.statemachine.other_apps import MOVE_SHOWS_MS
from conferral.statemachine.reasons import MOVED_OUT
from conferral.statemachine.record import replace
from conferral.statemachine.session import (
    AGENT,
    CUSTOMER,
    GUEST,
    INBOUND,
    OUTBOUND,
    SUPERVISOR,
    TARGET,
    Party,
    first_label,
)
from conferral.statemachine.states import (
    FINAL_CALL_STATUSES,
    WITHOUT_AGENT,
    CallStatus,
    PartyStatus,
    Phase,
    State,
    SuperviseMode,
    TransferStage,
    WaitAudio,
)
from conferral.statemachine.step import Draft, not_none

#: What a join resets: the participant is not held, and its leaving does not end the conference.
_FRESH_PARTICIPANT = {"held": False, "end_on_exit": False, "pending_update": "", "update_effect_id": ""}


def note_join(draft: Draft, event: events.ParticipantJoined) -> None:
    """Record that a party joined, maybe as a read has shown before."""
    is_known = guards.is_known_to_have_joined(draft, event)
    note_conference(draft, event)
    party = not_none(draft.session.subject_of(event))
    note_facts(draft, party, conference_sequence=event.sequence)
    if not is_known:  # else, what was requested or confirmed since stays
        _enter(draft, party, event.call_sid, starts=event.start_on_enter, muted=event.muted)
        draft.change(moved_at_ms=draft.now_ms)
    elif event.start_on_enter:
        mark_conference_started(draft)


def _enter(draft: Draft, party: Party, call_sid: str, *, starts: bool, muted: bool = False) -> None:
    """Put a party into the conference, as a callback or a read shows."""
    # With early media, a dialed party may join before answering; that does not yet count as taking part.
    proves_answer = not (party.dial_id and party.early_media)
    if proves_answer:
        note_answer_time(draft, party)  # the call's own callback may come too late for the outcome
    takes_part = party.answered or proves_answer
    note_facts(
        draft,
        party,
        call_sid=call_sid,
        status=PartyStatus.CONNECTED if takes_part else party.status,
        answered=party.answered or (bool(party.dial_id) and proves_answer),
        in_conference=True,
        # Of an earlier stay, which a move to the voicemail ended.
        left_reason="",
        left_s=0,
        muted=party.is_supervisor or muted,
        coaches="",
        waits_for_start=not (party.is_supervisor or draft.session.participants),
        **_FRESH_PARTICIPANT,
    )
    for command in draft.session.pending_commands:
        # Twilio must confirm a supervisor's mode from now on.
        if command.name == events.Supervise.name and command.party == party.name and takes_part and not command.due_ms:
            parties.change_command(draft, command, due_ms=draft.pending_until_ms(events.Supervise))
    if starts:
        mark_conference_started(draft)


def mark_conference_started(draft: Draft) -> None:
    """Record that a known party has started it: no one hears wait music now."""
    for party in draft.session.parties.values():
        draft.change_party(party, waits_for_start=False, may_be_inside=False)


def hang_up_arrival(draft: Draft, event: events.ParticipantJoined) -> None:
    """Hang up a party that joined although it is being removed."""
    if event.start_on_enter:
        mark_conference_started(draft)
    draft.emit(HangUpCall, call_sid=event.call_sid)  # even if its hangup was requested before
    draft.reason = "joined when no one was waiting anymore"


def note_conference_started(draft: Draft, event: events.ConferenceStarted) -> None:
    """Record that the conference has started, maybe by one not seen yet."""
    note_conference(draft, event)
    unseen = guards.possible_starters(draft.session)
    mark_conference_started(draft)
    for party in unseen:
        draft.change_party(party, may_be_inside=True)
        overtake_reads(draft, party)


def note_conference(draft: Draft, event: events.ConferenceEvent) -> None:
    """Record the conference SID, unless a party is in another conference.

    A later event may be the first to name it. Without the SID, a join that arrives after its leave could not be
    recognized as the older one.
    """
    if not (draft.session.participants or draft.session.is_former_conference(event.conference_sid)):
        _switch_conference(draft, event.conference_sid)


def _switch_conference(draft: Draft, conference_sid: str) -> None:
    if conference_sid == draft.session.conference_sid:
        return
    left, former = draft.session.conference_sid, draft.session.former_conferences
    draft.change(
        conference_sid=conference_sid,
        former_conferences=(*former, left) if left else former,
        verified_sequence=0,  # each conference numbers its own events
    )
    if conference_sid and draft.session.attributes.record == "true":
        expect_recording(draft, conference_sid)
    if left and guards.recording_of(draft.session).of_conference:
        draft.change(recording=None)  # it ended with its conference; the next one has its own
    for party in draft.session.parties.values():
        draft.change_party(party, conference_sequence=-1)


def note_former_conference(draft: Draft, event: events.ConferenceEnded) -> None:
    """Record that another conference is over: a join of it is late."""
    former = draft.session.former_conferences
    if event.conference_sid not in former:
        draft.change(former_conferences=(*former, event.conference_sid))


def forget_conference(draft: Draft, event: Event) -> None:
    """Record that no one is in a conference; the next leg opens a new one."""
    if isinstance(event, events.ConferenceEnded):
        note_conference(draft, event)
    _switch_conference(draft, "")
    for party in draft.session.parties.values():
        note_facts(draft, party, in_conference=False, waits_for_start=False, **_FRESH_PARTICIPANT)


def apply_presence(draft: Draft, event: events.CallsRead) -> None:
    """Record the participants that a read shows; its list may lag.

    A former conference counts once a later read of the stage shows it, too: the customer may have come back to it
    before the agent's leaving ended it. It does not while a redirect out of it has no result.
    """
    session = draft.session
    is_former = draft.state is State.TRANSFERRING and session.is_former_conference(event.conference_sid)
    if not (event.conference_sid and event.participants) or (is_former and session.open_redirects):
        return
    if is_former and draft.transfer.former_shown != event.conference_sid:
        draft.change_transfer(former_shown=event.conference_sid)
        return
    if not draft.session.participants:
        _switch_conference(draft, event.conference_sid)
    if event.conference_sid != draft.session.conference_sid:
        return
    inside = (seen for seen in event.participants if not seen.is_ringing)
    shown = [seen for seen in inside if event.status_of(seen.call_sid) != CallStatus.RINGING]
    has_started = is_former or any(_has_started(draft, seen) for seen in shown)
    for seen in event.participants:
        party = draft.session.subject_of(seen)
        if party is None or party.is_gone or party.in_conference:
            continue
        if seen in shown:
            _enter(draft, party, seen.call_sid, starts=has_started)
        else:
            note_facts(draft, party, call_sid=seen.call_sid)
    if has_started:
        mark_conference_started(draft)
    for party in draft.session.parties.values():
        if party.may_be_inside and not party.overtakes(event):
            draft.change_party(party, may_be_inside=False)


def _has_started(draft: Draft, seen: events.ParticipantSeen) -> bool:
    """Whether this participant, if it answered, has started the conference."""
    party = draft.session.subject_of(seen)
    return seen.start_on_enter and (party is None or party.answered or not party.early_media)


def note_verified(draft: Draft, event: events.CallsRead) -> None:
    """Record that a read made up for missing events of this conference.

    Then, a gap in the sequence numbers so far asks for no other read.
    """
    session, sid = draft.session, draft.session.conference_sid
    if event.conference_sid == sid:
        # If a party has newer facts than the read, a missing event may be newer, too. But if at most one party is left,
        # and none is being dialed, it can't be a join: others join only if this session dials them.
        is_complete = guards.is_alone(draft) or not any(party.overtakes(event) for party in session.parties.values())
        newest = max(session.seen.numbers.get(sid, ()), default=0) if is_complete else session.verified_sequence
        version = max(session.verified_version, event.read_version)
        draft.change(verified_sequence=newest, verified_version=version, presence_reads=0)
    elif len(event.participants) < 2:  # another conference, or none, where no two talk
        draft.change(presence_reads=session.presence_reads + 1)


def settle_conference(draft: Draft, _event: Event) -> None:
    """Settle the conference: two or more parties talk."""
    session = draft.session
    is_back = session.customer.in_conference
    first = session.parties.get(session.first_to_leave)
    # One who is gone, as the read that ends a conversion may show, or is being removed still leaves first.
    still_leaves = first is not None and (first.is_gone or first.is_leaving)
    draft.change(
        phase=Phase.CONNECTED,
        first_to_leave=session.first_to_leave if still_leaves else "",
        # A customer who is not back yet still needs it, and a late repair may briefly take them out.
        open_redirects=() if is_back and not session.repair_attempted else session.open_redirects,
        repair_attempted=False,
        parked_by="",
    )
    stop_waiting(draft)
    note_conference_recording(draft)
    set_end_on_exit(draft)


def stop_waiting(draft: Draft) -> None:
    """End the wait of a parked call, or in a queue, whose time counts on."""
    since_ms = draft.session.queued_since_ms
    waited_s = (draft.now_ms - since_ms) // 1000 if since_ms else draft.session.queued_before_s
    draft.change(parked_until_ms=0, queued_since_ms=0, queued_before_s=waited_s)


def note_left(draft: Draft, event: events.ParticipantLeft | events.DialEnded) -> None:
    """Record that a party left, as the conference or its `<Dial>` says."""
    party = not_none(draft.session.subject_of(event))
    if isinstance(event, events.ParticipantLeft):
        # A call that a REST request completed was not moved.
        is_over = event.left_reason == MOVED_OUT and event.call_status in FINAL_CALL_STATUSES
        left_reason = event.call_status if is_over else event.left_reason
        note_facts(draft, party, in_conference=False, conference_sequence=event.sequence, left_reason=left_reason)
        failed = event.left_reason == "participant_add_failed"
        is_busy = failed and event.call_status == CallStatus.BUSY
        if is_busy and party.dial_id and not (party.answered or party.is_leaving):
            # The call's own callback distinguishes a refusal from busy; if it is lost, a read must do.
            due_ms = draft.now_ms + draft.policy.leave_timeout_ms
            draft.change_party(party, dial_check_at_ms=due_ms)
            return
        # A leg that another app redirected is no longer Conferral's: it counts as gone and is not hung up.
        is_outside_move = draft.state in (State.CONFERENCED, State.TRANSFERRING) and not _is_moved_by_us(draft, party)
        moved_away = is_outside_move and left_reason == MOVED_OUT
        hung_up = event.hung_up and not guards.will_rejoin(draft, party, event)
        if hung_up or moved_away:
            reason = event.call_status if failed else left_reason or event.call_status
            note_facts(draft, party, left_s=event.left_s)
            parties.note_gone(draft, party.name, reason)
    else:
        # If its call goes on, the action of a `<Dial>` into the conference joins it again.
        note_facts(draft, party, in_conference=False, has_rejoined=event.dial_kind == "conference")
        if event.party_is_gone:
            parties.note_dialing_party_gone(draft, party, event)


def _is_moved_by_us(draft: Draft, party: Party) -> bool:
    """Whether Conferral moves a party out and back in, or did recently."""
    session = draft.session
    lately_ms = draft.now_ms - draft.policy.reread_interval_ms
    was_moved = party.repair_moved_at_ms > lately_ms or (session.repair_attempted and session.moved_at_ms > lately_ms)
    may_be_moved_late = party.unproven_redirect_at_ms > draft.now_ms - MOVE_SHOWS_MS
    # In this stage, Conferral moves the customer, and Redis may have lost that it has. If another app did, the customer
    # is moved once more.
    transfer = session.running_transfer
    is_to_be_moved = transfer is not None and transfer.stage is TransferStage.MOVING_CUSTOMER
    is_to_leave = party.name == CUSTOMER and (is_to_be_moved or session.is_in_voicemail)
    return was_moved or may_be_moved_late or is_to_leave or bool(session.open_redirects)


# ---- recovery of what only Twilio knows: guests, and what Redis lost ------------------------------------------------


def open_found_session(draft: Draft, event: ConferenceFound) -> None:
    """Start a session for a conference that Redis has lost.

    A missing customer or agent left. Pending commands, the directory's attributes, recordings, and calls in the gate
    are lost.
    """
    absent = {name: Party(name, "", status=PartyStatus.LEFT) for name in (CUSTOMER, AGENT)}
    draft.change(
        phase=Phase.NONE,
        parties=absent,
        conference_sid=event.conference_sid,
        moved_at_ms=draft.now_ms,
        lost_at_ms=draft.now_ms,
    )
    add_unknown_participants(draft, event)
    session = draft.session
    callers = {one.call_sid for one in event.participants if one.came_in}
    # A customer who called, and has left, gave the session the SID of their call.
    caller_sid = call_of_visit(session.id)
    was_caller = session.customer.is_gone and caller_sid not in ("", session.agent.call_sid)
    is_inbound = session.customer.call_sid in callers or was_caller
    called = (one.called for one in event.participants if one.call_sid == session.customer.call_sid)
    draft.change(
        phase=Phase.CONNECTED,
        direction=INBOUND if is_inbound else OUTBOUND,
        number=next(called, ""),
        fallback=event.fallback,
        queue=event.queue,
        first_to_leave=next((name for name in (CUSTOMER, AGENT) if session.parties[name].is_gone), ""),
    )


# ---- participants of the conference that the session does not know -------------------------------------------------


def note_unknown_join(draft: Draft, event: events.ParticipantJoined) -> None:
    """Add a call that joined: a lost leg, or a guest of another app."""
    note_conference(draft, event)
    seen = ParticipantSeen(event.call_sid, event.label, start_on_enter=event.start_on_enter)
    _add(draft, event.conference_sid, (seen,), {})
    party = draft.session.subject_of(event)
    if party is not None:
        note_facts(draft, party, conference_sequence=event.sequence)
        if party.dial_id:
            suspect(draft, event)  # a read shows whom its lost dial rang


def add_unknown_participants(draft: Draft, event: CallsRead | ConferenceFound) -> None:
    """Add each unknown participant as its label implies, or as a guest."""
    if isinstance(event, ConferenceFound):
        addresses = {one.call_sid: one.address for one in event.participants}
    else:
        addresses = {call.call_sid: call.to for call in event.calls}
    _add(draft, event.conference_sid, event.participants, addresses)


def _add(draft: Draft, conference_sid: str, participants: Sequence[ParticipantSeen], addresses: dict[str, str]) -> None:
    unknown = guards.unknown_participants(draft.session, conference_sid, participants)
    if not unknown:
        return
    if any(guards.is_ours(seen) for seen in unknown):
        note_outage(draft)
    named = _assign_names(draft, unknown)
    for name, seen in named.items():
        vacate_name(draft, name, named)
        party = _party_from_participant(draft, name, seen, addresses.get(seen.call_sid, ""))
        draft.change(parties={**draft.session.parties, name: party})
    # Labels are never reused, and no party's leaving may end the conference for the others.
    numbers = (split_label(seen.label)[1] for seen in unknown)
    draft.change(highest_label_number=max(draft.session.highest_label_number, *numbers))
    if guards.no_one_waits(draft) and len(guards.present_parties(draft.session)) > 1:
        set_end_on_exit(draft)
    else:
        clear_end_on_exit(draft)


def _party_from_participant(draft: Draft, name: str, seen: ParticipantSeen, address: str) -> Party:
    """Return a new party from what Twilio shows of a participant.

    A hold and a mute stay as if they were ordered, unless the party supervises or still rings.
    """
    party = Party(
        name,
        seen.label,
        call_sid=seen.call_sid,
        address=address,
        status=PartyStatus.CONNECTED,
        in_conference=True,
        held=seen.held,
        muted=seen.muted,
        end_on_exit=seen.end_on_exit,
        coaches=seen.coaches,
        wait_audio=WaitAudio.MUSIC if seen.held else WaitAudio.NONE,
    )
    # Instead of the lost id: callbacks are matched by call SID.
    dialed = {"dial_id": seen.call_sid, "dialed_at_ms": draft.now_ms}
    if split_label(seen.label)[1] and seen.label not in (first_label(CUSTOMER), first_label(AGENT)):
        party = replace(party, **dialed, answered=True)
    if guards.is_supervisor(seen):
        mode = SuperviseMode.MONITOR if seen.muted else SuperviseMode.BARGE
        party = replace(party, supervises=SuperviseMode.WHISPER if seen.coaches else mode)
    if seen.is_ringing:
        check_at_ms = draft.now_ms + draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms
        return replace(
            party, **dialed, status=PartyStatus.RINGING, answered=False, in_conference=False,
            dial_check_at_ms=check_at_ms,
        )  # fmt: skip
    if party.is_supervisor:
        return party
    party = replace(party, desired_hold=seen.held, hold_found=seen.held)
    return replace(party, desired_mute=seen.muted, is_muted_guest=seen.muted and not guards.name_from_label(seen))


def _assign_names(draft: Draft, unknown: Iterable[ParticipantSeen]) -> dict[str, ParticipantSeen]:
    """Return the participants' new names; the newest of a name gets it."""
    named: dict[str, ParticipantSeen] = {}
    for seen in sorted(unknown, key=lambda one: split_label(one.label)[1], reverse=True):
        base = SUPERVISOR if guards.is_supervisor(seen) else guards.name_from_label(seen)
        named[name_of_leg(draft, base, named)] = seen
    return named


def name_of_leg(draft: Draft, base: str, also_taken: Collection[str] = ()) -> str:
    """Return the name of a leg that the session doesn't know: a guest's.

    Unless it was dialed as the customer, the agent, or a supervisor, and there is none.
    """
    names = (SUPERVISOR,) if draft.session.phase in WITHOUT_AGENT else (CUSTOMER, AGENT, SUPERVISOR)
    if base in names and base not in also_taken and draft.session.present_party(base) is None:
        return base
    return parties.next_name(draft.session, SUPERVISOR if base == SUPERVISOR else GUEST, also_taken)


def vacate_name(draft: Draft, name: str, also_taken: Collection[str] = ()) -> None:
    """Free a name for a new party.

    A former agent, target, or supervisor is renamed, to no name in `also_taken`. Of any other, the call SID is kept.
    """
    former = draft.session.parties.get(name)
    if former is None:
        return
    if name == AGENT:
        draft.change(first_to_leave="")
    if name in (AGENT, SUPERVISOR, TARGET) and former.is_gone and (former.call_sid or former.dial_id):
        parties.number_former_party(draft, name, also_taken)
        return
    if former.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, former.call_sid))
    draft.change(parties={one.name: one for one in draft.session.parties.values() if one.name != name})
