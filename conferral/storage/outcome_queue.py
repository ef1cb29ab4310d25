"""Outcomes on their way to another system: a queue for each session.

A worker takes entries from the outcomes stream into the queue, and removes each once it was delivered or given up. The
entries themselves stay in the stream. Only the queue's head is sent, so that a session's outcomes keep their order.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from conferral.storage import scripts
from conferral.storage.codecs.text_codec import decode_fields, int_of, to_iso
from conferral.storage.connection.client import Client, Entries, ask, run_each, run_or_raise
from conferral.storage.coordinator import OUTCOMES, read_owners
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms

#: The longest delay, milliseconds. An entry that is due later was delayed before Redis's clock was set back.
DELAY_MAX_MS = 2 * 3_600_000
_ENTRY_ID = re.compile("([0-9]{1,20})-([0-9]{1,20})")
#: `settle_outcome` removes what does not match.
_HEAD = re.compile(r"([0-9]{1,9}) ([0-9]{1,19}-[0-9]{1,19})(?: .*)?", re.DOTALL)
#: Longest reason that is shown (characters); ours are shorter.
_REASON_MAX = 100
#: An entry's id in the stream, and its fields.
StoredOutcome = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class SendingState:
    """How far the outcomes are on their way."""

    #: Up to where the stream was queued; empty if no worker has ever had a URL to send outcomes to.
    position: str
    #: When a 410 stopped all, Unix milliseconds; 0 if they are sent.
    stopped_at_ms: int
    #: Sessions with unsent outcomes (count).
    waiting: int
    #: Undelivered outcomes (count).
    undelivered: int
    #: When a delivery failed, the first since the last success, Unix milliseconds; 0 if the last one succeeded.
    failing_since_ms: int = 0
    #: Why the last one failed, in words.
    failing_reason: str = ""

    @property
    def problem(self) -> str:
        """Why outcomes don't arrive, for operators; empty as long as they do."""
        if self.stopped_at_ms:
            return f"the receiver responded with 410 at {to_iso(self.stopped_at_ms)}; nothing is sent"
        if self.failing_since_ms:
            return f"none delivered since {to_iso(self.failing_since_ms)}: {self.failing_reason}"
        return ""


@dataclass(frozen=True, slots=True)
class QueuedOutcome:
    """The first outcome of a session's queue."""

    session: str
    #: Empty if the queue can't be read.
    entry_id: str
    #: How often sending it has failed (count).
    failures: int
    #: Empty if the stream no longer has the entry.
    fields: dict[str, str] = field(repr=False)


