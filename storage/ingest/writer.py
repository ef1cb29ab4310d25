"""Ingest writer: batches what arrives in one event loop iteration into one pipeline.

A pipeline per iteration carries 1.7 times as much as individual awaited writes. After a broken connection, a write is
retried within its deadline: every event carries a token or a sequence, which deduplicates a repeated entry.

Every callback takes this path. So two things are done here instead of in the Redis client: a pipeline has one timeout
instead of one per reply, and a single timer watches all deadlines. `make bench` measures the gain.
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
#: Pause before an operation is retried after a broken connection, seconds.
RETRY_AFTER_S = 0.05
#: Operations per pipeline, count: bounds its duration.
PIPELINE_MAX = 500
#: Operations that may wait, count; more are refused at once instead of held in memory.
WAITING_MAX = 20_000
#: Text of waiting and running operations, bytes: about what a process receives within the deadline. More is refused at
#: once. In memory, it takes about four times as much.
WAITING_BYTES_MAX = 4 * 1024 * 1024
#: Concurrent pipelines, count.
PIPELINES_IN_FLIGHT_MAX = 4
#: On a cluster: how long a pipeline counts towards that limit, seconds. A slower one waits for an unresponsive node,
#: while the others are healthy.
SLOW_AFTER_S = 0.25
#: Concurrent gate claims per Redis node, count. Together with the pipelines, the server check, and the queries at
#: startup, they must fit into the client's pool: a claim that finds no connection fails at once.
CLAIMS_MAX = 2
#: How long Redis's data may be stale after a restart or failover, seconds.
RECENT_RESTART_S = 60.0
#: Interval at which the server's identity is checked, seconds.
SERVER_CHECK_EVERY_S = 1.0
#: How long the call index keeps a call, seconds: the longest session plus its retention, with a margin.
CALL_INDEX_TTL_S = 3 * 86_400
#: Window within which the calls of one identity are counted, seconds.
IDENTITY_WINDOW_S = 60
#: How long after a call's first request its session may still be undecided, seconds: longer than Twilio retries a
#: request, and than workers are down.
NEW_CALL_S = 900
#: How long a session's gate claims are kept, seconds: the longest session, counted from the last claim.
GATES_TTL_S = 86_400


@dataclass(slots=True)
class _Operation:
    commands: Sequence[tuple[str, ...]]
    done: asyncio.Future[list[Any]]
    #: When its caller stops waiting, seconds of the loop's clock.
    deadline_s: float
    #: Redis's last temporary refusal, if any.
    last_refusal: StoreError | None = None


class BatchingIngest:
    """Implements `storage.ingest.port.Ingest` on Redis."""

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
        """Bind the dependencies.

        Args:
            client: For commands.
            keys: Key names.
            clock: For rates, and for the time since Redis restarted.
            session_ttl_s: How long a session is kept after its end, seconds.
            replay_window_s: How long its calls are kept after that, seconds.
            deadline_s: How long a caller waits for Redis, seconds.
            probe_client: Only for `redis_error`: health checks are open to anyone, and must not take callers'
                connections.
            metrics: Counts shed events.
        """
        self._client = client
        self._probe_client = probe_client or client
        self._keys = keys
        self._clock = clock
        self._deadline_s = deadline_s
        self._call_ttl_s = CALL_INDEX_TTL_S + max(session_ttl_s, replay_window_s)
        #: Only a single-server client's connections can be written to directly; others, such as a cluster's, use
        #: pipelines.
        self._is_plain = isinstance(client, Redis)
        self._shedding = LoadShedding(clock, metrics or Metrics())
        self._waiting: deque[_Operation] = deque()
        #: Text of all unfinished operations, bytes.
        self._waiting_bytes = 0
        #: All operations that may have a waiting caller, including running ones. They share one timeout, so the oldest
        #: is first.
        self._unanswered: deque[_Operation] = deque()
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        #: Flushes that no longer count towards the limit.
        self._slow_flushes: set[asyncio.Task[None]] = set()
        self._script_limits = NodeLimits(client, CLAIMS_MAX)
        self._flush_is_due = False
        self._run_id = ""
        self._changed_at_s: float | None = None
        self._server_is_unknown = True

    # ---- port ----------------------------------------------------------------------------------------------------

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
        """See `Ingest.redis_error`. Probes with a write: a server that answers PING may still refuse writes."""
        try:
            with store_errors():
                # Bypasses the queue and retries, so it also reports short outages.
                await self._probe_client.set(self._keys.probe, self._clock.wall_ms())
        except StoreError as error:
            return error.state
        return ""

    async def watch_server(self, stop: asyncio.Event) -> None:
        """Detect restarts and failovers until the process stops."""
        while not stop.is_set():
            try:
                await self._check_server()
            except StoreError:
                self._server_is_unknown = True
            await pause(stop, SERVER_CHECK_EVERY_S)

    async def close(self) -> None:
        """Wait for running flushes."""
        while self._flushes:
            await asyncio.wait(self._flushes)
            # A finished flush leaves the set in a callback; let it run.
            await asyncio.sleep(0)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None

    async def _run_script(self, script: scripts.Script, key: str, arguments: Sequence[scripts.Argument]) -> int:
        """Run a script with one key. Not in a pipeline: a cluster's pipeline takes no scripts."""
        try:
            with store_errors():
                async with asyncio.timeout(self._deadline_s), self._script_limits.permit(key):
                    return int(await script(self._client, [key], arguments))
        except StoreUnreachableError:
            self._server_is_unknown = True
            raise

    def _identity_key(self, identity: str) -> str:
        # An identity may contain a phone number or a name, which must not appear in a key.
        return self._keys.identity(hashlib.sha256(identity.encode()).hexdigest()[:32])

    async def _check_not_replayed(self, event: Event) -> None:
        """Check that a voice request can be a new call's; such requests carry no timestamp.

        The call index keeps a call for a fixed time, which the end of its session shortens. So the remaining time shows
        how long the call has been known.

        Raises:
            ReplayedCallError: The call is not new.
        """
        if not isinstance(event, CallReceived | ClientCallReceived):
            return
        is_known, left_ms = await self._run(
            [("EXISTS", self._keys.session(event.session_id)), ("PTTL", self._keys.call(event.call_sid))]
        )
        if not int(is_known) and 0 <= int(left_ms) < (self._call_ttl_s - NEW_CALL_S) * 1000:
            raise ReplayedCallError("the call is not new")

    # ---- commands ------------------------------------------------------------------------------------------------

    def _writes(self, event: Event, call_sid: str) -> list[tuple[str, ...]]:
        partition = self._keys.partition_of(event.session_id)
        entry = [part for pair in event_codec.encode(event).items() for part in pair]
        writes: list[tuple[str, ...]] = [("XADD", self._keys.events(partition), "*", *entry)]
        if call_sid:
            # First, so that a reader of the event also finds the call.
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
        """Whether the queue is more than half full, or an operation has waited for more than half of the deadline."""
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
        """Fail operations past their deadline, whatever the state of their pipeline."""
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
        # Drop expired operations, to make room for others.
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
            self._flush_soon()  # the first ones had expired; others still wait behind them

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
        """Let the client choose each command's connection: a cluster client knows the node."""
        if isinstance(self._client, ClusterClient):
            return await self._client.exchange(commands, _make_settler(batch))
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))

    async def _exchange(self, commands: list[tuple[str, ...]]) -> list[Any]:
        """Send commands in one buffer over a pooled connection and read their replies in order."""
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        # One timeout for all replies, instead of the connection's own timeout for each.
        own_limit_s, connection.socket_timeout = connection.socket_timeout, None
        is_done = False
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await connection.send_packed_command(connection.pack_commands(commands))
                replies = [await _reply(connection) for _ in commands]
            is_done = True
            return replies
        finally:
            if not is_done:  # an error, or the flush was canceled
                # Otherwise the connection's next user would read the pending replies as its own.
                await connection.disconnect(nowait=True)
            connection.socket_timeout = own_limit_s
            await pool.release(connection)

    async def _retry(self, batch: list[_Operation], error: StoreUnreachableError) -> None:
        """Put operations that still have a waiting caller back to the front of the queue."""
        retry_at_s = asyncio.get_running_loop().time() + RETRY_AFTER_S
        for operation in batch:
            if operation.deadline_s <= retry_at_s:
                _refuse([operation], operation.last_refusal or error)
        await asyncio.sleep(RETRY_AFTER_S)
        self._waiting.extendleft(reversed([operation for operation in batch if not operation.done.done()]))


async def _reply(connection: Any) -> Any:
    """Read one reply; return an error reply, since it concerns only one command."""
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal


def _make_settler(batch: list[_Operation]) -> Callable[[int, Any], None]:
    """Return a callback that collects answers by position and completes each operation once it has all of them."""
    #: By position: the operation, and the position of its first answer.
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
    """Return a copy of the error for another caller: raised twice, it would mix their tracebacks."""
    copy = type(error)(str(error))
    copy.state = error.state
    return copy
