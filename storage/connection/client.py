"""Clients for Redis that never repeat a write by themselves, and errors in our own families.

A client that repeats what timed out can do it twice: seen with redis-py's default of ten retries. Nothing is repeated
here; whoever calls knows whether a repetition is recognised.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.connection.error_mapping import ErrorMappingRedis, map_errors
from conferral.storage.connection.errors import LOGIN_REFUSED, LOGIN_WORDS, TRANSIENT_WORDS, error_word, state_of
from conferral.storage.connection.packing import pack_with_hiredis
from conferral.storage.connection.reconnect import address_of, reconnect_after_demotion

#: How long one command may take, seconds: the deadline within which a webhook has to know.
COMMAND_TIMEOUT_S = 2.0
#: How long a connection may take, seconds.
CONNECT_TIMEOUT_S = 2.0
#: How long a blocking read waits in Redis, milliseconds. Far below its socket time-out, or it would fail when idle.
BLOCK_MS = 2_000
BLOCK_TIMEOUT_S = BLOCK_MS / 1000 + 2.0

#: What a connection says of itself. Made once: redis-py reads its version from a file, by default for each connection.
_DRIVER = DriverInfo()

Client = Any  # redis.asyncio.Redis or ClusterClient: the two share no base class


def make_client(url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
    """A client for commands, or for blocking reads.

    Args:
        url: `redis://`, `rediss://` or `unix://`; a cluster with `?cluster=true`.
        blocking: Whether it is for reads that wait; those need connections and time-outs of their own.
        max_connections: Bound of the pool (count).
    """
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "decode_responses": False,
        "protocol": 2,
        "max_connections": max_connections,
        "driver_info": _DRIVER,
    }
    plain_url, is_cluster = _without_cluster(url)
    if is_cluster:
        return ClusterClient.from_url(plain_url, **options)
    client = ErrorMappingRedis.from_url(plain_url, **options)
    pool = client.connection_pool
    pool.connection_class = map_errors(reconnect_after_demotion(pack_with_hiredis(pool.connection_class)))
    pool.connection_kwargs["address"] = address_of(url)
    return client


async def server_identity(client: Client) -> tuple[str, int]:
    """Which server it is, a text that changes with every restart and failover, and for how long it has run, seconds.

    A cluster is another one as soon as another node is a primary: what that one has not seen is forgotten. The youngest
    primary tells the time.
    """
    with store_errors():
        if isinstance(client, ClusterClient):
            found = await client.info("server", target_nodes=ClusterClient.PRIMARIES)
        else:
            found = await client.info("server")
    servers = [found] if "run_id" in found else list(found.values())
    return " ".join(sorted(str(one["run_id"]) for one in servers)), min(
        int(one["uptime_in_seconds"]) for one in servers
    )


def _without_cluster(url: str) -> tuple[str, bool]:
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    is_cluster = ("cluster", "true") in query
    rest = urlencode([(name, value) for name, value in query if name != "cluster"])
    return urlunsplit(parts._replace(query=rest)), is_cluster


def is_transient(answer: object) -> bool:
    """Whether an answer is a refusal that is worth a second try within a second or two: not that Redis is full.

    Of a cluster it may also be that one node is out of reach.
    """
    if isinstance(answer, RedisConnectionError | RedisTimeoutError | OSError):
        return True
    return error_word(answer) in TRANSIENT_WORDS - {"OOM"}


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns redis-py's errors into ours; their texts stay behind, they may quote what was sent.

    Raises:
        StoreUnreachableError: no answer, or Redis said "not now".
        StoreError: Redis refused for good.
    """
    try:
        yield
    except DataError:
        raise  # a mistake of ours: asking again would not help
    except (RedisError, OSError) as error:
        raise to_store_error(error) from error


def to_store_error(error: Exception) -> StoreError:
    """One of redis-py's errors as one of ours."""
    word = error_word(error)
    ours: StoreError
    if word in TRANSIENT_WORDS:
        ours = StoreUnreachableError(f"Redis can't take it now ({word})")
    elif isinstance(error, ResponseError):
        ours = StoreError(LOGIN_REFUSED if word in LOGIN_WORDS else f"Redis refused ({word})")
    elif word in LOGIN_WORDS:
        ours = StoreUnreachableError(LOGIN_REFUSED)
    else:
        ours = StoreUnreachableError(f"Redis can't be reached ({type(error).__name__})")
    ours.state = state_of(error)
    return ours
