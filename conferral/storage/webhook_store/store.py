"""Webhook store: keeps webhooks' events, and reads for their answers.

After a broken connection, a write is retried within its deadline: every event carries a token or a sequence, which
deduplicates a repeated entry.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

import structlog

from conferral.runtime import tracing
from conferral.runtime.clock import Clock
from conferral.runtime.errors import ConferralError, StoreError
from conferral.runtime.log import recent_refusal
from conferral.statemachine.events import CallProgressed, Event
from conferral.statemachine.presence import Presence
from conferral.statemachine.reasons import Reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import CallStatus
from conferral.storage import digits, scripts
from conferral.storage.agents import identity_of, read_presence
from conferral.storage.call_index import CallIndex
from conferral.storage.codecs import event_codec, session_codec
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.config import read_warnings
from conferral.storage.connection.client import Client, Command, ask
from conferral.storage.keys import Keys
from conferral.storage.outcome_queue import read_problem
from conferral.storage.presence_runs import SILENT_MS
from conferral.storage.webhook_store.command_queue import DEADLINE_S, CommandQueue

log = structlog.get_logger()

#: Connections to Redis, count: for pipelines, the configuration, and health checks.
CONNECTIONS_MAX = 16
#: Of `CONFERRAL_DIALS_PER_IDENTITY`, milliseconds.
IDENTITY_WINDOW_MS = 60_000
#: How long a new call's session may be undecided, seconds: longer than Twilio retries, or workers are down.
NEW_CALL_S = 900
#: How long a session's gate claims are kept, seconds: the longest session, counted from the last claim.
GATES_TTL_S = 86_400


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


class WebhookStore:
    """Where webhooks put events, and what else they need from Redis.

    Within 2 s, methods raise StoreUnreachableError, with an unknown result, or StoreError if Redis refuses for good.
    """

    def __init__(
        self,
        client: Client,
        keys: Keys,
        clock: Clock,
        *,
        call_index: CallIndex | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._call_index = call_index or CallIndex(keys)
        #: For reads, and for writes whose loss costs no call.
        self._queue = CommandQueue(client, deadline_s)
        self._durable_queue = CommandQueue(client, deadline_s, is_durable=True)

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """Store an event, after indexing `call_sid`, if given, to its session."""
        await self._durable_queue.run(*self.write_commands(event, call_sid))

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> Session | None:
        """Publish an event; return its session, None if Redis does not know it.

        The read comes before the write, so that a replica has what it read, too.
        """
        read = ("HGETALL", self._keys.session(event.session_id))
        found, *_ = await self._durable_queue.run(read, *self.write_commands(event, call_sid))
        return self._session_of(event.session_id, found)

    async def read(self, session_id: str) -> Session | None:
        """Return the current session; None if Redis does not know it."""
        (record,) = await self._queue.run(("HGETALL", self._keys.session(session_id)))
        return self._session_of(session_id, record)

    async def presence(self, agents: Sequence[str], listed: Collection[str], *, with_queue: bool = False) -> Presence:
        """Return the presence of agents, and who waits if that counts."""
        return await read_presence(self._queue.run, self._keys, agents, listed, with_queue=with_queue)

    async def take_digits(self, command_id: str) -> str:
        """Return the digits of a `press`, once; empty if there are none."""
        found, _ = await self._queue.run(*digits.take(self._keys, command_id))
        return (found or b"").decode(errors="replace")

    async def session_of(self, call_sid: str) -> str | None:
        """Return the id of a call's session from the call index; None if unknown."""
        (found,) = await self._queue.run(("GET", self._keys.call(call_sid)))
        return None if found is None else str(found.decode(errors="replace"))

    async def newest_session(self, call_sid: str) -> NewestSession | None:
        """Return a call's newest session; None if the call is new.

        A session that Redis lacks is not decided yet, or has ended long ago. The index keeps a call for a fixed time,
        and for a shorter one once its session has ended, so the remaining time tells which.
        """
        key = self._keys.call(call_sid)
        found, left_ms = await self._queue.run(("GET", key), ("PTTL", key))
        if found is None:
            return None
        session_id = found.decode(errors="replace")
        view = await self.read(session_id)
        has_ended = 0 <= int(left_ms) < (self._call_index.ttl_s - NEW_CALL_S) * 1000
        return NewestSession(session_id, view, has_ended if view is None else view.is_ended)

    async def claim_visit(self, call_sid: str, ended_id: str, new_id: str) -> str:
        """Make `new_id` a call's newest session if that is `ended_id`.

        Returns the newest session's id, which another claim may have set.
        """
        claim = self._call_index.claim_visit(call_sid, ended_id, new_id)
        (claimed,) = await self._durable_queue.run(claim)
        return str(claimed.decode(errors="replace"))

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """Claim a dial for its first call, and a ring group for its first dial.

        The same call always gets the same answer. Without `ring_group`, only the dial is claimed. A winner among
        `released_dials`, whose parties have left or are released, loses the ring group to this dial.
        """
        arguments: list[scripts.Argument] = [dial_id, call_sid, ring_group, GATES_TTL_S, *released_dials]
        command = scripts.claim_gate.command([self._keys.gates(session_id)], arguments)
        (claim,) = await self._durable_queue.run(command)
        return GateClaim(int(claim))

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """Whether an identity placed `limit` calls within 60 s; else count this."""
        arguments: list[scripts.Argument] = [limit, IDENTITY_WINDOW_MS, call_sid]
        (is_counted,) = await self._queue.run(scripts.count_call.command([self.identity_key(identity)], arguments))
        return not int(is_counted)

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """Undo the count of a call that was not placed."""
        await self._queue.run(("ZREM", self.identity_key(identity), call_sid))

    async def redis_error(self) -> str:
        """Return why Redis refuses writes, for operators; empty if it doesn't."""
        try:
            # A write, as PING may be answered while writes are refused. Without retries, to report short outages.
            await ask(self._client, "SET", self._keys.probe, self._clock.wall_ms())
        except StoreError as error:
            return error.state
        return recent_refusal()  # a single command tells little: the user may lack another

    async def warnings(self) -> list[str]:
        """Return what else operators must change, one line each."""
        found = [*(await read_warnings(self._client, self._keys)).values()]
        problem = await read_problem(self._client, self._keys)
        return [*found, problem] if problem else found

    async def close(self) -> None:
        """Finish what is under way."""
        await self._queue.close()
        await self._durable_queue.close()

    def identity_key(self, identity: str) -> str:
        """Return the key of an identity's calls; without numbers and names."""
        return self._keys.identity(hashlib.sha256(identity.encode()).hexdigest()[:32])

    def write_commands(self, event: Event, call_sid: str) -> list[Command]:
        """Return commands that append an event, and index its call if given."""
        tracing.annotate({tracing.SESSION_ID: event.session_id})
        entry = event_codec.encode(event)
        stream = self._keys.events(self._keys.partition_of(event.session_id))
        writes: list[Command] = [("XADD", stream, "*", *chain.from_iterable(entry.items()))]
        if isinstance(event, CallProgressed) and (identity := identity_of(event.address)):
            is_answer = event.status == CallStatus.IN_PROGRESS
            if is_answer:
                with_desk = event_codec.encode(replace(event, desk=True))[event_codec.EVENT]
                events = with_desk, entry.pop(event_codec.EVENT)
                arguments: list[scripts.Argument] = [identity, SILENT_MS, *events]
                arguments += chain.from_iterable(entry.items())
                writes = [scripts.store_answer.command([stream, self._keys.agents], arguments)]
            elif event.reported_status == Reason.REJECTED:
                as_busy = event_codec.encode(replace(event, sip_response_code=0))[event_codec.EVENT]
                arguments = [as_busy, entry.pop(event_codec.EVENT), *chain.from_iterable(entry.items())]
                writes = [scripts.store_refusal.command([stream, self._keys.ring(event.call_sid)], arguments)]
            if is_answer or event.status == CallStatus.COMPLETED:  # other ends are of calls that were not answered
                writes.append(scripts.note_call.command([self._keys.agents], [identity, int(is_answer)]))
        if call_sid:
            # First, so that a reader of the event also finds the call.
            writes.insert(0, self._call_index.claim(call_sid, event.session_id))
        return writes

    def _session_of(self, session_id: str, record: Mapping[bytes, bytes]) -> Session | None:
        """Return the session of a hash; None if it can't be read, or is unknown."""
        try:
            return session_codec.load(session_id, record) if record else None
        except CorruptHashError as error:  # a call is answered all the same
            log.error("records_skipped", names=[self._keys.session(session_id)], reason=error.field)
            return None
