"""Questions about a conference that was found, of whose session nothing is known."""

import re

from statemachine.events import ConferenceFound, ParticipantFound
from statemachine.guards.calls import is_new
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET

#: A participant label of ours: the party's name and a number that no other leg of the session has had.
_LABEL = re.compile(r"(?P<name>[a-z][A-Za-z0-9_-]{0,50})-(?P<number>[1-9][0-9]{0,5})", re.ASCII)


def finds_transfer(scratch: Scratch, event: ConferenceFound) -> bool:
    """Whether customer, agent and one target are in it: a transfer was running, and waits for the agent."""
    names = names_of(event)
    there = {name for name, one in names.items() if not one.is_ringing}
    is_whole = len(there - {SUPERVISOR}) == len(names.keys() - {SUPERVISOR})
    return is_new(scratch, event) and is_whole and there - {SUPERVISOR} == {CUSTOMER, AGENT, TARGET}


def number_of(one: ParticipantFound) -> int:
    """The number in a participant's label, 0 for none of ours."""
    label = _LABEL.fullmatch(one.label)
    return int(label["number"]) if label else 0


def names_of(event: ConferenceFound) -> dict[str, ParticipantFound]:
    """Those who are there, by the names that they have from now on.

    Of several legs of one name the newest has it. Whoever has no label of ours, or one that is taken, is a guest. Of
    those whom a transfer has dialled one is the target, or the agent where there is none: the transfer is forgotten.
    """
    names: dict[str, ParticipantFound] = {}
    others: list[ParticipantFound] = []
    for one in sorted(event.participants, key=number_of, reverse=True):
        name = _name_of(one)
        if name and name not in names:
            names[name] = one
        else:
            others.append(one)
    if TARGET in names and AGENT not in names:
        names[AGENT] = names.pop(TARGET)
    return names | {f"guest-{number}": one for number, one in enumerate(others, start=1)}


def _name_of(one: ParticipantFound) -> str:
    label = _LABEL.fullmatch(one.label)
    if label is None:
        return ""
    name = label["name"]
    return TARGET if name.startswith(f"{TARGET}-") else name
