"""A conference of ours of which nothing is known any more: whoever is in it goes on, and nobody is left alone."""

from dataclasses import replace

from conferral.statemachine.actions.asking import want_ends
from conferral.statemachine.actions.commands import report_call
from conferral.statemachine.actions.dialling import let_party_go, watch_dials
from conferral.statemachine.events import AgeOverdue, CallsRead, ConferenceFound, ParticipantFound
from conferral.statemachine.guards.found import found_by_look, names_of, number_of
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, SUPERVISOR, TARGET, Party, first_label
from conferral.statemachine.states import (
    Opening,
    PartyStatus,
    Phase,
    SessionMode,
    Stage,
    SuperviseMode,
    TransferMode,
    TransferStatus,
    Tune,
)
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import TransferState


def adopt_conference(scratch: Scratch, event: ConferenceFound) -> None:
    """A session is made of what Twilio shows: who is in the conference, by which label, held or not.

    What can't be seen is lost: orders, the directory's attributes, recordings, who was being dialled at our gate.
    """
    scratch.change(created_at_ms=scratch.now_ms, conference_name=event.conference_name)
    _take_conference(scratch, event)


def adopt_transfer(scratch: Scratch, event: ConferenceFound) -> None:
    """Customer, agent and target are there: the agent decides how it goes on, and nobody hears more than before."""
    scratch.change(created_at_ms=scratch.now_ms, conference_name=event.conference_name)
    _take_transfer(scratch, event)


def adopt_seen_conference(scratch: Scratch, event: CallsRead) -> None:
    """A look shows that those of a bridge are in a conference: Redis has forgotten how they came there."""
    _leave_bridge(scratch)
    _take_conference(scratch, found_by_look(scratch, event))


def adopt_seen_transfer(scratch: Scratch, event: CallsRead) -> None:
    """The same, with the target of a transfer that was forgotten as well."""
    _leave_bridge(scratch)
    _take_transfer(scratch, found_by_look(scratch, event))


def _leave_bridge(scratch: Scratch) -> None:
    report_call(scratch, CommandStatus.DONE)
    for timer in tuple(scratch.session.timers):
        scratch.cancel_timer(timer)
    scratch.change(dial_call_status="", repaired=False)


def _take_conference(scratch: Scratch, event: ConferenceFound) -> None:
    names = names_of(event)
    if TARGET in names:
        # Of a transfer that can't go on; the name is for the next one's.
        guests = sum(name.startswith("guest-") for name in names)
        names[f"guest-{guests + 1}"] = names.pop(TARGET)
    _adopt(scratch, event, names)
    parties = scratch.session.parties
    there = [party for party in parties.values() if not (party.is_gone or party.is_supervisor)]
    scratch.change(phase=Phase.NONE, is_group=len(there) > 2)
    # A hold that nobody remembers would never end.
    for party in tuple(parties.values()):
        scratch.change_party(party, hold_wanted=False)
    watch_dials(scratch)
    if all(parties[name].in_room for name in (CUSTOMER, AGENT)):
        want_ends(scratch)


def _take_transfer(scratch: Scratch, event: ConferenceFound) -> None:
    _adopt(scratch, event, names_of(event))
    take_up_transfer(scratch)


def take_up_transfer(scratch: Scratch) -> None:
    """Continue a transfer: customer, agent, and targets are parties, and holds are as they are.

    It waits for the agent, or, if no target answered, for one of the targets that ring.
    """
    targets = scratch.session.targets
    talking = next((target for target in targets if target.status is not PartyStatus.RINGING), None)
    first = talking or targets[0]
    is_apart = first.held or scratch.session.parties[CUSTOMER].held
    if talking is not None:
        scratch.change_party(talking, answered=True, dial_id=_dial_id(talking.call_sid), dialled_at_ms=scratch.now_ms)
        for target in targets:
            if target.name != talking.name:
                let_party_go(scratch, target)
    talks = TransferStatus.CONSULTING if is_apart else TransferStatus.MERGED
    for name in (CUSTOMER, first.name):
        party = scratch.session.parties[name]
        scratch.change_party(party, hold_wanted=party.held, tune=Tune.MUSIC if party.held else Tune.NONE)
    there = [
        party
        for party in scratch.session.parties.values()
        if not (party.is_gone or party.is_supervisor)
        and (party.name == first.name or party not in scratch.session.targets)
    ]
    before = scratch.session.transfer
    scratch.change(
        phase=Phase.CONSULT if is_apart else Phase.WARM,
        is_group=len(there) > 3,
        transfer=TransferState(
            # A number that no transfer of this session has had: each has dialled somebody.
            number=max(scratch.session.dials, before.number if before is not None else 0) + 1,
            mode=TransferMode.CONSULT if is_apart else TransferMode.WARM,
            to=first.address if talking else ",".join(target.address for target in targets),
            status=talks if talking else TransferStatus.RINGING,
            stage=Stage.TALKING if talking else Stage.DIALING,
            started_at_ms=scratch.now_ms,
        ),
    )


