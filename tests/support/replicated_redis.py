"""A primary, and a replica that follows it through a relay, which can hold back what the primary sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.ports import HOST, free_port
from tests.support.redis_node import Node, until
from tests.support.tcp_relay import Relay


class SilentReplica:
    """Follows a primary, as a backup or migration tool does, and never acknowledges anything."""

    def __init__(self, primary: Node) -> None:
        self._primary = primary

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_connection(HOST, self._primary.port)
        self._writer.write(b"PSYNC ? -1\r\n")
        self._reading = asyncio.create_task(self._read(reader))
        await asyncio.to_thread(until, self._is_online, "it reads")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._reading.cancel()
        self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass

    def _is_online(self) -> bool:
        with self._primary.client() as client:
            replicas = [one for one in client.info("replication").values() if isinstance(one, dict)]
        return any((one["state"], one["offset"]) == ("online", 0) for one in replicas)


class ReplicatedServers:
    """A primary, and a replica behind a relay."""

    def __init__(self, program: Path, folder: Path, relay: Relay, primary: Node) -> None:
        self.primary, self.relay = primary, relay
        self.replica = Node(program, folder, free_port(), ["--replicaof", HOST, relay.port])

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.primary.port}/0"

    async def attach(self) -> None:
        """Starts the replica, and waits until it has acknowledged something."""
        await asyncio.to_thread(self.replica.start)
        await asyncio.to_thread(until, self._acknowledges, "the replica follows")
        self.primary.ask("CONFIG", "RESETSTAT")

    def follows(self) -> bool:
        replicas = [value for value in self.info().values() if isinstance(value, dict)]
        return any(one.get("state") == "online" and one["offset"] > 0 for one in replicas)

    def _acknowledges(self) -> bool:
        with self.primary.client() as client:
            client.set("attached", 1)  # there is nothing to acknowledge before the first write
            return int(client.wait(1, 1_000)) == 1 and self.follows()

    def lag(self) -> None:
        """Holds back what the primary sends to the replica, and what the replica acknowledges."""
        self.relay.fall_silent()

    def catch_up(self) -> None:
        self.relay.fall_silent(lambda _source: False)

    def fail_over(self) -> None:
        """Kills the primary, together with what has not arrived at the replica, which takes over."""
        self.lag()
        self.primary.kill()
        self.relay.cut()
        self.replica.ask("REPLICAOF", "NO", "ONE")

    def waits(self) -> int:
        """How often WAIT was run on the primary."""
        with self.primary.client() as client:
            return int(client.info("commandstats").get("cmdstat_wait", {}).get("calls", 0))

    def writes(self) -> int:
        """How many changes the primary has made; WAIT itself sends something to replicas, too."""
        with self.primary.client() as client:
            return int(client.info("persistence")["rdb_changes_since_last_save"])

    def info(self) -> dict[str, Any]:
        with self.primary.client() as client:
            return dict(client.info("replication"))


@asynccontextmanager
async def started(program: Path, folder: Path, *options: object) -> AsyncIterator[ReplicatedServers]:
    primary = Node(program, folder, free_port(), options)
    primary.start()
    async with Relay(primary.port) as relay:
        servers = ReplicatedServers(program, folder, relay, primary)
        try:
            yield servers
        finally:
            servers.replica.kill()
            primary.kill()
