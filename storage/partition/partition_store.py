"""What a holder reads and writes of its partition besides commits: entries, timers, the outbox, suspected entries."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.statemachine.events import Event
from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.codecs import effect_codec, event_codec
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.connection.client import BLOCK_MS, Client, store_errors
from conferral.storage.connection.node_limits import NodeLimits, grouped_by_node
from conferral.storage.keys import GROUP, Keys
from conferral.storage.outcome_stream import OUTCOMES_KEPT, publish_outcome
from conferral.storage.partition.event_writer import append_events
from conferral.storage.partition.lease import Lease

#: Timers moved onto the stream in one go, count: bounds the time of the script.
TIMERS_PER_CALL_MAX = 200
#: Commands of chores at one Redis node at the same time, count: connections are for decisions too.
POST_COMMIT_WRITES_MAX = 32
#: Largest entry that is understood, bytes; larger ones go to the dead letters.
ENTRY_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as it stands there."""

    entry_id: str
    fields: Mapping[bytes, bytes]

    def text(self) -> dict[str, str]:
        """The fields as text.

        Raises:
            BadEntryError: larger than is understood, or not UTF-8.
        """
        if sum(map(len, self.fields)) + sum(map(len, self.fields.values())) > ENTRY_BYTES_MAX:
            raise BadEntryError("larger than 64 KiB")
        try:
            return {name.decode(): value.decode() for name, value in self.fields.items()}
        except UnicodeDecodeError:
            raise BadEntryError("not UTF-8") from None


