"""Recovery of what only Twilio knows: guests, and what Redis lost."""

from collections.abc import Collection, Iterable

from conferral.statemachine import events, guards
from conferral.statemachine.actions.conference import mark_started_if_shown
from conferral.statemachine.actions.dials import hang_up_party
from conferral.statemachine.actions.participants import clear_end_on_exit, set_end_on_exit
from conferral.statemachine.actions.parties import number_former_party, retire_targets
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, Event, ParticipantSeen
from conferral.statemachine.former_parties import next_name
from conferral.statemachine.guards.reads import (
    assign_names,
    conference_found,
    is_supervisor,
    label_number,
    name_from_label,
    recovered_dial_id,
)
from conferral.statemachine.guards.waiting_party import present_parties
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
    Opening,
    PartyStatus,
    Phase,
    SessionMode,
    State,
    SuperviseMode,
    TransferMode,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import TransferState


def open_found_session(draft: Draft, event: events.ConferenceFound) -> None:
    """Start a session for a conference that Redis has lost."""
    draft.change(created_at_ms=draft.now_ms, conference_name=event.conference_name or draft.session.id)


def leave_bridge(draft: Draft, _event: events.CallsRead) -> None:
    """Leave the bridge: a read shows its parties in a conference."""
    report_call(draft, CommandStatus.DONE)
    draft.change(timers={}, dial_call_status="", repair_attempted=False)


def rebuild_conference(draft: Draft, event: events.ConferenceFound | events.CallsRead) -> None:
    """Rebuild the conference from the participants that Twilio shows.

    Pending commands, the directory's attributes, recordings, and calls in the gate are lost.
    """
    found = conference_found(draft, event)
    by_name = assign_names(found)
    if TARGET in by_name:
        # The transfer can't continue: its target becomes a guest, and the next transfer gets the name.
        guests = sum(name.startswith("guest-") for name in by_name)
        by_name[f"guest-{guests + 1}"] = by_name.pop(TARGET)
    _rebuild(draft, found, by_name)
    parties = draft.session.parties
    there = [party for party in parties.values() if not (party.is_gone or party.is_supervisor)]
    draft.change(phase=Phase.NONE, is_group=len(there) > 2)
    # No command would ever end a hold that the session does not know of.
    for party in parties.values():
        draft.change_party(party, desired_hold=False)
    if all(parties[name].in_conference for name in (CUSTOMER, AGENT)):
        set_end_on_exit(draft)


def rebuild_transfer(draft: Draft, event: events.ConferenceFound | events.CallsRead) -> None:
    """Rebuild a transfer of customer, agent, and target; all holds stay."""
    found = conference_found(draft, event)
    _rebuild(draft, found, assign_names(found))
    _resume_transfer(draft)


def resume_lost_transfer(draft: Draft, _event: events.CallsRead) -> None:
    """Continue the transfer that a read shows; all holds stay."""
    draft.cancel_timers(events.ConvertOverdue, events.RepairOverdue, events.LoneOverdue)
    clear_end_on_exit(draft)
    _resume_transfer(draft)


def _resume_transfer(draft: Draft) -> None:
    """Let the agent decide, or, if no target answered, let the targets ring."""
    retire_targets(draft)
    targets = draft.session.targets
    talking = next((target for target in targets if target.status is not PartyStatus.RINGING), None)
    main_target = talking or targets[0]
    is_apart = main_target.held or draft.session.customer.held
    if talking is not None:
        dial_id = recovered_dial_id(talking.call_sid)
        draft.change_party(talking, answered=True, dial_id=dial_id, dialed_at_ms=draft.now_ms)
        for target in targets:
            if target.name != talking.name:
                hang_up_party(draft, target)
    talking_status = TransferStatus.CONSULTING if is_apart else TransferStatus.MERGED
    for name in (CUSTOMER, main_target.name):
        party = draft.session.parties[name]
        draft.change_party(party, desired_hold=party.held, wait_audio=WaitAudio.MUSIC if party.held else WaitAudio.NONE)
    there = [
        party
        for party in draft.session.parties.values()
        if not (party.is_gone or party.is_supervisor)
        and (party.name == main_target.name or party not in draft.session.targets)
    ]
    before = draft.session.transfer
    draft.change(
        phase=Phase.CONSULT if is_apart else Phase.WARM,
        is_group=len(there) > 3,
        transfer=TransferState(
            # A number that no transfer of this session has had: each transfer dialed at least once.
            number=max(draft.session.dials, before.number if before is not None else 0) + 1,
            mode=TransferMode.CONSULT if is_apart else TransferMode.WARM,
            to=main_target.address if talking else ",".join(target.address for target in targets),
            status=talking_status if talking else TransferStatus.RINGING,
            started_at_ms=draft.now_ms,
        ),
    )


