"""Dead letters: entries that could not be understood or kept failing, as they lie there, and the ways out for them.

A letter holds the entry whole, beside it where it came from and why it was put aside. It is put back in two steps,
first onto its stream and then out of the letters: should nobody come to the second, it is put back twice at worst.
Callbacks are known by their tokens; a command is open again for one at a time, and not any more once something has come
of it.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conferral.statemachine.events import Command
from conferral.storage import scripts
from conferral.storage.codecs.event_codec import BadEntryError, decode
from conferral.storage.commands.command_stream import BadCommandError, command_id_of
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import DEAD_LETTERED, Entry

#: Letters read in one go, count.
CHUNK = 200
#: Most letters of a page, count.
LIMIT_MAX = 500
#: Letters that are looked at for one page, count: where few have the reason, the page stays short.
SCANNED_MAX = 2_000
#: How long a command that was opened again is left to whoever has done it, milliseconds: the entry is appended right
#: behind. Should that one have died between the two, anybody may after that.
REOPEN_LOCK_MS = 10_000
#: What a letter has beside the entry's own fields.
_ORIGIN_FIELDS = ("dead_reason", "dead_stream", "dead_entry")
#: In place of a reason, of letters that somebody else has put there without one: no reason at all means all of them to
#: whoever asks for letters by reason.
NO_REASON = "no reason given"
#: Longest reason (characters); ours are short, but anybody may have written a letter. A longer one is cut wherever it
#: is read, so that all who ask for letters by reason mean the same.
REASON_MAX = 500
_ENTRY_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_STATUSES = {
    "": "another entry has its id by now",
    "accepted": "its command was accepted before",
    "done": "its command is done",
    "rejected": "its command was rejected",
    "failed": "its command was tried and has failed",
    "reopened": "somebody else has just put it back",
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter."""

    letter_id: str
    #: Why it was put aside.
    reason: str
    #: Key of the stream that it came from.
    stream: str
    #: Its id there.
    entry_id: str
    #: The entry's own fields, as they are: they hold addresses, so they are in no repr.
    fields: Mapping[bytes, bytes] = field(repr=False)

    @property
    def at_ms(self) -> int:
        """When it was put aside, Unix milliseconds."""
        return int(self.letter_id.partition("-")[0])

    def decoded_fields(self) -> dict[str, str]:
        """The entry's own fields as text; what is not UTF-8 is spelt out."""
        return {_text(name): _text(value) for name, value in self.fields.items()}


class DeadLetterStore:
    """Reads, puts back and removes. Everything may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Binds the client.

        Args:
            client: For commands.
            keys: Names.
        """
        self._client = client
        self._keys = keys

    async def count(self) -> int:
        """How many there are."""
        with store_errors():
            return int(await self._client.xlen(self._keys.dead))

    async def newest_first(self, before: str = "", *, limit: int | None = None) -> AsyncIterator[DeadLetter]:
        """Letters, the newest first.

        Args:
            before: Id of the one behind which to begin; empty for all.
            limit: How many at most (count); None for all.
        """
        left = limit
        while left is None or left > 0:
            count = CHUNK if left is None else min(CHUNK, left)
            with store_errors():
                found = await self._client.xrevrange(self._keys.dead, f"({before}" if before else "+", "-", count=count)
            for letter_id, fields in found:
                yield _letter(letter_id, fields or {})
            if len(found) < count:
                return
            before = found[-1][0].decode()
            left = None if left is None else left - count

    async def get(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """Letters by id; ids of none are left out, whatever they look like."""
        wanted = list(dict.fromkeys(one for one in letter_ids if is_letter_id(one)))
        letters: dict[str, DeadLetter] = {}
        for start in range(0, len(wanted), CHUNK):
            with store_errors():
                pipeline = self._client.pipeline(transaction=False)
                for one in wanted[start : start + CHUNK]:
                    pipeline.xrange(self._keys.dead, one, one, count=1)
                for found in await pipeline.execute():
                    letters |= {entry_id.decode(): _letter(entry_id, fields or {}) for entry_id, fields in found}
        return letters

    async def remove(self, letter_ids: Iterable[str]) -> int:
        """Removes letters for good; tells how many there were."""
        wanted = [one for one in letter_ids if is_letter_id(one)]
        gone = 0
        for start in range(0, len(wanted), CHUNK):
            with store_errors():
                gone += int(await self._client.xdel(self._keys.dead, *wanted[start : start + CHUNK]))
        return gone

    def retry_problem(self, letter: DeadLetter) -> str:
        """Why a letter can't be put back, as far as it tells itself; empty where it can."""
        entry = Entry(letter.entry_id, letter.fields)
        try:
            fields = entry.text()
            if letter.stream == self._keys.commands:
                command_id_of(fields, letter.entry_id)
                return "" if fields.get("type") else "it would be put aside again: no type"
            session_id = decode(fields, letter.entry_id).session_id
        except (BadEntryError, BadCommandError) as error:
            return f"it would be put aside again: {error}"
        if letter.stream != self._keys.events(self._keys.partition_of(session_id)):
            return "it came from a stream that is not read here"
        return ""

    async def retry(self, letter: DeadLetter) -> str:
        """Puts a letter back to where it came from; returns why not, or nothing when that was done."""
        if problem := self.retry_problem(letter):
            return problem
        fields = dict(letter.fields)
        command_id, claim = self._command_of(letter)
        if command_id:
            with store_errors():
                may_go, status = await scripts.reopen_command(
                    self._client, [self._keys.command(command_id)], [claim, DEAD_LETTERED, REOPEN_LOCK_MS]
                )
            if not int(may_go):
                return _STATUSES.get(status.decode(errors="replace"), "its command has come further")
            if claim:
                # Under the id that it had: whoever waits for it, or gives it again, meets this one.
                fields[b"id"] = command_id.encode()
        with store_errors():
            await self._client.xadd(letter.stream, fields)
            await self._client.xdel(self._keys.dead, letter.letter_id)
        return ""

    def _command_of(self, letter: DeadLetter) -> tuple[str, str]:
        """The id of a letter's command, empty of other events; and the entry that holds a claim which has to go.

        Behind the router, whose claim stands, the command is an event of its session's partition.
        """
        fields = Entry(letter.entry_id, letter.fields).text()
        if letter.stream == self._keys.commands:
            return command_id_of(fields, letter.entry_id), letter.entry_id
        event = decode(fields, letter.entry_id)
        return (event.command_id, "") if isinstance(event, Command) else ("", "")


def is_letter_id(text: str) -> bool:
    """Whether a text looks like the id of an entry."""
    return _ENTRY_ID.fullmatch(text) is not None


def _letter(letter_id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    own = {name: value for name, value in fields.items() if name not in {one.encode() for one in _ORIGIN_FIELDS}}
    reason, stream, entry_id = (_text(fields.get(name.encode(), b"")) for name in _ORIGIN_FIELDS)
    return DeadLetter(letter_id.decode(), shorten_reason(reason) or NO_REASON, stream, entry_id, own)


def shorten_reason(text: str) -> str:
    """A reason as letters are told apart by it: at most `REASON_MAX` characters."""
    return text if len(text) <= REASON_MAX else f"{text[: REASON_MAX - 1]}…"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
