"""Waits for the result of a command."""

import asyncio

from conferral.storage.command_stream import CommandResult, read_result
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys

#: Interval between two reads of a result, seconds.
POLL_EVERY_S = 0.02


async def wait_for_result(client: Client, keys: Keys, command_id: str, timeout_s: float) -> CommandResult:
    """Return a command's result once it is final, or what is known when the time is up."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    # Check the clock instead of canceling: on Python 3.11, a cancellation can get lost inside the Redis client.
    while not (found := await read_result(client, keys, command_id)).is_final and loop.time() < deadline_s:
        await asyncio.sleep(POLL_EVERY_S)
    return found
