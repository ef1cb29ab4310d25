"""Chores: writes to our own keys that a commit ordered and that lie outside its slot. They never wait for Twilio."""

import asyncio

import structlog

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.codecs.effect_codec import PostCommitWrite
from conferral.storage.partition.partition_store import PartitionStore

log = structlog.get_logger()

#: Pause after Redis could not be reached, seconds.
PAUSE_S = 0.2


class PostCommitWrites:
    """The chores of one partition. Each may be repeated; what is not done stays in the outbox for the next holder."""

    def __init__(self, partition: int, access: PartitionStore, *, session_ttl_s: int) -> None:
        self._partition = partition
        self._access = access
        self._session_ttl_s = session_ttl_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self, write: PostCommitWrite) -> None:
        """Takes a chore on; returns at once."""
        task = asyncio.get_running_loop().create_task(self._run(write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """From here on nothing is waited for that Redis does not take at once."""
        self._is_stopping = True

    async def wait_finished(self) -> None:
        """Waits for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            # A chore leaves the set by a callback, which has its turn now.
            await asyncio.sleep(0)

    async def _run(self, write: PostCommitWrite) -> None:
        while True:
            try:
                await self._access.finish_write(self._partition, write, session_ttl_s=self._session_ttl_s)
            except StoreUnreachableError:
                if self._is_stopping:
                    return
                await asyncio.sleep(PAUSE_S)
            except StoreError as error:
                # One of its keys is another program's: nothing will change that.
                log.error(
                    "post_commit_write_failed",
                    partition=self._partition,
                    session_id=write.session_id,
                    reason=str(error),
                )
                if await self._dead_letter(write):
                    return
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _dead_letter(self, write: PostCommitWrite) -> bool:
        """Whether there is nothing more to do about a write that Redis refuses."""
        try:
            await self._access.dead_letter_write(self._partition, write, "Redis refuses one of its keys")
        except StoreUnreachableError:
            return self._is_stopping
        except StoreError:
            return True  # the dead letters are another program's too: it stays in the outbox
        return True
