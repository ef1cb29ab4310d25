"""Commands of operators.

A class's docstring describes the command, its first line briefly.
`conferral/commands/parser.py` describes the fields and their valid values.
"""

from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.record import Hidden
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, SuperviseMode


class Command(Event, frozen=True, kw_only=True):
    """Base class of commands."""

    #: Whether it begins a session; all others need one.
    opens_session: ClassVar[bool] = False
    #: Fields of which exactly one must be given; empty for commands without such a rule.
    one_of: ClassVar[tuple[str, ...]] = ()
    #: The field whose value may decide if a session accepts it, if any, and its values; a party's are the session's.
    variants: ClassVar[tuple[str, tuple[str, ...]]] = ("", ("",))

    by: str = ""
    #: Why it was rejected before it reached the session, which only logs it; empty for all others.
    refused: str = ""

    @property
    def command_id(self) -> str:
        """The id under which the result is stored."""
        return self.token


class DialCommand(Command, frozen=True, kw_only=True):
    """Base class of commands that dial."""

    brief: str = ""
    confirm: bool = False
    confirm_for_s: int = 0
    timeout_s: int = 0
    digits: str = ""
    caller_id: Hidden[str] = ""
    params: Hidden[str] = ""
    amd: bool = False


class PartyCommand(Command, frozen=True, kw_only=True):
    """Base class of commands about one party."""

    variants: ClassVar = ("party", ())

    party: str


class Call(DialCommand, frozen=True, kw_only=True):
    """Call an agent, then a customer, and connect them.

    In mode `bridge`, they are connected by a plain Dial, which can be converted later; in mode `conference`, in a
    conference. Done when the two are talking. The dial options apply to the agent.
    """

    opens_session: ClassVar[bool] = True
    logged: ClassVar[tuple[str, ...]] = ("mode", "ref")

    session_id: str = ""
    agent: Hidden[str]
    customer: Hidden[str]
    mode: str = "bridge"
    ref: str = ""


class Convert(Command, frozen=True):
    """Move customer and agent into a conference.

    The audio pauses for a fraction of a second.
    """


class Transfer(DialCommand, frozen=True, kw_only=True):
    """Transfer the customer to someone else.

    warm: all three talk until the agent leaves. consult: the customer is on hold while agent and target talk. blind:
    the agent leaves immediately. warm and consult are done when the target has joined, blind when customer and target
    are talking.
    """

    logged: ClassVar[tuple[str, ...]] = ("mode", "ref")
    variants: ClassVar = ("mode", tuple(mode.value for mode in TRANSFER_MODES))

    #: The first to accept wins.
    to: Hidden[tuple[str, ...]]
    mode: str
    fallback: Hidden[tuple[str, ...]] = ()
    ref: str = ""


class Complete(Command, frozen=True):
    """Complete a transfer: disconnect the agent.

    Customer and target stay on the call. If the target is still ringing, the agent is disconnected now and the transfer
    continues as a blind one.
    """


class Cancel(Command, frozen=True):
    """Cancel a transfer: disconnect the target.

    Customer and agent stay on the call. A ringing target stops ringing.
    """


class Swap(Command, frozen=True):
    """In a consult, switch the agent between customer and target.

    One is put on hold before the other is taken off hold, so customer and target never hear each other.
    """


class Merge(Command, frozen=True):
    """In a consult, let all three talk.

    No one stays on hold.
    """


class Park(Command, frozen=True, kw_only=True):
    """Park the call: the agent leaves, the customer waits.

    Connect someone to it with `retrieve`. After CONFERRAL_PARK_TIMEOUT, the fallback applies: by default, the agent
    who parked the call is called back.
    """

    fallback: Hidden[tuple[str, ...]] = ()


class Retrieve(DialCommand, frozen=True, kw_only=True):
    """Retrieve a parked call.

    Done when the customer and the dialed party are talking. If it fails, the call stays parked.
    """

    to: Hidden[str]


class Add(DialCommand, frozen=True, kw_only=True):
    """Add a party.

    A bridged call is converted first. From then on, the call continues until only one party is left. A muted party
    hears everyone, and is heard after `unmute`.
    """

    logged: ClassVar[tuple[str, ...]] = ("muted",)

    to: Hidden[str]
    party: str
    muted: bool = False


def destinations_of(command: Transfer | Retrieve | Add) -> tuple[str, ...]:
    """Return the addresses that a command dials."""
    return command.to if isinstance(command, Transfer) else (command.to,)


class Remove(PartyCommand, frozen=True):
    """Remove a party.

    Removing the customer ends the call. Removing the agent during a transfer counts as `complete`.
    """


class Hold(PartyCommand, frozen=True):
    """Put a party on hold.

    The party hears music, and no one hears them. A bridged call is converted first. The last party who is not on hold
    can't be put on hold.
    """


class Unhold(PartyCommand, frozen=True):
    """Take a party off hold.

    Done when Twilio has confirmed it.
    """


class Mute(PartyCommand, frozen=True):
    """Mute a party.

    No one hears the party, who still hears the others. A bridged call is converted first.
    """


class Unmute(PartyCommand, frozen=True):
    """Unmute a party.

    Done when Twilio has confirmed it.
    """


class Supervise(DialCommand, frozen=True, kw_only=True):
    """Add a supervisor, or switch the supervisor's mode.

    monitor: no one hears them. whisper: only the agent hears them. barge: everyone hears them. The supervisor always
    hears everyone. Repeat the command with another mode to switch; no one is dialed again. A bridged call is converted
    first.
    """

    logged: ClassVar[tuple[str, ...]] = ("mode",)
    variants: ClassVar = ("mode", tuple(mode.value for mode in SuperviseMode))

    to: Hidden[str]
    mode: str


class Announce(Command, frozen=True, kw_only=True):
    """Play audio or say a message to everyone.

    Takes exactly one of `url` and `say`. Done when the audio has ended. Parties on hold don't hear it. A
    bridged call is converted first.
    """

    one_of: ClassVar[tuple[str, ...]] = ("url", "say")

    say: Hidden[str] = ""
    url: Hidden[str] = ""


class Press(PartyCommand, frozen=True, kw_only=True):
    """Send DTMF digits to one party.

    Done when they were played. Only this party hears them; a party on hold can't get any. A bridged call is converted
    first.
    """

    #: Empty in a session: they may be a PIN, so the router keeps them elsewhere (`storage.digits`).
    digits: Hidden[str]


class Record(Command, frozen=True, kw_only=True):
    """Start, pause, resume, or stop a recording.

    Makes a dual-channel recording of the customer's call. If the conference is recorded from its start, the command
    controls that recording.
    """

    logged: ClassVar[tuple[str, ...]] = ("action",)
    variants: ClassVar = ("action", tuple(action.value for action in RecordAction))

    action: str


class End(Command, frozen=True):
    """End the call for everyone."""


#: All commands, in the order of the docs.
COMMANDS: tuple[type[Command], ...] = (
    Call, Convert, Transfer, Complete, Cancel, Swap, Merge, Park, Retrieve, Add, Remove, Hold, Unhold, Mute, Unmute,
    Supervise, Announce, Press, Record, End,
)  # fmt: skip
COMMANDS_BY_NAME = {command.name: command for command in COMMANDS}
