"""Commands of operators."""

from dataclasses import dataclass, field
from typing import ClassVar

from conferral.statemachine.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    """Base class of commands. Their `token` is the command's id."""

    #: Who sent it; empty if unknown.
    by: str = ""
    #: Why it was rejected before it reached the session, which only logs it; empty for all others.
    refused: str = ""

    @property
    def command_id(self) -> str:
        """The id under which the outcome is stored."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(Command):
    """Move the bridged call into a conference; neither party notices."""

    name: ClassVar[str] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Command):
    """Hang up every party."""

    name: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command):
    """Call the agent first, then the customer; opens a session."""

    name: ClassVar[str] = "call"

    agent: str = field(repr=False)
    customer: str = field(repr=False)
    #: A `SessionMode`; `bridge` is an ordinary `<Dial>`, which can be converted later.
    mode: str = "bridge"
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Command):
    """Hand the customer over to another party."""

    name: ClassVar[str] = "transfer"

    #: Destinations, comma-separated; all ring, and the first to accept wins.
    to: str = field(repr=False)
    #: A `TransferMode`.
    mode: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Command):
    """Complete the transfer: the agent leaves, customer and target stay."""

    name: ClassVar[str] = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    """Cancel the transfer: the target leaves or stops ringing, agent and customer stay."""

    name: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap(Command):
    """In a consult: switch the agent to the other party."""

    name: ClassVar[str] = "swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Command):
    """In a consult: let all three talk."""

    name: ClassVar[str] = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Park(Command):
    """Release the agent; the customer hears music until someone retrieves the call."""

    name: ClassVar[str] = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve(Command):
    """Dial a party that retrieves a parked call."""

    name: ClassVar[str] = "retrieve"

    to: str = field(repr=False)
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Command):
    """Dial another party into the conference."""

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
    """Base class of commands about one party."""

    #: Its name, or the SID of its call.
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(PartyCommand):
    """Hang up one party."""

    name: ClassVar[str] = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(PartyCommand):
    """Hold one party: it hears music, and no one hears it."""

    name: ClassVar[str] = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhold(PartyCommand):
    """Take one party off hold."""

    name: ClassVar[str] = "unhold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(PartyCommand):
    """Mute one party: it hears everyone, and no one hears it."""

    name: ClassVar[str] = "mute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute(PartyCommand):
    """Unmute one party."""

    name: ClassVar[str] = "unmute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise(Command):
    """Dial a supervisor, who listens in or helps the agent; with another mode, switch the current one."""

    name: ClassVar[str] = "supervise"

    to: str = field(repr=False)
    #: A `SuperviseMode`.
    mode: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce(Command):
    """Play audio to all parties, or say a text; one of the two."""

    name: ClassVar[str] = "announce"

    url: str = field(default="", repr=False)
    say: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command):
    """Record the customer's call, or the conference if it is recorded from its start."""

    name: ClassVar[str] = "record"

    #: A `RecordAction`.
    action: str
