"""The fields of commands, one by one: which a command takes, and what each may hold.

Which fields there are follows from the classes in `statemachine/events/`; a check here says in words what is right,
and never repeats what was given, which may be somebody's number.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import MISSING
from dataclasses import fields as fields_of
from typing import NamedTuple

from statemachine.events import COMMANDS, Call, Command, Event, Transfer
from statemachine.states import TransferMode
from statemachine.transfer import TARGETS_MAX

#: Longest `brief` (characters): about half a minute of speech.
BRIEF_MAX = 500
#: Least and most seconds to ring. Source: Twilio docs, Call resource, `Timeout` (600 at most).
TIMEOUT_S = (5, 600)
#: Longest address that is looked at (characters); the kinds of address have narrower bounds of their own.
DESTINATION_MAX = 512

#: Source: Twilio docs, Call resource, `SendDigits` (at most 32; `w` waits half a second, `W` one).
_DIGITS = re.compile(r"[0-9*#wW]{1,32}")
#: What is no text: control characters, halves of characters, separators of lines and paragraphs.
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Source: W3C, Extensible Markup Language 1.0, section 2.2: these two can't stand in a document.
_NOT_IN_XML = frozenset("\ufffe\uffff")
_MODES: dict[str, tuple[str, ...]] = {
    Transfer.name: tuple(mode.value for mode in TransferMode),
    Call.name: ("bridge",),
}

Value = str | bool | int


def _one_destination(text: str, _command: str) -> str:
    if "," in text or len(text) > DESTINATION_MAX:
        raise ValueError("must be one destination")
    return text


def _destinations(text: str, _command: str) -> str:
    named = [part.strip(" ") for part in text.split(",")]
    if not all(named) or len(named) > TARGETS_MAX or len(text) > TARGETS_MAX * DESTINATION_MAX:
        raise ValueError(f"must be 1 to {TARGETS_MAX} destinations, separated by commas")
    if len(set(named)) < len(named):
        raise ValueError("must not name a destination twice")
    return ",".join(named)


def _mode(text: str, command: str) -> str:
    if command == Call.name and text == "conference":
        raise ValueError("conference is not available yet")
    if text not in _MODES[command]:
        raise ValueError(f"must be {_either(_MODES[command])}")
    return text


def _brief(text: str, _command: str) -> str:
    if len(text) > BRIEF_MAX or any(unicodedata.category(one) in _NO_TEXT or one in _NOT_IN_XML for one in text):
        raise ValueError(f"must be at most {BRIEF_MAX} characters, without control characters")
    return text


def _confirm(text: str, _command: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _timeout(text: str, _command: str) -> int:
    least, most = TIMEOUT_S
    if not re.fullmatch(r"[0-9]{1,3}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be whole seconds, {least} to {most}")
    return int(text)


def _digits(text: str, _command: str) -> str:
    if not _DIGITS.fullmatch(text):
        raise ValueError("must be 1 to 32 of the signs 0-9 * # w W")
    return text


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class _Kind(NamedTuple):
    """One kind of field: how a value is taken, and what to say when a field that is needed is missing."""

    take: Callable[[str, str], Value]
    meaning: str = ""


_KINDS: dict[str, _Kind] = {
    "agent": _Kind(_one_destination, "whom to call first"),
    "customer": _Kind(_one_destination, "whom to call once the agent has answered"),
    "to": _Kind(_destinations, "whom to dial"),
    "mode": _Kind(_mode, _either(_MODES[Transfer.name])),
    "brief": _Kind(_brief),
    "confirm": _Kind(_confirm),
    "timeout_s": _Kind(_timeout),
    "digits": _Kind(_digits),
}
#: What a field is called where its attribute carries a unit.
_NAMES = {"timeout_s": "timeout"}


class CommandField(NamedTuple):
    """One field of one command."""

    #: What it is called in a command.
    name: str
    #: What it is called in the command's class.
    attribute: str
    is_needed: bool
    #: Takes the text and the command's name; raises ValueError with what is right, to be put behind the field's name.
    take: Callable[[str, str], Value]
    #: What it is for, where it is needed.
    meaning: str


def _command_fields(command: type[Command]) -> tuple[CommandField, ...]:
    common = {field.name for field in fields_of(Event)}
    return tuple(
        CommandField(
            name=_NAMES.get(field.name, field.name),
            attribute=field.name,
            is_needed=field.default is MISSING,
            take=_KINDS[field.name].take,
            meaning=_KINDS[field.name].meaning,
        )
        for field in fields_of(command)
        if field.name not in common
    )


#: The fields of every command besides `type`, `session` and `id`, by the command's name.
FIELDS: dict[str, tuple[CommandField, ...]] = {command.name: _command_fields(command) for command in COMMANDS}
