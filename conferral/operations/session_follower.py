"""Follows all live sessions while anyone subscribes, and polls for all.

It reads only sessions whose version has changed, and nothing without a new commit: a thousand idle calls cost nothing,
and a hundred subscribers cost no more than one.
"""

import asyncio
from abc import ABC, abstractmethod
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from conferral.operations.redis_access import RedisAccess
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.session import Session
from conferral.storage.connection.client import CHUNK

POLL_EVERY_S = 0.25
#: Longest backoff while Redis is unreachable.
BACK_OFF_MAX_S = 5.0
#: Sessions or log entries that are handled or sent at once (count): callers, and other readers, wait meanwhile.
AT_ONCE = 50
#: Polls after which versions are read even without commits, to notice hashes edited by hand.
EXTRA_READ_EVERY_POLLS = 20


@dataclass(frozen=True, eq=False)
class FollowedSession:
    """A session as last read; a change makes a new one."""

    session: Session


T = TypeVar("T", bound=FollowedSession)


class SessionFollower(ABC, Generic[T]):
    """Polls, keeps live sessions, and wakes subscribers.

    A subclass chooses what to keep of a session, and what to do with a change.
    """

    def __init__(self, redis: RedisAccess) -> None:
        self._redis = redis
        self._subscribers: set[asyncio.Event] = set()
        #: A shorter pause between two polls, if a subscriber needs one.
        self.poll_every_s: float | None = None
        self._task: asyncio.Task[None] | None = None
        #: Increases with every change of a session.
        self.revision = 0
        self._reset()

    def _reset(self) -> None:
        #: The live sessions by id.
        self.live: dict[str, T] = {}
        #: The sessions of each partition that ended last.
        self._ended_last: set[str] = set()
        self._marks: list[str] = []
        self._polls = 0
        self.is_loaded = False
        #: Why the last poll failed; empty if it didn't.
        self.redis_error = ""

    @abstractmethod
    def keep(self, session: Session) -> T:
        """Return what is kept of a session."""

    @abstractmethod
    def on_change(self, name: str, followed: T | None, /) -> None:
        """Called with each change, the end last; with None if Redis lost it."""

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

    @staticmethod
    def _report(error: BaseException) -> None:
        """Report a bug, as of a task that no one awaits."""
        message = {"message": "following sessions failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(message)

    async def _poll_while_subscribed(self) -> None:
        """Poll, and wake subscribers; without Redis, pauses double."""
        pause_s = 0.0
        while self._subscribers:
            before = (self.revision, self.redis_error, self._marks)
            try:
                with catch_unexpected(StoreError) as failure:
                    await self._poll()
                self.redis_error = failure.reason
                if failure.unexpected is not None:
                    self._report(failure.unexpected)
            except StoreError as error:
                log_unreachable(error, task="session_feed")
                self.redis_error = str(error)
                self._redis.reload_config()
            usual_s = self.poll_every_s or POLL_EVERY_S
            pause_s = min(BACK_OFF_MAX_S, max(usual_s, pause_s * 2)) if self.redis_error else usual_s
            if (self.revision, self.redis_error, self._marks) != before:
                for wake in self._subscribers:
                    wake.set()
            await asyncio.sleep(pause_s)

    async def _poll(self) -> None:
        """Read what has changed; each commit changes its partition's mark."""
        # Read the marks first: the next poll then finds commits made in between.
        marks = await self._redis.run(lambda reader: reader.commit_marks())
        if len(marks) != len(self._marks):  # Redis was set up again, or this is the first poll
            self.live.clear()
            self.is_loaded = False
        if not self.is_loaded or self._polls % EXTRA_READ_EVERY_POLLS == 0:
            await self._read_changes(frozenset(range(len(marks))))
        elif marks != self._marks:
            pairs = enumerate(zip(marks, self._marks, strict=True))
            await self._read_changes(frozenset(number for number, (mark, before) in pairs if mark != before))
        if not self.is_loaded:
            self.is_loaded = True
            self.revision += 1
        self._marks, self._polls = marks, self._polls + 1

    async def _read_changes(self, partitions: frozenset[int]) -> None:
        """Read what has changed in partitions, or is no longer live there."""
        versions = await self._redis.run(lambda reader: reader.live_versions(partitions))
        # Some sessions begin and end between two polls.
        ended = set(await self._redis.run(lambda reader: reader.last_ended_ids(partitions)))
        partition_of = (await self._redis.reader()).keys.partition_of
        live = {name for name in self.live if partition_of(name) in partitions}
        removed = (live - versions.keys()) | (ended - self._ended_last if self.is_loaded else set())
        known = {name: str(self.live[name].session.version) for name in live}
        wanted = [name for name, version in versions.items() if name not in removed and known.get(name) != version]
        names = [*wanted, *removed]
        sessions: dict[str, Session] = {}
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            sessions |= await self._redis.limiter((await self._redis.reader()).read_sessions(some))
        # Redis may fail up to here: each change then counts with a later poll, and only once.
        for count, name in enumerate(names, start=1):
            session, is_live = sessions.get(name), name not in removed
            followed = self.keep(session) if session is not None and session.is_ended is not is_live else None
            if not is_live:
                self.live.pop(name, None)
            elif followed is None:
                continue  # it has just ended: the next poll reads it again
            else:
                self.live[name] = followed
            self.on_change(name, followed)
            self.revision += 1
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._ended_last = ended | {name for name in self._ended_last if partition_of(name) not in partitions}
