"""Open Redis for CLI commands, and describe connection errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from conferral.operations.errors import CommandNotDoneError
from conferral.operations.session_queries import SessionQueries
from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.settings import StoreSettings, load
from conferral.storage import config
from conferral.storage.connection.client import Client, RedisUrlError, make_client
from conferral.storage.connection.errors import CLUSTER_SETTING_ERRORS

T = TypeVar("T")


def redis_address(url: str) -> str:
    """Return the host and port, or the socket, in a Redis URL.

    >>> redis_address("redis://me:secret@cache.example:6390/2")
    'cache.example:6390'
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    try:
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:
        return parts.hostname or "localhost"


def make_redis_client(url: str, max_connections: int = 8) -> Client:
    """Create a client; raise SettingsError if the URL is invalid."""
    try:
        return make_client(url, max_connections=max_connections)
    except RedisUrlError as error:
        raise SettingsError((setting_errors.describe_invalid("REDIS_URL", url, None, str(error)),)) from None


def describe_redis_error(error: StoreError, url: str) -> str:
    """Describe an error in one sentence, with the cluster node's address."""
    if error.node or str(error) in CLUSTER_SETTING_ERRORS:
        return str(error)
    return f"{error}; REDIS_URL names {redis_address(url)}"


@asynccontextmanager
async def open_redis(settings: StoreSettings) -> AsyncIterator[SessionQueries]:
    """Open the configured Redis, or raise CommandNotDoneError."""
    client = make_redis_client(settings.redis_url)
    try:
        yield SessionQueries(client, await config.load(client, settings.prefix))
    except StoreError as error:
        raise CommandNotDoneError(describe_redis_error(error, settings.redis_url)) from error
    finally:
        await client.aclose()


def run_query(query: Callable[[SessionQueries], Awaitable[T]]) -> T:
    """Return what a query reads from Redis; see `open_redis`."""

    async def opened() -> T:
        async with open_redis(load(StoreSettings)) as reader:
            return await query(reader)

    return asyncio.run(opened())


def require_complete(missing: Iterable[str]) -> None:
    """Raise CommandNotDoneError, after the output, if calls were left out."""
    reasons = "; ".join(dict.fromkeys(missing))
    if reasons:
        raise CommandNotDoneError(f"incomplete: {reasons}; the calls stored there are missing")
