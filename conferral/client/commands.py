"""The client's methods, one for each command; what each takes follows `storage/commands/command_models.py`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from conferral.client.handle import Command
from conferral.client.models import Session

#: A session's id, the SID of one of its calls, or a session that was read.
SessionRef = str | Session


class CommandOptions(TypedDict, total=False):
    """How a command is given, whatever it asks for."""

    #: The command's id. Given twice it is done once, and both are told its outcome. One is made up without.
    id: str
    #: Whether to return when it is done (the default), or as soon as it is published.
    wait: bool
    #: How long to wait until it is done, seconds; 30 without.
    timeout_s: float


class DialOptions(CommandOptions, total=False):
    """How somebody is dialled, and how the command is given."""

    #: Said to the dialled party before joining; at most 500 characters.
    brief: str
    #: Whether the dialled party must press 1, so that no voicemail takes the call.
    confirm: bool
    #: How long the phone may ring, seconds, 5 to 600; `CONFERRAL_RING_TIMEOUT` without. The command's field `timeout`.
    ring_timeout_s: int
    #: Keys pressed for us after the answer; `w` waits half a second. Not for `client:`.
    digits: str
    #: The number in the account that the dialed party sees; see `CONFERRAL_TRANSFER_CALLER_ID` for the default.
    caller_id: str


class CommandMethods(ABC):
    """One method for each command.

    Each returns the command when it is done, or, with `wait=False`, as soon as it is published. Each may raise
    CommandRejected (nothing was done: a field is wrong, or the session does not allow it), CommandFailed (it could not
    be done), CommandPending (the time to wait is up, and it goes on) and StoreUnreachableError (Redis was away for all
    of that time; give it again under the same id).
    """

    @abstractmethod
    async def _submit(
        self, kind: str, session: SessionRef, fields: Mapping[str, Any], options: CommandOptions
    ) -> Command:
        """Gives a command of these fields."""

    async def call(
        self,
        *,
        agent: str,
        customer: str,
        mode: Literal["bridge", "conference"] = "bridge",
        session: str = "",
        **how: Unpack[DialOptions],
    ) -> Command:
        """Calls an agent, then a customer: a new session, whose id the command has once it is done.

        Args:
            agent: Whom to call first; the dial options are for the agent.
            customer: Whom to call once the agent has answered.
            mode: `bridge` connects them by an ordinary bridge, `conference` in a conference from the start.
            session: The new session's id; one is made up without.
            **how: How the agent is dialled, and how the command is given.
        """
        return await self._dial("call", session, {"agent": agent, "customer": customer, "mode": mode}, how)

    async def convert(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """Moves a bridged call into a conference; neither party notices."""
        return await self._submit("convert", session, {}, how)

    async def transfer(
        self,
        session: SessionRef,
        *,
        to: str | Sequence[str],
        mode: Literal["warm", "consult", "blind"],
        **how: Unpack[DialOptions],
    ) -> Command:
        """Hands the customer over to somebody else.

        Done when the target takes part; of a blind one when customer and target talk.

        Args:
            session: Of whom.
            to: Whom to dial; several ring together, and the first to take it wins.
            mode: `warm`: all three talk; `consult`: the customer is held while agent and target talk; `blind`: the
                agent leaves at once.
            **how: How the target is dialled, and how the command is given.
        """
        targets = to if isinstance(to, str) else ",".join(to)
        return await self._dial("transfer", session, {"to": targets, "mode": mode}, how)

    async def complete(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """In a transfer: lets the agent go; customer and target stay."""
        return await self._submit("complete", session, {}, how)

    async def cancel(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """In a transfer: lets the target go, or stops the ringing; customer and agent go on."""
        return await self._submit("cancel", session, {}, how)

    async def swap(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """In a consult: changes whom the agent talks to."""
        return await self._submit("swap", session, {}, how)

    async def merge(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """In a consult: lets all three talk."""
        return await self._submit("merge", session, {}, how)

    async def park(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """Lets the agent go; the customer waits with music until somebody takes the call up again."""
        return await self._submit("park", session, {}, how)

    async def retrieve(self, session: SessionRef, *, to: str, **how: Unpack[DialOptions]) -> Command:
        """Brings somebody to a parked call. Done when the two talk; if it fails, the call stays parked."""
        return await self._dial("retrieve", session, {"to": to}, how)

    async def add(self, session: SessionRef, *, to: str, party: str, **how: Unpack[DialOptions]) -> Command:
        """Dials one more party in.

        Args:
            session: To which.
            to: Whom to dial.
            party: A new name, by which the party is known from then on.
            **how: How the party is dialled, and how the command is given.
        """
        return await self._dial("add", session, {"to": to, "party": party}, how)

    async def remove(self, session: SessionRef, *, party: str, **how: Unpack[CommandOptions]) -> Command:
        """Hangs one party up: by name, or by the SID of its call, like the four that follow."""
        return await self._submit("remove", session, {"party": party}, how)

    async def hold(self, session: SessionRef, *, party: str, **how: Unpack[CommandOptions]) -> Command:
        """Lets one party hear music, and be heard by nobody."""
        return await self._submit("hold", session, {"party": party}, how)

    async def unhold(self, session: SessionRef, *, party: str, **how: Unpack[CommandOptions]) -> Command:
        """Lets a held party hear the others again."""
        return await self._submit("unhold", session, {"party": party}, how)

    async def mute(self, session: SessionRef, *, party: str, **how: Unpack[CommandOptions]) -> Command:
        """Lets nobody hear one party."""
        return await self._submit("mute", session, {"party": party}, how)

    async def unmute(self, session: SessionRef, *, party: str, **how: Unpack[CommandOptions]) -> Command:
        """Lets a muted party be heard again."""
        return await self._submit("unmute", session, {"party": party}, how)

    async def supervise(
        self, session: SessionRef, *, to: str, mode: Literal["monitor", "whisper", "barge"], **how: Unpack[DialOptions]
    ) -> Command:
        """Brings somebody in who listens, or helps the agent; with another mode, the supervisor who is there changes.

        Args:
            session: In which.
            to: Whom to dial.
            mode: `monitor`: hears all, unheard; `whisper`: heard by the agent only; `barge`: heard by all.
            **how: How the supervisor is dialled, and how the command is given.
        """
        return await self._dial("supervise", session, {"to": to, "mode": mode}, how)

    async def announce(
        self, session: SessionRef, *, url: str = "", say: str = "", **how: Unpack[CommandOptions]
    ) -> Command:
        """Plays to all what is at a URL, or says a sentence to all: one of the two. Done when it was heard."""
        return await self._submit("announce", session, {"url": url, "say": say}, how)

    async def record(
        self, session: SessionRef, *, action: Literal["start", "pause", "resume", "stop"], **how: Unpack[CommandOptions]
    ) -> Command:
        """Records the customer's call in two channels, or the conference where that is recorded from its start."""
        return await self._submit("record", session, {"action": action}, how)

    async def end(self, session: SessionRef, **how: Unpack[CommandOptions]) -> Command:
        """Hangs everybody up."""
        return await self._submit("end", session, {}, how)

    async def _dial(
        self, kind: str, session: SessionRef, fields: Mapping[str, Any], command_options: DialOptions
    ) -> Command:
        options = {name: value for name, value in command_options.items() if name in _DIAL_FIELDS}
        asked = {**fields, **{_DIAL_FIELDS[name]: value for name, value in options.items()}}
        rest: dict[str, Any] = {name: value for name, value in command_options.items() if name not in _DIAL_FIELDS}
        return await self._submit(kind, session, asked, CommandOptions(**rest))  # type: ignore[typeddict-item]


#: What the dial options are called in a command.
_DIAL_FIELDS = {
    "brief": "brief", "confirm": "confirm", "ring_timeout_s": "timeout", "digits": "digits", "caller_id": "caller_id",
}  # fmt: skip
#: What may be said of how a command is given.
COMMAND_OPTIONS = frozenset(CommandOptions.__annotations__)