def _rebuild(draft: Draft, event: events.ConferenceFound, by_name: dict[str, events.ParticipantFound]) -> None:
    """Replace the parties with those shown; a missing customer or agent left."""
    has_started = any(one.start_on_enter and not one.is_ringing for one in event.participants)
    parties = {
        name: party_from_participant(draft, name, one, waits_for_start=not has_started, supervises=name == SUPERVISOR)
        for name, one in by_name.items()
    }
    for name in (CUSTOMER, AGENT):
        parties.setdefault(name, Party(name, first_label(name), status=PartyStatus.LEFT))
    draft.change(
        direction=_direction(by_name),
        mode=SessionMode.CONFERENCE,
        opening=Opening.OVER,
        parties=parties,
        conference_sid=event.conference_sid,
        dials=max((draft.session.dials, *map(label_number, event.participants))),
        moved_at_ms=draft.now_ms,
        first_to_leave=next((name for name in (CUSTOMER, AGENT) if parties[name].is_gone), ""),
    )
    draft.set_timer(events.AgeOverdue, draft.policy.age_max_ms - (draft.now_ms - draft.session.created_at_ms))


def _direction(by_name: dict[str, events.ParticipantFound]) -> str:
    """Return the direction by who called in; inbound if unknown."""
    customer, agent = by_name.get(CUSTOMER), by_name.get(AGENT)
    if customer is not None:
        return INBOUND if customer.came_in else OUTBOUND
    return OUTBOUND if agent is not None and agent.came_in else INBOUND


def party_from_participant(
    draft: Draft, name: str, participant: events.ParticipantFound, *, waits_for_start: bool, supervises: bool
) -> Party:
    """Return a new party from what Twilio shows of a participant.

    Its hold counts as desired. So does its mute, unless it supervises or still rings.
    """
    party = Party(
        name,
        participant.label,
        call_sid=participant.call_sid,
        address=participant.address,
        status=PartyStatus.CONNECTED,
        in_conference=True,
        held=participant.held,
        held_since_ms=draft.now_ms if participant.held else 0,
        desired_hold=participant.held,
        muted=participant.muted,
        end_on_exit=participant.end_on_exit,
        coaches=participant.coaches,
        waits_for_start=waits_for_start,
        wait_audio=WaitAudio.MUSIC if participant.held or waits_for_start else WaitAudio.NONE,
    )
    dial_id = recovered_dial_id(participant.call_sid)
    if label_number(participant) and participant.label not in (first_label(CUSTOMER), first_label(AGENT)):
        # Its callbacks carry the dial id, which distinguishes them from those of abandoned calls.
        party = replace(party, dial_id=dial_id, dialed_at_ms=draft.now_ms, answered=True)
    if supervises:
        mode = SuperviseMode.MONITOR if participant.muted else SuperviseMode.BARGE
        party = replace(party, supervises=SuperviseMode.WHISPER if participant.coaches else mode)
    if participant.is_ringing:
        return replace(
            party,
            status=PartyStatus.RINGING,
            answered=False,
            in_conference=False,
            dial_id=dial_id,
            dialed_at_ms=draft.now_ms,
            dial_check_at_ms=draft.now_ms + draft.policy.ring_timeout_ms + draft.policy.dial_slack_ms,
        )
    return party if supervises else replace(party, desired_mute=participant.muted)


# ---- guests: participants of the conference that the session does not know -----------------------------------------


