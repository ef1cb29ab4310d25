"""Clients of a Redis in memory: redis-py's own commands and reply callbacks, with the server instead of a socket."""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Self, cast

from redis.asyncio.connection import DefaultParser
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.commands import AsyncCoreCommands
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.client import make_client, run_all
from conferral.storage.connection.redis_classes import ErrorMappingPipeline, as_connection_error
from tests.support.memory_redis.faults import Fault
from tests.support.memory_redis.server import MemoryServer, Waiter
from tests.support.memory_redis.stream_commands import Blocked
from tests.support.memory_redis.values import Refusal, Reply, Status, UnsupportedError

#: Options of commands that no callback gets.
_FOR_THE_CLIENT = ("keys", EMPTY_RESPONSE, NEVER_DECODE)
_SILENT = (Fault.SILENT, Fault.SILENT_AFTER)


class StableSet(set[bytes]):
    """A set that is gone through in one order, whatever the hashes of this process are."""

    def __init__(self, members: Sequence[bytes]) -> None:
        super().__init__(members)
        self._order = members

    def __iter__(self) -> Iterator[bytes]:
        return iter([member for member in self._order if member in self])


#: What turns replies into what commands return, as in any client of ours.
CALLBACKS: dict[Any, Any] = {**make_client("redis://memory").response_callbacks, "SMEMBERS": StableSet}


