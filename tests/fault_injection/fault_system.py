"""A local system that records, for faults: what was decided, and who was alone for how long."""

from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.primary import Primary
from conferral.worker.process import make_policy
from tests.support.decisions import Decisions, keeping
from tests.support.failovers import Servers
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import DEADLINE_S, FAST, LocalSystem
from tests.support.redis_server import RedisServer

#: How long the lease of a worker lasts that is going to be killed, milliseconds: the others wait as long.
SHORT_LEASE_MS = 1_000
#: For a second worker that takes over all that a first one has: with one partition, the first keeps it until then.
TWO_WORKERS = {"workers": 0, "CONFERRAL_PARTITIONS": 1, "CONFERRAL_CONVERT_TIMEOUT": 20}
#: `CONFERRAL_SWEEP_INTERVAL` of these systems, seconds.
SWEEP_S = 2


class FaultSystem(LocalSystem):
    """A `LocalSystem` that records what `assert_invariants` needs.

        async with FaultSystem(server) as system:
            customer, agent = await system.talking()
            ...                                         # the fault, and everyone hangs up
            await assert_invariants(system)

    Args:
        server: The Redis.
        redis_url: How webhooks, workers, and the test reach it; by default directly.
        worker_url: How workers of this process reach it; by default as all do.
        options: Those of a `LocalSystem`.
    """

    def __init__(
        self,
        server: RedisServer | Servers,
        *,
        redis_url: str = "",
        worker_url: str = "",
        **options: Any,
    ) -> None:
        super().__init__(redis_url or server.url, **{"CONFERRAL_SWEEP_INTERVAL": SWEEP_S} | options)
        self.decisions = Decisions()
        if worker_url:
            self.worker_options["redis"] = elsewhere(worker_url)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as keeping_on:
            keeping_on.enter_context(keeping(self.decisions.keep))
            await super().__aenter__()
            self._until_the_end = keeping_on.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with self._until_the_end:
            await super().__aexit__(*exc)

    def worker_process(
        self,
        folder: Path,
        name: str,
        *,
        lease_ms: int = SHORT_LEASE_MS,
        redis_url: str = "",
        twilio_url: str = "",
        **doom: Any,
    ) -> ForkedWorker:
        """A worker process that may be made to die, and may have its own connections to Redis and Twilio."""
        policy = asdict(replace(make_policy(self.settings), **FAST))
        decisions = folder / f"{name}.decisions"
        self.decisions.files.append(decisions)
        ways = {"REDIS_URL": redis_url, "TWILIO_API_URL": twilio_url}
        changes = {name: url for name, url in ways.items() if url}
        return ForkedWorker(
            self, folder, name, lease_ms=lease_ms, policy=policy, decisions_file=str(decisions), changes=changes, **doom
        )

    async def comes_to_rest(self) -> None:
        """Waits until nothing is left, and nothing more is on its way from Twilio that could change a log."""
        await self.settled()
        await self.sandbox.wait_until_idle(DEADLINE_S)
        await self.settled()

    async def nothing_under_way(self) -> None:
        """Waits until everything is decided and done, though calls go on."""
        await self.eventually(self.under_way, "nothing is under way", equals=0)

    async def workers_are_up(self, count: int) -> None:
        """Waits until so many workers have shown themselves."""
        await self.eventually(lambda: self.client.zcard(self.keys.workers), f"{count} workers are up", equals=count)

    async def everything_is_held(self) -> None:
        """Waits until every partition and the router's task have an owner."""
        await self.eventually(self.all_held, "every lease has an owner")


def elsewhere(real_url: str) -> Any:
    """Makes clients that connect to another address than the configured one."""

    def make(_url: str, _primary: Primary, *, blocking: bool = False, max_connections: int = 64) -> Client:
        return make_client(real_url, blocking=blocking, max_connections=max_connections)

    return make
