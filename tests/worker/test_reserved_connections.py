"""Commits find a connection to Redis however many others ask for one."""

import pytest

from conferral.storage.connection.client import Client, make_client
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


async def test_commits_continue_while_all_command_connections_are_in_use(redis_server) -> None:
    shared: list[Client] = []

    def make(url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
        client = make_client(url, blocking=blocking, max_connections=min(max_connections, 64))
        if not shared:
            shared.append(client)
        return client

    system = LocalSystem(redis_server.url)
    system.worker_options = {"redis": make}
    async with system:
        pool = shared[0].connection_pool
        taken = [await pool.get_connection() for _ in range(pool.max_connections - len(pool._in_use_connections))]
        try:
            customer = await system.customer_calls()
            await system.until(customer.sid, phase="connected")
        finally:
            for connection in taken:
                await pool.release(connection)
        customer.hang_up()
        await system.settled()
