"""Guests: participants of the conference that the session does not know.

A read shows them. As parties, they keep a customer who talks to one from being released as alone.
"""

from collections.abc import Collection, Iterable

from conferral.statemachine import guards
from conferral.statemachine.actions.conference import mark_started_if_shown
from conferral.statemachine.actions.dials import hang_up_party
from conferral.statemachine.actions.participants import clear_end_on_exit, set_end_on_exit
from conferral.statemachine.actions.parties import number_former_party
from conferral.statemachine.actions.recovery import party_from_participant
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, Event, ParticipantSeen
from conferral.statemachine.former_parties import next_name
from conferral.statemachine.guards.guests import is_supervisor
from conferral.statemachine.guards.recovery import conference_found, label_number, name_from_label
from conferral.statemachine.guards.waiting_party import present_parties
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, GUEST, SUPERVISOR, TARGET
from conferral.statemachine.states import Phase, State


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