def _adopt(scratch: Scratch, event: ConferenceFound, names: dict[str, ParticipantFound]) -> None:
    has_started = any(one.starts_conference and not one.is_ringing for one in event.participants)
    parties = {
        name: party_found(scratch, name, one, waits=not has_started, supervises=name == SUPERVISOR)
        for name, one in names.items()
    }
    for name in (CUSTOMER, AGENT):
        parties.setdefault(name, Party(name, first_label(name), status=PartyStatus.LEFT))
    scratch.change(
        direction=_direction(names),
        mode=SessionMode.CONFERENCE,
        opening=Opening.OVER,
        parties=parties,
        conference_sid=event.conference_sid,
        dials=max(scratch.session.dials, *map(number_of, event.participants)) if event.participants else 0,
        moved_at_ms=scratch.now_ms,
        first_left=next((name for name in (CUSTOMER, AGENT) if parties[name].is_gone), ""),
    )
    age_ms = scratch.now_ms - scratch.session.created_at_ms
    scratch.set_timer(AgeOverdue.timer, max(0, scratch.policy.age_max_ms - age_ms))


def _direction(names: dict[str, ParticipantFound]) -> str:
    customer, agent = names.get(CUSTOMER), names.get(AGENT)
    if customer is not None:
        return INBOUND if customer.came_in else OUTBOUND
    return OUTBOUND if agent is not None and agent.came_in else INBOUND


def _dial_id(call_sid: str) -> str:
    """Stands for the dial's own id, which is forgotten; its callbacks are told by the call."""
    return f"found:{call_sid}"


def party_found(scratch: Scratch, name: str, one: ParticipantFound, *, waits: bool, supervises: bool) -> Party:
    """A party as Twilio shows it, with nothing else known.

    Args:
        scratch: The sheet.
        name: What it is called from now on.
        one: How it is.
        waits: Whether it is in the conference without anybody having started it.
        supervises: Whether it is a supervisor.
    """
    party = Party(
        name,
        one.label,
        call_sid=one.call_sid,
        address=one.address,
        status=PartyStatus.CONNECTED,
        in_room=True,
        held=one.held,
        held_since_ms=scratch.now_ms if one.held else 0,
        hold_wanted=one.held,
        muted=one.muted,
        ends_conference=one.ends_conference,
        coaches=one.coaches,
        waits=waits,
        tune=Tune.MUSIC if one.held or waits else Tune.NONE,
    )
    if number_of(one) and one.label not in (first_label(CUSTOMER), first_label(AGENT)):
        # Its callbacks name the dial: they are to be told from those of a call that nobody waits for any more.
        party = replace(party, dial_id=_dial_id(one.call_sid), dialled_at_ms=scratch.now_ms, answered=True)
    if supervises:
        mode = SuperviseMode.MONITOR if one.muted else SuperviseMode.BARGE
        party = replace(party, supervises=SuperviseMode.WHISPER if one.coaches else mode)
    if one.is_ringing:
        return replace(
            party,
            status=PartyStatus.RINGING,
            answered=False,
            in_room=False,
            dial_id=_dial_id(one.call_sid),
            dialled_at_ms=scratch.now_ms,
            dial_due_ms=scratch.now_ms + scratch.policy.ring_timeout_ms + scratch.policy.dial_slack_ms,
        )
    return party if supervises else replace(party, mute_wanted=one.muted)
