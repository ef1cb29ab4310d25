"""Operators' commands."""

from dataclasses import dataclass, field
from typing import ClassVar

from conferral.statemachine.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    """What commands have in common. Their `token` is the command's id."""

    #: Who gave it; empty where that was not said.
    by: str = ""
    #: Why it was refused before the session was asked: it is only noted. Empty for all others.
    refused: str = ""

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
    #: One of `SessionMode`: `bridge` by an ordinary `<Dial>`, which can be converted later.
    mode: str = "bridge"
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


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
    caller_id: str = field(default="", repr=False)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Park(Command):
    """The agent leaves, and the customer waits with music until somebody takes the call up again."""

    name: ClassVar[str] = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve(Command):
    """Somebody takes a parked call up again."""

    name: ClassVar[str] = "retrieve"

    to: str = field(repr=False)
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Command):
    """Dial one more party in."""

    name: ClassVar[str] = "add"

    to: str = field(repr=False)
    #: Name of the new party.
    party: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyCommand(Command):
    """What commands about one party have in common."""

    #: Its name, or the SID of its call.
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(PartyCommand):
    """Hang one party up."""

    name: ClassVar[str] = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(PartyCommand):
    """One party hears music, and is heard by nobody."""

    name: ClassVar[str] = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhold(PartyCommand):
    """One party hears the others again."""

    name: ClassVar[str] = "unhold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(PartyCommand):
    """One party is heard by nobody."""

    name: ClassVar[str] = "mute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute(PartyCommand):
    """One party is heard again."""

    name: ClassVar[str] = "unmute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise(Command):
    """Somebody listens in, or helps the agent; repeated with another mode it switches."""

    name: ClassVar[str] = "supervise"

    to: str = field(repr=False)
    #: One of `SuperviseMode`.
    mode: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce(Command):
    """Play something to all, or say it: one of the two."""

    name: ClassVar[str] = "announce"

    url: str = field(default="", repr=False)
    say: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command):
    """Record the customer's call, or the conference where that is recorded from its start."""

    name: ClassVar[str] = "record"

    #: One of `RecordAction`.
    action: str
