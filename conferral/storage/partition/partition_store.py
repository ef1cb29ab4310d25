"""A partition owner's operations in Redis, besides commits."""

import math
from collections.abc import Mapping, Sequence
from enum import Enum

from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Dial, Effect
from conferral.statemachine.events import Event
from conferral.statemachine.ids import call_of_visit, visit_number
from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.agents import identity_of
from conferral.storage.call_index import CallIndex
from conferral.storage.codecs import effect_codec, event_codec
from conferral.storage.connection.client import (
    CHUNK,
    BlockingReads,
    Client,
    as_store_errors,
    ask,
    run_each,
    run_or_raise,
)
from conferral.storage.coordinator import Lease
from conferral.storage.dial_limits import DialLimit, DialLimits
from conferral.storage.entries import Entry
from conferral.storage.keys import Keys

#: Timers moved per run of the script, count: bounds its time.
TIMERS_PER_RUN_MAX = 200


class MarkResult(Enum):
    """Result of marking an effect."""

    #: Marked by this request: it may be sent.
    MARKED = 1
    #: Not wanted here: another worker owns the partition, or the effect is done, or dropped by its session.
    REFUSED = 0
    ALREADY_MARKED = 2
    #: The dial is an offer that has ended: the agent may get another one now.
    OFFER_ENDED = 3
    #: The dial would exceed a limit: the installation's in a minute, or its call's.
    MINUTE_LIMIT = 4
    SESSION_LIMIT = 5

    @property
    def limit(self) -> str:
        """The limit that refused it: `minute` or `session`; empty if none did."""
        return {MarkResult.MINUTE_LIMIT: "minute", MarkResult.SESSION_LIMIT: "session"}.get(self, "")