class MemoryClient(AsyncCoreCommands):
    """Has the interface of `redis.asyncio.Redis`, with protocol 2 and without decoding; nothing is ever repeated.

    A command is done when it is called, and its answer comes one turn of the loop later: a task cancelled in
    between does not know what became of it, as with a socket. See `MemoryServer.latency` for longer ways.
    """

    def __init__(self, server: MemoryServer, *, timeout_s: float) -> None:
        """Connects.

        Args:
            server: To which.
            timeout_s: How long an answer may take, seconds.
        """
        self.server = server
        self.timeout_s = timeout_s
        #: As redis-py keeps them, for readers.
        self.response_callbacks = CALLBACKS
        #: Called before each exchange; what it raises is what the library raises over a broken connection.
        self.breaks: Callable[[], None] | None = None
        #: This client's own line to the server, like the server's `latency` and `fault`; None: the same as all others'.
        self.latency: Callable[[str], tuple[float, float]] | None = None
        self.fault: Callable[[str], Fault | None] | None = None
        self.is_killed = False
        self._open: dict[asyncio.Future[Any], None] = {}

    # ---- what our code uses --------------------------------------------------------------------------------------

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        reply = (await self.exchange([encoded(args)]))[0]
        if type(reply) is Blocked:
            reply = await self._waited_for(reply)
        return converted(args[0], options, reply)

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> "MemoryPipeline":
        """See redis-py. Our code sends its pipelines in one place: a cluster has its own, and no transactions."""
        caller = cast("FrameType", cast("FrameType", inspect.currentframe()).f_back).f_globals["__name__"]
        assert not caller.startswith("conferral.") or caller == run_all.__module__, "a pipeline besides run_all()"
        return MemoryPipeline(self, transaction=transaction)

    async def execute_durably(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """See `ErrorMappingRedis`. It has no replicas."""
        pipeline = MemoryPipeline(self, transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """See redis-py. A client that was closed may be used again, as there."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    # ---- what simulations do with it -----------------------------------------------------------------------------

    def kill(self) -> None:
        """Its process dies: no answer arrives any more, and nothing can be sent. What was sent is done all the same."""
        self.is_killed = True
        for answer in self._open:
            if not answer.done():
                answer.set_exception(_closed())

    # ---- the way -------------------------------------------------------------------------------------------------

    async def exchange(self, commands: Sequence[list[bytes]]) -> list[Reply]:
        """Sends commands in one piece; their replies, refusals as they are.

        Raises:
            redis.exceptions.ConnectionError: the connection broke; no one knows what became of them.
            redis.exceptions.TimeoutError: the same.
        """
        server = self.server
        if self.breaks is not None:
            with as_connection_error():
                self.breaks()
        if self.is_killed or server.is_down:
            await asyncio.sleep(0)
            raise RedisConnectionError("Error 111 connecting to memory. Connection refused.")
        if self.latency is not None or server.latency is not None or server.held_up is not None:
            replies, fault = await self._travelled(commands)
        else:
            epoch = server.epoch
            replies, fault = server.perform(commands, self.fault)
            await asyncio.sleep(0)
            if self._is_cut(epoch):
                raise _closed()
        if fault in _SILENT:
            await self.result_of(asyncio.get_running_loop().create_future(), self.timeout_s)
        if fault is Fault.UNREACHABLE or fault is Fault.REPLY_LOST:
            raise _closed()
        return replies

    def _is_cut(self, epoch: int) -> bool:
        """Whether a connection made then is gone."""
        return self.is_killed or epoch != self.server.epoch

    async def _travelled(self, commands: Sequence[list[bytes]]) -> tuple[list[Reply], Fault | None]:
        """The long way: there, through a server that may be paused, and back."""
        loop = asyncio.get_running_loop()
        server, epoch = self.server, self.server.epoch
        latency = self.latency or server.latency
        there_s, back_s = latency(server.name_of(commands[0])) if latency else (0.0, 0.0)
        answer: asyncio.Future[tuple[list[Reply], Fault | None]] = loop.create_future()

        def arrive() -> None:
            if server.held_up is not None:
                server.held_up.append(arrive)
            elif server.epoch == epoch:
                outcome = server.perform(commands, self.fault)
                loop.call_later(back_s, lambda: None if answer.done() else answer.set_result(outcome))

        loop.call_later(there_s, arrive)
        return await self.result_of(answer, self.timeout_s)  # type: ignore[no-any-return]

    async def _waited_for(self, wanted: Blocked) -> Reply:
        """What a read gets that found nothing at first; None when its time is up."""
        loop = asyncio.get_running_loop()
        server = self.server
        waiter = Waiter(wanted, loop.create_future())
        server.wait(waiter)
        timer = None
        if wanted.block_ms:
            timer = loop.call_later(
                wanted.block_ms / 1000, lambda: None if waiter.answer.done() else waiter.answer.set_result(None)
            )
        try:
            return await self.result_of(waiter.answer, self.timeout_s)
        finally:
            server.stop_waiting(waiter)
            if timer is not None:
                timer.cancel()

    async def result_of(self, answer: "asyncio.Future[Any]", timeout_s: float) -> Any:
        """What an exchange came to; the connection may break meanwhile, or the time be up."""
        self._open[answer] = self.server.open[answer] = None
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise RedisTimeoutError("Timeout reading from memory") from None
        finally:
            self._open.pop(answer, None)
            self.server.open.pop(answer, None)


class MemoryPipeline(ErrorMappingPipeline):
    """Collects commands and sends them in one piece."""

    def __init__(self, client: MemoryClient, *, transaction: bool) -> None:
        """Begins one.

        Args:
            client: Whose.
            transaction: As in redis-py. Nothing comes between the commands of either kind.
        """
        self._client = client
        # redis-py's own class reads them when it is printed and when it is discarded.
        self.connection = None
        self.connection_pool = None  # type: ignore[assignment]
        self.response_callbacks = client.response_callbacks
        self.is_transaction = transaction
        self.watching = self.explicit_transaction = False
        self.command_stack = []
        self.scripts = set()

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See redis-py."""
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        replies = await self._client.exchange([encoded(args) for args, _ in stack])
        answers: list[Any] = []
        for (args, options), reply in zip(stack, replies, strict=True):
            if type(reply) is Blocked:
                raise UnsupportedError("a read that waits within a pipeline")
            answer = _error_of(reply) if type(reply) is Refusal else converted(args[0], options, reply)
            if isinstance(answer, RedisConnectionError):
                raise answer  # a server that still loads counts as none at all, for the whole pipeline
            answers.append(answer)
        if raise_on_error:
            self.raise_first_error(stack, answers)
        return answers


def converted(name: Any, options: Mapping[str, Any], reply: Reply) -> Any:
    """A reply as redis-py returns it.

    Raises:
        redis.exceptions.ResponseError: it is a refusal.
    """
    if type(reply) is Refusal:
        if EMPTY_RESPONSE in options:
            return options[EMPTY_RESPONSE]
        raise _error_of(reply)
    if type(reply) is Status:
        reply = bytes(reply)
    elif type(reply) is list:
        reply = [_error_of(one) if type(one) is Refusal else one for one in reply]
    callback = CALLBACKS.get(name if isinstance(name, str) else name.decode())
    if callback is None:
        return reply
    if options:
        options = {option: options[option] for option in options if option not in _FOR_THE_CLIENT}
    return callback(reply, **options)


def _error_of(refusal: Refusal) -> Exception:
    """The exception that redis-py makes of an error reply."""
    error: Exception = DefaultParser.parse_error(str(refusal))  # type: ignore[no-untyped-call]
    return error


def encoded(args: Sequence[Any]) -> list[bytes]:
    """A command as it goes out; redis-py names some by two words, which Redis wants apart."""
    argv = [part if type(part) is bytes else part.encode() if type(part) is str else _encoded(part) for part in args]
    return [*argv[0].split(), *argv[1:]] if b" " in argv[0] else argv


def _encoded(part: Any) -> bytes:
    if isinstance(part, bool) or not isinstance(part, (bytes, str, int, float, memoryview)):
        raise DataError(f"Invalid input of type: '{type(part).__name__}'.")
    if isinstance(part, str):
        return part.encode()
    return bytes(part) if isinstance(part, (bytes, memoryview)) else repr(part).encode()


def _closed() -> RedisConnectionError:
    return RedisConnectionError("Connection closed by server.")
