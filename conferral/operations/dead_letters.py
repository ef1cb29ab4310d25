"""Dead letters: list, retry, and drop them, singly or by reason."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from conferral.runtime.errors import ConferralError
from conferral.runtime.redaction import cut_text, display_address, mask_numbers
from conferral.statemachine.ids import ID_PATTERN
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import CHUNK
from conferral.storage.entries import parse_entry_id
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.queries.dead_letters import DeadLetter as StoredLetter
from conferral.storage.queries.dead_letters import DeadLetterStore, is_letter_id, shorten_reason

_HIDDEN_FIELDS = frozenset({"call_token", event_codec.EVENT})
#: Fields that hold a command's id, which never contains a phone number.
_ID_FIELDS = frozenset({"id", "token"})
#: SIDs, times, and entry ids: digits that aren't phone numbers.
_ID_OR_TIME = re.compile(
    r"((?<![A-Za-z0-9])(?:[A-Z]{2}[0-9a-f]{32}|\d{4}-\d\d-\d\dT[0-9:.]+Z|1\d{12}-\d{1,6})(?![A-Za-z0-9]))", re.ASCII
)
#: Maximum length of a value when shown (characters).
_VALUE_MAX = 500
#: The reason of an outcome that could not be sent over HTTP.
UNDELIVERED = "not delivered"
_NOT_FOUND = "no such dead letter"
#: Fields shown per dead letter (count).
_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, for display."""

    id: str
    #: When it was dead-lettered, in Unix milliseconds.
    at_ms: int
    reason: str
    #: Its origin: `commands`, `partition 3`, or another stream's name.
    source: str
    entry_id: str
    #: The command's or event's name; empty without one.
    type: str
    #: The session as the entry names it; empty without one.
    session: str
    #: Why it can't be retried; empty if it can.
    not_retryable_reason: str
    #: Its fields, with phone numbers masked unless full ones were requested.
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Dead letters with the same reason."""

    reason: str
    count: int
    retryable: int


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Result of retrying or dropping."""

    done: int
    #: Why letters were neither retried nor dropped, by id.
    refused: dict[str, str]
    #: Total number of dead letters left.
    left: int


class CountChanged(ConferralError):  # noqa: N818  # not a failure: the user has to confirm again
    """The count differs from the confirmed one; nothing was done."""

    def __init__(self, count: int) -> None:
        super().__init__(f"the number has changed to {count}; nothing was done")
        self.count = count


