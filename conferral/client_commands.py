"""The client's methods, one for each command; what each takes follows `storage/command_models.py`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from conferral.facts import Session
from conferral.handle import Command

#: A session's id, the SID of one of its calls, or a session that was read.
Which = str | Session


class Given(TypedDict, total=False):
    """How a command is given, whatever it asks for."""

    #: The command's id. Given twice it is done once, and both are told its outcome. One is made up without.
    id: str
    #: Whether to return when it is done (the default), or as soon as it is published.
    wait: bool
    #: How long to wait until it is done, seconds; 30 without.
    timeout_s: float


class Dialled(Given, total=False):
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
    async def _give(self, kind: str, session: Which, fields: Mapping[str, Any], how: Given) -> Command:
        """Gives a command of these fields."""

    async def call(
        self,
        *,
        agent: str,
        customer: str,
        mode: Literal["bridge", "conference"] = "bridge",
        session: str = "",
        **how: Unpack[Dialled],
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

    async def convert(self, session: Which, **how: Unpack[Given]) -> Command:
        """Moves a bridged call into a conference; neither party notices."""
        return await self._give("convert", session, {}, how)

    async def transfer(
        self,
        session: Which,
        *,
        to: str | Sequence[str],
        mode: Literal["warm", "consult", "blind"],
        **how: Unpack[Dialled],
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

    async def complete(self, session: Which, **how: Unpack[Given]) -> Command:
        """In a transfer: lets the agent go; customer and target stay."""
        return await self._give("complete", session, {}, how)

    async def cancel(self, session: Which, **how: Unpack[Given]) -> Command:
        """In a transfer: lets the target go, or stops the ringing; customer and agent go on."""
        return await self._give("cancel", session, {}, how)

    async def swap(self, session: Which, **how: Unpack[Given]) -> Command:
        """In a consult: changes whom the agent talks to."""
        return await self._give("swap", session, {}, how)

    async def merge(self, session: Which, **how: Unpack[Given]) -> Command:
        """In a consult: lets all three talk."""
        return await self._give("merge", session, {}, how)

    async def park(self, session: Which, **how: Unpack[Given]) -> Command:
        """Lets the agent go; the customer waits with music until somebody takes the call up again."""
        return await self._give("park", session, {}, how)

    async def retrieve(self, session: Which, *, to: str, **how: Unpack[Dialled]) -> Command:
        """Brings somebody to a parked call. Done when the two talk; if it fails, the call stays parked."""
        return await self._dial("retrieve", session, {"to": to}, how)

    async def add(self, session: Which, *, to: str, party: str, **how: Unpack[Dialled]) -> Command:
        """Dials one more party in.

        Args:
            session: To which.
            to: Whom to dial.
            party: A new name, by which the party is known from then on.
            **how: How the party is dialled, and how the command is given.
        """
        return await self._dial("add", session, {"to": to, "party": party}, how)

    async def remove(self, session: Which, *, party: str, **how: Unpack[Given]) -> Command:
        """Hangs one party up: by name, or by the SID of its call, like the four that follow."""
        return await self._give("remove", session, {"party": party}, how)

    async def hold(self, session: Which, *, party: str, **how: Unpack[Given]) -> Command:
        """Lets one party hear music, and be heard by nobody."""
        return await self._give("hold", session, {"party": party}, how)

    async def unhold(self, session: Which, *, party: str, **how: Unpack[Given]) -> Command:
        """Lets a held party hear the others again."""
        return await self._give("unhold", session, {"party": party}, how)

    async def mute(self, session: Which, *, party: str, **how: Unpack[Given]) -> Command:
        """Lets nobody hear one party."""
        return await self._give("mute", session, {"party": party}, how)

    async def unmute(self, session: Which, *, party: str, **how: Unpack[Given]) -> Command:
        """Lets a muted party be heard again."""
        return await self._give("unmute", session, {"party": party}, how)

    async def supervise(
        self, session: Which, *, to: str, mode: Literal["monitor", "whisper", "barge"], **how: Unpack[Dialled]
    ) -> Command:
        """Brings somebody in who listens, or helps the agent; with another mode, the supervisor who is there changes.

        Args:
            session: In which.
            to: Whom to dial.
            mode: `monitor`: hears all, unheard; `whisper`: heard by the agent only; `barge`: heard by all.
            **how: How the supervisor is dialled, and how the command is given.
        """
        return await self._dial("supervise", session, {"to": to, "mode": mode}, how)

    async def announce(self, session: Which, *, url: str = "", say: str = "", **how: Unpack[Given]) -> Command:
        """Plays to all what is at a URL, or says a sentence to all: one of the two. Done when it was heard."""
        return await self._give("announce", session, {"url": url, "say": say}, how)

    async def record(
        self, session: Which, *, action: Literal["start", "pause", "resume", "stop"], **how: Unpack[Given]
    ) -> Command:
        """Records the customer's call in two channels, or the conference where that is recorded from its start."""
        return await self._give("record", session, {"action": action}, how)

    async def end(self, session: Which, **how: Unpack[Given]) -> Command:
        """Hangs everybody up."""
        return await self._give("end", session, {}, how)

    async def _dial(self, kind: str, session: Which, fields: Mapping[str, Any], how: Dialled) -> Command:
        options = {name: value for name, value in how.items() if name in _DIAL_OPTIONS}
        asked = {**fields, **{_DIAL_OPTIONS[name]: value for name, value in options.items()}}
        rest: dict[str, Any] = {name: value for name, value in how.items() if name not in _DIAL_OPTIONS}
        return await self._give(kind, session, asked, Given(**rest))  # type: ignore[typeddict-item]


#: What the dial options are called in a command.
_DIAL_OPTIONS = {
    "brief": "brief", "confirm": "confirm", "ring_timeout_s": "timeout", "digits": "digits", "caller_id": "caller_id",
}  # fmt: skip
#: What may be said of how a command is given.
HOW = frozenset(Given.__annotations__)
