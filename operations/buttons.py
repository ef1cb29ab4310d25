"""The commands that a session can be given, each with its fields, and why those that are not allowed now are not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conferral.operations import words
from conferral.operations.reader import Fields
from conferral.operations.standing import listed
from conferral.runtime.errors import StoreError
from conferral.statemachine.events import Command, PartyCommand, Record, Supervise, Transfer
from conferral.statemachine.machine import tried_commands
from conferral.statemachine.session import Session
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, State, SuperviseMode
from conferral.storage import session_codec

Kind = Literal["destination", "party", "choice", "text", "flag", "seconds"]

_LABELS = {
    "convert": "Convert",
    "transfer": "Transfer",
    "complete": "Complete",
    "cancel": "Cancel",
    "swap": "Swap",
    "merge": "Merge",
    "park": "Park",
    "retrieve": "Retrieve",
    "add": "Add",
    "remove": "Remove",
    "hold": "Hold",
    "unhold": "Unhold",
    "mute": "Mute",
    "unmute": "Unmute",
    "supervise": "Supervise",
    "announce": "Announce",
    "record": "Record",
    "end": "End",
}
_CHOICES: dict[str, tuple[str, Sequence[str]]] = {
    "transfer": ("mode", [mode.value for mode in TRANSFER_MODES]),
    "supervise": ("mode", [mode.value for mode in SuperviseMode]),
    "record": ("action", [action.value for action in RecordAction]),
}
_DIALS = frozenset({"transfer", "retrieve", "add", "supervise"})
_IN_CONFERENCE = frozenset({State.CONFERENCED, State.TRANSFERRING})
_OF_PARTY = frozenset({"remove", "hold", "unhold", "mute", "unmute"})
#: What is true already of a party of whom a command would change nothing: its field, and the value.
_IS_SO = {
    "hold": ("held", "true"),
    "unhold": ("held", "false"),
    "mute": ("muted", "true"),
    "unmute": ("muted", "false"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a command."""

    #: As the command has it.
    name: str
    kind: Kind
    #: What can be chosen, the values that would be refused now left out; empty where anything can be said.
    options: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Button:
    """One command."""

    #: The command's name.
    type: str
    label: str
    allowed: bool
    #: Why it is not allowed, or has nothing to do (the command itself would be taken), in words; empty where it is.
    reason: str
    fields: tuple[Field, ...] = ()
    #: What will happen to whom; empty where nobody is hung up by it.
    danger: str = ""


def buttons(fields: Fields) -> tuple[Button, ...]:
    """Every command, always in the same order; none for a record that can't be understood.

    Args:
        fields: The session's hash.
    """
    try:
        session = session_codec.decode(fields)
        tried = tried_commands(session)
    except StoreError:
        return ()
    by_type: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for command, refusal in tried:
        by_type[command.name].append((_choice_of(command), refusal))
    return tuple(_button(kind, by_type[kind], session, fields) for kind in _LABELS if kind in by_type)


def _choice_of(command: Command) -> str:
    """What tells a trial from the others of its type: mode, action or party."""
    if isinstance(command, Transfer | Supervise):
        return command.mode
    if isinstance(command, Record):
        return command.action
    return command.party if isinstance(command, PartyCommand) else ""


def _button(kind: str, trials: Sequence[tuple[str, str]], session: Session, fields: Fields) -> Button:
    taken = [choice for choice, refusal in trials if not refusal]
    # One reason for all of them is the rule; where they differ, the one that most have.
    refusals = [refusal for _, refusal in trials if refusal]
    reason = _nothing_to_do(kind, session) if taken else max(refusals, key=refusals.count)
    return Button(kind, _LABELS[kind], not reason, reason, _fields(kind, taken, fields), _danger(kind, fields))


def _nothing_to_do(kind: str, session: Session) -> str:
    """Why a command that would be taken has surely nothing to do; empty where it has, or where nobody can be sure."""
    if kind == "convert" and session.state in _IN_CONFERENCE:
        return "it is a conference already"
    there = [one for one in session.parties.values() if not one.is_gone and not one.is_supervisor]
    if session.reading or any(one.asked for one in there):
        return ""
    if kind == "unhold" and not any(one.held or one.hold_wanted for one in there):
        return "nobody is on hold"
    if kind == "unmute" and not any(one.muted or one.mute_wanted for one in there):
        return "nobody is muted"
    return ""


def _fields(kind: str, taken: Sequence[str], fields: Fields) -> tuple[Field, ...]:
    found: list[Field] = []
    if kind in _DIALS:
        found.append(Field("to", "destination", required=True))
    if kind in _CHOICES:
        name, every = _CHOICES[kind]
        found.append(Field(name, "choice", tuple(taken) or tuple(every), required=True))
    if kind in _OF_PARTY:
        found.append(Field("party", "party", _useful(kind, taken, fields), required=True))
    if kind == "add":
        found.append(Field("party", "text", required=True))
    if kind == "announce":
        found += [Field("say", "text"), Field("url", "text")]
    if kind in _DIALS:
        found += [
            Field("brief", "text"),
            Field("confirm", "flag"),
            Field("timeout", "seconds"),
            Field("digits", "text"),
            Field("caller_id", "text"),
        ]
    return tuple(found)


def _useful(kind: str, parties: Sequence[str], fields: Fields) -> tuple[str, ...]:
    """The parties in the usual order; without those for whom nothing would change, unless none were left."""
    ordered = [party for party in words.parties(fields) if party in parties]
    name, so = _IS_SO.get(kind, ("", ""))
    useful = [party for party in ordered if fields.get(f"party.{party}.{name}") != so] if name else ordered
    return tuple(useful or ordered)


def _danger(kind: str, fields: Fields) -> str:
    if kind == "remove":
        return "the party will be hung up; without the customer the call ends"
    if kind != "end":
        return ""
    there = [party for party in words.parties(fields) if fields.get(f"party.{party}.status") != "left"]
    return f"{listed([f'the {one}' if one in _ROLES else one for one in there]) or 'everybody'} will be hung up"


_ROLES = frozenset({"customer", "agent", "target", "supervisor"})
