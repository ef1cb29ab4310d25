"""Configuration in Redis: what processes share, and operators set.

Every process must be able to read what others write. `schema` in `PREFIX:config` numbers the stored form. Under the
same number, releases may add fields; another number is refused.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from conferral.runtime.errors import SettingsError, StoreError, StoreForbiddenError, StoreUnreachableError
from conferral.storage.connection.client import Client, as_store_errors, ask, none_if_missing, run_all
from conferral.storage.connection.errors import FOREIGN, SETTING_ERRORS
from conferral.storage.keys import Keys, config_key

#: Of a number that Conferral wrote (count).
_DIGITS_MAX = 9
#: The highest id of a stream. A stream that has had it refuses every entry. Source: Redis docs, XADD.
HIGHEST_ID = b"18446744073709551615-18446744073709551615"
#: What `read_warnings` may find: also the values of a metric's label.
WARNING_KINDS = ("eviction", "commands", "outcomes", "dead")
#: The stored form that this release reads and writes; another one needs another number.
SCHEMA_VERSION = 4
SCHEMA_FIX = (
    "run a release with that schema, set another CONFERRAL_PREFIX, or delete all keys with this one while no process "
    "of Conferral runs"
)


class ContradictionError(StoreError):
    """What is stored can't be read by this release."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem, self.fix = problem, fix


async def ensure(client: Client, prefix: str, partitions: int, *, account_sid: str) -> None:
    """Store partition count, account, and schema if Redis lacks them.

    Raise SettingsError if Redis has others, or if `REDIS_URL` or `CONFERRAL_PREFIX` is wrong.
    """
    keys, account = Keys(prefix, partitions), account_digest(account_sid)
    key, fields = keys.config, {"partitions": partitions, "account": account, "schema": SCHEMA_VERSION}
    with _setting_errors(), as_store_errors(key):
        await client.exists(key, keys.owners)  # a cluster refuses keys in different slots
        values = await client.hmget(key, [*fields])
        if None in values:  # write only if absent: a full Redis refuses writes
            for field, value in fields.items():
                await client.hsetnx(key, field, value)
            values = await client.hmget(key, [*fields])
    found, found_account, schema = values
    if None in values:
        raise StoreUnreachableError(f"{key} was removed from Redis while it was read")
    try:
        count = read_count(key, found, schema)
    except ContradictionError as error:
        raise SettingsError((f"CONFERRAL_PREFIX: {error}",)) from None
    if count != partitions:
        problem = f"CONFERRAL_PARTITIONS: {partitions}, but {key} in Redis was set up with {count}; use that"
        raise SettingsError((problem,))
    if found_account != account.encode():
        raise SettingsError((f"TWILIO_ACCOUNT_SID: {other_account(key)}; set another CONFERRAL_PREFIX or REDIS_URL",))


def read_count(key: str, partitions: bytes, schema: bytes) -> int:
    """Return the number of partitions from fields; raise ContradictionError."""
    count, found = _parse_number(partitions), _parse_number(schema)
    if not count or found is None:
        problem = f"{key} in Redis has values that are not numbers: does another program use this prefix?"
        raise ContradictionError(problem, "set another CONFERRAL_PREFIX")
    if found != SCHEMA_VERSION:
        problem = f"{key} in Redis has schema {found}, and this release reads only schema {SCHEMA_VERSION}"
        raise ContradictionError(problem, SCHEMA_FIX)
    return count


def account_digest(account_sid: str) -> str:
    """Return the digest of an account's SID that Redis holds."""
    return sha256(account_sid.encode()).hexdigest()[:16]


def other_account(key: str) -> str:
    """Say that the configuration is another account's."""
    return f"{key} in Redis was set up with another account, whose calls this one can't see"


@contextmanager
def _setting_errors() -> Iterator[None]:
    """Raise SettingsError for settings that Redis refuses for good."""
    try:
        yield
    except StoreError as error:
        if str(error) in SETTING_ERRORS:
            raise SettingsError((str(error),)) from error
        raise


def _parse_number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _DIGITS_MAX else None


async def check_eviction_policy(client: Client) -> None:
    """Reject a Redis that may evict any key, such as leases and events.

    Raise SettingsError for that, or a wrong `REDIS_URL`. Pass if Redis forbids INFO: `conferral check` reports that.
    """
    with _setting_errors():
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
        if str(error) in SETTING_ERRORS:
            raise
        return ""  # a service without INFO: its answer says nothing about the policy
    policy = str(info.get("maxmemory_policy", ""))
    if not policy.startswith("allkeys-"):
        return ""
    return f"with maxmemory-policy {policy} a full Redis forgets live calls; set it to noeviction"


async def read_warnings(client: Client, keys: Keys) -> dict[str, str]:
    """Return the warnings about Redis, by kind (`WARNING_KINDS`).

    It takes writes, yet calls or results get lost.
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
        none_if_missing([answer])  # a missing stream takes entries
        return ""
    return "has had the highest possible id" if answer["last-generated-id"] == HIGHEST_ID else ""


async def load_keys(client: Client, prefix: str) -> Keys:
    """Return the keys, for every process that isn't given the partition count.

    Raise StoreError if no process has used the prefix; ContradictionError if another program or release does.
    """
    key = config_key(prefix)
    partitions, schema = await ask(client, "HMGET", key, "partitions", "schema")
    if partitions is None or schema is None:
        raise StoreError(f"nothing is set up under the prefix {prefix}; no worker has run on this Redis")
    return Keys(prefix, read_count(key, partitions, schema))


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