def add_unknown_participants(draft: Draft, event: CallsRead) -> None:
    """Add each unknown participant as its label implies, or as a guest."""
    unknown = guards.unknown_participants(draft.session, event)
    if not unknown:
        return
    found = {one.call_sid: one for one in conference_found(draft, event).participants}
    named = _assign_names(draft, event, unknown)
    for name, seen in named.items():
        vacate_name(draft, name, named)
        party = party_from_participant(
            draft, name, found[seen.call_sid], waits_for_start=False, supervises=is_supervisor(seen)
        )
        # No command would ever end a hold that the session does not know of.
        party = replace(party, desired_hold=False, is_muted_guest=guards.is_muted_guest(seen))
        draft.change(parties={**draft.session.parties, name: party})
    # Labels are never reused, and no party's leaving may end the conference for the others.
    draft.change(dials=max(draft.session.dials, *map(label_number, unknown)))
    present = [party for party in draft.session.parties.values() if not (party.is_gone or party.is_supervisor)]
    # Parties alongside a transfer don't depend on it, nor does the customer.
    if len(present) > 2 or (draft.state is State.TRANSFERRING and any(party.name in named for party in present)):
        draft.change(is_group=True)
    mark_started_if_shown(draft, {seen.call_sid for seen in unknown})
    # Without a phase, no one is waiting and no transfer runs: the conference is settled.
    if draft.session.phase is Phase.NONE and len(present_parties(draft.session)) > 1:
        set_end_on_exit(draft)
    else:
        clear_end_on_exit(draft)


def hang_up_losing_targets(draft: Draft, _event: Event) -> None:
    """Hang up the other targets of a ring group that Redis lost."""
    for target in guards.losing_targets(draft.session):
        hang_up_party(draft, target)


def _assign_names(draft: Draft, event: CallsRead, unknown: Iterable[ParticipantSeen]) -> dict[str, ParticipantSeen]:
    """Return the participants' new names; the newest of a name gets it."""
    named: dict[str, ParticipantSeen] = {}
    targets: list[ParticipantSeen] = []
    others: list[ParticipantSeen] = []
    for seen in sorted(unknown, key=label_number, reverse=True):
        name = name_from_label(seen)
        if is_supervisor(seen):
            is_free = _is_free_name(draft, named, SUPERVISOR)
            named[SUPERVISOR if is_free else next_name(draft.session, SUPERVISOR, named)] = seen
        elif name == TARGET:
            targets.append(seen)
        elif name and _is_free_name(draft, named, name):
            named[name] = seen
        else:
            others.append(seen)
    if targets and guards.shows_lost_transfer(draft, event):
        forgotten = guards.lost_targets(draft.session, event)
        for target in forgotten:
            # A ring group has numbered names; the target that answers becomes `target`.
            several = target.is_ringing and len(forgotten) > 1
            named[next_name(draft.session, TARGET, named) if several else TARGET] = target
        targets = [one for one in targets if one not in forgotten]
    elif targets and _is_free_name(draft, named, AGENT):
        # The target the customer was handed over to becomes the agent; talking beats ringing.
        agent = min(targets, key=lambda one: one.is_ringing)
        named[AGENT] = agent
        targets = [one for one in targets if one is not agent]
    for seen in (*targets, *others):
        named[next_name(draft.session, GUEST, named)] = seen
    return named


def _is_free_name(draft: Draft, named: dict[str, ParticipantSeen], name: str) -> bool:
    if name == AGENT and draft.state is State.TRANSFERRING:
        return False
    return name not in named and draft.session.present_party(name) is None


def vacate_name(draft: Draft, name: str, also_taken: Collection[str] = ()) -> None:
    """Free a name for a new party.

    A former agent, target, or supervisor is renamed, to no name in `also_taken`. Of any other, the call SID is kept.
    """
    former = draft.session.parties.get(name)
    if former is None:
        return
    if name == AGENT:
        draft.change(first_to_leave="")
    if name in (AGENT, SUPERVISOR, TARGET) and former.is_gone:
        number_former_party(draft, name, also_taken)
        return
    if former.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, former.call_sid))
    draft.change(parties={one.name: one for one in draft.session.parties.values() if one.name != name})
