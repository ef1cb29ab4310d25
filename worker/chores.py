"""Chores: writes to our own keys that a commit ordered and that lie outside its slot. They never wait for Twilio."""

import asyncio

import structlog

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.effect_codec import Chore
from conferral.storage.partition import PartitionAccess

log = structlog.get_logger()

#: Pause after Redis could not be reached, seconds.
PAUSE_S = 0.2


class Chores:
    """The chores of one partition. Each may be repeated; what is not done stays in the outbox for the next holder."""

    def __init__(self, partition: int, access: PartitionAccess, *, session_ttl_s: int) -> None:
        self._partition = partition
        self._access = access
        self._session_ttl_s = session_ttl_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self, chore: Chore) -> None:
        """Takes a chore on; returns at once."""
        task = asyncio.get_running_loop().create_task(self._do(chore))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """From here on nothing is waited for that Redis does not take at once."""
        self._is_stopping = True

    async def finished(self) -> None:
        """Waits for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            # A chore leaves the set by a callback, which has its turn now.
            await asyncio.sleep(0)

    async def _do(self, chore: Chore) -> None:
        while True:
            try:
                await self._access.finish_chore(self._partition, chore, session_ttl_s=self._session_ttl_s)
            except StoreUnreachableError:
                if self._is_stopping:
                    return
                await asyncio.sleep(PAUSE_S)
            except StoreError as error:
                # One of its keys is another program's: nothing will change that.
                log.error("chore_refused", partition=self._partition, session_id=chore.session_id, reason=str(error))
                if await self._is_put_aside(chore):
                    return
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _is_put_aside(self, chore: Chore) -> bool:
        """Whether there is nothing more to do about a write that Redis refuses."""
        try:
            await self._access.put_chore_aside(self._partition, chore, "Redis refuses one of its keys")
        except StoreUnreachableError:
            return self._is_stopping
        except StoreError:
            return True  # the dead letters are another program's too: it stays in the outbox
        return True
