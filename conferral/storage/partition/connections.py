"""Connections of lease holders: whether Redis still has them.

A connection is named `RUN_ID:CLIENT_ID`, by the server's run id and the id that it gave to the connection. The same
server never gives an id twice; after a restart or a failover, nothing is known about older connections.
"""

from collections.abc import Collection

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, run_all, store_errors


def connection_name(run_id: str, client_id: str) -> str:
    """Return a connection's name; empty if either part is unknown."""
    return f"{run_id}:{client_id}" if run_id and client_id else ""


async def own_connection_name(client: Client) -> tuple[str, bool]:
    """Return a client's connection name, and whether CLIENT LIST shows it.

    The name is empty if Redis refuses it. A proxy's ids are not listed: other workers would think that this one died.
    """
    with store_errors():
        server, client_id = await run_all(client, [("INFO", "server"), ("CLIENT ID",)])
    if isinstance(server, Exception) or isinstance(client_id, Exception):
        return "", False
    name = connection_name(str(server["run_id"]), str(client_id))
    try:
        is_open = await which_are_open(client, [name])
    except StoreUnreachableError:
        raise
    except StoreError:  # some managed servers refuse CLIENT LIST
        return name, False
    return name, bool(is_open.get(name))


async def which_are_open(client: Client, connections: Collection[str]) -> dict[str, bool]:
    """Return whether connections are open; leave out other servers'.

    Raise StoreError if Redis forbids CLIENT LIST.
    """
    client_ids = [name.partition(":")[2] for name in connections]
    with store_errors():
        pipeline = client.pipeline()
        pipeline.info("server")
        pipeline.execute_command("CLIENT LIST", "ID", *client_ids)
        server, listed = await pipeline.execute()
    run_id = str(server["run_id"])
    open_names = {connection_name(run_id, str(one["id"])) for one in listed}
    return {name: name in open_names for name in connections if name.partition(":")[0] == run_id}
