"""Command forms: a command's fields and choices, or why it is unavailable."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from conferral.commands.field_values import Form
from conferral.commands.parser import CommandField, own_fields
from conferral.operations import catalog
from conferral.statemachine.events.commands import COMMANDS_BY_NAME, Command
from conferral.statemachine.machine import command_refusals
from conferral.statemachine.session import Session
from conferral.statemachine.states import State

_CONFERENCE_STATES = frozenset({State.CONFERENCED, State.TRANSFERRING})
#: Commands without effect on a party: the attribute that shows it, and its value.
_ALREADY_IN_EFFECT = {
    "hold": ("held", True),
    "unhold": ("held", False),
    "mute": ("muted", True),
    "unmute": ("muted", False),
}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a command."""

    name: str
    kind: Form
    description: str
    #: Choices, without values that would be rejected; empty for free text.
    options: tuple[str, ...] = ()
    required: bool = False
    #: What each option means; empty where the word says it.
    meanings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandForm:
    """One command."""

    type: str
    label: str
    allowed: bool
    #: Why it isn't allowed, or is allowed but has no effect; empty if it can be used.
    reason: str
    fields: tuple[FormField, ...] = ()
    #: A warning about the parties that it hangs up; empty if it hangs up no one.
    danger: str = ""


def command_forms(session: Session) -> tuple[CommandForm, ...]:
    """Return every command's form."""
    # Each command is tried once per variant (its mode, action, or party), and is allowed if one variant is.
    by_type: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for command, refusal in command_refusals(session):
        attribute, _ = command.variants
        by_type[command.name].append((getattr(command, attribute) if attribute else "", refusal))
    return tuple(_command_form(COMMANDS_BY_NAME[name], samples, session) for name, samples in by_type.items())


def _command_form(command: type[Command], samples: Sequence[tuple[str, str]], session: Session) -> CommandForm:
    kind = command.name
    allowed = [choice for choice, refusal in samples if not refusal]
    # Usually all samples are refused for the same reason; otherwise, show the most frequent one.
    refusals = [refusal for _, refusal in samples if refusal]
    reason = _no_effect_reason(kind, session) if allowed else max(refusals, key=refusals.count)
    shown = tuple(_form_field(kind, one, allowed, session) for one in own_fields(command))
    return CommandForm(kind, kind.capitalize(), not reason, reason, shown, _hangup_warning(kind, session))


def _no_effect_reason(kind: str, session: Session) -> str:
    """Return why an allowed command has no effect; empty if it might have one."""
    if kind == "convert" and session.state in _CONFERENCE_STATES:
        return "it is already in a conference"
    there = [one for one in session.parties.values() if not one.is_gone and not one.is_supervisor]
    if session.open_read_id or any(one.pending_update for one in there):
        return ""
    if kind == "unhold" and not any(one.held or one.desired_hold for one in there):
        return "no one is on hold"
    if kind == "unmute" and not any(one.muted or one.desired_mute for one in there):
        return "no one is muted"
    return ""


def _form_field(kind: str, described: CommandField, allowed: Sequence[str], session: Session) -> FormField:
    value = described.value
    options: Sequence[str] = ()
    if value.words:
        options = allowed or value.words
    elif value.form == "party":
        options = _suggested_parties(kind, allowed, session)
    meanings = tuple(value.meanings.get(one, "") for one in options)
    about = described.description
    return FormField(described.name, value.form, about, tuple(options), described.is_required, meanings)


def _suggested_parties(kind: str, parties: Sequence[str], session: Session) -> tuple[str, ...]:
    """Return the parties not yet in the desired state; all if none is left."""
    ordered = [name for name in session.parties if name in parties]
    attribute, value = _ALREADY_IN_EFFECT.get(kind, ("name", ""))
    useful = [name for name in ordered if getattr(session.parties[name], attribute) != value]
    return tuple(useful or ordered)


def _hangup_warning(kind: str, session: Session) -> str:
    if kind == "remove":
        return "Disconnects this party. Removing the customer ends the call"
    if kind != "end":
        return ""
    roles = ("customer", "agent", "target", "supervisor")
    there = [f"the {name}" if name in roles else name for name in session.present]
    return f"Disconnects {catalog.join_names(there) or 'everyone'}"
