"""What a Redis in memory keeps and answers: replies as the protocol has them, sorted sets, streams, their ids."""

from bisect import bisect_left, bisect_right, insort
from typing import Any

Reply = Any  # bytes, Status, int, None, or a list of replies
EntryId = tuple[int, int]

FIRST_ID: EntryId = (0, 0)
LAST_ID: EntryId = (2**64 - 1, 2**64 - 1)


class Refusal(Exception):  # noqa: N818  # as Redis speaks: a reply, not a failure of ours
    """An error reply, with Redis's word for it in front: `WRONGTYPE Operation against …`."""


class UnsupportedError(Exception):
    """Redis knows what was asked for, but nothing of ours asks for it: it would have to be built first."""


class Status(bytes):
    """A simple string, such as OK: scripts see it as a table, clients as bytes."""

    __slots__ = ()


OK = Status(b"OK")


class Members(dict[bytes, None]):
    """A set: in the order in which its members came, so that nothing depends on hashes."""

    __slots__ = ()


class SortedSet:
    """Members by score, and by their bytes where scores are equal."""

    __slots__ = ("order", "scores")

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def put(self, member: bytes, score: float) -> None:
        """Adds a member or changes its score."""
        before = self.scores.get(member)
        if before is not None:
            if before == score:
                return
            del self.order[bisect_left(self.order, (before, member))]
        self.scores[member] = score
        insort(self.order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Takes a member out; False when it was not in."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        del self.order[bisect_left(self.order, (score, member))]
        return True

    def copy(self) -> "SortedSet":
        """One that changes on its own."""
        other = SortedSet()
        other.scores = dict(self.scores)
        other.order = list(self.order)
        return other


class Stream:
    """Entries in the order of their ids. Taking the oldest out costs nothing, however many follow."""

    __slots__ = ("added", "entries", "first", "groups", "ids", "last_id", "max_deleted")

    def __init__(self) -> None:
        self.ids: list[EntryId] = []
        #: Where the oldest entry stands in `ids`; what is before was taken out.
        self.first = 0
        #: Id as text, and fields and values one after the other.
        self.entries: dict[EntryId, list[Any]] = {}
        self.last_id = FIRST_ID
        self.max_deleted = FIRST_ID
        self.added = 0
        #: Positions of consumer groups that no one reads with.
        self.groups: dict[bytes, EntryId] = {}

    def append(self, entry_id: EntryId, fields: list[bytes]) -> bytes:
        """Adds an entry whose id is higher than all before; its id as text."""
        text = b"%d-%d" % entry_id
        self.ids.append(entry_id)
        self.entries[entry_id] = [text, fields]
        self.last_id = entry_id
        self.added += 1
        return text

    def delete(self, entry_id: EntryId) -> bool:
        """Takes one entry out; False when there is none."""
        if self.entries.pop(entry_id, None) is None:
            return False
        self.max_deleted = max(self.max_deleted, entry_id)
        if self.ids[self.first] == entry_id:
            self._drop_first()
        else:
            del self.ids[bisect_left(self.ids, entry_id, self.first)]
        return True

    def trim(self, most: int) -> int:
        """Takes the oldest out until no more than `most` are left; how many."""
        surplus = max(0, len(self.entries) - most)
        for _ in range(surplus):
            del self.entries[self.ids[self.first]]
            self._drop_first()
        return surplus

    def between(self, low: EntryId, high: EntryId, count: int | None, *, newest_first: bool = False) -> list[Any]:
        """Entries from `low` to `high`, both included."""
        start, end = bisect_left(self.ids, low, self.first), bisect_right(self.ids, high, self.first)
        if count is not None:
            start, end = (max(start, end - count), end) if newest_first else (start, min(end, start + count))
        found = [self.entries[entry_id] for entry_id in self.ids[start:end]]
        return found[::-1] if newest_first else found

    def after(self, entry_id: EntryId, count: int | None) -> list[Any]:
        """The oldest entries behind an id."""
        if entry_id >= self.last_id:
            return []
        start = self.first if entry_id == FIRST_ID else bisect_right(self.ids, entry_id, self.first)
        end = len(self.ids) if count is None else start + count
        return [self.entries[found] for found in self.ids[start:end]]

    @property
    def first_id(self) -> EntryId:
        """Id of the oldest entry, 0-0 when there is none."""
        return self.ids[self.first] if self.entries else FIRST_ID

    def copy(self) -> "Stream":
        """One that changes on its own."""
        other = Stream()
        other.ids = self.ids[self.first :]
        other.entries = dict(self.entries)  # entries themselves never change
        other.last_id, other.max_deleted, other.added = self.last_id, self.max_deleted, self.added
        other.groups = dict(self.groups)
        return other

    def _drop_first(self) -> None:
        self.first += 1
        if self.first > 64 and self.first * 2 > len(self.ids):
            del self.ids[: self.first]
            self.first = 0


def entry_id_of(text: bytes, *, missing_sequence: int = 0) -> EntryId:
    """An id as it is written, `MS-SEQ` or `MS` alone."""
    ms, _, sequence = text.partition(b"-")
    return int(ms), int(sequence) if sequence else missing_sequence


def score_text(score: float) -> bytes:
    """A score as Redis 7.0 writes it."""
    return b"%.17g" % score