class PartitionStore:
    """Reads and writes the partitions that this process holds.

    Only a commit removes entries from the stream. So the stream holds exactly the unprocessed entries, and a read
    starts at the oldest.
    """

    def __init__(
        self,
        client: Client,
        reads: BlockingReads,
        keys: Keys,
        *,
        call_index: CallIndex,
        dial_limits: DialLimits,
    ) -> None:
        self._client = client
        self._reads = reads
        self._keys = keys
        self._call_index = call_index
        self._dial_limits = dial_limits

    async def read(self, partition: int, count: int) -> list[Entry]:
        """Return the oldest entries; wait about 2 s for the first."""
        with as_store_errors():
            entries = await self._reads.read(self._keys.events(partition), count)
        return [Entry(entry_id.decode(), fields or {}) for entry_id, fields in entries]

    def stop_reading(self, partition: int) -> None:
        """End a partition's running `read`; it returns no entries."""
        self._reads.interrupt(self._keys.events(partition))

    async def live_sessions(self, partition: int) -> list[str]:
        """Return the ids of the live sessions."""
        found = await ask(self._client, "SMEMBERS", self._keys.live(partition))
        return sorted(name.decode(errors="replace") for name in found)

    async def fields_of(self, names: Sequence[str], *fields: str) -> dict[str, list[str]]:
        """Return fields of each session, by id; empty where it has none."""
        answers = await run_each(self._client, [("HMGET", self._keys.session(name), *fields) for name in names])
        return {
            name: [(raw or b"").decode(errors="replace") for raw in found or [None] * len(fields)]
            for name, found in zip(names, answers, strict=True)
        }

    async def append(self, events: Sequence[Event]) -> list[Entry]:
        """Append the worker's own events to their sessions' streams; see there."""
        return await append_events(self._client, self._keys, events)

    async def fire_timers(self, partition: int, lease: Lease, now_ms: int, longest_ms: Mapping[str, int]) -> int | None:
        """Move due timers onto the stream, or raise LeaseLostError.

        One that is due in more than `longest_ms` of its kind counts as due. Return when the next one is due, Unix
        milliseconds; None without timers.
        """
        keys = [self._keys.lease(partition), self._keys.timers(partition), self._keys.events(partition)]
        kinds = [part for pair in longest_ms.items() for part in pair]
        answer = await scripts.fire_timers(self._client, keys, [lease.holder, TIMERS_PER_RUN_MAX, now_ms, *kinds])
        if int(answer[0]) == 0:
            raise LeaseLostError("another worker owns the partition")
        due_ms = float(answer[1] or "inf")
        return None if due_ms == math.inf else int(max(due_ms, 0))

    async def outbox(self, partition: int) -> dict[str, bytes]:
        """Return the encoded unfinished effects, by id."""
        found = await ask(self._client, "HGETALL", self._keys.outbox(partition))
        return {name.decode(errors="replace"): body for name, body in found.items()}

    async def mark_sent(self, partition: int, lease: Lease, effect: Effect, sent_at_ms: int) -> MarkResult:
        """Mark an effect with Twilio's time right before it is sent; count dials."""
        limits: list[DialLimit] = []
        if isinstance(effect, Dial) and not effect.is_redial:
            limits = self._dial_limits.of(effect.session_id, is_offer=effect.is_offer)
        offered = effect if isinstance(effect, Dial) and effect.is_offer else None
        claim = self._keys.offer(identity_of(offered.to) if offered else "")
        keys = [self._keys.lease(partition), self._keys.outbox(partition), claim, *(one.key for one in limits)]
        arguments: list[scripts.Argument] = [lease.holder, effect.effect_id, sent_at_ms]
        arguments.append(offered.session_id if offered else "")
        arguments += [number for one in limits for number in (one.most, one.window_ms)]
        result, marks = await scripts.mark_sent.durably(self._client, keys, arguments)
        lease.marks = max(lease.marks, int(marks))
        return MarkResult(int(result))

    async def append_effect(self, partition: int, effect: Effect, now_ms: int) -> None:
        """Add an effect that no event caused; keep an entry that exists."""
        body = effect_codec.encode(effect_codec.OutboxEntry(effect, now_ms))
        await ask(self._client, "HSETNX", self._keys.outbox(partition), effect.effect_id, body)

    async def finish_effect(self, partition: int, effect_id: str, result: Event) -> bool:
        """Append an effect's result and remove the effect; False if it was gone."""
        keys = [self._keys.outbox(partition), self._keys.events(partition)]
        arguments = [effect_id, *_parts(event_codec.encode(result))]
        return bool(int(await scripts.finish_effect.durably(self._client, keys, arguments)))

    async def remove_from_outbox(self, partition: int, name: str) -> None:
        """Remove an effect that can't be executed."""
        await ask(self._client, "HDEL", self._keys.outbox(partition), name)

    # ---- calls placed by REST; all safe to repeat

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Record a call's session; return False if another session has it."""
        claim = self._call_index.claim(call_sid, session_id)
        _, owner = await run_or_raise(self._client, claim, ("GET", self._keys.call(call_sid)))
        return owner is None or bool(owner == session_id.encode())

    async def has_ended(self, session_id: str) -> bool:
        """Whether a session has ended; False if Redis may have lost it."""
        state = await ask(self._client, "HGET", self._keys.session(session_id), "state")
        return bool(state == State.ENDED.value.encode())

    async def has_later_session(self, session_id: str, call_sid: str) -> bool:
        """Whether a call has a later session than this one, not yet ended."""
        newest = (await ask(self._client, "GET", self._keys.call(call_sid)) or b"").decode(errors="replace")
        if newest == session_id or call_of_visit(newest) != call_sid or visit_number(newest) == 1:
            return False
        return not await self.has_ended(newest)


async def append_events(
    client: Client, keys: Keys, events: Sequence[Event], *, is_durable: bool = False
) -> list[Entry]:
    """Append events of our own to their sessions' streams, in order.

    Return the entries. After an error, any may be stored; those with a token or a sequence are safe to repeat.
    """
    stored = [(keys.events(keys.partition_of(event.session_id)), event_codec.encode(event)) for event in events]
    appends = [("XADD", stream, "*", *_parts(fields)) for stream, fields in stored]
    answers: list[bytes] = []
    for start in range(0, len(appends), CHUNK):
        answers += await run_or_raise(client, *appends[start : start + CHUNK], is_durable=is_durable)
    return [
        Entry(entry_id.decode(), {name.encode(): value.encode() for name, value in fields.items()})
        for entry_id, (_, fields) in zip(answers, stored, strict=True)
    ]


def _parts(fields: Mapping[str, str]) -> list[str]:
    """Return the fields as a command takes them: name, value, name, ..."""
    return [part for pair in fields.items() for part in pair]
