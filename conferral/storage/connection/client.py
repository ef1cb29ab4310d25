"""Redis clients that never retry by themselves, and reads.

A client that retries after a timeout may execute the command twice: observed with redis-py's default of ten retries.
Here, only the caller retries, because it knows whether a repetition is recognized.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.errors import MovedAwayError, to_store_error
from conferral.storage.connection.errors import as_store_errors as as_store_errors
from conferral.storage.connection.primary import OPTIONS, Primary, primary_of
from conferral.storage.connection.redis_classes import ErrorMappingRedis, connection_class
from conferral.storage.connection.url import RedisUrl, RedisUrlError

#: Timeout of one command, seconds: the deadline within which a webhook needs an answer.
COMMAND_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 2.0
#: How long a blocking read waits in Redis, milliseconds. Well below its socket timeout, or it would fail when idle.
BLOCK_MS = 2_000
BLOCK_TIMEOUT_S = BLOCK_MS / 1000 + 2.0
#: Reads per pipeline, count: bounds how long Redis is busy.
CHUNK = 200

#: How redis-py names an option that it does not know, or whose value it can't use.
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")
_WRONG_VALUE = re.compile(r"Invalid value for '(\w+)'")

Client = Any  # redis-py says bytes or text of what is always bytes
#: A command's name and arguments.
Command = Sequence[Any]


class ScriptCommand(tuple[Any, ...]):
    """A script's command in a pipeline: its keys follow their number."""


#: Entries of a stream: id, and fields with their values.
Entries = list[tuple[bytes, dict[bytes, bytes]]]


def make_client(
    url: str, primary: Primary | None = None, *, blocking: bool = False, max_connections: int = 64
) -> Client:
    """Return a client of the primary; raise RedisUrlError for a bad URL.

    Clients of one process share the object that finds it. Without one, the client makes its own.
    """
    options = OPTIONS | {
        "socket_timeout": BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "max_connections": max_connections,
    }
    plain_url, primary = RedisUrl.parse(url).plain, primary or primary_of(url, "")
    try:
        client = ErrorMappingRedis.from_url(plain_url, **options)
        pool = client.connection_pool
        pool.connection_class = connection_class(pool.connection_class)
        pool.connection_kwargs["primary"] = primary
        # Does not connect, but raises if it does not know an option.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (AttributeError, TypeError, RedisError, ValueError) as error:
        if found := _UNKNOWN_OPTION.search(str(error)):
            raise RedisUrlError(f"{url.partition(':')[0]}:// has no option {found[1]}") from None
        found = _WRONG_VALUE.search(str(error))
        raise RedisUrlError(f"the value of {found[1]} is not valid" if found else "") from None
    return client


async def ask(client: Client, *command: Any) -> Any:
    """Run one command; raise a StoreError if it fails."""
    with as_store_errors(*_keys_of(command)):
        return await client.execute_command(*command)


async def run_all(client: Client, commands: Iterable[Command], *, is_durable: bool = False) -> list[Any]:
    """Run commands in one pipeline; return answers, refusals as values.

    Send again, once, what a node refused with MOVED. `is_durable`: return once a replica has what they wrote, if Redis
    has replicas.
    """
    waiting = list(commands)
    send = client.execute_durably if is_durable else partial(_send, client)
    answers: list[Any] = await send(waiting)
    if moved := [at for at, answer in enumerate(answers) if isinstance(answer, MovedAwayError)]:
        for at, answer in zip(moved, await send([waiting[at] for at in moved]), strict=True):
            answers[at] = answer
    return answers


async def _send(client: Client, commands: Sequence[Command]) -> list[Any]:
    pipeline = client.pipeline()
    for command in commands:
        pipeline.execute_command(*command)
    return list(await pipeline.execute(raise_on_error=False))


async def run_or_raise(client: Client, *commands: Command, is_durable: bool = False) -> list[Any]:
    """Run commands as `run_all` does; raise a StoreError if any fails.

    Raise StoreUnreachableError if any failure is temporary, else the error of the first. The others may have been
    executed.
    """
    with as_store_errors():
        answers = await run_all(client, commands, is_durable=is_durable)
    refused = [
        (error, command) for error, command in zip(answers, commands, strict=True) if isinstance(error, Exception)
    ]
    if refused:
        error, command = next((one for one in refused if _is_temporary(one[0])), refused[0])
        raise to_store_error(error, *_keys_of(command)) from error
    return answers


def _keys_of(command: Command) -> Sequence[str]:
    """Return the keys of a script, or the first one of another command."""
    return command[3 : 3 + command[2]] if isinstance(command, ScriptCommand) else command[1:2]


def _is_temporary(error: Exception) -> bool:
    """Whether a failure may end by itself, however late (a full Redis).

    `errors.is_transient` asks for more: that it may within seconds.
    """
    return isinstance(to_store_error(error), StoreUnreachableError)


async def run_each(client: Client, commands: Iterable[Command]) -> list[Any]:
    """Run any number of reads or removals; return as `none_if_missing` does."""
    waiting = list(commands)
    answers: list[Any] = []
    with as_store_errors():
        for start in range(0, len(waiting), CHUNK):
            answers += none_if_missing(await run_all(client, waiting[start : start + CHUNK]))
    return answers


async def read_stream(
    client: Client, stream: str, *, newest_first: bool = False, chunk: int = CHUNK
) -> AsyncIterator[tuple[str, Mapping[bytes, bytes]]]:
    """Yield all entries of a stream, read in chunks."""
    read, start, end = ("XREVRANGE", "+", "-") if newest_first else ("XRANGE", "-", "+")
    while True:
        with as_store_errors(stream):
            found = await client.execute_command(read, stream, start, end, "COUNT", chunk)
        for entry_id, fields in found:
            yield entry_id.decode(), fields or {}
        if len(found) < chunk:
            return
        start = f"({found[-1][0].decode()}"


class BlockingReads:
    """Reads that wait for an entry; one at a time for each stream."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[str, asyncio.Timeout] = {}

    async def read(self, stream: str, count: int, after: str = "0") -> Entries:
        """Return up to `count` entries, oldest first; wait about 2 s for one."""
        running = self._running[stream] = asyncio.timeout(None)
        try:
            async with running:
                with as_store_errors(stream):
                    answer = await self._client.xread({stream: after}, count=count, block=BLOCK_MS)
        except TimeoutError:
            if not running.expired():
                raise
            return []  # interrupted
        finally:
            self._running.pop(stream, None)
        return [entry for _, entries in answer for entry in entries]

    def interrupt(self, stream: str) -> None:
        """End a stream's running read: it returns no entries, and loses none."""
        if (running := self._running.pop(stream, None)) is not None:
            running.reschedule(0)


def none_if_missing(answers: Iterable[Any]) -> list[Any]:
    """Return answers, None for a missing or mistyped key; raise other errors."""
    found = []
    for answer in answers:
        is_refused = isinstance(answer, Exception)
        if is_refused and not ("WRONGTYPE" in str(answer) or "no such key" in str(answer)):
            raise answer
        found.append(None if is_refused else answer)
    return found
