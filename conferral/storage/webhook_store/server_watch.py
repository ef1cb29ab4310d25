"""Whether the server that has the keys restarted or failed over recently."""

import asyncio

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.storage.connection.client import Client
from conferral.storage.server import server_identity

#: How long Redis's data may be stale after a restart or failover, seconds.
RECENT_RESTART_S = 60.0
SERVER_CHECK_EVERY_S = 1.0


class ServerWatch:
    """Watches the identity of the server that a client talks to."""

    def __init__(self, client: Client, key: str, clock: Clock) -> None:
        self._client = client
        self._key = key
        self._clock = clock
        self._run_id = ""
        self._changed_at_s: float | None = None
        self._is_unknown = True

    def mark_unknown(self) -> None:
        """Expect another server: this one did not answer, so it may be replaced."""
        self._is_unknown = True

    def has_changed_recently(self) -> bool:
        """Whether Redis restarted or failed over recently, or may have."""
        if self._is_unknown:
            return True
        return self._changed_at_s is not None and self._clock.monotonic_s() - self._changed_at_s < RECENT_RESTART_S

    async def run(self, stop: asyncio.Event) -> None:
        """Check at intervals which server answers, until the process stops."""
        while not stop.is_set():
            try:
                await self.check()
            except StoreError:
                self._is_unknown = True
            await wait_at_most(stop, SERVER_CHECK_EVERY_S)

    async def check(self) -> None:
        """Compare the run id; the first time, judge by a short uptime."""
        run_id, up_s = await server_identity(self._client, self._key)
        now_s = self._clock.monotonic_s()
        self._is_unknown = not run_id
        if not run_id:
            return
        if self._run_id and run_id != self._run_id:
            self._changed_at_s = now_s
        elif not self._run_id and up_s < RECENT_RESTART_S:
            self._changed_at_s = now_s - up_s
        self._run_id = run_id
