"""Redis clients that never retry by themselves: URLs, reads, errors.

A client that retries after a timeout may execute the command twice: observed with redis-py's default of ten retries.
Here, only the caller retries, because it knows whether a repetition is recognized.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisClusterException, RedisError

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.connection.errors import as_store_errors as as_store_errors
from conferral.storage.connection.errors import to_store_error
from conferral.storage.connection.redis_classes import ErrorMappingRedis, connection_class

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
#: Client info sent by each connection. Built once: by default, redis-py reads its version from a file per connection.
_DRIVER = DriverInfo()

Client = Any  # redis.asyncio.Redis or ClusterClient: the two share no base class
#: A command's name and arguments.
Command = Sequence[Any]
#: Entries of a stream: id, and fields with their values.
Entries = list[tuple[bytes, dict[bytes, bytes]]]


class RedisUrlError(ValueError):
    """A Redis URL is invalid; the message may be empty, and never quotes it."""


def split_cluster_option(url: str) -> tuple[str, bool]:
    """Return the URL without `cluster`, and that option; check the rest."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises ValueError unless it is a number
    except ValueError:
        raise RedisUrlError(
            "the host or the port is not valid, or the password has a character to encode, such as / as %2F"
        ) from None
    if re.search(r"\s", parts.hostname or ""):
        raise RedisUrlError("the host must not contain spaces")
    # redis-py ignores a host here: with two slashes, the first folder of the path.
    if parts.scheme == "unix" and (parts.hostname or not parts.path.strip("/")):
        raise RedisUrlError("the path of the socket must follow three slashes, such as unix:///run/redis.sock")
    query = parse_qsl(parts.query, keep_blank_values=True)
    named = {value.lower() for name, value in query if name == "cluster"}
    if named not in (set(), {"true"}, {"false"}):
        raise RedisUrlError("cluster must be true or false")
    for name, value in query:
        if not value:  # redis-py ignores it
            # With an unescaped ? in the password, the rest of the password looks like an option: don't quote it.
            raise RedisUrlError(f"{name} has no value" if re.fullmatch(r"[a-z_]+", name) else "")
    is_cluster = named == {"true"}
    database = "" if parts.scheme == "unix" else unquote(parts.path).strip("/")
    if not re.fullmatch("[0-9]*", database):
        raise RedisUrlError("the database must be a number")
    if is_cluster and (parts.scheme == "unix" or int(database or 0)):
        raise RedisUrlError("a cluster has no socket, and no database but 0")
    rest = urlencode([(name, value) for name, value in query if name != "cluster"])
    return urlunsplit(parts._replace(query=rest)), is_cluster


def make_client(url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
    """Return a client; raise RedisUrlError if the URL is invalid."""
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "decode_responses": False,
        "protocol": 2,
        "max_connections": max_connections,
        "driver_info": _DRIVER,
    }
    plain_url, is_cluster = split_cluster_option(url)
    try:
        if is_cluster:
            return ClusterClient.from_url(plain_url, **options)
        client = ErrorMappingRedis.from_url(plain_url, **options)
        pool = client.connection_pool
        pool.connection_class = connection_class(pool.connection_class)
        # Does not connect, but raises if it does not know an option.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (AttributeError, TypeError, ValueError, RedisError, RedisClusterException) as error:
        if found := _UNKNOWN_OPTION.search(str(error)):
            raise RedisUrlError(f"{url.partition(':')[0]}:// has no option {found[1]}") from None
        found = _WRONG_VALUE.search(str(error))
        raise RedisUrlError(f"the value of {found[1]} is not valid" if found else "") from None
    return client


def is_cluster(client: Client) -> bool:
    """Whether the client is for a cluster."""
    return hasattr(client, "node_of")


async def server_identity(client: Client) -> tuple[str, int]:
    """Return the server's identity, and its uptime in seconds.

    The identity changes with every restart and failover, on a cluster of any primary. The uptime is the youngest one's.
    """
    with as_store_errors():
        options = {"target_nodes": ClusterClient.PRIMARIES} if isinstance(client, ClusterClient) else {}
        found = await client.info("server", **options)
    servers = [found] if "run_id" in found else list(found.values())
    identity = " ".join(sorted(str(one["run_id"]) for one in servers))
    return identity, min(int(one["uptime_in_seconds"]) for one in servers)


async def server_time_ms(client: Client, key: str) -> int:
    """Return the time of the server that has a key, Unix milliseconds."""
    options = {}
    with as_store_errors():
        if isinstance(client, ClusterClient):
            await client.initialize()  # it knows no node before its first command
            options = {"target_nodes": client.get_node_from_key(key)}
        seconds, microseconds = await client.time(**options)
    return int(seconds) * 1000 + int(microseconds) // 1000


async def ask(client: Client, *command: Any) -> Any:
    """Run one command; raise a StoreError if it fails."""
    with as_store_errors():
        return await client.execute_command(*command)


async def run_all(client: Client, commands: Iterable[Command]) -> list[Any]:
    """Run commands in one pipeline; return answers, refusals as values.

    On a cluster, a node that can't be reached is a refusal, too: other nodes have run theirs.
    """
    if isinstance(client, ClusterClient):
        return await client.run_all(commands)
    pipeline = client.pipeline()
    for command in commands:
        pipeline.execute_command(*command)
    return list(await pipeline.execute(raise_on_error=False))


async def run_or_raise(client: Client, *commands: Command) -> list[Any]:
    """Run commands in one pipeline; raise a StoreError if any fails.

    StoreUnreachableError if the outcome of any is unknown: other nodes of a cluster may have run theirs.
    """
    with as_store_errors():
        answers = await run_all(client, commands)
        if errors := [one for one in answers if isinstance(one, Exception)]:
            raise next(filter(_is_passing, errors), errors[0])
    return answers


def _is_passing(error: Exception) -> bool:
    return isinstance(to_store_error(error), StoreUnreachableError)


async def run_each(client: Client, commands: Iterable[Command]) -> list[Any]:
    """Run any number of reads or removals; return as `raise_refusals` does."""
    waiting = list(commands)
    answers: list[Any] = []
    with as_store_errors():
        for start in range(0, len(waiting), CHUNK):
            answers += raise_refusals(await run_all(client, waiting[start : start + CHUNK]))
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


def raise_refusals(answers: Iterable[Any]) -> list[Any]:
    """Return answers, None for a missing or mistyped key; raise other errors."""
    found = []
    for answer in answers:
        is_refused = isinstance(answer, Exception)
        if is_refused and not ("WRONGTYPE" in str(answer) or "no such key" in str(answer)):
            raise answer
        found.append(None if is_refused else answer)
    return found
