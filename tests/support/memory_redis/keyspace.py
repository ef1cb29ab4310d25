"""All keys of a Redis in memory, when they expire, and the table of the commands that work on them."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, TypeVar

from tests.support.memory_redis.values import Members, Refusal, Reply, SortedSet, Stream

_V = TypeVar("_V")
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NAMES = {bytes: b"string", dict: b"hash", list: b"list", Members: b"set", SortedSet: b"zset", Stream: b"stream"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a server held at one moment."""

    values: dict[bytes, Any]
    expires: dict[bytes, int]


class Keyspace:
    """Keys and values. A key that has expired is gone before the next command begins."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.values: dict[bytes, Any] = {}
        #: When keys expire, Unix milliseconds.
        self.expires: dict[bytes, int] = {}
        self._due: list[tuple[int, bytes]] = []
        #: Streams for which someone waits, with how many do, and those of them that have got an entry since.
        self.waited: dict[bytes, int] = {}
        self.ready: dict[bytes, None] = {}

    # ---- values --------------------------------------------------------------------------------------------------

    def string(self, key: bytes) -> bytes | None:
        """The string of a key; None when there is no such key."""
        value = self.values.get(key)
        if value is not None and type(value) is not bytes:
            raise Refusal(WRONG_TYPE)
        return value

    def hash(self, key: bytes) -> dict[bytes, bytes] | None:
        """The same of a hash."""
        value = self.values.get(key)
        if value is not None and type(value) is not dict:
            raise Refusal(WRONG_TYPE)
        return value

    def set(self, key: bytes) -> Members | None:
        """The same of a set."""
        return self._typed(key, Members)

    def sorted_set(self, key: bytes) -> SortedSet | None:
        """The same of a sorted set."""
        return self._typed(key, SortedSet)

    def list_of(self, key: bytes) -> list[bytes] | None:
        """The same of a list."""
        return self._typed(key, list)

    def stream(self, key: bytes) -> Stream | None:
        """The same of a stream."""
        return self._typed(key, Stream)

    def _typed(self, key: bytes, kind: type[_V]) -> _V | None:
        value: _V | None = self.values.get(key)
        if value is not None and type(value) is not kind:
            raise Refusal(WRONG_TYPE)
        return value

    def remove(self, key: bytes) -> bool:
        """Takes a key out; False when there was none."""
        self.expires.pop(key, None)
        return self.values.pop(key, None) is not None

    def noted_entry(self, key: bytes) -> None:
        """Remembers that a stream has got an entry, when someone waits for one."""
        if key in self.waited:
            self.ready[key] = None

    # ---- time ----------------------------------------------------------------------------------------------------

    def expire_at(self, key: bytes, when_ms: int) -> None:
        """Sets when a key that exists expires."""
        self.expires[key] = when_ms
        heappush(self._due, (when_ms, key))

    def forget_expired(self) -> None:
        """Takes out every key whose time is over."""
        due = self._due
        if not due:
            return
        now_ms = self.now_ms()
        while due and due[0][0] < now_ms:
            when_ms, key = heappop(due)
            if self.expires.get(key) == when_ms:
                self.remove(key)

    # ---- all of it -----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Takes everything out."""
        self.values.clear()
        self.expires.clear()
        self._due.clear()

    def snapshot(self) -> Snapshot:
        """A copy of everything."""
        return Snapshot({key: copied(value) for key, value in self.values.items()}, dict(self.expires))

    def restore(self, snapshot: Snapshot) -> None:
        """Puts everything as it was; the snapshot can be used again."""
        self.values = {key: copied(value) for key, value in snapshot.values.items()}
        self.expires = dict(snapshot.expires)
        self._due = sorted((when_ms, key) for key, when_ms in self.expires.items())


def copied(value: Any) -> Any:
    """A value that changes on its own."""
    return value if type(value) is bytes else value.copy() if not isinstance(value, Members) else Members(value)


Handler = Callable[[Keyspace, list[bytes]], Reply]


@dataclass(frozen=True, slots=True)
class Command:
    """One command, with what Redis itself knows of it (`COMMAND INFO`)."""

    run: Handler
    writes: bool = False
    #: Whether a full Redis refuses it.
    grows: bool = False


COMMANDS: dict[bytes, Command] = {}


def command(name: str, *, writes: bool = False, grows: bool = False) -> Callable[[Handler], Handler]:
    """Puts a function into the table of commands.

    Args:
        name: The command, of one word or two.
        writes: Whether it changes anything.
        grows: Whether a full Redis refuses it.
    """

    def noted(handler: Handler) -> Handler:
        COMMANDS[name.encode()] = Command(handler, writes or grows, grows)
        return handler

    return noted
