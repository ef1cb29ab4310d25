"""Recovery of what only Twilio knows: guests, and what Redis lost."""

from collections.abc import Collection, Iterable, Sequence

from conferral.statemachine import events, guards
from conferral.statemachine.actions.conference import note_conference
from conferral.statemachine.actions.participants import clear_end_on_exit, set_end_on_exit
from conferral.statemachine.actions.parties import next_name, number_former_party, retire_targets
from conferral.statemachine.events import CallsRead, ConferenceFound, Event, ParticipantSeen
from conferral.statemachine.parts import TransferState
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
    split_label,
)
from conferral.statemachine.states import (
    Opening,
    PartyStatus,
    Phase,
    State,
    SuperviseMode,
    TransferMode,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import Draft


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
    )
    add_unknown_participants(draft, event)
    session = draft.session
    callers = {one.call_sid for one in event.participants if one.came_in}
    is_inbound = session.customer.call_sid in callers or (session.customer.is_gone and not session.agent.call_sid)
    draft.change(
        direction=INBOUND if is_inbound else OUTBOUND,
        first_to_leave=next((name for name in (CUSTOMER, AGENT) if session.parties[name].is_gone), ""),
    )


def resume_lost_transfer(draft: Draft, _event: Event) -> None:
    """Continue a transfer that Redis lost, as its target shows; holds stay."""
    clear_end_on_exit(draft)
    retire_targets(draft)
    target = draft.session.parties[TARGET]
    is_apart = target.held or draft.session.customer.held
    for name in (CUSTOMER, TARGET):
        party = draft.session.parties[name]
        draft.change_party(party, desired_hold=party.held, wait_audio=WaitAudio.MUSIC if party.held else WaitAudio.NONE)
    there = [party for party in draft.session.parties.values() if not (party.is_gone or party.is_supervisor)]
    before = draft.session.transfer
    draft.change(
        phase=Phase.CONSULT if is_apart else Phase.WARM,
        is_group=len(there) > 3,
        transfer=TransferState(
            # A number that no transfer of this session has had: each transfer dialed at least once.
            number=max(draft.session.highest_label_number, before.number if before is not None else 0) + 1,
            mode=TransferMode.CONSULT if is_apart else TransferMode.WARM,
            to=target.address,
            status=TransferStatus.RINGING,
            started_at_ms=draft.now_ms,
        ),
    )


# ---- participants of the conference that the session does not know -------------------------------------------------


def note_unknown_join(draft: Draft, event: events.ParticipantJoined) -> None:
    """Add a call that joined: a lost leg, or a guest of another app."""
    note_conference(draft, event)
    seen = ParticipantSeen(event.call_sid, event.label, start_on_enter=event.start_on_enter)
    _add(draft, event.conference_sid, (seen,), {})
    party = draft.session.subject_of(event)
    if party is not None and event.sequence is not None:
        draft.change_party(party, conference_sequence=event.sequence)


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
    named = _assign_names(draft, participants, unknown)
    for name, seen in named.items():
        vacate_name(draft, name, named)
        party = _party_from_participant(draft, name, seen, addresses.get(seen.call_sid, ""))
        draft.change(parties={**draft.session.parties, name: party})
    # Labels are never reused, and no party's leaving may end the conference for the others.
    numbers = (split_label(seen.label)[1] for seen in unknown)
    draft.change(highest_label_number=max(draft.session.highest_label_number, *numbers))
    present = [party for party in draft.session.parties.values() if not (party.is_gone or party.is_supervisor)]
    # Parties alongside a transfer don't depend on it, nor does the customer.
    if len(present) > 2 or (draft.state is State.TRANSFERRING and any(party.name in named for party in present)):
        draft.change(is_group=True)
    # Without a phase, no one is waiting and no transfer runs: the conference is settled.
    if draft.session.phase is Phase.NONE and len(guards.present_parties(draft.session)) > 1:
        set_end_on_exit(draft)
    else:
        clear_end_on_exit(draft)


def _party_from_participant(draft: Draft, name: str, seen: ParticipantSeen, address: str) -> Party:
    """Return a new party from what Twilio shows of a participant.

    No command would ever end a hold that the session does not know of, so none is desired. A mute is, unless the party
    supervises or still rings.
    """
    party = Party(
        name,
        seen.label,
        call_sid=seen.call_sid,
        address=address,
        status=PartyStatus.CONNECTED,
        in_conference=True,
        held=seen.held,
        held_since_ms=draft.now_ms if seen.held else 0,
        muted=seen.muted,
        end_on_exit=seen.end_on_exit,
        coaches=seen.coaches,
        wait_audio=WaitAudio.MUSIC if seen.held else WaitAudio.NONE,
    )
    # Callbacks of a dialed party carry the dial's lost id; they are matched by call SID.
    dialed = {"dial_id": f"found:{seen.call_sid}", "dialed_at_ms": draft.now_ms}
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
    return replace(party, desired_mute=seen.muted, is_muted_guest=seen.muted and not guards.name_from_label(seen))


def _assign_names(
    draft: Draft, participants: Iterable[ParticipantSeen], unknown: Iterable[ParticipantSeen]
) -> dict[str, ParticipantSeen]:
    """Return the participants' new names; the newest of a name gets it."""
    named: dict[str, ParticipantSeen] = {}
    targets: list[ParticipantSeen] = []
    guests: list[ParticipantSeen] = []
    for seen in sorted(unknown, key=lambda one: split_label(one.label)[1], reverse=True):
        name = guards.name_from_label(seen)
        if guards.is_supervisor(seen):
            is_free = _is_free_name(draft, named, SUPERVISOR)
            named[SUPERVISOR if is_free else next_name(draft.session, SUPERVISOR, named)] = seen
        elif name == TARGET:
            targets.append(seen)
        elif name and _is_free_name(draft, named, name):
            named[name] = seen
        else:
            guests.append(seen)
    targets.sort(key=lambda one: one.is_ringing)  # talking beats ringing
    if targets and _is_free_name(draft, named, AGENT):
        named[AGENT] = targets.pop(0)  # the customer was handed over to this target
    elif targets and _both_are_inside(draft, participants, named):
        named[TARGET] = targets.pop(0)  # of a transfer that Redis lost
    for seen in (*targets, *guests):
        named[next_name(draft.session, GUEST, named)] = seen
    return named


def _is_free_name(draft: Draft, named: Collection[str], name: str) -> bool:
    if name == AGENT and draft.state is State.TRANSFERRING:
        return False
    return name not in named and draft.session.present_party(name) is None


def _both_are_inside(draft: Draft, participants: Iterable[ParticipantSeen], named: Collection[str]) -> bool:
    """Whether customer and agent are in a settled conference, and stay."""
    session = draft.session
    if session.running_transfer is not None or session.phase is not Phase.NONE or session.opening is not Opening.OVER:
        return False
    shown = (session.subject_of(one) for one in participants if not one.is_ringing)
    inside = {party.name for party in shown if party is not None and not (party.is_gone or party.is_leaving)}
    return {CUSTOMER, AGENT} <= inside | {*named}


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
        number_former_party(draft, name, also_taken)
        return
    if former.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, former.call_sid))
    draft.change(parties={one.name: one for one in draft.session.parties.values() if one.name != name})
