"""Connections of lease holders: whether Redis still has them.

A connection is named `RUN_ID:CLIENT_ID`, by the server's run id and the id that it gave to the connection. The same
server never gives an id twice; after a restart or a failover, nothing is known about older connections.
"""

from collections.abc import Collection

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, store_errors


def connection_name(run_id: str, client_id: str) -> str:
    """Return a connection's name; empty if either part is unknown."""
    return f"{run_id}:{client_id}" if run_id and client_id else ""


async def own_name(client: Client) -> tuple[str, bool]:
    """Return the name of a client's single connection, empty if Redis refuses it; and whether Redis lists it.

    A proxy may name connections that Redis does not know. Other workers would take their absence for a death.

    Raises:
        StoreUnreachableError: Redis did not answer.
    """
    with store_errors():
        pipeline = client.pipeline()
        pipeline.info("server")
        pipeline.execute_command("CLIENT ID")
        server, client_id = await pipeline.execute(raise_on_error=False)
    if isinstance(server, Exception) or isinstance(client_id, Exception):
        return "", False
    name = connection_name(str(server["run_id"]), str(client_id))
    try:
        is_open = await list_open(client, [name])
    except StoreUnreachableError:
        raise
    except StoreError:  # some managed servers refuse CLIENT LIST
        return name, False
    return name, bool(is_open.get(name))


async def list_open(client: Client, connections: Collection[str]) -> dict[str, bool]:
    """Return for each connection to the current server whether it is open; leave out those to other servers.

    Raises:
        StoreUnreachableError: Redis did not answer.
        StoreError: Redis does not permit CLIENT LIST.
    """
    client_ids = [name.partition(":")[2] for name in connections]
    with store_errors():
        pipeline = client.pipeline()
        pipeline.info("server")
        pipeline.execute_command("CLIENT LIST", "ID", *client_ids)
        server, listed = await pipeline.execute()
    found = {connection_name(str(server["run_id"]), str(one["id"])) for one in listed}
    return {name: name in found for name in connections if name.partition(":")[0] == str(server["run_id"])}