def parse_entry_id(entry_id: str) -> tuple[int, int]:
    """An entry's id as numbers, which compare as Redis compares them: milliseconds, and a number within them."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


class PartitionStore:
    """Reads and writes of the partitions that this process holds.

    Entries leave the stream only by a commit, so what is on the stream is what is undecided, and reading always begins
    at the oldest: nothing can be skipped, whatever happened to ids or connections in between.
    """

    def __init__(self, client: Client, blocking: Client, keys: Keys, *, outcomes_kept: int = OUTCOMES_KEPT) -> None:
        self._client = client
        self._blocking = blocking
        self._keys = keys
        self._outcomes_kept = outcomes_kept
        self._write_limits = NodeLimits(client, POST_COMMIT_WRITES_MAX)

    async def read(self, partition: int, count: int, *, block: bool) -> list[Entry]:
        """The oldest undecided entries; waits up to 2 s for one where there is none."""
        key = self._keys.events(partition)
        with store_errors():
            if block:
                answer = await self._blocking.xread({key: "0"}, count=count, block=BLOCK_MS)
            else:
                answer = await self._client.xread({key: "0"}, count=count)
        if not answer:
            return []
        return [Entry(entry_id.decode(), fields or {}) for entry_id, fields in answer[0][1]]

    async def ensure_group(self, partition: int) -> None:
        """Makes the group that shows people position and lag, from the beginning of the stream.

        Nothing depends on it, and the next commit makes it too: what Redis refuses here is no matter.
        """
        try:
            with store_errors():
                await self._client.xgroup_create(self._keys.events(partition), GROUP, id="0", mkstream=True)
        except StoreError as error:
            if not isinstance(error.__cause__, ResponseError):
                raise

    async def newest_id(self, partition: int) -> tuple[int, int]:
        """The id of the newest entry that the stream ever had, as numbers; zeros where there is no stream."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.xinfo_stream(self._keys.events(partition))
            (answer,) = await pipeline.execute(raise_on_error=False)
            if isinstance(answer, ResponseError) and "no such key" in str(answer):
                return (0, 0)
            if isinstance(answer, Exception):
                raise answer
        return parse_entry_id(answer["last-generated-id"].decode())

    async def is_idle(self, partition: int) -> bool:
        """Whether no session is live and no timer is set: nothing is timed by the partition's time."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.scard(self._keys.live(partition))
            pipeline.zcard(self._keys.timers(partition))
            return not any(await pipeline.execute())

    async def pending_count(self, partition: int) -> int:
        """How many entries are undecided (count)."""
        with store_errors():
            return int(await self._client.xlen(self._keys.events(partition)))

    async def live_sessions(self, partition: int) -> list[str]:
        """Ids of the live sessions."""
        with store_errors():
            return sorted(name.decode() for name in await self._client.smembers(self._keys.live(partition)))

    async def append(self, events: Sequence[Event]) -> None:
        """Append events of ours to the streams of their sessions."""
        await append_events(self._client, self._keys, events)

    async def states_of(self, session_ids: Sequence[str]) -> dict[str, State]:
        """The states of live sessions, in one round trip; those that have ended or make no sense are left out."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for session_id in session_ids:
                pipeline.hget(self._keys.session(session_id), "state")
            answers = await pipeline.execute(raise_on_error=False)
        known = {state.value.encode(): state for state in State if state is not State.ENDED}
        found = ((name, known.get(answer)) for name, answer in zip(session_ids, answers, strict=True)
                 if isinstance(answer, bytes))  # fmt: skip
        return {name: state for name, state in found if state is not None}

    async def fire_timers(self, partition: int, lease: Lease, now_ms: int) -> tuple[int, int | None]:
        """Moves due timers onto the stream.

        Args:
            partition: Whose.
            lease: Ours of it.
            now_ms: Its time, Unix milliseconds.

        Returns:
            How many were moved, and when the next one is due, Unix milliseconds; None when there is none.

        Raises:
            LeaseLostError: another worker owns the partition.
        """
        keys = [self._keys.lease(partition), self._keys.timers(partition), self._keys.events(partition)]
        with store_errors():
            answer = await scripts.fire_timers(self._client, keys, [lease.holder, TIMERS_PER_CALL_MAX, now_ms])
        if int(answer[0]) == 0:
            raise LeaseLostError("another worker owns the partition")
        return int(answer[1]), (int(float(answer[2])) if answer[2] else None)

    async def outbox(self, partition: int) -> dict[str, bytes]:
        """Everything ordered and not yet decided, by effect id."""
        with store_errors():
            found = await self._client.hgetall(self._keys.outbox(partition))
        return {name.decode(errors="replace"): body for name, body in found.items()}

    async def finish_effect(self, partition: int, effect_id: str, outcome: Event) -> bool:
        """Writes an effect's outcome onto the stream and marks it done; False when that was done before."""
        fields = [part for pair in event_codec.encode(outcome).items() for part in pair]
        keys = [self._keys.outbox(partition), self._keys.events(partition)]
        with store_errors():
            return bool(int(await scripts.finish_effect(self._client, keys, [effect_id, *fields])))

    async def finish_write(self, partition: int, write: effect_codec.PostCommitWrite, *, session_ttl_s: int) -> None:
        """Does a chore and takes it out of the outbox; each step may be repeated."""
        # One after the other: a full Redis refuses what is to be told, but never the removal.
        if isinstance(write, effect_codec.ReportCommand):
            async with self._write_limits.permit(self._keys.command(write.report.command_id)):
                await report_command(self._client, self._keys, write)
        elif isinstance(write, effect_codec.ExpireCalls):
            by_node = grouped_by_node(self._client, map(self._keys.call, write.call_sids))
            await asyncio.gather(*(self._expire(keys, session_ttl_s) for keys in by_node))
        else:
            async with self._write_limits.permit(self._keys.outcomes):
                await publish_outcome(self._client, self._keys, write.outcome_record, max_entries=self._outcomes_kept)
        outbox = self._keys.outbox(partition)
        async with self._write_limits.permit(outbox):
            with store_errors():
                await self._client.hdel(outbox, write.write_id)

    async def _expire(self, keys: Sequence[str], ttl_s: int) -> None:
        """Have keys of one node expire."""
        async with self._write_limits.permit(keys[0]):
            with store_errors():
                pipeline = self._client.pipeline(transaction=False)
                for key in keys:
                    pipeline.expire(key, ttl_s)
                await pipeline.execute()

    async def dead_letter_write(self, partition: int, write: effect_codec.PostCommitWrite, reason: str) -> None:
        """Put a write that Redis refuses for good with the dead letters, whole, and take it out of the outbox."""
        outbox = self._keys.outbox(partition)
        with store_errors():
            body = await self._client.hget(outbox, write.write_id)
            if body is not None:
                fields = {b"type": b"effect", b"session": write.session_id.encode(), b"effect": body}
                await dead_letter(self._client, self._keys, outbox, Entry(write.write_id, fields), reason)
                await self._client.hdel(outbox, write.write_id)

    async def mark_suspect(self, partition: int, lease: Lease, entry_id: str) -> int:
        """Marks an entry before it is decided after a worker's death; tells under how many leases it was marked.

        May be repeated: an answer that was lost is no death.
        """
        arguments = [entry_id, lease.holder]
        with store_errors():
            return int(await scripts.mark_suspect(self._client, [self._keys.suspects(partition)], arguments))

    async def count_deaths(self, partition: int, effect_ids: Sequence[str], max_deaths: int) -> dict[str, int]:
        """Count one more worker that died over a partition while these effects stood in its outbox.

        Args:
            partition: Which.
            effect_ids: The effects.
            max_deaths: No effect is counted beyond this many (count).

        Returns:
            Deaths by effect; an effect with more than `most` keeps what it has.
        """
        if not effect_ids:
            return {}
        key = self._keys.suspects(partition)
        with store_errors():
            before = [int(count or 0) for count in await self._client.hmget(key, effect_ids)]
            deaths = {
                name: max(count, min(count + 1, max_deaths)) for name, count in zip(effect_ids, before, strict=True)
            }
            await self._client.hset(key, mapping=deaths)
        return deaths

    async def end_trials(self, partition: int, effect_ids: Sequence[str], most: int) -> None:
        """Nobody died: what was counted of these effects beyond `most` (count), for trials under way, is taken back."""
        if not effect_ids:
            return
        key = self._keys.suspects(partition)
        with store_errors():
            counts = [int(count or 0) for count in await self._client.hmget(key, effect_ids)]
            ended = dict.fromkeys((name for name, count in zip(effect_ids, counts, strict=True) if count > most), most)
            if ended:
                await self._client.hset(key, mapping=ended)

    async def set_deaths(self, partition: int, effect_id: str, deaths: int) -> None:
        """Note how many workers have died over an effect; 0 for none that counts."""
        key = self._keys.suspects(partition)
        with store_errors():
            await (self._client.hset(key, effect_id, deaths) if deaths else self._client.hdel(key, effect_id))

    async def dead_letter_effect(self, partition: int, entry: Entry, reason: str) -> None:
        """Put an effect, whole, with the dead letters."""
        await dead_letter(self._client, self._keys, self._keys.outbox(partition), entry, reason)

    async def drop_effect(self, partition: int, name: str) -> None:
        """Take out of the outbox what nobody can carry out."""
        with store_errors():
            await self._client.hdel(self._keys.outbox(partition), name)

    async def report_command(self, write: effect_codec.ReportCommand) -> None:
        """Writes how far a command has come that no commit tells of."""
        await report_command(self._client, self._keys, write)

    async def dead_letter(self, partition: int, entry: Entry, reason: str) -> None:
        """Puts an entry whole to the dead letters; the commit that follows removes it from the stream."""
        await dead_letter(self._client, self._keys, self._keys.events(partition), entry, reason)


