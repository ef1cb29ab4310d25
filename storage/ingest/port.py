"""Ingest port: what webhooks need from Redis to store events and answer with TwiML."""

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
    """What an answer to one party depends on; names and meanings as in `statemachine.session.Party`."""

    call_sid: str = ""
    label: str = ""
    #: Excluded from the repr, which ends up in tracebacks; so is `brief`, which may mention a person.
    address: str = field(default="", repr=False)
    status: str = ""
    dial_id: str = ""
    brief: str = field(default="", repr=False)
    recall_reason: str = ""
    confirm: bool = False
    ring_group: str = ""
    is_leaving: bool = False
    wait_audio: WaitAudio = WaitAudio.NONE
    #: For a supervisor, one of `statemachine.states.SuperviseMode`; otherwise empty.
    supervises: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """What a TwiML answer depends on."""

    #: One of `statemachine.states.State`.
    state: str
    #: SID of the session's conference; empty while unknown.
    conference_sid: str = ""
    #: `inbound` or `outbound`.
    direction: str = INBOUND
    #: Parties by name.
    parties: Mapping[str, PartyView] = field(default_factory=dict)
    #: One of `statemachine.states.Phase`.
    phase: str = ""
    #: Why the session ended, one of `statemachine.reasons.EndReason`; empty while it is live.
    end_reason: str = ""
    #: How the calls were first connected, one of `statemachine.states.SessionMode`.
    mode: str = SessionMode.BRIDGE.value
    #: What a conference from the start waits for, one of `statemachine.states.Opening`.
    opening: str = ""
    #: The conference's attributes.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The agents to try, in order, and the index of the one being tried or connected, from 0.
    agents: tuple[str, ...] = field(default=(), repr=False)
    agent_number: int = 0
    #: Caller ID shown to the customer of a `call`, E.164; empty for `TWILIO_NUMBER`.
    caller_id: str = field(default="", repr=False)
    #: Messages to say to all parties, by the id of the `announce` command.
    announcements: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The friendly name of the session's conference.
    conference_name: str = ""

    def party_of(self, call_sid: str) -> str:
        """Return the name of the party that has the call; empty if unknown."""
        return next((name for name, party in self.parties.items() if party.call_sid == call_sid), "")

    def dialed_by(self, dial_id: str) -> str:
        """Return the name of the party that a dial brings in; empty if there is none, or none any more."""
        return next((name for name, party in self.parties.items() if party.dial_id == dial_id), "")


class GateClaim(Enum):
    """Result of a call's claim at the gate (call screening)."""

    #: The dial, and the ring group if one was named, belongs to the call, now or since before.
    OURS = 1
    #: Another call has the dial.
    ANOTHER_CALL = 0
    #: The dial belongs to the call, but another dial has won the ring group.
    LOST = 2


class ReplayedCallError(ConferralError):
    """A voice request would reopen a session for a call that is long known, or whose session has ended."""


class Ingest(Protocol):
    """Where webhooks put events. Methods may raise StoreUnreachableError, after at most the 2 s Redis deadline."""

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Append an event to its session's partition; return once Redis has stored it.

        Under load, an event that decides nothing may be dropped; the sender need not repeat it.

        Args:
            event: The event.
            call_sid: If given, the call is first indexed to the event's session.

        Raises:
            StoreUnreachableError: The event was not stored, or the result is unknown.
            ReplayedCallError: The event would open a session for a call that can't be new.
        """
        ...

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> SessionView | None:
        """Publish an event, and return the current session; None if Redis does not know it."""
        ...

    async def read(self, session_id: str) -> SessionView | None:
        """Return the current session; None if Redis does not know it."""
        ...

    async def session_of(self, call_sid: str) -> str | None:
        """Return the id of a call's session from the call index; None if unknown."""
        ...

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """Claim a dial for the first call that asks, and a ring group for the first dial that asks, atomically.

        The same call always gets the same answer: a dial that has lost a ring group has lost it for good.

        Args:
            session_id: The session's id.
            dial_id: The dial that placed the call.
            call_sid: The call.
            ring_group: The ring group shared by its dials; empty to claim only the dial.
            released_dials: Dials of the ring group whose parties have left or are released: a winner among them loses
                it to this dial.

        Raises:
            StoreUnreachableError: The result is unknown; safe to repeat.
            StoreError: Redis refused for good.
        """
        ...

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Whether an identity has placed too many calls within the last 60 s; if not, count this one, once.

        Args:
            identity: The caller's identity.
            call_sid: The call.
            limit: The maximum number of calls (count).

        Raises:
            StoreUnreachableError: The result is unknown.
            StoreError: Redis refused for good.
        """
        ...

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Undo the count of a call that was not placed. Raises like `exceeds_call_limit`."""
        ...

    def restarted_recently(self) -> bool:
        """Whether Redis restarted or failed over within the last minute, so that its data may be stale."""
        ...

    async def redis_error(self) -> str:
        """Return why Redis refuses writes, in the words of `storage.connection.errors`; empty if it accepts them."""
        ...
