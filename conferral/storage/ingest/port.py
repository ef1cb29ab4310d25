"""Ingest port: what webhooks need from Redis."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from conferral.runtime.errors import ConferralError
from conferral.statemachine.events import Event
from conferral.statemachine.session import Session


class GateClaim(Enum):
    """Result of a call's claim at the gate (call screening)."""

    #: The dial, and the ring group if one was named, belongs to the call, now or since before.
    OURS = 1
    #: Another call has the dial.
    ANOTHER_CALL = 0
    #: The dial belongs to the call, but another dial has won the ring group.
    LOST = 2


class ReplayedCallError(ConferralError):
    """A voice request is sent again for a call that is over."""


@dataclass(frozen=True, slots=True)
class NewestSession:
    """A call's newest session."""

    session_id: str
    #: None if it is not decided yet, or no longer stored.
    view: Session | None
    has_ended: bool


class Ingest(Protocol):
    """Where webhooks put events.

    Within 2 s, methods raise StoreUnreachableError, with an unknown result, or StoreError if Redis refuses for good.
    """

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Store an event, after indexing `call_sid`, if given, to its session.

        Under load, drop an event that has no effect.
        """

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> Session | None:
        """Publish an event; return its session, None if Redis does not know it."""

    async def read(self, session_id: str) -> Session | None:
        """Return the current session; None if Redis does not know it."""

    async def session_of(self, call_sid: str) -> str | None:
        """Return the id of a call's session from the call index; None if unknown."""

    async def newest_session(self, call_sid: str) -> NewestSession | None:
        """Return a call's newest session; None if the call is new."""

    async def claim_visit(self, call_sid: str, ended: str, wanted: str) -> str:
        """Make `wanted` a call's newest session if that is `ended`; return it."""

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """Claim a dial for its first call, and a ring group for its first dial.

        The same call always gets the same answer. Without `ring_group`, only the dial is claimed. A winner among
        `released_dials`, whose parties have left or are released, loses the ring group to this dial.
        """

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Whether an identity placed `limit` calls within 60 s; else count this."""

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Undo the count of a call that was not placed."""

    def restarted_recently(self) -> bool:
        """Whether Redis restarted within a minute, so data may be stale."""

    async def redis_error(self) -> str:
        """Return why Redis refuses writes, for operators; empty if it doesn't."""

    async def redis_warnings(self) -> list[str]:
        """Return what else operators must change in Redis, one line each."""
