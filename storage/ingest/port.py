"""What the webhooks need of Redis: append an event, read what a TwiML answer depends on, decide who comes first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from conferral.runtime.errors import ConferralError
from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.events import Event
from conferral.statemachine.session import INBOUND
from conferral.statemachine.states import SessionMode, WaitAudio


@dataclass(frozen=True, slots=True)
class PartyView:
    """What an answer to one party depends on; the names and meanings are those of `statemachine.session.Party`."""

    call_sid: str = ""
    label: str = ""
    #: Not in the repr, which ends up in tracebacks; nor is `brief`, which may speak of a person.
    address: str = field(default="", repr=False)
    status: str = ""
    dial_id: str = ""
    brief: str = field(default="", repr=False)
    recall_reason: str = ""
    confirm: bool = False
    ring_group: str = ""
    is_leaving: bool = False
    wait_audio: WaitAudio = WaitAudio.NONE
    #: Of a supervisor one of `statemachine.states.SuperviseMode`, empty for everybody else.
    supervises: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """What an answer in TwiML depends on."""

    #: The session's state, one of `statemachine.states.State`.
    state: str
    #: SID of the session's conference, empty while none is known.
    conference_sid: str = ""
    #: `inbound` or `outbound`.
    direction: str = INBOUND
    #: Parties by name.
    parties: Mapping[str, PartyView] = field(default_factory=dict)
    #: The state's phase, one of `statemachine.states.Phase`.
    phase: str = ""
    #: Why the session has ended, one of `statemachine.reasons.EndReason`; empty while it lives.
    end_reason: str = ""
    #: How the calls were connected first, one of `statemachine.states.SessionMode`.
    mode: str = SessionMode.BRIDGE.value
    #: What a conference from the start waits for, one of `statemachine.states.Opening`.
    opening: str = ""
    #: How the conference is set up.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The agents to be tried, in their order, and which of them is being tried or has answered, from 0.
    agents: tuple[str, ...] = field(default=(), repr=False)
    agent_number: int = 0
    #: What the customer of a `call` sees, E.164; empty for `TWILIO_NUMBER`.
    caller_id: str = field(default="", repr=False)
    #: Sentences that are to be said to all, by the id of the `announce` command.
    announcements: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The friendly name of the session's conference.
    conference_name: str = ""

    def party_of(self, call_sid: str) -> str:
        """Name of the party whose call it is, empty when none is known to have it."""
        return next((name for name, party in self.parties.items() if party.call_sid == call_sid), "")

    def dialled_by(self, dial_id: str) -> str:
        """Name of the party whom a dial brings in, empty when there is none (any more)."""
        return next((name for name, party in self.parties.items() if party.dial_id == dial_id), "")


class GateClaim(Enum):
    """What became of a call's claim at our gate."""

    #: The dial, and where one was named the contest, belongs to the call, now or since before.
    OURS = 1
    #: Another call has the dial.
    ANOTHER_CALL = 0
    #: The dial is the call's, but another dial has won the contest.
    LOST = 2


class ReplayedCallError(ConferralError):
    """A call that we have known for long, or whose session has ended, asks to open a session again."""


class Ingest(Protocol):
    """Where webhooks put events. All ways may raise StoreUnreachableError, after at most the Redis deadline of 2 s."""

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Appends an event to its session's partition; returns when Redis has stored it.

        One that decides nothing may be left out under load; whoever sent it need not repeat it.

        Args:
            event: What happened.
            call_sid: When given, the call index learns that this call belongs to the event's session, first.

        Raises:
            StoreUnreachableError: not stored, or nobody knows.
            ReplayedCallError: it would open a session for a call that can't be new.
        """
        ...

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> SessionView | None:
        """The same, and reads the session as it is now; None when Redis does not know it."""
        ...

    async def read(self, session_id: str) -> SessionView | None:
        """The session as it is now; None when Redis does not know it."""
        ...

    async def session_of(self, call_sid: str) -> str | None:
        """Id of the session that a call belongs to, as the call index has it; None when nobody knows it."""
        ...

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """Gives a dial to the call that asks first, and a contest to the dial that asks first; both atomically.

        The same call gets the same answer however often it asks: a dial that has lost a contest has lost it for good.

        Args:
            session_id: The session's id.
            dial_id: The dial that made the call.
            call_sid: The call.
            ring_group: The word that the dials of one contest share; empty when only the dial is claimed.
            released_dials: Dials of the ring group whose parties have left or are released: a winner among them loses
                it to this dial.

        Raises:
            StoreUnreachableError: nobody knows whether it is claimed; asking again is safe.
            StoreError: Redis refused for good.
        """
        ...

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Whether an identity has placed too many calls within the last 60 s; if not, this one is counted, once.

        Args:
            identity: Who calls.
            call_sid: The call.
            limit: How many calls they may place (count).

        Raises:
            StoreUnreachableError: no one knows.
            StoreError: Redis refused for good.
        """
        ...

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Takes a call back that was counted and then not placed. Raises as `exceeds_call_limit`."""
        ...

    def restarted_recently(self) -> bool:
        """Whether Redis was restarted or failed over within the last minute, so that what it says may be old."""
        ...

    async def redis_error(self) -> str:
        """What keeps Redis from taking a write right now, in the words of `storage.trouble`; empty for nothing."""
        ...
