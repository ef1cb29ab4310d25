"""A Redis that comes back with an older state, in place: as after a failover that lost writes."""

from conferral.storage.connection.client import Client

#: Every key, as `DUMP` has it.
Copy = dict[bytes, bytes]


async def copy_of(client: Client) -> Copy:
    """All that stands there now."""
    keys = await client.keys("*")
    dumps = client.pipeline(transaction=True)
    for key in keys:
        dumps.dump(key)
    return {key: dump for key, dump in zip(keys, await dumps.execute(), strict=True) if dump is not None}


async def put_back(client: Client, copy: Copy) -> None:
    """Nothing stands there but what was copied."""
    restores = client.pipeline(transaction=True)
    restores.flushall()
    for key, dump in copy.items():
        restores.restore(key, 0, dump)
    await restores.execute()
