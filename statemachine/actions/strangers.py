"""Those whom a look shows in the session's conference though nothing is known of them: they become parties.

Whoever is there is company: the customer is never let go while he talks to somebody whom Redis has forgotten.
"""

from collections.abc import Iterable
from dataclasses import replace

from conferral.statemachine.actions.adopting import party_found
from conferral.statemachine.actions.asking import want_ends, want_nobody_ends
from conferral.statemachine.actions.room import end_waiting_for
from conferral.statemachine.departures import next_name
from conferral.statemachine.events import CallsRead, ParticipantSeen
from conferral.statemachine.guards.company import company
from conferral.statemachine.guards.found import found_by_look, name_told, number_of
from conferral.statemachine.guards.strangers import (
    forgotten_targets,
    is_listener,
    is_supervising,
    shows_forgotten_transfer,
    strangers,
)
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, GUEST, SUPERVISOR, TARGET
from conferral.statemachine.states import Phase, State


def take_strangers_from(scratch: Scratch, event: CallsRead) -> None:
    """Notes everybody in the conference who is no party yet, by the name that his label tells, or as a guest."""
    unknown = strangers(scratch.session, event)
    if not unknown:
        return
    found = {one.call_sid: one for one in found_by_look(scratch, event).participants}
    named = _names(scratch, event, unknown)
    for name, seen in named.items():
        _make_room(scratch, name)
        party = party_found(scratch, name, found[seen.call_sid], waits=False, supervises=is_supervising(seen))
        # A hold that nobody remembers would never end.
        party = replace(party, hold_wanted=False, listens=is_listener(seen))
        scratch.change(parties={**scratch.session.parties, name: party})
    # No label is used twice, and nobody's leaving may end what others go on with.
    scratch.change(dials=max(scratch.session.dials, *map(number_of, unknown)))
    there = [party for party in scratch.session.parties.values() if not (party.is_gone or party.is_supervisor)]
    # Whoever is beside a transfer does not depend on it, and the customer not on the transfer.
    if len(there) > 2 or (scratch.state is State.TRANSFERRING and any(party.name in named for party in there)):
        scratch.change(is_group=True)
    end_waiting_for(scratch, {seen.call_sid for seen in unknown})
    # Without a phase no one waits here and no transfer runs: the conference is settled.
    if scratch.session.phase is Phase.NONE and len(company(scratch.session)) > 1:
        want_ends(scratch)
    else:
        want_nobody_ends(scratch)


def _names(scratch: Scratch, event: CallsRead, unknown: Iterable[ParticipantSeen]) -> dict[str, ParticipantSeen]:
    """What they are called from now on; of several of one name the newest has it."""
    named: dict[str, ParticipantSeen] = {}
    targets: list[ParticipantSeen] = []
    others: list[ParticipantSeen] = []
    for seen in sorted(unknown, key=number_of, reverse=True):
        name = name_told(seen)
        if is_supervising(seen):
            is_free = _is_free(scratch, named, SUPERVISOR)
            named[SUPERVISOR if is_free else next_name(scratch.session, SUPERVISOR, named)] = seen
        elif name == TARGET:
            targets.append(seen)
        elif name and _is_free(scratch, named, name):
            named[name] = seen
        else:
            others.append(seen)
    if targets and shows_forgotten_transfer(scratch, event):
        forgotten = forgotten_targets(scratch.session, event)
        for target in forgotten:
            # A ring group has numbered names; the target that answers becomes `target`.
            several = target.is_ringing and len(forgotten) > 1
            named[next_name(scratch.session, TARGET, named) if several else TARGET] = target
        targets = [one for one in targets if one not in forgotten]
    elif targets and _is_free(scratch, named, AGENT):
        # Whoever the customer was handed over to is the agent; who talks comes before who rings.
        agent = min(targets, key=lambda one: one.is_ringing)
        named[AGENT] = agent
        targets = [one for one in targets if one is not agent]
    for seen in (*targets, *others):
        named[next_name(scratch.session, GUEST, named)] = seen
    return named


def _is_free(scratch: Scratch, named: dict[str, ParticipantSeen], name: str) -> bool:
    """Whether nobody has the name who is still there; a transfer is about the agent that it knows."""
    if name == AGENT and scratch.state is State.TRANSFERRING:
        return False
    party = scratch.session.parties.get(name)
    return name not in named and (party is None or party.is_gone)


def _make_room(scratch: Scratch, name: str) -> None:
    """Somebody who had the name and is gone: an agent keeps another one, as after a transfer."""
    former = scratch.session.parties.get(name)
    if former is None:
        return
    rest = {one.name: one for one in scratch.session.parties.values() if one.name != name}
    calls = scratch.session.former_calls
    if name == AGENT:
        other = next_name(scratch.session, AGENT)
        rest[other] = replace(former, name=other)
        scratch.change(first_left="")
    elif former.call_sid:
        calls = (*calls, former.call_sid)
    scratch.change(parties=rest, former_calls=calls)
