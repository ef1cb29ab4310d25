"""What routes ask of Redis, and a store that never asks it."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from conferral.runtime.errors import StoreUnaskedError
from conferral.statemachine.events import Event
from conferral.statemachine.presence import Presence
from conferral.statemachine.session import Session
from conferral.storage.webhook_store.store import GateClaim, NewestSession


class RouteStore(Protocol):
    """What routes ask of Redis; `WebhookStore` documents each method.

    Every method may raise StoreError.
    """

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Store an event, and whose call it is."""

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> Session | None:
        """Store an event, and return its session."""

    async def read(self, session_id: str) -> Session | None:
        """Return a session."""

    async def session_of(self, call_sid: str) -> str | None:
        """Return the id of a call's session."""

    async def newest_session(self, call_sid: str) -> NewestSession | None:
        """Return a call's newest session."""

    async def claim_visit(self, call_sid: str, ended_id: str, new_id: str) -> str:
        """Open a call's next session."""

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """Claim a dial, and a ring group."""

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Count a browser's call, unless that would exceed its limit."""

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Undo the count of a call that was not placed."""

    async def presence(self, agents: Sequence[str], listed: Collection[str], *, with_queue: bool = False) -> Presence:
        """Return the presence of agents, and who waits if that counts."""

    async def take_digits(self, command_id: str) -> str:
        """Return the digits of a `press`, once."""


class NoRedisStore:
    """A store that never contacts Redis."""

    async def _refuse(self, *_args: Any, **_options: Any) -> Any:
        raise StoreUnaskedError("responded without Redis")

    publish = publish_and_read = read = session_of = newest_session = _refuse
    claim_visit = claim_gate = exceeds_call_limit = uncount_call = _refuse
    presence = take_digits = _refuse
