"""Command forms for a session: each command's fields and choices, and why a command is unavailable."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conferral.operations import wording
from conferral.operations.session_queries import Fields
from conferral.operations.session_summary import join_names
from conferral.runtime.errors import StoreError
from conferral.statemachine.events import Command, PartyCommand, Record, Supervise, Transfer
from conferral.statemachine.machine import command_refusals
from conferral.statemachine.session import Session
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, State, SuperviseMode
from conferral.storage.codecs import session_codec

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
_DIALING_COMMANDS = frozenset({"transfer", "retrieve", "add", "supervise"})
_CONFERENCE_STATES = frozenset({State.CONFERENCED, State.TRANSFERRING})
_PARTY_COMMANDS = frozenset({"remove", "hold", "unhold", "mute", "unmute"})
#: Commands without effect on a party: the field that shows it, and its value.
_ALREADY_IN_EFFECT = {
    "hold": ("held", "true"),
    "unhold": ("held", "false"),
    "mute": ("muted", "true"),
    "unmute": ("muted", "false"),
}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a command."""

    #: Its name in the command.
    name: str
    kind: Kind
    #: Choices, without values that would be rejected; empty for free text.
    options: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class CommandForm:
    """One command."""

    #: The command's name.
    type: str
    label: str
    allowed: bool
    #: Why it isn't allowed, or is allowed but has no effect; empty if it can be used.
    reason: str
    fields: tuple[FormField, ...] = ()
    #: A warning about the parties that it hangs up; empty if it hangs up no one.
    danger: str = ""


def command_forms(fields: Fields) -> tuple[CommandForm, ...]:
    """Return every command, always in the same order; none if the hash can't be decoded.

    Args:
        fields: The session's hash.
    """
    try:
        session = session_codec.decode(fields)
        tried = command_refusals(session)
    except StoreError:
        return ()
    by_type: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for command, refusal in tried:
        by_type[command.name].append((_variant_of(command), refusal))
    return tuple(_command_form(kind, by_type[kind], session, fields) for kind in _LABELS if kind in by_type)


def _variant_of(command: Command) -> str:
    """Return what distinguishes trial commands of one type: mode, action, or party."""
    if isinstance(command, Transfer | Supervise):
        return command.mode
    if isinstance(command, Record):
        return command.action
    return command.party if isinstance(command, PartyCommand) else ""


def _command_form(kind: str, trials: Sequence[tuple[str, str]], session: Session, fields: Fields) -> CommandForm:
    allowed = [choice for choice, refusal in trials if not refusal]
    # Usually all trials are refused for the same reason; otherwise, show the most frequent one.
    refusals = [refusal for _, refusal in trials if refusal]
    reason = _no_effect_reason(kind, session) if allowed else max(refusals, key=refusals.count)
    return CommandForm(kind, _LABELS[kind], not reason, reason, _fields(kind, allowed, fields), _warning(kind, fields))


def _no_effect_reason(kind: str, session: Session) -> str:
    """Return why an allowed command certainly has no effect; empty if it has one or might have one."""
    if kind == "convert" and session.state in _CONFERENCE_STATES:
        return "it is already a conference"
    there = [one for one in session.parties.values() if not one.is_gone and not one.is_supervisor]
    if session.open_read_id or any(one.pending_update for one in there):
        return ""
    if kind == "unhold" and not any(one.held or one.desired_hold for one in there):
        return "no one is on hold"
    if kind == "unmute" and not any(one.muted or one.desired_mute for one in there):
        return "no one is muted"
    return ""


def _fields(kind: str, allowed: Sequence[str], fields: Fields) -> tuple[FormField, ...]:
    found: list[FormField] = []
    if kind in _DIALING_COMMANDS:
        found.append(FormField("to", "destination", required=True))
    if kind in _CHOICES:
        name, every = _CHOICES[kind]
        found.append(FormField(name, "choice", tuple(allowed) or tuple(every), required=True))
    if kind in _PARTY_COMMANDS:
        found.append(FormField("party", "party", _suggested_parties(kind, allowed, fields), required=True))
    if kind == "add":
        found.append(FormField("party", "text", required=True))
    if kind == "announce":
        found += [FormField("say", "text"), FormField("url", "text")]
    if kind in _DIALING_COMMANDS:
        found += [
            FormField("brief", "text"),
            FormField("confirm", "flag"),
            FormField("timeout", "seconds"),
            FormField("digits", "text"),
            FormField("caller_id", "text"),
        ]
    return tuple(found)


def _suggested_parties(kind: str, parties: Sequence[str], fields: Fields) -> tuple[str, ...]:
    """Return the parties in the usual order, without those already in the desired state, unless all are."""
    ordered = [party for party in wording.party_names(fields) if party in parties]
    name, so = _ALREADY_IN_EFFECT.get(kind, ("", ""))
    useful = [party for party in ordered if fields.get(f"party.{party}.{name}") != so] if name else ordered
    return tuple(useful or ordered)


def _warning(kind: str, fields: Fields) -> str:
    if kind == "remove":
        return "the party will be hung up; removing the customer ends the call"
    if kind != "end":
        return ""
    there = [party for party in wording.party_names(fields) if fields.get(f"party.{party}.status") != "left"]
    return f"{join_names([f'the {one}' if one in _ROLES else one for one in there]) or 'everyone'} will be hung up"


_ROLES = frozenset({"customer", "agent", "target", "supervisor"})
