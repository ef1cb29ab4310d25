"""Dead letters as people deal with them: what lies there and why, put back or dropped, one by one or a whole reason."""

import builtins
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from conferral.operations import wording
from conferral.runtime.errors import ConferralError
from conferral.runtime.redaction import mask_numbers
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.queries.cursors import BadCursorError
from conferral.storage.queries.dead_letters import (
    CHUNK,
    LIMIT_MAX,
    SCANNED_MAX,
    DeadLetterStore,
    is_letter_id,
    shorten_reason,
)
from conferral.storage.queries.dead_letters import DeadLetter as StoredLetter

#: Fields whose values nobody is shown in any form.
_HIDDEN_FIELDS = frozenset({"call_token"})
#: SIDs, times and ids of entries: digits that are nobody's number.
_ID_OR_TIME = re.compile(
    r"((?<![A-Za-z0-9])(?:[A-Z]{2}[0-9a-f]{32}|\d{4}-\d\d-\d\dT[0-9:.]+Z|1\d{12}-\d{1,6})(?![A-Za-z0-9]))", re.ASCII
)
#: Longest value of a field that is shown (characters); letters may be of any size.
_VALUE_MAX = 500
_NOT_FOUND = "there is no such letter"
#: Fields of a letter that are shown (count).
_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, to be shown."""

    id: str
    #: When it was put aside, Unix milliseconds.
    at_ms: int
    #: Why.
    reason: str
    #: Where it came from: `commands`, `partition 3`, or the name of a stream that is none of these.
    source: str
    #: Its id there.
    entry_id: str
    #: Its type: a command's or an event's name; empty where it has none.
    type: str
    #: Of the session, as the entry names it; empty where it names none.
    session: str
    #: Why it can't be put back, in words; empty where it can.
    not_retryable_reason: str
    #: Its own fields, numbers cut to their last digits unless they are wanted whole.
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """One page of them, the newest first."""

    letters: tuple[DeadLetter, ...]
    #: Where the next page begins, opaque; empty when there is none.
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """The dead letters of one reason."""

    reason: str
    #: How many (count).
    count: int
    #: How many of them can be retried (count).
    retryable: int


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What has come of putting back or dropping."""

    #: How many (count).
    done: int
    #: Those that could not be, by id, with the reason.
    refused: dict[str, str]
    #: How many letters are left of all (count).
    left: int


