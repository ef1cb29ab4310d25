"""Restart the demo's dead workers, and report which one took over."""

import asyncio
import signal
from contextlib import suppress
from functools import partial

from conferral import output
from conferral.demo.phones import DemoPhones
from conferral.demo.polling import poll_until
from conferral.demo.subprocesses import POLL_EVERY_S, Subprocess, Subprocesses
from conferral.errors import CommandNotDoneError
from conferral.operations.health import Health, read_health
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.errors import StoreError

#: Delay before a dead worker restarts, so that the takeover becomes visible, in seconds.
RESTART_AFTER_S = 10.0
RESTART_ALONE_AFTER_S = 1.0


class DemoWorkers:
    """The demo's workers."""

    def __init__(self, children: Subprocesses, reader: SessionQueries, phones: DemoPhones) -> None:
        self._workers = children.restarted
        self._reader = reader
        self._phones = phones
        self.deaths = 0

    async def run(self) -> None:
        """Restart workers that die, until canceled."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep_running(worker))

    async def _keep_running(self, worker: Subprocess) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            while not worker.has_ended:  # noqa: ASYNC110  # a process's exit sets no event
                await asyncio.sleep(POLL_EVERY_S)
            self.deaths += 1
            died_s, pid = clock(), worker.process.pid
            others = [one.name for one in self._workers if not one.has_ended]
            pause_s = RESTART_AFTER_S if others else RESTART_ALONE_AFTER_S
            code = worker.process.returncode or 0
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"
            await self._report(
                f"{worker.name} (process {pid}) {how}; "
                f"{' and '.join(others) or 'no other worker'} takes over. {worker.name} restarts in {pause_s:g} s."
            )
            if others and await poll_until(partial(self._is_taken_over, pid), pause_s):
                await self._report(f"Every call has a worker again {clock() - died_s:.1f} s after process {pid} ended.")
            await asyncio.sleep(max(0.0, pause_s - (clock() - died_s)))
            worker.restart()
            await self._report(f"{worker.name} runs again (process {worker.process.pid}).")

    async def _is_taken_over(self, pid: int) -> bool:
        with suppress(StoreError):
            return is_uninvolved(await read_health(self._reader), pid)
        return False

    async def _report(self, line: str) -> None:
        output.print_folded(line, 2)
        with suppress(CommandNotDoneError):  # other code notices the sandbox's end
            await self._phones.notice(line)


def is_uninvolved(health: Health, pid: int) -> bool:
    """Whether other processes hold every partition and route commands."""
    holders = [one.holder.name for one in health.partitions] + [health.router.name]
    return all(name and f"-{pid}-" not in name for name in holders)