class DeadLetters(DeadLetterStore):
    """Lists, retries, and drops dead letters; methods may raise StoreError."""

    async def newest(self, limit: int, reason: str = "", *, full: bool = False) -> tuple[DeadLetter, ...]:
        """Return the newest dead letters, with a reason (empty: any)."""
        reason = shorten_reason(reason)
        found: list[DeadLetter] = []
        async for letter in self.newest_first(CHUNK if reason else min(limit, CHUNK)):
            if reason in ("", letter.reason):
                found.append(self._displayed(letter, full=full))
            if len(found) == limit:
                break
        return tuple(found)

    async def undelivered(self, limit: int, *, full: bool = False) -> list[DeadLetter]:
        """Return the newest outcomes that could not be delivered over HTTP."""
        queue = OutcomeQueue(self._client, self._keys)
        found = await queue.read(await queue.undelivered(limit))
        return [
            DeadLetter(
                id=entry_id,
                at_ms=parse_entry_id(entry_id)[0],
                reason=UNDELIVERED,
                source="outcomes",
                entry_id=entry_id,
                type=_mask_numbers(f"{fields.get('kind', '')}.{fields.get('result', '')}", full=full),
                session=_mask_unless_id(fields.get("session", ""), full=full),
                not_retryable_reason="use `conferral dead resend`",
                fields=_shown_fields(fields, full=full),
            )
            for entry_id, fields in found
        ]

    async def find(self, letter_id: str, *, full: bool = False) -> DeadLetter | None:
        """Return a dead letter; None if there is none with this id."""
        letter = await self.get(letter_id)
        return None if letter is None else self._displayed(letter, full=full)

    async def groups(self) -> list[ReasonGroup]:
        """Return all reasons with their counts, most frequent first."""
        counted: Counter[str] = Counter()
        retryable: Counter[str] = Counter()
        async for letter in self.newest_first():
            counted[letter.reason] += 1
            retryable[letter.reason] += not self.retry_problem(letter)
        found = [ReasonGroup(reason, count, retryable[reason]) for reason, count in counted.items()]
        return sorted(found, key=lambda group: (-group.count, group.reason))

    async def retry(self, ids: Sequence[str]) -> BulkResult:
        """Put letters back on their streams, oldest first; report the others."""
        refused = {one: _NOT_FOUND for one in ids if not is_letter_id(one)}
        done = 0
        for one in sorted({one for one in ids if one not in refused}, key=parse_entry_id):
            # Read only now: another user may have retried or dropped it, and memory may not hold all letters.
            letter = await self.get(one)
            if why_not := _NOT_FOUND if letter is None else await self.put_back(letter):
                refused[one] = why_not
            else:
                done += 1
        return BulkResult(done, refused, await self.count())

    async def drop(self, ids: Sequence[str]) -> BulkResult:
        """Delete dead letters permanently."""
        gone = await self.remove(ids)
        return BulkResult(len(gone), {one: _NOT_FOUND for one in ids if one not in gone}, await self.count())

    async def retry_all(self, reason: str = "", count: int | None = None) -> BulkResult:
        """Retry letters with a reason (empty: any), or raise CountChanged."""
        return await self.retry(await self._ids_with_reason(reason, count))

    async def drop_all(self, reason: str = "", count: int | None = None) -> BulkResult:
        """Delete letters with a reason (empty: any), or raise CountChanged."""
        return await self.drop(await self._ids_with_reason(reason, count))

    async def _ids_with_reason(self, reason: str, count: int | None) -> list[str]:
        letters, reason = self.newest_first(), shorten_reason(reason)
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
            type=_mask_numbers(fields.get("type", ""), full=full),
            session=_mask_unless_id(fields.get("session", ""), full=full),
            not_retryable_reason=self.retry_problem(letter),
            fields=_shown_fields(fields, full=full),
        )

    def _source_of(self, stream: str) -> str:
        shared = {self._keys.commands: "commands"}
        if stream in shared:
            return shared[stream]
        streams = (number for number in range(self._keys.partitions) if self._keys.events(number) == stream)
        number = next(streams, None)
        return stream if number is None else f"partition {number}"


def _shown_fields(fields: Mapping[str, str], *, full: bool) -> dict[str, str]:
    return {
        _mask_numbers(name, full=full): (_mask_unless_id if name in _ID_FIELDS else _mask_numbers)(value, full=full)
        for name, value in islice(fields.items(), _FIELDS_MAX)
        if name not in _HIDDEN_FIELDS
    }


def _mask_unless_id(text: str, *, full: bool) -> str:
    """Mask numbers, unless it is an id: an address may name a session."""
    return text if ID_PATTERN.fullmatch(text) else _mask_numbers(text, full=full)


def _mask_numbers(text: str, *, full: bool) -> str:
    """Shorten a text and mask its numbers; one that starts with + is one."""
    end = "…" if len(text) > _VALUE_MAX else ""
    if full:
        return text[:_VALUE_MAX] + end
    if not text or text.startswith("+"):
        return display_address(text[:_VALUE_MAX])
    # `split` puts the matched SIDs, times, and ids at odd indexes.
    parts = enumerate(_ID_OR_TIME.split(cut_text(text, _VALUE_MAX)))
    return "".join(part if index % 2 else mask_numbers(part) for index, part in parts) + end