class CountChanged(ConferralError):  # noqa: N818  # nothing is wrong: the question has to be asked again
    """There are more or fewer than whoever confirmed it was told; nothing was done.

    Attributes:
        count: How many there are now.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"there are {count} by now; nothing was done")
        self.count = count


class DeadLetters:
    """Lists, puts back and drops dead letters. Everything may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Binds the client.

        Args:
            client: For commands.
            keys: Names.
        """
        self._store = DeadLetterStore(client, keys)
        self._keys = keys

    async def count(self) -> int:
        """How many there are."""
        return await self._store.count()

    async def list(self, limit: int = 50, cursor: str = "", reason: str = "", *, full: bool = False) -> DeadLetterPage:
        """One page, the newest first. Only an empty cursor says that nothing follows.

        Args:
            limit: Most letters (count, 1 to 500).
            cursor: Of the page before; empty for the first.
            reason: Only those put aside for it; empty for all.
            full: Whether numbers are shown whole.

        Raises:
            BadCursorError: it is no cursor of this list.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise ValueError(f"limit must be 1 to {LIMIT_MAX}")
        if cursor and not is_letter_id(cursor):
            raise BadCursorError
        reason = shorten_reason(reason)
        found: list[DeadLetter] = []
        looked_at, last = 0, ""
        most = SCANNED_MAX if reason else limit + 1
        async for letter in self._store.newest_first(cursor, limit=most):
            if len(found) == limit:
                return DeadLetterPage(tuple(found), last)
            looked_at, last = looked_at + 1, letter.letter_id
            if reason in ("", letter.reason):
                found.append(self._displayed(letter, full=full))
        return DeadLetterPage(tuple(found), last if looked_at == most else "")

    async def find(self, letter_id: str, *, full: bool = False) -> DeadLetter | None:
        """Return one of them; None if there is no such letter."""
        found = await self._store.get([letter_id]) if is_letter_id(letter_id) else {}
        return self._displayed(found[letter_id], full=full) if letter_id in found else None

    async def groups(self) -> builtins.list[ReasonGroup]:
        """The reasons with how many letters each has, most first. Reads all of them."""
        counted: Counter[str] = Counter()
        retryable: Counter[str] = Counter()
        async for letter in self._store.newest_first():
            counted[letter.reason] += 1
            retryable[letter.reason] += not self._store.retry_problem(letter)
        found = [ReasonGroup(reason, count, retryable[reason]) for reason, count in counted.items()]
        return sorted(found, key=lambda group: (-group.count, group.reason))

    async def retry(self, ids: Sequence[str]) -> BulkResult:
        """Puts letters back to where they came from, the oldest first."""
        refused = {one: _NOT_FOUND for one in ids if not is_letter_id(one)}
        done = 0
        for one in sorted({one for one in ids if one not in refused}, key=_age_of):
            # Each is read only now: somebody else may have put it back or dropped it, and all may be too large to keep.
            letter = (await self._store.get([one])).get(one)
            if why_not := _NOT_FOUND if letter is None else await self._store.retry(letter):
                refused[one] = why_not
            else:
                done += 1
        return BulkResult(done, refused, await self._store.count())

    async def drop(self, ids: Sequence[str]) -> BulkResult:
        """Removes letters for good."""
        refused: dict[str, str] = {}
        done = 0
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            found = await self._store.get(some)
            refused |= {one: _NOT_FOUND for one in some if one not in found}
            done += await self._store.remove(found)
        return BulkResult(done, refused, await self._store.count())

    async def retry_all(self, reason: str = "", count: int | None = None) -> BulkResult:
        """Puts back all of a reason, or all.

        Args:
            reason: Empty for all.
            count: How many whoever confirmed it was told of; None where nobody was asked.

        Raises:
            CountChanged: there are more or fewer by now.
        """
        return await self.retry(await self._ids_with_reason(reason, count))

    async def drop_all(self, reason: str = "", count: int | None = None) -> BulkResult:
        """Removes all of a reason, or all. Arguments and errors as of `retry_all`."""
        return await self.drop(await self._ids_with_reason(reason, count))

    async def _ids_with_reason(self, reason: str, count: int | None) -> builtins.list[str]:
        letters, reason = self._store.newest_first(), shorten_reason(reason)
        found = [letter.letter_id async for letter in letters if reason in ("", letter.reason)]
        if count is not None and count != len(found):
            raise CountChanged(len(found))
        return found

    def _displayed(self, letter: StoredLetter, *, full: bool) -> DeadLetter:
        fields = letter.decoded_fields()
        return DeadLetter(
            id=letter.letter_id,
            at_ms=letter.at_ms,
            reason=letter.reason,
            source=self._source_of(letter.stream),
            entry_id=letter.entry_id,
            type=_mask(_mask_numbers(fields.get("type", ""), full=full)),
            session=_mask(_name(fields.get("session", ""), full=full)),
            not_retryable_reason=self._store.retry_problem(letter),
            fields={
                _mask(_mask_numbers(name, full=full)): _mask(_mask_numbers(value, full=full))
                for name, value in [*fields.items()][:_FIELDS_MAX]
                if name not in _HIDDEN_FIELDS
            },
        )

    def _source_of(self, stream: str) -> str:
        if stream == self._keys.commands:
            return "commands"
        streams = (number for number in range(self._keys.partitions) if self._keys.events(number) == stream)
        number = next(streams, None)
        return stream if number is None else f"partition {number}"


def _age_of(letter_id: str) -> tuple[int, int]:
    at_ms, _, number = letter_id.partition("-")
    return int(at_ms), int(number)


def _name(named: str, *, full: bool) -> str:
    """A session's name as the entry has it: some name sessions by a number, and ids may hold digits."""
    return wording.display_address(named, full=full) if named.startswith("+") else named


def _mask_numbers(text: str, *, full: bool) -> str:
    """A text in which numbers are cut, however they are written; a value that begins with + is nothing else."""
    if full or not text or text.startswith("+"):
        return wording.display_address(text, full=full)
    # SIDs, times and ids stand at the odd places.
    return "".join(part if place % 2 else mask_numbers(part) for place, part in enumerate(_ID_OR_TIME.split(text)))


def _mask(text: str) -> str:
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"
