"""What all processes have to agree on: the number of partitions and the level at which records are written."""

from runtime.errors import SettingsError, StoreError
from streams.connection import Client, store_errors
from streams.keys import Keys, config_key

#: The level at which this version writes; all processes write at the level that stands in Redis.
SCHEMA = 1


async def agree(client: Client, prefix: str, partitions: int) -> Keys:
    """Fixes the number of partitions at first use, and refuses another one later.

    Raises:
        SettingsError: Redis has another number, or a newer level.
        StoreError: as of any command.
    """
    key = config_key(prefix)
    with store_errors():
        found, schema = await client.hmget(key, ["partitions", "schema"])
        if found is None or schema is None:  # written only where it is absent: a full Redis refuses writes
            await client.hsetnx(key, "partitions", partitions)
            await client.hsetnx(key, "schema", SCHEMA)
            found, schema = await client.hmget(key, ["partitions", "schema"])
    if int(found) != partitions:
        raise SettingsError(
            (f"CONFERRAL_PARTITIONS: {partitions}, but {key} in Redis was set up with {int(found)}; use that",)
        )
    if int(schema) > SCHEMA:
        raise SettingsError((f"{key} in Redis is at level {int(schema)}; this version knows {SCHEMA}: update it",))
    return Keys(prefix, partitions)


class NotSetUpError(StoreError):
    """Nobody has used this prefix yet."""


async def look_up(client: Client, prefix: str) -> Keys:
    """The keys as they were set up; what operators' commands need.

    Raises:
        NotSetUpError: no webhooks and no worker has run under this prefix.
    """
    with store_errors():
        found = await client.hget(config_key(prefix), "partitions")
    if found is None:
        raise NotSetUpError(f"nothing is set up under the prefix {prefix}; has a worker run on this Redis?")
    return Keys(prefix, int(found))
