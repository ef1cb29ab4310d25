"""The server that has the keys: its identity and its clock."""

from collections.abc import Sequence

from conferral.storage import scripts
from conferral.storage.connection.client import Client


async def server_identity(client: Client, key: str) -> tuple[str, int]:
    """Return the identity and uptime (seconds) of a key's server.

    The identity changes with every restart and failover. It is empty if the server does not tell.
    """
    run_id, uptime_s, _ = await scripts.identify_server(client, [key], [])
    return run_id.decode(), int(uptime_s)


def time_ms(answer: Sequence[bytes | int]) -> int:
    """Return what Redis answers to `TIME`, in Unix milliseconds."""
    seconds, microseconds = map(int, answer)
    return seconds * 1000 + microseconds // 1000


async def server_time_ms(client: Client, key: str) -> int:
    """Return the time of the server that has a key, Unix milliseconds."""
    _, _, now_ms = await scripts.identify_server(client, [key], [])
    return int(now_ms)
