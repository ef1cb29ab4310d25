"""Operators' commands."""

from dataclasses import dataclass, field
from typing import ClassVar

from statemachine.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    """What commands have in common. Their `token` is the command's id."""

    @property
    def command_id(self) -> str:
        """The id under which the outcome is kept."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(Command):
    """Move the bridged call into a conference; neither party notices."""

    name: ClassVar[str] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Command):
    """Hang everybody up."""

    name: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command):
    """Call the agent first, then the customer: opens a session."""

    name: ClassVar[str] = "call"

    agent: str = field(repr=False)
    customer: str = field(repr=False)
    #: `bridge`: by an ordinary `<Dial>`, which can be converted later.
    mode: str = "bridge"
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Command):
    """Hand the customer over to somebody else."""

    name: ClassVar[str] = "transfer"

    #: Destinations, comma-separated; all ring, the first to take it wins.
    to: str = field(repr=False)
    #: One of `TransferMode`.
    mode: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Command):
    """The agent leaves, customer and target stay."""

    name: ClassVar[str] = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    """The target leaves or stops ringing, agent and customer go on."""

    name: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap(Command):
    """In a consult: whom the agent talks to changes."""

    name: ClassVar[str] = "swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Command):
    """In a consult: all three talk."""

    name: ClassVar[str] = "merge"
