"""Ingest port: what webhooks need from Redis to store events and answer with TwiML."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from conferral.runtime.errors import ConferralError
from conferral.statemachine.events import Event
from conferral.storage.codecs.session_view import SessionView


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
    """Where webhooks put events. Methods may raise StoreUnreachableError, after at most the 2 s Redis deadline.

    The result is then unknown. They raise StoreError if Redis refuses for good.
    """

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Append an event to its session's partition; return once Redis has stored it.

        Under load, an event that decides nothing may be dropped; the sender need not repeat it.

        Args:
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
        """Claim a dial for the first call that asks, and a ring group for the first dial that asks: the winner.

        The same call always gets the same answer: a dial that has lost a ring group has lost it for good.

        Args:
            ring_group: The ring group shared by its dials; empty to claim only the dial.
            released_dials: Dials of the ring group whose parties have left or are released: a winner among them loses
                it to this dial.
        """
        ...

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Whether an identity has placed `limit` calls within the last 60 s; if not, count this one, once."""
        ...

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Undo the count of a call that was not placed."""
        ...

    def restarted_recently(self) -> bool:
        """Whether Redis restarted or failed over within the last minute, so that its data may be stale."""
        ...

    async def redis_error(self) -> str:
        """Return why Redis refuses writes, in the words of `storage.connection.errors`; empty if it accepts them."""
        ...