class OutcomeQueue:
    """The queue in Redis. Methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def read_state(self) -> SendingState:
        """Return how far the outcomes are on their way."""
        keys = self._keys
        found, waiting, undelivered = await run_each(
            self._client,
            [
                ("HMGET", keys.sending_state, "position", "stopped_at", "failing_since", "failing_reason"),
                ("ZCARD", keys.sending_due),
                ("ZCARD", keys.undelivered),
            ],
        )
        position, stopped_at, since, reason = found or (None, None, None, None)
        known = (position or b"").decode(errors="replace")
        return SendingState(
            known if _is_id(known) else "",
            int_of(stopped_at),
            int(waiting or 0),
            int(undelivered or 0),
            int_of(since),
            (reason or b"").decode(errors="replace")[:_REASON_MAX],
        )

    async def begin(self) -> None:
        """Start behind the newest entry, unless the position is known."""
        newest = await ask(self._client, "XREVRANGE", self._keys.outcomes, "+", "-", "COUNT", 1)
        position = newest[0][0] if newest else "0-0"
        key = self._keys.sending_state
        found = (await ask(self._client, "HGET", key, "position") or b"").decode(errors="replace")
        if found and not _is_id(found):
            await ask(self._client, "HDEL", key, "position")
        await ask(self._client, "HSETNX", key, "position", position)

    async def take(self, entries: Entries, after: str, now_ms: int) -> None:
        """Queue the entries that follow a position, unless another worker has."""
        taken = [(entry_id.decode(), decode_fields(fields or {})) for entry_id, fields in entries]
        await self._queue(taken, now_ms, after)

    async def due(self, now_ms: int, count: int, besides: Collection[str]) -> list[QueuedOutcome]:
        """Return the longest due outcomes, except of the sessions `besides`."""
        limit, key = ("LIMIT", 0, count + len(besides)), self._keys.sending_due
        found = await run_each(
            self._client,
            [
                ("ZRANGEBYSCORE", key, "-inf", now_ms, *limit),
                ("ZRANGEBYSCORE", key, f"({now_ms + DELAY_MAX_MS}", "+inf", *limit),
            ],
        )
        names = [name for answer in found for name in answer or ()]
        if foreign := [name for name in names if _text(name) is None]:
            await run_each(self._client, [("ZREM", key, *foreign), ("HDEL", self._keys.sending, *foreign)])
        sessions = [one for one in map(_text, names) if one is not None and one not in besides][:count]
        if not sessions:
            return []
        queued = await ask(self._client, "HMGET", self._keys.sending, *sessions)
        first: dict[str, tuple[str, int]] = {}
        for session, text in zip(sessions, queued, strict=True):
            if head := _HEAD.fullmatch((text or b"").decode(errors="replace")):
                first[session] = head[2], int(head[1])
            else:  # settled since the read of what is due, or another program's
                await self.settle(QueuedOutcome(session, "", 0, {}), now_ms)
        entries = dict(await self.read(entry_id for entry_id, _ in first.values()))
        return [
            QueuedOutcome(session, entry_id, failures, entries.get(entry_id, {}))
            for session, (entry_id, failures) in first.items()
        ]

    async def read(self, ids: Iterable[str]) -> list[StoredOutcome]:
        """Return entries with their ids, if the stream still has them.

        A replica has them then: what is sent must not be lost.
        """
        # While the key is another program's, they are unknown, not gone.
        reads = [("XRANGE", self._keys.outcomes, one, one) for one in ids]
        # After the reads, on the same connection: WAIT waits for a write.
        *found, _ = await run_or_raise(self._client, *reads, ("SET", self._keys.probe, 0), is_durable=True)
        return [(entry[0][0].decode(), decode_fields(entry[0][1] or {})) for entry in found if entry]

    async def settle(self, head: QueuedOutcome, now_ms: int) -> None:
        """Remove an outcome that was delivered, given up, or trimmed."""
        await self.delay(head, 0, now_ms)

    async def delay(self, head: QueuedOutcome, failures: int, due_ms: int) -> None:
        """Set an outcome's failures and due time; without failures, remove it."""
        names = [self._keys.sending, self._keys.sending_due]
        await scripts.settle_outcome(self._client, names, [head.session, head.entry_id, failures, due_ms])

    async def give_up(self, head: QueuedOutcome, now_ms: int) -> None:
        """Count an outcome as undelivered."""
        await ask(self._client, "ZADD", self._keys.undelivered, head.entry_id.partition("-")[0], head.entry_id)
        await self.settle(head, now_ms)

    async def note_failure(self, now_ms: int, reason: str) -> None:
        """Store why a delivery failed, and when, unless others failed before."""
        key = self._keys.sending_state
        await run_each(
            self._client, [("HSETNX", key, "failing_since", now_ms), ("HSET", key, "failing_reason", reason)]
        )

    async def note_success(self) -> None:
        """Store that a delivery succeeded."""
        await ask(self._client, "HDEL", self._keys.sending_state, "failing_since", "failing_reason")

    async def stop(self, now_ms: int) -> None:
        """Store that the receiver wants no more outcomes."""
        await ask(self._client, "HSET", self._keys.sending_state, "stopped_at", now_ms)

    async def resume(self) -> None:
        """Store that outcomes may be sent again."""
        await ask(self._client, "HDEL", self._keys.sending_state, "stopped_at")

    async def resend(self, entries: Sequence[StoredOutcome]) -> None:
        """Queue entries again; those still in the queue are due immediately."""
        await self._queue(entries, due_ms=0)
        await ask(self._client, "ZREM", self._keys.undelivered, *(entry_id for entry_id, _ in entries))

    async def undelivered(self, count: int) -> list[str]:
        """Return the ids of the newest undelivered entries, newest first."""
        found = await ask(self._client, "ZREVRANGEBYSCORE", self._keys.undelivered, "+inf", "-inf", "LIMIT", 0, count)
        ids = [one.decode(errors="replace") for one in found]
        return [one for one in ids if _is_id(one)]

    async def _queue(self, entries: Iterable[StoredOutcome], due_ms: int, after: str = "") -> None:
        words = [word for entry_id, fields in entries for word in (fields.get("session", ""), entry_id)]
        names = [self._keys.sending, self._keys.sending_due, self._keys.sending_state]
        await scripts.queue_outcomes(self._client, names, [after, due_ms, *words])


def _is_id(text: str) -> bool:
    """Whether Redis takes a text as an entry's id."""
    found = _ENTRY_ID.fullmatch(text)
    return found is not None and all(int(number) < 2**64 for number in found.groups())


def _text(name: bytes) -> str | None:
    """Return a session's id; None for what another program has written."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


async def forget_trimmed(client: Client, keys: Keys) -> None:
    """Remove undelivered entries that the stream no longer has."""
    oldest = await ask(client, "XRANGE", keys.outcomes, "-", "+", "COUNT", 1)
    before = f"({oldest[0][0].decode().partition('-')[0]}" if oldest else "+inf"
    await ask(client, "ZREMRANGEBYSCORE", keys.undelivered, "-inf", before)


async def read_problem(client: Client, keys: Keys) -> str:
    """Return why outcomes don't arrive; empty if they do, or none are sent."""
    problem = (await OutcomeQueue(client, keys).read_state()).problem
    if not problem:
        return ""
    owner = (await read_owners(client, keys))[OUTCOMES]
    return f"outcomes: {problem}" if owner.at(await server_time_ms(client, keys.owners)).name else ""
