"""Configuration in Redis: what processes share, and operators set.

Every process must be able to read what others write. `schema` in `PREFIX:config` holds the schema version. A newer
release writes at the old one until `conferral upgrade` raises it, once no process below it runs. Within a schema
version, sessions keep their attributes; other records may gain some.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from conferral.runtime.errors import SettingsError, StoreError, StoreForbiddenError, StoreUnreachableError
from conferral.storage.connection.client import Client, as_store_errors, ask, raise_refusals, run_all
from conferral.storage.connection.errors import FOREIGN, URL_ERRORS
from conferral.storage.keys import Keys, config_key

#: Of a number that Conferral wrote (count).
_DIGITS_MAX = 9
#: The highest id of a stream. A stream that has had it refuses every entry. Source: Redis docs, XADD.
HIGHEST_ID = b"18446744073709551615-18446744073709551615"
#: What `read_warnings` may find: also the values of a metric's label.
WARNING_KINDS = ("eviction", "commands", "outcomes", "dead")
#: What each schema version adds that the previous one can't read; `conferral upgrade` prints it.
SCHEMA_VERSIONS = {3: "names of keys without braces of their own"}
SCHEMA_VERSION = max(SCHEMA_VERSIONS)
#: Keys of earlier ones have other names: they are refused.
OLDEST_SCHEMA_VERSION = min(SCHEMA_VERSIONS)


class NewerSchemaError(StoreError):
    """A newer release wrote what Redis holds: this one can't read it."""


class SchemaVersion:
    """The schema version that this process writes, as last read from Redis."""

    def __init__(self, supported: int = SCHEMA_VERSION) -> None:
        #: Another than `SCHEMA_VERSION` only in a test.
        self.supported = supported
        self.written = supported
        #: Why Redis differs from what the process started with, and keeps; empty if it doesn't.
        self.contradiction = ""

    @property
    def is_too_new(self) -> bool:
        """Whether Redis may hold unreadable data; if so, decide nothing."""
        return self.written > self.supported

    @property
    def writes_at(self) -> int:
        """The version to write, and to store in a Redis that has lost it."""
        return min(self.written, self.supported)

    @property
    def problem(self) -> str:
        """Why this process is idle, for `/readyz`; empty if nothing is wrong."""
        if not self.is_too_new:
            return ""
        return f"schema: {newer_schema(self.written, self.supported)}; {NEWER_SCHEMA_FIX}"


async def ensure(
    client: Client, prefix: str, partitions: int, *, account_sid: str, schema_version: int = SCHEMA_VERSION
) -> int:
    """Store partition count, account, and schema version if Redis lacks them.

    Return the schema version that every process writes: one of `SCHEMA_VERSIONS`, or a newer version's. Raise
    SettingsError if Redis has another count or account, or the keys of an older release, or if `REDIS_URL` or
    `CONFERRAL_PREFIX` is wrong.
    """
    keys, account = Keys(prefix, partitions), account_digest(account_sid)
    key, fields = keys.config, {"partitions": partitions, "account": account, "schema": schema_version}
    with _url_errors(), as_store_errors(key):
        await client.exists(key, keys.owners)  # a cluster refuses keys in different slots
        values = await client.hmget(key, [*fields])
        if None in values:  # write only if absent: a full Redis refuses writes
            for field, value in fields.items():
                await client.hsetnx(key, field, value)
            values = await client.hmget(key, [*fields])
    found, found_account, schema = values
    if None in values:
        raise StoreUnreachableError(f"{key} was removed from Redis while it was read")
    count, found_version = _parse_number(found), _parse_number(schema)
    if count is None or found_version is None:
        raise SettingsError((_foreign_values_message(key),))
    if found_version < OLDEST_SCHEMA_VERSION:
        raise SettingsError((f"CONFERRAL_PREFIX: {old_keys(key)}; {OLD_KEYS_FIX}",))
    if count != partitions:
        problem = f"CONFERRAL_PARTITIONS: {partitions}, but {key} in Redis was set up with {count}; use that"
        raise SettingsError((problem,))
    if found_account != account.encode():
        raise SettingsError((f"TWILIO_ACCOUNT_SID: {other_account(key)}; set another CONFERRAL_PREFIX or REDIS_URL",))
    return found_version


def account_digest(account_sid: str) -> str:
    """Return the digest of an account's SID that Redis holds."""
    return sha256(account_sid.encode()).hexdigest()[:16]


def other_account(key: str) -> str:
    """Say that the configuration is another account's."""
    return f"{key} in Redis was set up with another account, whose calls this one can't see"


OLD_KEYS_FIX = "set another CONFERRAL_PREFIX, or delete all keys with this one while no process of Conferral runs"


def old_keys(key: str) -> str:
    """Say that an older release has set up the configuration."""
    return f"{key} in Redis is from an older release, whose keys this one can't find"


NEWER_SCHEMA_FIX = "update Conferral"


