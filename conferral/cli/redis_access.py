"""The operators' way into Redis: open it, and name what is wrong with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from conferral.errors import CommandNotDoneError
from conferral.operations.session_queries import SessionQueries
from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.settings import StoreSettings
from conferral.storage import config
from conferral.storage.connection.client import Client, make_client


def redacted_url(url: str) -> str:
    """Where a Redis is, without user and password.

    >>> place_of("redis://me:secret@cache.example:6390/2")
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
    """A client for the URL of the settings.

    Args:
        url: `REDIS_URL`.
        max_connections: Bound of the pool (count).

    Raises:
        SettingsError: the URL can't be understood.
    """
    try:
        return make_client(url, max_connections=max_connections)
    except ValueError as error:
        # The text of redis-py's error may quote the URL with its password.
        raise SettingsError((setting_errors.describe_invalid("REDIS_URL", url, None),)) from error


def describe_redis_error(error: StoreError, url: str) -> str:
    """One sentence about a Redis that does not do what is wanted."""
    return f"{error}; REDIS_URL names {redacted_url(url)}"


@asynccontextmanager
async def open_redis(settings: StoreSettings) -> AsyncIterator[SessionQueries]:
    """Redis as the settings name it, with the keys as they were set up there.

    Raises:
        NotDoneError: it can't be reached, or nothing is set up under the prefix.
    """
    client = make_redis_client(settings.redis_url)
    try:
        yield SessionQueries(client, await config.load(client, settings.prefix))
    except StoreError as error:
        raise CommandNotDoneError(describe_redis_error(error, settings.redis_url)) from error
    finally:
        await client.aclose()
