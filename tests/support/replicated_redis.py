"""A primary, and a replica that follows it through a relay, which can hold back what the primary sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import HOST, free_port
from tests.support.redis_node import Node, until
from tests.support.tcp_relay import Relay


class ReplicatedServers:
    """A primary, and a replica behind a relay."""

    def __init__(self, program: Path, folder: Path, relay: Relay, primary: Node) -> None:
        self.primary, self.relay = primary, relay
        self.replica = Node(program, folder, free_port(), ["--replicaof", HOST, relay.port])

    async def attach(self) -> None:
        """Starts the replica, and waits until it follows."""
        await asyncio.to_thread(self.replica.start)
        await asyncio.to_thread(until, self.follows, "the replica follows")

    def follows(self) -> bool:
        return any(value.get("state") == "online" for value in self._info().values() if isinstance(value, dict))

    def lag(self) -> None:
        """Holds back what the primary sends to the replica."""
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

    def offset(self) -> int:
        return int(self._info()["master_repl_offset"])

    def _info(self) -> dict[str, Any]:
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
