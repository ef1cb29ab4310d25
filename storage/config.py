"""What all processes have to agree on: the number of partitions and the level at which records are written."""

from dataclasses import dataclass

from conferral.runtime.errors import SettingsError, StoreError, StoreUnreachableError
from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys, config_key
from conferral.storage.schema import SCHEMA_VERSION, SCHEMA_VERSION_MIN


@dataclass(frozen=True, slots=True)
class Config:
    """What was agreed on."""

    keys: Keys
    #: The level at which all write: one of `streams.levels.LEVELS`, or a newer version's.
    schema_version: int


async def ensure(client: Client, prefix: str, partitions: int, *, schema_version: int = SCHEMA_VERSION) -> Config:
    """Fixes the number of partitions and the level at first use, and refuses another number of partitions later.

    Args:
        client: For commands.
        prefix: `CONFERRAL_PREFIX`.
        partitions: `CONFERRAL_PARTITIONS`.
        schema_version: At which a prefix is written that nobody has used before, or that Redis has forgotten.

    Raises:
        SettingsError: Redis has another number, or a level so old that this version can't write it.
        StoreError: as of any command.
    """
    key = config_key(prefix)
    with store_errors():
        found, schema = await client.hmget(key, ["partitions", "schema"])
        if found is None or schema is None:  # written only where it is absent: a full Redis refuses writes
            await client.hsetnx(key, "partitions", partitions)
            await client.hsetnx(key, "schema", schema_version)
            found, schema = await client.hmget(key, ["partitions", "schema"])
    count, found_version = _number(found), _number(schema)
    if count is None or found_version is None:
        raise SettingsError((f"{key} in Redis holds something else than numbers: is the prefix somebody else's?",))
    if count != partitions:
        raise SettingsError(
            (f"CONFERRAL_PARTITIONS: {partitions}, but {key} in Redis was set up with {count}; use that",)
        )
    if found_version < SCHEMA_VERSION_MIN:
        raise SettingsError(
            (f"{key} in Redis is at level {found_version}; this version writes {SCHEMA_VERSION_MIN} and later",)
        )
    return Config(Keys(prefix, partitions), found_version)


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


async def check_eviction_policy(client: Client) -> None:
    """Refuses a Redis that forgets any key when it is full: leases, undecided events, live sessions.

    What it may not be asked, `conferral check` tells.

    Raises:
        SettingsError: it is set up so.
        StoreUnreachableError: no answer.
    """
    try:
        with store_errors():
            info = await client.info("memory")
    except StoreUnreachableError:
        raise
    except StoreError:
        return  # hosted Redis may forbid INFO
    nodes = [info, *(node for node in info.values() if isinstance(node, dict))]  # a cluster answers by node
    for policy in (str(node.get("maxmemory_policy", "")) for node in nodes):
        if policy.startswith("allkeys-"):
            problem = f"REDIS_URL: with maxmemory-policy {policy} a full Redis forgets live calls; set it to noeviction"
            raise SettingsError((problem,))


class NotInitializedError(StoreError):
    """Nobody has used this prefix yet."""


async def load(client: Client, prefix: str) -> Keys:
    """The keys as they were set up; what operators' commands need.

    Raises:
        NotInitializedError: no webhooks and no worker has run under this prefix.
    """
    with store_errors():
        found = await client.hget(config_key(prefix), "partitions")
    if found is None:
        raise NotInitializedError(f"nothing is set up under the prefix {prefix}; has a worker run on this Redis?")
    return Keys(prefix, int(found))


async def read_schema_version(client: Client, prefix: str) -> int:
    """The level at which all write.

    Raises:
        NotInitializedError: no webhooks and no worker has run under this prefix.
    """
    with store_errors():
        found = _number(await client.hget(config_key(prefix), "schema"))
    if found is None:
        raise NotInitializedError(f"nothing is set up under the prefix {prefix}; has a worker run on this Redis?")
    return found


async def raise_schema_version(client: Client, prefix: str, schema_version: int) -> int:
    """Raises the level; it never goes back. Tells the level that stands then."""
    with store_errors():
        return int(await scripts.raise_schema(client, [config_key(prefix)], [schema_version]))
