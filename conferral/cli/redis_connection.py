"""Open Redis for CLI commands, and describe connection errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from conferral.operations.errors import CommandNotDoneError
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import StoreSettings, load
from conferral.storage import config
from conferral.storage.connection.client import make_client
from conferral.storage.connection.configured import find_primary, redis_address
from conferral.storage.connection.errors import SETTING_ERRORS
from conferral.storage.connection.primary import Primary
from conferral.storage.queries.session_reader import SessionReader

T = TypeVar("T")


def describe_redis_error(error: StoreError, url: str, primary: Primary | None = None) -> str:
    """Describe an error in one sentence, with the servers it may come from."""
    if str(error) in SETTING_ERRORS:
        return str(error)
    found = f"; the primary was {primary.address[0]}:{primary.address[1]}" if primary and primary.address else ""
    return f"{error}; REDIS_URL names {redis_address(url)}{found}"


@asynccontextmanager
async def open_redis(settings: StoreSettings) -> AsyncIterator[SessionReader]:
    """Open the configured Redis, or raise CommandNotDoneError."""
    primary = find_primary(settings)
    client = make_client(settings.redis_url, primary, max_connections=8)
    try:
        yield SessionReader(client, await config.load_keys(client, settings.prefix))
    except StoreError as error:
        raise CommandNotDoneError(describe_redis_error(error, settings.redis_url, primary)) from error
    finally:
        await client.aclose()


def run_query(query: Callable[[SessionReader], Awaitable[T]]) -> T:
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
