"""Outbox writes of the executor: outcomes, sent marks, and calls. Retried while Redis is unreachable."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import structlog

from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.runtime.retry import retry_unreachable
from conferral.statemachine.effects import Dial, Effect, FindCall, HangUpCall, effect_id
from conferral.statemachine.events import EffectSucceeded
from conferral.storage.keys import Keys
from conferral.storage.partition.dial_claims import DialClaims, DialStatus, MarkResult
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.consumer.post_commit import PAUSE_S
from conferral.worker.executor.job import JobObsoleteError, JobOutcome

log = structlog.get_logger()

_T = TypeVar("_T")


class HeldLease(Protocol):
    """What the writer needs to know about a held partition."""

    lease: Lease
    is_lost: bool

    @property
    def is_active(self) -> bool:
        """Whether the lease is held and the worker is not stopping."""
        ...


class OutboxWriter:
    """Writes and reads of an execution.

    Each method retries while Redis is unreachable, and raises `LeaseLostError` once this worker has lost the partition.
    """

    def __init__(
        self,
        store: PartitionStore,
        dial_claims: DialClaims,
        keys: Keys,
        held: Mapping[int, HeldLease],
        now_ms: Callable[[int], int],
    ) -> None:
        self._store = store
        self._dial_claims = dial_claims
        self._keys = keys
        self._held = held
        self._now_ms = now_ms

    async def finish(self, effect: Effect, outcome: JobOutcome) -> HangUpCall | None:
        """Record an outcome. If it names a call, and its session has ended meanwhile, return the call's hang-up.

        No other process knows that call: the session ended before the outcome was reported. A session that Redis lost
        has not ended: the callbacks of the call recover it.
        """
        partition = self._keys.partition_of(effect.session_id)
        is_recorded = await self._with_retries(
            effect.session_id, lambda: self._store.finish_effect(partition, effect.effect_id, outcome)
        )
        call_sid = outcome.call_sid if isinstance(outcome, EffectSucceeded) else ""
        if is_recorded or not call_sid or not isinstance(effect, Dial | FindCall):
            return None
        # "Not recorded" may also mean that an earlier attempt recorded it and its answer was lost.
        if not await self._with_retries(effect.session_id, lambda: self._dial_claims.has_ended(effect.session_id)):
            return None
        stray = HangUpCall(
            effect_id=effect_id(effect.session_id, effect.effect_id, 0, HangUpCall.kind, call_sid),
            session_id=effect.session_id,
            party=effect.party,
            call_sid=call_sid,
        )
        await self._with_retries(
            effect.session_id, lambda: self._dial_claims.append_effect(partition, stray, self._now_ms(partition))
        )
        return stray

    async def mark_sent(self, effect: Effect) -> bool:
        """Mark an effect before sending it; return False if an earlier mark exists, so it may have been sent.

        Raises:
            JobObsoleteError: The effect must not be sent.
        """
        partition = self._keys.partition_of(effect.session_id)
        is_unknown = False

        async def mark() -> MarkResult:
            nonlocal is_unknown
            held = self._held.get(partition)
            if held is None or held.is_lost:
                raise LeaseLostError("the partition is not ours any more")
            try:
                return await self._dial_claims.mark_sent(
                    partition, held.lease, effect.effect_id, self._now_ms(partition)
                )
            except StoreUnreachableError:
                is_unknown = True
                raise

        result = await self._with_retries(effect.session_id, mark)
        if result is MarkResult.REFUSED:
            raise JobObsoleteError
        # A mark found after an attempt whose answer was lost is that attempt's own: only the holder can mark.
        return result is MarkResult.MARKED or is_unknown

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Index the call under this session if it has none; return False if it belongs to another session."""

        async def claim() -> bool:
            try:
                return await self._dial_claims.claim_call(session_id, call_sid)
            except StoreUnreachableError:
                raise
            except StoreError as error:
                # The key holds a foreign type. A retry can't help, and the outcome must not wait.
                log.error("call_index_conflict", session_id=session_id, call_sid=call_sid, reason=str(error))
                return True

        return await self._with_retries(session_id, claim)

    async def dial_status(self, effect: Dial) -> DialStatus:
        """Return which call the session knows for a dial, and whether a party still waits for it."""
        return await self._with_retries(
            effect.session_id, lambda: self._dial_claims.dial_status(effect.session_id, effect.effect_id)
        )

    async def _with_retries(self, session_id: str, action: Callable[[], Awaitable[_T]]) -> _T:
        """Run an action on the session's keys; repeat it after Redis's errors while this worker holds the partition."""
        partition = self._keys.partition_of(session_id)

        def on_error(error: StoreError) -> None:
            if isinstance(error, LeaseLostError):
                raise error
            held = self._held.get(partition)
            if held is None or not held.is_active:
                # The effect stays in the outbox, and the next holder verifies it.
                raise LeaseLostError("the partition is not ours any more") from error
            log_unreachable(error, partition=partition)

        return await retry_unreachable(action, PAUSE_S, errors=StoreError, on_error=on_error)
