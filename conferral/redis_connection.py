"""Open Redis for CLI commands, and describe connection errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from conferral.operations.errors import CommandNotDoneError
from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.settings import StoreSettings, load
from conferral.storage import config
from conferral.storage.connection.client import make_client
from conferral.storage.connection.errors import URL_ERRORS
from conferral.storage.connection.primary import PrefixError, Primary, primary_of
from conferral.storage.connection.url import RedisUrl, RedisUrlError, example_of
from conferral.storage.queries.session_reader import SessionReader

T = TypeVar("T")


def redis_address(url: str) -> str:
    """Return the hosts with their ports, or the socket, in a valid Redis URL.

    >>> redis_address("redis://me:secret@cache.example:6390/2")
    'cache.example:6390'
    """
    parsed = RedisUrl.parse(url)
    if not parsed.hosts:
        return urlsplit(parsed.plain).path
    return ",".join(f"{host}:{port}" for host, port in parsed.hosts)


def find_primary(settings: StoreSettings) -> Primary:
    """Return what finds the primary; raise SettingsError for invalid settings."""
    try:
        primary = primary_of(settings.redis_url, settings.prefix)
        client = make_client(settings.redis_url, primary)
        _require_certificates(client.connection_pool.connection_kwargs.get("ssl_ca_certs"))
    except RedisUrlError as error:
        problem = setting_errors.describe_invalid(
            "REDIS_URL", settings.redis_url, None, str(error), example=example_of(settings.redis_url)
        )
        raise SettingsError((problem,)) from None
    except PrefixError as error:
        problem = setting_errors.describe_invalid(
            "CONFERRAL_PREFIX", settings.prefix, None, str(error), example="{conferral}"
        )
        raise SettingsError((problem,)) from None
    return primary


def _require_certificates(path: str | None) -> None:
    """Raise RedisUrlError if the private CA's certificate can't be used."""
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise RedisUrlError("the file of ssl_ca_certs holds no certificate in PEM form") from None
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise RedisUrlError(f"the file of ssl_ca_certs can't be read ({why})") from None


def describe_redis_error(error: StoreError, url: str, primary: Primary | None = None) -> str:
    """Describe an error in one sentence, with the servers it may come from."""
    if str(error) in URL_ERRORS:
        return str(error)
    found = f"; the primary was {primary.address[0]}:{primary.address[1]}" if primary and primary.address else ""
    return f"{error}; REDIS_URL names {redis_address(url)}{found}"


@asynccontextmanager
async def open_redis(settings: StoreSettings) -> AsyncIterator[SessionReader]:
    """Open the configured Redis, or raise CommandNotDoneError."""
    primary = find_primary(settings)
    client = make_client(settings.redis_url, primary, max_connections=8)
    try:
        yield SessionReader(client, await config.load(client, settings.prefix))
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
