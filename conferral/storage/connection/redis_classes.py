"""Subclasses of redis-py's: they map errors, and stay with the primary.

An unexpected error becomes a connection error, see `as_connection_error`.

Open connections may still lead to a former primary after a failover. It serves stale reads, and refuses writes. The
first refusal makes all of the process's connections connect again before their next use, including those of blocking
reads. What a cluster's node refused with MOVED was not executed, so it is sent again, once; nothing else is.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio as redis_asyncio
from redis.asyncio.client import Pipeline
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.errors import (
    NOT_PRIMARY_WORDS,
    MovedAwayError,
    NoPrimaryError,
    as_connection_error,
    error_word,
)
from conferral.storage.connection.primary import Primary
from conferral.storage.connection.replication import ASK, PATIENCE_S, REPLICAS_MIN, WAIT, Replication
from conferral.storage.connection.url import Topology


class _ConnectionMixin:
    """Connects to the primary, leaves another server, and maps errors."""

    #: As redis-py's connections without asyncio pack, in a third of the time.
    pack_command = staticmethod(HiredisRespSerializer().pack)

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        super().__init__(**options)
        self._primary, self._generation = primary, -1
        #: The replication id of the server to which it leads; None until Redis has said it.
        self.server: str | None = None

    async def connect(self) -> None:
        """Connect, again if outdated; the pool calls this before each use."""
        redis_py: Any = super()
        with as_connection_error(self):
            self._primary.refresh()
            if redis_py.is_connected and self._generation != self._primary.generation:
                await redis_py.disconnect(nowait=True)
            if redis_py.is_connected:
                return
            await self._primary.find()
            generation = self._primary.generation
            if self._primary.address is not None:
                self.host, self.port = self._primary.address
            try:
                await redis_py.connect()
                if self._primary.topology is Topology.SENTINEL:
                    self._generation = -1  # until the role is known, the connection is outdated
                    await self._check_role(generation)
            except (RedisError, OSError):
                self._primary.suspect(generation)
                raise
            self._generation, self.server = generation, None
            self._primary.replication.lacks_wait = False  # it may be another server

    async def _check_role(self, generation: int) -> None:
        """Leave a server that Sentinels name, but that is not a primary.

        Source: Redis docs, "Guidelines for Redis clients with support for Redis Sentinel".
        """
        redis_py: Any = super()
        await redis_py.send_command("ROLE")
        role = await redis_py.read_response()
        if role[0] != b"master":
            await redis_py.disconnect(nowait=True)
            error = NoPrimaryError("the server that Sentinels name is not a primary")
            self._primary.leave(generation, error)
            raise error

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        redis_py: Any = super()
        cancellations = _cancellations()
        with as_connection_error(self):
            await redis_py.send_packed_command(*arguments, **options)
        if _cancellations() > cancellations:
            # Python 3.11's `asyncio.wait_for` may have swallowed it. Source: github.com/python/cpython/issues/86296
            await redis_py.disconnect(nowait=True)
            raise asyncio.CancelledError

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        redis_py: Any = super()
        try:
            with as_connection_error(self):
                return await redis_py.read_response(*arguments, **options)
        except ResponseError as error:
            if (word := error_word(error)) in NOT_PRIMARY_WORDS:
                self._primary.leave(self._generation, error)
            elif word == "NOREPLICAS":
                self._primary.suspect(self._generation)
            if isinstance(error, MovedError) and self._primary.topology is Topology.CLUSTER:
                raise MovedAwayError("the slot has moved", status_code="TRYAGAIN") from error
            raise


async def _send(connection: Any, commands: Sequence[Sequence[Any]]) -> None:
    await connection.send_packed_command(connection.pack_commands(commands))


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None, "a connection is used in a task"
    return task.cancelling()


def connection_class(base: type[Any]) -> type[Any]:
    """Return a redis-py connection class that stays with the primary."""
    return type(f"Own{base.__name__}", (_ConnectionMixin, base), {})


class ErrorMappingRedis(redis_asyncio.Redis):
    """Client that also maps errors outside its connections."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py; send again what a node refused with MOVED."""
        with as_connection_error():
            try:
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except MovedAwayError:
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def execute_durably(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Run commands together; return once a replica, if any, has the writes.

        Refusals are values. After an error, the result is unknown. Repeated commands must include a write: WAIT waits
        only for what its own connection wrote.
        """
        with as_connection_error():
            connection = await self.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                with as_connection_error(connection):  # after an unexpected error, answers may be unread
                    return await self._write(connection, self.replication, commands)
            finally:
                await self.connection_pool.release(connection)

    @property
    def replication(self) -> Replication:
        """What is known of the primary's replicas."""
        primary: Primary = self.connection_pool.connection_kwargs["primary"]
        return primary.replication

    async def _write(self, connection: Any, replication: Replication, commands: Sequence[Sequence[Any]]) -> list[Any]:
        asks = replication.must_ask(connection.server)
        waits = replication.must_wait and not asks
        await _send(connection, [*commands, *[ASK] * asks, *[WAIT] * waits])
        answers = [await self._answer(connection, command) for command in commands]
        if asks:
            connection.server = replication.note(await self._answer(connection, ASK))
        if all(isinstance(answer, Exception) for answer in answers):
            if waits:
                connection.mark_for_reconnect()  # nothing was written, and WAIT may be answered late
            return answers
        if asks and (waits := replication.must_wait):
            await _send(connection, [WAIT])
        if not (waits and await self._is_replicated(connection, replication)):
            replication.note_unreplicated()
        return answers

    async def _answer(self, connection: Any, command: Sequence[Any]) -> Any:
        """Return the next answer; a refusal as a value."""
        try:
            return await self.parse_response(connection, command[0])
        except ResponseError as error:
            return error

    async def _is_replicated(self, connection: Any, replication: Replication) -> bool:
        """Wait until a replica has what was written; False if none counts.

        WAIT is sent once: it may wait for its own connection's last command, whichever that is, so a repeated one never
        ends while a replica lags. So Redis is asked over another connection meanwhile.
        """
        confirmed = None
        try:
            while (confirmed := await connection.read_response(timeout=PATIENCE_S)) is None:
                if replication.begins_to_ask(PATIENCE_S):
                    with suppress(ResponseError):
                        replication.note(await self.execute_command(*ASK))
                if replication.server != connection.server:
                    raise RedisConnectionError("another server answers by now")
                if replication.refuses_writes:
                    raise RedisConnectionError("Redis refuses writes: no replica follows")
                if not replication.must_wait:
                    return False
        except ResponseError as error:
            confirmed = 0
            if not replication.note_refusal(error):
                raise RedisConnectionError("the server is no longer the primary") from error
            return False  # the service has no WAIT
        finally:
            if confirmed is None:
                connection.mark_for_reconnect()  # the answer is still to come
        if confirmed < REPLICAS_MIN:
            raise RedisTimeoutError("no replica has the write")
        return True

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:
        """See redis-py; a transaction only if asked for."""
        return ErrorMappingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class ErrorMappingPipeline(Pipeline):
    """Pipeline that maps errors."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See redis-py."""
        with as_connection_error():
            return await super().execute(raise_on_error)
