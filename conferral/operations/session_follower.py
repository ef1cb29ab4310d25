"""Follows all live sessions while anyone subscribes, and polls for all.

It queries only partitions with new commits, and reads only sessions whose version has changed: a thousand idle calls
cost nothing, and a hundred subscribers cost no more than one.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from conferral.operations.redis_access import RedisAccess
from conferral.operations.session_queries import CHUNK
from conferral.runtime.error_boundary import catch_unexpected, reason_of
from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.storage.codecs.session_codec import UNKNOWN_SESSION, StoredSession

POLL_EVERY_S = 0.25
#: Longest backoff while Redis is unreachable.
BACK_OFF_MAX_S = 5.0
#: Sessions or log entries that are handled or sent at once (count): callers, and other readers, wait meanwhile.
AT_ONCE = 50
#: Polls after which one partition is read even without commits, to notice hashes edited by hand.
EXTRA_PARTITION_EVERY_POLLS = 4


@dataclass(frozen=True, eq=False)
class FollowedSession:
    """A session as last read; a change makes a new one."""

    session: StoredSession


T = TypeVar("T", bound=FollowedSession)


class SessionFollower(ABC, Generic[T]):
    """Polls, keeps live sessions, and wakes subscribers.

    A subclass chooses what to keep of a session, and what to do with a change.
    """

    def __init__(self, redis: RedisAccess) -> None:
        self._redis = redis
        self._subscribers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        #: Increases with every change of a session.
        self.revision = 0
        self._reset()

    def _reset(self) -> None:
        #: The live sessions by id.
        self.live: dict[str, T] = {}
        self._by_partition: dict[int, set[str]] = {}
        #: When the last session of each partition ended, Unix milliseconds.
        self._newest_end_ms: dict[int, float] = {}
        self._marks: list[str] = []
        self._polls = 0
        self.is_loaded = False
        #: Why the last poll failed; empty if it didn't.
        self.redis_error = ""

    @abstractmethod
    def _keep(self, session: StoredSession) -> T:
        """Return what is kept of a session."""

    @abstractmethod
    def _on_change(self, name: str, followed: T | None, /) -> None:
        """Handle a change, the last of which is the end; None if Redis lost it."""

    def subscribe(self, wake: asyncio.Event) -> None:
        """Set `wake` at every change; the first subscriber starts polling."""
        self._subscribers.add(wake)
        if self._task is None or self._task.done():
            self._reset()
            # Its log lines belong to no subscriber's trace.
            self._task = asyncio.get_running_loop().create_task(self._poll_while_subscribed(), context=Context())
            self._task.add_done_callback(self._on_polling_ended)

    def unsubscribe(self, wake: asyncio.Event) -> None:
        """Unsubscribe; polling stops with the last subscriber."""
        self._subscribers.discard(wake)

    async def close(self) -> None:
        """Stop polling."""
        self._subscribers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _on_polling_ended(self, task: "asyncio.Task[None]") -> None:
        if self._task is task:  # otherwise, a new subscriber has started another task
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    def _report(self, unexpected: BaseException | None) -> str:
        """Report a bug, if any, as of a task that no one awaits; return its kind."""
        if unexpected is None:
            return ""
        message = {"message": "following sessions failed", "exception": unexpected}
        asyncio.get_running_loop().call_exception_handler(message)
        return reason_of(unexpected)

    async def _poll_while_subscribed(self) -> None:
        """Poll, and wake subscribers; without Redis, pauses double."""
        pause_s = POLL_EVERY_S
        while self._subscribers:
            before = (self.revision, self.redis_error, self._marks)
            try:
                with catch_unexpected(StoreError) as polling:
                    await self._poll()
                self.redis_error = self._report(polling.unexpected)
            except StoreError as error:
                log_unreachable(error, task="session_feed")
                self.redis_error = str(error)
                self._redis.reload_config()
            pause_s = min(BACK_OFF_MAX_S, pause_s * 2) if self.redis_error else POLL_EVERY_S
            if (self.revision, self.redis_error, self._marks) != before:
                for wake in self._subscribers:
                    wake.set()
            await asyncio.sleep(pause_s)

    async def _poll(self) -> None:
        """Read what has changed; each commit changes its partition's mark."""
        # Read the marks first: the next poll then finds commits made in between.
        marks = await self._redis.run(lambda reader: reader.commit_marks())
        if len(marks) != len(self._marks):
            changed = list(range(len(marks)))
            self.live.clear()
            self._by_partition = {number: set() for number in changed}
            self._newest_end_ms = dict.fromkeys(changed, -math.inf)
            self.revision += 1
        else:
            turn, rest = divmod(self._polls, EXTRA_PARTITION_EVERY_POLLS)
            extra = -1 if rest else turn % len(marks)
            changed = [number for number, mark in enumerate(marks) if mark != self._marks[number] or number == extra]
        await self._poll_partitions(changed)
        if not self.is_loaded:
            self.is_loaded = True
            self.revision += 1
        self._marks, self._polls = marks, self._polls + 1

    async def _poll_partitions(self, partitions: list[int]) -> None:
        """Read sessions whose version has changed, or that are no longer live."""
        if not partitions:
            return
        versions = await self._redis.run(lambda reader: reader.live_versions(partitions))
        # Some sessions begin and end between two polls.
        since_ms = {number: self._newest_end_ms[number] for number in partitions}
        ends = await self._redis.run(lambda reader: reader.ends_since(since_ms))
        wanted: list[str] = []
        removed: set[str] = set()
        for number, found in versions.items():
            ended = set() if since_ms[number] == -math.inf else ends[number].keys()
            removed |= self._by_partition[number] - found.keys() | ended
            known = {name: self.live[name].session.fields.get("version", "") for name in found if name in self.live}
            wanted += [name for name, version in found.items() if name not in ended and known.get(name) != version]
        names = [*wanted, *removed]
        sessions: dict[str, StoredSession] = {}
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            sessions |= await self._redis.limiter((await self._redis.reader()).read_sessions(some))
        # Redis may fail up to here: each change then counts with a later poll, and only once.
        for count, name in enumerate(names, start=1):
            session, is_live = sessions.get(name, UNKNOWN_SESSION), name not in removed
            followed = self._keep(session) if session.is_known and session.is_ended is not is_live else None
            if not is_live:
                self.live.pop(name, None)
            elif followed is None:
                continue  # it has just ended: the next poll reads it again
            else:
                self.live[name] = followed
            self._on_change(name, followed)
            self.revision += 1
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        for number, found in versions.items():
            self._by_partition[number] = found.keys() - removed
            self._newest_end_ms[number] = max(ends[number].values(), default=max(since_ms[number], 0))