def newer_schema(written: int, supported: int) -> str:
    """Say that a newer release has raised the schema version."""
    return f"Redis has schema version {written}, this release supports {supported}"


@contextmanager
def _url_errors() -> Iterator[None]:
    """Raise SettingsError for settings that Redis refuses for good."""
    try:
        yield
    except StoreError as error:
        if str(error) in URL_ERRORS:
            raise SettingsError((str(error),)) from error
        raise


def _foreign_values_message(key: str) -> str:
    return f"{key} in Redis has values that are not numbers: does another program use this prefix?"


def _parse_number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _DIGITS_MAX else None


async def check_eviction_policy(client: Client) -> None:
    """Reject a Redis that may evict any key, such as leases and events.

    Raise SettingsError for that, or a wrong `REDIS_URL`. Pass if Redis forbids INFO: `conferral check` reports that.
    """
    with _url_errors():
        problem = await _eviction_problem(client)
    if problem:
        raise SettingsError((f"REDIS_URL: {problem}",))


async def _eviction_problem(client: Client) -> str:
    """Return what is wrong if a policy evicts any key; empty if none does."""
    try:
        with as_store_errors():
            info = await client.info("memory")
    except StoreForbiddenError:
        return ""
    except StoreUnreachableError:
        raise
    except StoreError as error:
        if str(error) in URL_ERRORS:
            raise
        return ""
    policy = str(info.get("maxmemory_policy", ""))
    if not policy.startswith("allkeys-"):
        return ""
    return f"with maxmemory-policy {policy} a full Redis forgets live calls; set it to noeviction"


async def read_warnings(client: Client, keys: Keys) -> dict[str, str]:
    """Return states that lose calls or results, though Redis takes writes.

    By kind, one of `WARNING_KINDS`.
    """
    problem = await _eviction_problem(client)
    return ({"eviction": problem} if problem else {}) | await read_stream_warnings(client, keys)


async def read_stream_warnings(client: Client, keys: Keys) -> dict[str, str]:
    """Return which shared streams refuse entries, by kind."""
    streams = {"commands": keys.commands, "outcomes": keys.outcomes, "dead": keys.dead}
    with as_store_errors():
        answers = await run_all(client, [("XINFO STREAM", key) for key in streams.values()])
    problems = zip(streams.items(), map(_stream_problem, answers), strict=True)
    return {kind: f"{key} takes no entries: it {problem}" for (kind, key), problem in problems if problem}


def _stream_problem(answer: Any) -> str:
    if isinstance(answer, Exception):
        if "WRONGTYPE" in str(answer):
            return FOREIGN
        raise_refusals([answer])  # a missing stream takes entries
        return ""
    return "has had the highest possible id" if answer["last-generated-id"] == HIGHEST_ID else ""


async def load(client: Client, prefix: str) -> Keys:
    """Return the keys as configured in Redis; for operator commands.

    Raise StoreError if no process has used the prefix, or another program or an older release does; NewerSchemaError if
    a newer one does.
    """
    if not (partitions := await _read_number(client, prefix, "partitions")):
        raise StoreError(_foreign_values_message(config_key(prefix)))
    schema_version = await read_schema_version(client, prefix)
    if schema_version < OLDEST_SCHEMA_VERSION:
        raise StoreError(f"{old_keys(config_key(prefix))}; {OLD_KEYS_FIX}")
    if schema_version > SCHEMA_VERSION:
        raise NewerSchemaError(f"{newer_schema(schema_version, SCHEMA_VERSION)}; {NEWER_SCHEMA_FIX}")
    return Keys(prefix, partitions)


async def read_schema_version(client: Client, prefix: str) -> int:
    """Return the schema version that processes write, or raise StoreError."""
    return await _read_number(client, prefix, "schema")


async def _read_number(client: Client, prefix: str, field: str) -> int:
    found = await ask(client, "HGET", config_key(prefix), field)
    if found is None:
        raise StoreError(f"nothing is set up under the prefix {prefix}; no worker has run on this Redis")
    number = _parse_number(found)
    if number is None:
        raise StoreError(_foreign_values_message(config_key(prefix)))
    return number


async def shared_secret(client: Client, prefix: str, field: str) -> bytes:
    """Return a random key that all processes share; make it at first use.

    Raise StoreError.
    """
    key = config_key(prefix)
    found = await ask(client, "HGET", key, field)
    if found is None:  # write only if absent: a full Redis refuses writes
        await ask(client, "HSETNX", key, field, secrets.token_hex(32))
        found = await ask(client, "HGET", key, field)
    if found is None:
        raise StoreUnreachableError(f"{key} was removed from Redis while it was read")
    return bytes(found)


async def raise_schema_version(client: Client, prefix: str, schema_version: int) -> int:
    """Raise the schema version unless it is higher; return the one in force."""
    if schema_version > (found := await read_schema_version(client, prefix)):
        await ask(client, "HSET", config_key(prefix), "schema", schema_version)
    return max(found, schema_version)
