"""What is written down in Redis about orders: outcomes, marks, calls. Repeated while Redis is away."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import structlog

from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.effects import Dial, Effect, FindCall, HangUpCall, effect_id
from conferral.statemachine.events import EffectSucceeded
from conferral.storage.dials import DialAccess, DialStanding, Mark
from conferral.storage.keys import Keys
from conferral.storage.lease import Lease
from conferral.storage.partition import PartitionAccess
from conferral.worker.chores import PAUSE_S
from conferral.worker.orders import NobodyWaitsError, Outcome

log = structlog.get_logger()

_T = TypeVar("_T")


class Holding(Protocol):
    """What has to be known of a partition that is held."""

    lease: Lease
    is_lost: bool

    @property
    def goes_on(self) -> bool:
        """Whether it is held and the worker is not stopping."""
        ...


class Recorder:
    """Implements `worker.orders.Records` on Redis."""

    def __init__(
        self,
        access: PartitionAccess,
        dials: DialAccess,
        keys: Keys,
        held: Mapping[int, Holding],
        now_ms: Callable[[int], int],
    ) -> None:
        """Binds what is needed.

        Args:
            access: For outcomes.
            dials: For marks and calls.
            keys: Names.
            held: The partitions that this worker holds.
            now_ms: The time of a partition, Unix milliseconds.
        """
        self._access = access
        self._dials = dials
        self._keys = keys
        self._held = held
        self._now_ms = now_ms

    async def finish(self, effect: Effect, outcome: Outcome) -> HangUpCall | None:
        """See `Records.finish`: a call that was placed for a session that has ended meanwhile is hung up.

        Nobody else knows that call: the session ended before it was told.
        """
        partition = self._keys.partition_of(effect.session_id)
        told = await self._patiently(
            effect.session_id, lambda: self._access.finish_effect(partition, effect.effect_id, outcome)
        )
        call_sid = outcome.call_sid if isinstance(outcome, EffectSucceeded) else ""
        if told or not call_sid or not isinstance(effect, Dial | FindCall):
            return None
        # Not written may also mean that an earlier try wrote it, whose answer was lost.
        if not await self._patiently(effect.session_id, lambda: self._dials.has_ended(effect.session_id)):
            return None
        stray = HangUpCall(
            effect_id=effect_id(effect.session_id, effect.effect_id, 0, HangUpCall.kind, call_sid),
            session_id=effect.session_id,
            party=effect.party,
            call_sid=call_sid,
        )
        await self._patiently(effect.session_id, lambda: self._dials.order(partition, stray, self._now_ms(partition)))
        return stray

    async def mark_sent(self, effect: Effect) -> bool:
        """See `Records.mark_sent`."""
        partition = self._keys.partition_of(effect.session_id)
        is_unclear = False

        async def mark() -> Mark:
            nonlocal is_unclear
            held = self._held.get(partition)
            if held is None or held.is_lost:
                raise LeaseLostError("the partition is not ours any more")
            try:
                return await self._dials.mark_sent(partition, held.lease, effect.effect_id, self._now_ms(partition))
            except StoreUnreachableError:
                is_unclear = True
                raise

        result = await self._patiently(effect.session_id, mark)
        if result is Mark.REFUSED:
            raise NobodyWaitsError
        # Found marked after a try whose answer was lost, it was that try: nobody but the holder can mark.
        return result is Mark.MARKED or is_unclear

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """See `Records.claim_call`."""

        async def claim() -> bool:
            try:
                return await self._dials.claim_call(session_id, call_sid)
            except StoreUnreachableError:
                raise
            except StoreError as error:
                # The key is somebody else's: nothing will change that, and the outcome must not wait for it.
                log.error("call_not_noted", session_id=session_id, call_sid=call_sid, reason=str(error))
                return True

        return await self._patiently(session_id, claim)

    async def standing_of(self, effect: Dial) -> DialStanding:
        """See `Records.standing_of`."""
        return await self._patiently(
            effect.session_id, lambda: self._dials.standing_of(effect.session_id, effect.effect_id)
        )

    async def _patiently(self, session_id: str, act: Callable[[], Awaitable[_T]]) -> _T:
        partition = self._keys.partition_of(session_id)
        while True:
            try:
                return await act()
            except LeaseLostError:
                raise
            except StoreError as error:
                held = self._held.get(partition)
                if held is None or not held.goes_on:
                    # It stays in the outbox, and the next holder looks what became of it.
                    raise LeaseLostError("the partition is not ours any more") from error
                note_unreachable(error, partition=partition)
                await asyncio.sleep(PAUSE_S)
