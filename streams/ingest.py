"""What the webhooks need of Redis: append an event, and read what a TwiML answer depends on, in one round trip."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from statemachine.events import Event


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What a `<Dial>` action's answer depends on."""

    #: The session's state, one of `statemachine.states.State`.
    state: str
    phase: str = ""
    #: SID of the session's conference, empty while none is known.
    conference_sid: str = ""
    #: Call SIDs by party name.
    call_sids: Mapping[str, str] = field(default_factory=dict)
    #: Participant labels by party name.
    labels: Mapping[str, str] = field(default_factory=dict)

    def party_of(self, call_sid: str) -> str:
        """The party whose call it is, empty when none is known to have it."""
        return next((name for name, sid in self.call_sids.items() if sid == call_sid), "")


class Ingest(Protocol):
    """Where webhooks put events. Both ways may raise StoreUnreachableError, after at most the Redis deadline of 2 s."""

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Appends an event to its session's partition; returns when Redis has stored it.

        Args:
            event: What happened.
            call_sid: When given, the call index learns that this call belongs to the event's session, first.

        Raises:
            StoreUnreachableError: not stored, or nobody knows.
        """
        ...

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> SessionFacts | None:
        """The same, and reads the session as it is now; None when Redis does not know it."""
        ...

    async def read(self, session_id: str) -> SessionFacts | None:
        """The session as it is now; None when Redis does not know it."""
        ...

    def restarted_lately(self) -> bool:
        """Whether Redis was restarted or failed over within the last minute, so that what it says may be old."""
        ...

    async def is_ready(self) -> bool:
        """Whether Redis takes writes right now (a script is run, not PING)."""
        ...
