"""Redis side of placing calls: sent marks, dial permits, call owners."""

from dataclasses import dataclass, field
from enum import Enum

from conferral.statemachine.effects import Effect
from conferral.statemachine.ids import call_of_visit, visit_number
from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import Client, run_or_raise, store_errors
from conferral.storage.ingest.writer import CALL_INDEX_TTL_S
from conferral.storage.keys import Keys
from conferral.storage.partition.lease import Lease

#: Maximum wait between two requests for a permit, seconds. A worker that has not asked for twice as long expires.
RETRY_MAX_S = 1.0


class MarkResult(Enum):
    """Result of marking an effect."""

    #: Marked by this request: it may be sent.
    MARKED = 1
    #: Not wanted here: another worker owns the partition, the effect is done, or its session has ended.
    REFUSED = 0
    ALREADY_MARKED = 2


@dataclass(frozen=True, slots=True)
class DialStatus:
    """What a session knows about one of its dials."""

    #: Whether the session is live, and its party has not left and is not leaving.
    is_wanted: bool
    #: The call, once a callback has named it; empty before.
    call_sid: str = ""
    known_calls: frozenset[str] = field(default=frozenset(), compare=False)


class DialClaims:
    """Reads and writes for calls placed by REST; all safe to repeat."""

    def __init__(self, client: Client, keys: Keys, *, session_ttl_s: int) -> None:
        self._client = client
        self._keys = keys
        self._call_ttl_s = CALL_INDEX_TTL_S + session_ttl_s

    async def mark_sent(self, partition: int, lease: Lease, effect_id: str, sent_at_ms: int) -> MarkResult:
        """Mark an effect right before it is sent, with Twilio's time."""
        keys = [self._keys.lease(partition), self._keys.outbox(partition)]
        with store_errors():
            return MarkResult(int(await scripts.mark_sent(self._client, keys, [lease.holder, effect_id, sent_at_ms])))

    async def acquire_dial_permit(self, worker_name: str, per_second: float, *, urgent: bool) -> float:
        """Request a permit to place a call, from the rate limit of all workers.

        Return 0.0 if granted, else the seconds to wait before asking again. Urgent dials go first: callers wait.
        """
        arguments: list[scripts.Argument] = [worker_name, per_second, int(urgent), round(RETRY_MAX_S * 1000)]
        with store_errors():
            is_granted, wait_ms = await scripts.acquire_dial_permit(self._client, [self._keys.dial_rate], arguments)
        return 0.0 if int(is_granted) else max(1, int(wait_ms)) / 1000

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Record a call's session; return False if another session has it."""
        key = self._keys.call(call_sid)
        claim = ("SET", key, session_id, "NX", "EX", self._call_ttl_s)
        _, owner = await run_or_raise(self._client, claim, ("GET", key))
        return owner is None or bool(owner == session_id.encode())

    async def dial_status(self, session_id: str, dial_id: str) -> DialStatus:
        """Return what a session knows about one of its dials."""
        with store_errors():
            record = await self._client.hgetall(self._keys.session(session_id))
        session = stored_session(decode_fields(record))
        if not session.is_live:
            return DialStatus(is_wanted=False)
        known = frozenset((*(party.call_sid for party in session.parties.values()), *session.former_calls)) - {""}
        party = session.parties.get(session.dialed_by(dial_id))
        if party is None:
            return DialStatus(is_wanted=False, known_calls=known)
        return DialStatus(not party.is_gone and not party.is_leaving, party.call_sid, known)

    async def has_ended(self, session_id: str) -> bool:
        """Whether a session has ended; False if Redis may have lost it."""
        with store_errors():
            state = await self._client.hget(self._keys.session(session_id), "state")
        return bool(state == State.ENDED.value.encode())

    async def has_come_back(self, session_id: str, call_sid: str) -> bool:
        """Whether a call has opened a later session than this, and that is live."""
        with store_errors():
            found = await self._client.get(self._keys.call(call_sid))
            newest = (found or b"").decode(errors="replace")
            if newest in ("", session_id) or call_of_visit(newest) != call_sid or visit_number(newest) == 1:
                return False
            state = await self._client.hget(self._keys.session(newest), "state")
        return bool(state != State.ENDED.value.encode())

    async def append_effect(self, partition: int, effect: Effect, now_ms: int) -> None:
        """Add an effect that no event caused; keep an entry that exists."""
        body = effect_codec.encode(effect_codec.OutboxEntry(effect, now_ms))
        with store_errors():
            await self._client.hsetnx(self._keys.outbox(partition), effect.effect_id, body)
