"""Outbox writes of the executor, and its questions before a request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import CallEffect, Dial, Effect, FindCall, HangUpCall, effect_id
from conferral.statemachine.events import EffectSucceeded
from conferral.statemachine.session import Session
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import MarkResult, PartitionStore
from conferral.worker.core import REDIS_PAUSE_S
from conferral.worker.executor.job import JobObsoleteError, JobResult
from conferral.worker.held_partitions import HeldPartition, HeldPartitions

log = structlog.get_logger()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DialStatus:
    """What a session knows about one of its dials."""

    #: Whether the session is live, and its party has not left and is not leaving.
    is_wanted: bool
    #: The call, once a callback has named it; empty before.
    call_sid: str = ""
    #: Calls of its parties, now or before.
    known_calls: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    def of(cls, session: Session, dial_id: str) -> "DialStatus":
        """Return the status of a dial, by its id."""
        if session.is_ended:
            return cls(is_wanted=False)
        known = frozenset((*(party.call_sid for party in session.parties.values()), *session.former_calls)) - {""}
        party = session.parties.get(session.dialed_by(dial_id))
        if party is None:
            return cls(is_wanted=False, known_calls=known)
        return cls(not party.is_gone and not party.is_leaving, party.call_sid, known)


@dataclass(eq=False)
class OutboxWriter:
    """Reads and writes Redis for executions.

    Methods retry while Redis is unreachable, and raise `LeaseLostError` once this worker has lost the partition.
    """

    _store: PartitionStore
    _sessions: CommitStore
    _keys: Keys
    _held: HeldPartitions[Any]
    _now_ms: Callable[[], int]

    async def finish(self, effect: Effect, result: JobResult) -> HangUpCall | None:
        """Record a result; if the session has ended, return its call's hang-up.

        No other process knows that call. A session that Redis lost has not ended: the sweep finds the call.
        """
        session_id = effect.session_id
        partition = self._keys.partition_of(session_id)
        is_recorded = await self._retry(session_id, self._store.finish_effect, partition, effect.effect_id, result)
        call_sid = result.call_sid if isinstance(result, EffectSucceeded) else ""
        if is_recorded or not call_sid or not isinstance(effect, Dial | FindCall):
            return None
        # An earlier attempt may have recorded it, and its answer was lost.
        if not await self._retry(session_id, self._store.has_ended, session_id):
            return None
        stray = HangUpCall(
            effect_id=effect_id(session_id, effect.effect_id, 0, HangUpCall.kind, call_sid),
            session_id=session_id,
            party=effect.party,
            call_sid=call_sid,
        )
        await self._retry(session_id, self._store.append_effect, partition, stray, self._now_ms())
        return stray

    async def mark_sent(self, effect: Effect, sent_at_ms: int) -> MarkResult:
        """Store when an effect is sent; raise JobObsoleteError if it must not be.

        `sent_at_ms` is Twilio's time, Unix milliseconds.
        """
        partition = self._keys.partition_of(effect.session_id)
        attempts = 0

        async def mark() -> MarkResult:
            nonlocal attempts
            attempts += 1
            held = self._held.find(partition)
            if held is None:
                raise LeaseLostError("the partition is not ours any more")
            return await self._store.mark_sent(partition, held.lease, effect, sent_at_ms)

        result = await self._retry(effect.session_id, mark)
        if result is MarkResult.REFUSED:
            raise JobObsoleteError
        # Only the owner marks, so a mark found after a lost answer is our own.
        return MarkResult.MARKED if result is MarkResult.ALREADY_MARKED and attempts > 1 else result

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Index the call if it has no session; return False if it has another."""

        def on_refusal(error: StoreError) -> bool:
            # The key is another program's. A retry can't help, and the result must not wait.
            log.error("call_index_conflict", session_id=session_id, call_sid=call_sid, reason=str(error))
            return True

        return await self._retry(session_id, self._store.claim_call, session_id, call_sid, on_refusal=on_refusal)

    async def dial_status(self, effect: Dial) -> DialStatus:
        """Return the call that the session knows, and whether the dial is wanted."""
        return DialStatus.of(await self._load_session(effect.session_id), effect.effect_id)

    async def has_later_session(self, effect: CallEffect) -> bool:
        """Whether the call has a later session than the effect's, not yet ended."""
        return await self._retry(effect.session_id, self._store.has_later_session, effect.session_id, effect.call_sid)

    async def session_awaits(self, effect: Effect) -> bool:
        """Whether the session, if it can be read, waits for this change."""
        return (await self._load_session(effect.session_id)).awaits(effect)

    async def _load_session(self, session_id: str) -> Session:
        """Return a session as last committed, or a new one if Redis has none.

        One that can't be read is new, too: nothing that it ordered is sent.
        """
        held: HeldPartition | None = self._held.find(self._keys.partition_of(session_id))
        if held is not None and session_id in held.sessions:
            return held.sessions[session_id]
        loaded = (await self._retry(session_id, self._sessions.load, [session_id]))[session_id]
        return Session(session_id) if isinstance(loaded, CorruptHashError) else loaded

    async def _retry(
        self,
        session_id: str,
        action: Callable[..., Awaitable[_T]],
        *arguments: Any,
        on_refusal: Callable[[StoreError], _T] | None = None,
    ) -> _T:
        """Repeat an action after Redis's errors while the partition is held.

        With `on_refusal`, only while Redis is unreachable; it returns the result after any other error.
        """
        partition = self._keys.partition_of(session_id)

        def on_error(error: StoreError) -> None:
            if isinstance(error, LeaseLostError):
                raise error
            held = self._held.find(partition)
            if held is None or not held.status.is_active:
                # The next owner verifies the effect in the outbox.
                raise LeaseLostError("the partition is not ours any more") from error
            log_unreachable(error, partition=partition)

        async def attempt() -> _T:
            try:
                return await action(*arguments)
            except StoreError as error:
                if on_refusal is None or isinstance(error, StoreUnreachableError):
                    raise
                return on_refusal(error)

        return await retry_unreachable(attempt, REDIS_PAUSE_S, errors=StoreError, on_error=on_error)
