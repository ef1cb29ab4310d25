"""The way to Redis: a server in memory that is restarted and loses writes, and clients that can be killed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from conferral.storage.connection.client import BLOCK_TIMEOUT_S, COMMAND_TIMEOUT_S
from tests.simulation.plan import Plan
from tests.simulation.virtual_loop import Process, VirtualLoop
from tests.support.memory_redis import Fault, MemoryClient, MemoryServer
from tests.support.memory_redis.values import Reply

#: What a refused command meets, the usual one several times.
_REFUSALS = (Fault.UNREACHABLE,) * 5 + (Fault.LOADING, Fault.READ_ONLY, Fault.FULL, Fault.SILENT, Fault.FORBIDDEN)
_LOST = (Fault.REPLY_LOST,) * 5 + (Fault.SILENT_AFTER,)


class Network:
    """One server and the ways to it.

    Attributes:
        server: The server.
        counts: What went wrong, by name.
        committed: Called with the sessions of every stored commit, at that moment.
    """

    def __init__(self, loop: VirtualLoop, plan: Plan, now_ms: Callable[[], int]) -> None:
        self.counts: Counter[str] = Counter()
        self.committed: Callable[[Iterable[str]], None] = lambda _session_ids: None
        self.server = _WatchedServer(now_ms, self)
        self._loop = loop
        self._plan = plan
        self._chance = plan.chance("Redis")
        self._away = 0

    @property
    def values(self) -> dict[bytes, Any]:
        """All keys as they stand now."""
        return self.server.db.values

    @property
    def is_away(self) -> bool:
        """Whether it is down now."""
        return self._away > 0

    def client(self, process: Process | None, *, blocking: bool = False) -> MemoryClient:
        """A client for a process; for no one's, one that is never killed.

        Each process has its own line: up to twice as slow as the plan says, or as lossy, or less.
        """
        line = self._plan.chance(f"line of {process.name}") if process is not None else None
        slowness, loss = (line.uniform(0.0, 2.0), line.uniform(0.0, 2.0)) if line is not None else (1.0, 1.0)
        client = _Client(self, slowness, timeout_s=BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S)
        if self._plan.redis_refused or self._plan.redis_reply_lost:
            client.fault = lambda _name: self._fault(loss)
        if process is not None:
            process.when_dead(client.kill)
        return client

    def _fault(self, loss: float) -> Fault | None:
        drawn, refused = self._chance.random(), self._plan.redis_refused * loss
        if drawn >= refused + self._plan.redis_reply_lost * loss:
            return None
        fault = self._chance.choice(_REFUSALS if drawn < refused else _LOST)
        self.counts[f"Redis {fault.value}"] += 1
        return fault

    def travel_s(self, slowness: float) -> float:
        """How long one way takes: usually nothing that counts."""
        if not self._plan.redis_slow or self._chance.random() >= self._plan.redis_slow * slowness:
            return 0.0
        self.counts["Redis slow"] += 1
        return self._chance.uniform(0.0, self._plan.redis_slow_s)

    async def restart(self, away_s: float) -> None:
        """Down for a while, with nothing lost."""
        self._stop()
        await asyncio.sleep(away_s)
        self._start()

    async def lose_writes(self, *, last_s: float, away_s: float) -> None:
        """A failover: what was stored in the last `last_s` seconds is gone."""
        copy = self.server.db.snapshot()
        await asyncio.sleep(last_s)
        self.server.db.restore(copy)
        await self.restart(away_s)

    def _stop(self) -> None:
        self._away += 1
        self.server.stop()

    def _start(self) -> None:
        self._away -= 1
        if not self._away:
            self.server.start()


class _WatchedServer(MemoryServer):
    """Reports commits."""

    def __init__(self, now_ms: Callable[[], int], network: Network) -> None:
        super().__init__(now_ms)
        self._network = network

    def perform(
        self, commands: Sequence[list[bytes]], fault_of: Callable[[str], Fault | None] | None = None
    ) -> tuple[list[Reply], Fault | None]:
        """See `MemoryServer.perform`."""
        replies, fault = super().perform(commands, fault_of)
        for argv, reply in zip(commands, replies, strict=False):
            name = self.name_of(argv) if argv[0][:4] == b"EVAL" else ""
            if name == "commit_batch" and b":trial:" not in argv[3]:
                self._network.counts["commits"] += 1
                if isinstance(reply, list) and reply[0] == 1:
                    keys = argv[3 : 3 + int(argv[2])]
                    names = [key.partition(b":session:")[2].decode() for key in keys]
                    self._network.committed([name for name in names if name])
        return replies, fault


class _Client(MemoryClient):
    """A client whose commands may take their time."""

    def __init__(self, network: Network, slowness: float, *, timeout_s: float) -> None:
        super().__init__(network.server, timeout_s=timeout_s)
        self._network = network
        self._slowness = slowness

    async def exchange(self, commands: Sequence[list[bytes]]) -> list[Reply]:
        """See `MemoryClient.exchange`."""
        there_s, back_s = self._network.travel_s(self._slowness), self._network.travel_s(self._slowness)
        if there_s:
            await asyncio.sleep(there_s)
        epoch = self.server.epoch
        replies = await super().exchange(commands)
        if back_s:
            await asyncio.sleep(back_s)
            if epoch != self.server.epoch:
                raise RedisConnectionError("Connection closed by server.")
        return replies
