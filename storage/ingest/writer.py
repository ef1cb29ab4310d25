"""The webhooks' way into Redis: what arrives in one turn of the loop goes out as one pipeline.

One pipeline a turn carries 1.7 times what one awaited write each does. A write is tried again within its deadline when
the connection breaks: every event carries a token or a sequence, so an entry that was written twice is decided once.

This is the path that every callback takes, so two things are done here that the Redis client could do: a pipeline has
one time limit in place of one for each reply, and one timer watches over the deadlines of all who wait. `make bench`
shows what it gives.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import CallReceived, ClientCallReceived, Event
from conferral.storage import scripts
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import (
    COMMAND_TIMEOUT_S,
    Client,
    is_transient,
    server_identity,
    store_errors,
    to_store_error,
)
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.connection.node_limits import NodeLimits
from conferral.storage.ingest.load_shedding import LoadShedding
from conferral.storage.ingest.port import GateClaim, ReplayedCallError, SessionView
from conferral.storage.ingest.session_view import view_of
from conferral.storage.keys import Keys

log = structlog.get_logger()

#: How long a caller waits for Redis, seconds.
DEADLINE_S = 2.0
#: How long before an operation that met a broken connection is tried again, seconds.
RETRY_AFTER_S = 0.05
#: Operations in one pipeline, count: bounds its time.
PIPELINE_MAX = 500
#: Operations that may wait, count; more are refused at once rather than held in memory.
WAITING_MAX = 20_000
#: Text of the operations that may wait or be under way, bytes: about what one process is sent within the deadline. What
#: is above is refused at once. In memory it takes about four times as much.
WAITING_BYTES_MAX = 4 * 1024 * 1024
#: Pipelines under way at the same time, count.
PIPELINES_IN_FLIGHT_MAX = 4
#: On a cluster: how long a pipeline holds up those behind it, seconds. One that is under way for longer waits for a
#: silent node, and the others are well.
SLOW_AFTER_S = 0.25
#: Claims of gates in progress at one Redis node at the same time, count. With the pipelines, the check of the server,
#: and what a start asks, they have to fit into the client's connections: one that finds none fails at once.
CLAIMS_MAX = 2
#: How long after a restart or a failover what Redis says may be old, seconds.
RECENT_RESTART_S = 60.0
#: How often it is asked whether it is still the same server, seconds.
SERVER_CHECK_EVERY_S = 1.0
#: How long the call index keeps a call, seconds: the longest session, and its time after the end, with room.
CALL_INDEX_TTL_S = 3 * 86_400
#: The time within which the calls of one identity are counted, seconds.
IDENTITY_WINDOW_S = 60
#: How long after the first word of a call its session may still be undecided, seconds: longer than Twilio repeats a
#: request, and than workers are away.
NEW_CALL_S = 900
#: How long it is kept who has passed a session's gate, seconds: the longest session, counted from the last claim.
GATES_TTL_S = 86_400


@dataclass(slots=True)
class _Operation:
    commands: Sequence[tuple[str, ...]]
    done: asyncio.Future[list[Any]]
    #: When nobody waits any more, seconds of the loop's clock.
    deadline_s: float
    #: What Redis has said to it last, when that was "not now".
    last_refusal: StoreError | None = None


class BatchingIngest:
    """Implements `streams.ingest.Ingest` on Redis."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        clock: Clock,
        *,
        session_ttl_s: int = 86_400,
        replay_window_s: int = 604_800,
        deadline_s: float = DEADLINE_S,
        probe_client: Client | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Binds what is needed.

        Args:
            client: For commands.
            keys: Of Redis.
            clock: For rates, and for how long ago Redis was restarted.
            session_ttl_s: How long a session is kept after its end, seconds.
            replay_window_s: How long its calls are remembered after that, seconds.
            deadline_s: How long a caller waits for Redis, seconds.
            probe_client: For `trouble` alone: health checks are open to anyone, and take no connection from callers.
            metrics: Where is counted what was left out under load.
        """
        self._client = client
        self._probe_client = probe_client or client
        self._keys = keys
        self._clock = clock
        self._deadline_s = deadline_s
        self._call_ttl_s = CALL_INDEX_TTL_S + max(session_ttl_s, replay_window_s)
        #: A plain client's connections are written to directly; any other client, such as a cluster's, by pipelines.
        self._is_plain = isinstance(client, Redis)
        self._shedding = LoadShedding(clock, metrics or Metrics())
        self._waiting: deque[_Operation] = deque()
        #: Text of everything that somebody waits for, bytes.
        self._waiting_bytes = 0
        #: Everything that somebody may wait for, those under way too. All have the same time, so the oldest is first.
        self._unanswered: deque[_Operation] = deque()
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        #: Those among them that hold up others no more.
        self._slow_flushes: set[asyncio.Task[None]] = set()
        self._script_limits = NodeLimits(client, CLAIMS_MAX)
        self._flush_is_due = False
        self._run_id = ""
        self._changed_at_s: float | None = None
        self._server_is_unknown = True

    # ---- what webhooks ask for -----------------------------------------------------------------------------------

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        """See `Ingest.publish`."""
        partition = self._keys.partition_of(event.session_id)
        if self._shedding.should_shed(event, partition, is_overloaded=self._is_overloaded):
            return
        await self._check_not_replayed(event)
        writes = self._writes(event, call_sid)
        reads_backlog = self._shedding.backlogs.is_due(partition)
        if reads_backlog:
            writes.append(("XLEN", self._keys.events(partition)))
        answers = await self._run(writes)
        if reads_backlog:
            self._shedding.backlogs.update(partition, int(answers[-1]))

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> SessionView | None:
        """See `Ingest.publish_and_read`."""
        await self._check_not_replayed(event)
        writes = self._writes(event, call_sid)
        answers = await self._run([*writes, self._read_command(event.session_id)])
        return view_of(answers[-1])

    async def read(self, session_id: str) -> SessionView | None:
        """See `Ingest.read`."""
        return view_of((await self._run([self._read_command(session_id)]))[0])

    async def session_of(self, call_sid: str) -> str | None:
        """See `Ingest.session_of`."""
        found = (await self._run([("GET", self._keys.call(call_sid))]))[0]
        return None if found is None else str(found.decode(errors="replace"))

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", released_dials: Sequence[str] = ()
    ) -> GateClaim:
        """See `Ingest.claim_gate`."""
        arguments: list[scripts.Argument] = [dial_id, call_sid, ring_group, GATES_TTL_S, *released_dials]
        return GateClaim(await self._run_script(scripts.claim_gate, self._keys.gates(session_id), arguments))

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        """See `Ingest.exceeds_call_limit`."""
        arguments: list[scripts.Argument] = [call_sid, limit, IDENTITY_WINDOW_S]
        return not await self._run_script(scripts.count_call, self._identity_key(identity), arguments)

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        """See `Ingest.uncount_call`."""
        await self._run([("ZREM", self._identity_key(identity), call_sid)])

    def restarted_recently(self) -> bool:
        """See `Ingest.restarted_recently`."""
        if self._server_is_unknown:
            return True
        return self._changed_at_s is not None and self._clock.monotonic_s() - self._changed_at_s < RECENT_RESTART_S

    async def redis_error(self) -> str:
        """See `Ingest.trouble`: a write is tried, since a server that answers PING may refuse every write."""
        try:
            with store_errors():
                # Past the others, and once: what passes in a second or two is told too.
                await self._probe_client.set(self._keys.probe, self._clock.wall_ms())
        except StoreError as error:
            return error.state
        return ""

    async def watch_server(self, stop: asyncio.Event) -> None:
        """Notices restarts and failovers until the process stops."""
        while not stop.is_set():
            try:
                await self._check_server()
            except StoreError:
                self._server_is_unknown = True
            await pause(stop, SERVER_CHECK_EVERY_S)

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._flushes:
            await asyncio.wait(self._flushes)
            # A flight leaves the set by a callback, which has its turn now.
            await asyncio.sleep(0)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None

    async def _run_script(self, script: scripts.Script, key: str, arguments: Sequence[scripts.Argument]) -> int:
        """What a script of one key decides. Not part of a pipeline: a cluster's takes no scripts."""
        try:
            with store_errors():
                async with asyncio.timeout(self._deadline_s), self._script_limits.permit(key):
                    return int(await script(self._client, [key], arguments))
        except StoreUnreachableError:
            self._server_is_unknown = True
            raise

    def _identity_key(self, identity: str) -> str:
        # An identity may hold a phone number or a name, which no key may.
        return self._keys.identity(hashlib.sha256(identity.encode()).hexdigest()[:32])

    async def _check_not_replayed(self, event: Event) -> None:
        """Whether a voice request can still be the call's own: such requests carry no time of their own.

        The call index keeps a call for a fixed time, which the end of its session shortens. So what is left of that
        time says since when a call is known.

        Raises:
            ReplayedCallError: it can't.
        """
        if not isinstance(event, CallReceived | ClientCallReceived):
            return
        is_known, left_ms = await self._run(
            [("EXISTS", self._keys.session(event.session_id)), ("PTTL", self._keys.call(event.call_sid))]
        )
        if not int(is_known) and 0 <= int(left_ms) < (self._call_ttl_s - NEW_CALL_S) * 1000:
            raise ReplayedCallError("the call is not new")

    # ---- the commands --------------------------------------------------------------------------------------------

    def _writes(self, event: Event, call_sid: str) -> list[tuple[str, ...]]:
        partition = self._keys.partition_of(event.session_id)
        entry = [part for pair in event_codec.encode(event).items() for part in pair]
        writes: list[tuple[str, ...]] = [("XADD", self._keys.events(partition), "*", *entry)]
        if call_sid:
            # First, so that whoever finds the event finds the call too.
            writes.insert(0, ("SET", self._keys.call(call_sid), event.session_id, "NX", "EX", str(self._call_ttl_s)))
        return writes

    def _read_command(self, session_id: str) -> tuple[str, ...]:
        return ("HGETALL", self._keys.session(session_id))

    async def _check_server(self) -> None:
        run_id, up_s = await server_identity(self._client)
        now_s = self._clock.monotonic_s()
        if self._run_id and run_id != self._run_id:
            self._changed_at_s = now_s
        elif not self._run_id and up_s < RECENT_RESTART_S:
            self._changed_at_s = now_s - up_s
        self._run_id = run_id
        self._server_is_unknown = False

    # ---- pipelines -----------------------------------------------------------------------------------------------

    @property
    def _is_overloaded(self) -> bool:
        """Whether more than half of what may wait does, or somebody has waited for more than half of the deadline."""
        if self._waiting_bytes > WAITING_BYTES_MAX // 2 or len(self._waiting) > WAITING_MAX // 2:
            return True
        oldest = self._unanswered[0] if self._unanswered else None
        if oldest is None or oldest.done.done():
            return False
        return oldest.deadline_s - asyncio.get_running_loop().time() < self._deadline_s / 2

    async def _run(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        size = sum(sum(map(len, command)) for command in commands)
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise StoreUnreachableError("too much waits for Redis")
        self._waiting_bytes += size
        try:
            return await self._enqueue(commands)
        finally:
            self._waiting_bytes -= size

    async def _enqueue(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        loop = asyncio.get_running_loop()
        operation = _Operation(commands, loop.create_future(), loop.time() + self._deadline_s)
        self._waiting.append(operation)
        self._unanswered.append(operation)
        if self._expiry_timer is None:
            self._expiry_timer = loop.call_at(operation.deadline_s, self._expire)
        self._flush_soon()
        answers = await operation.done
        for answer in answers:
            if isinstance(answer, Exception):
                with store_errors():
                    raise answer
        return answers

    def _expire(self) -> None:
        """Nobody waits longer than the deadline, whatever became of the pipeline that carries the operation."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        while self._unanswered and (self._unanswered[0].done.done() or self._unanswered[0].deadline_s <= now_s):
            operation = self._unanswered.popleft()
            if not operation.done.done():
                self._server_is_unknown = True
                timed_out = StoreUnreachableError("Redis did not answer in time")
                operation.done.set_exception(
                    _copy_error(operation.last_refusal) if operation.last_refusal else timed_out
                )
        # Nobody waits for these any more, and what they hold makes room for others.
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()
        self._expiry_timer = loop.call_at(self._unanswered[0].deadline_s, self._expire) if self._unanswered else None

    def _flush_soon(self) -> None:
        if not self._flush_is_due and len(self._flushes) - len(self._slow_flushes) < PIPELINES_IN_FLIGHT_MAX:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        batch = [self._waiting.popleft() for _ in range(min(PIPELINE_MAX, len(self._waiting)))]
        batch = [operation for operation in batch if not operation.done.done()]
        if batch:
            task = asyncio.get_running_loop().create_task(self._send(batch))
            self._flushes.add(task)
            task.add_done_callback(self._on_flush_done)
            if isinstance(self._client, ClusterClient):
                asyncio.get_running_loop().call_later(SLOW_AFTER_S, self._stop_counting, task)
        elif self._waiting:
            self._flush_soon()  # those in front had given up; behind them somebody still waits

    def _stop_counting(self, task: "asyncio.Task[None]") -> None:
        if task in self._flushes:
            self._slow_flushes.add(task)
            if self._waiting:
                self._flush_soon()

    def _on_flush_done(self, task: "asyncio.Task[None]") -> None:
        self._flushes.discard(task)
        self._slow_flushes.discard(task)
        while self._unanswered and self._unanswered[0].done.done():
            self._unanswered.popleft()
        if not task.cancelled():
            task.result()
        if self._waiting:
            self._flush_soon()

    async def _send(self, batch: list[_Operation]) -> None:
        try:
            with store_errors():
                commands = [command for operation in batch for command in operation.commands]
                answers = await (self._exchange(commands) if self._is_plain else self._pipeline(batch, commands))
        except StoreUnreachableError as error:
            self._server_is_unknown = True
            await self._retry(batch, error)
            return
        except StoreError as error:
            _refuse(batch, error)
            return
        at = 0
        refused = []
        for operation in batch:
            own = answers[at : at + len(operation.commands)]
            at += len(operation.commands)
            if why := next((answer for answer in own if is_transient(answer)), None):
                operation.last_refusal = to_store_error(why)
                refused.append(operation)
            elif not operation.done.done():
                operation.done.set_result(own)
        if refused:
            await self._retry(refused, StoreUnreachableError("Redis can't take it now"))

    async def _pipeline(self, batch: list[_Operation], commands: list[tuple[str, ...]]) -> list[Any]:
        """Leaves to the client which connection carries each command: a cluster's knows the node."""
        if isinstance(self._client, ClusterClient):
            return await self._client.exchange(commands, _make_settler(batch))
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))

    async def _exchange(self, commands: list[tuple[str, ...]]) -> list[Any]:
        """Sends commands in one piece over a connection of the pool and reads their replies in order."""
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        # One limit for all replies, in place of the connection's own for each of them.
        own_limit_s, connection.socket_timeout = connection.socket_timeout, None
        is_done = False
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await connection.send_packed_command(connection.pack_commands(commands))
                replies = [await _reply(connection) for _ in commands]
            is_done = True
            return replies
        finally:
            if not is_done:  # an error, or the flight was cancelled
                # Replies that are still to come would be taken for those of whoever uses the connection next.
                await connection.disconnect(nowait=True)
            connection.socket_timeout = own_limit_s
            await pool.release(connection)

    async def _retry(self, batch: list[_Operation], error: StoreUnreachableError) -> None:
        """Puts back in front what somebody still waits for."""
        retry_at_s = asyncio.get_running_loop().time() + RETRY_AFTER_S
        for operation in batch:
            if operation.deadline_s <= retry_at_s:
                _refuse([operation], operation.last_refusal or error)
        await asyncio.sleep(RETRY_AFTER_S)
        self._waiting.extendleft(reversed([operation for operation in batch if not operation.done.done()]))


async def _reply(connection: Any) -> Any:
    """One reply; a refusal is returned, since it concerns one command alone."""
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal


def _make_settler(batch: list[_Operation]) -> Callable[[int, Any], None]:
    """Takes answers by their place, and settles each operation as soon as all of its own are there."""
    #: By place: whose answer it is, and where the operation's first one stands.
    owners: list[tuple[_Operation, int]] = []
    for operation in batch:
        owners += [(operation, len(owners))] * len(operation.commands)
    answers: dict[int, Any] = {}

    def on_answer(place: int, answer: Any) -> None:
        answers[place] = answer
        operation, first = owners[place]
        own = [answers[at] for at in range(first, first + len(operation.commands)) if at in answers]
        is_whole = len(own) == len(operation.commands)
        if is_whole and not operation.done.done() and not any(map(is_transient, own)):
            operation.done.set_result(own)

    return on_answer


def _refuse(batch: list[_Operation], error: StoreError) -> None:
    for operation in batch:
        if not operation.done.done():
            operation.done.set_exception(_copy_error(error))


def _copy_error(error: StoreError) -> StoreError:
    """The same error for somebody else: one that is raised twice would show the way of both."""
    copy = type(error)(str(error))
    copy.state = error.state
    return copy