#: How long a command's outcome is kept, seconds.
COMMAND_TTL_S = 86_400
#: Arguments that a script may hand on to one command, count: Lua's stack holds 8,000 values.
SCRIPT_ARGUMENTS_MAX = 5_000
#: Dead letters kept, about (count).
DEAD_LETTERS_MAX = 10_000
#: How the reason of a command begins that has failed because its entry was put to the dead letters.
DEAD_LETTERED = "dead-lettered: "


async def report_command(client: Client, keys: Keys, write: effect_codec.ReportCommand) -> None:
    """Writes how far a command has come; it only moves forward."""
    report = write.report
    arguments = [report.status.value, report.reason, write.session_id, COMMAND_TTL_S]
    with store_errors():
        await scripts.report_command(client, [keys.command(report.command_id)], arguments)


async def dead_letter(client: Client, keys: Keys, stream: str, entry: Entry, reason: str) -> None:
    """Appends an entry to the dead letters, with where it came from and why."""
    origin = {"dead_reason": reason, "dead_stream": stream, "dead_entry": entry.entry_id}
    letter = dict(entry.fields) | {name.encode(): value.encode() for name, value in origin.items()}
    parts = [part for pair in letter.items() for part in pair]
    with store_errors():
        if len(parts) > SCRIPT_ARGUMENTS_MAX:
            await client.xadd(keys.dead, letter, maxlen=DEAD_LETTERS_MAX, approximate=True)
        else:
            await scripts.dead_letter_entry(client, [keys.dead], [DEAD_LETTERS_MAX, *parts])
