"""Dead letters: what failed, or can't be read or stored; retry, remove.

A letter holds the entry's first 64 KiB, its size and origin, and the reason. A retry appends the entry to its stream,
then removes the letter; at worst, it happens twice. Tokens deduplicate callbacks. A command is reopened for one client
at a time, and not at all once it has a result.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

from conferral.statemachine.events import Command
from conferral.storage import scripts
from conferral.storage.codecs.event_codec import BadEntryError, as_text, decode
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.command_stream import command_id_of
from conferral.storage.connection.client import CHUNK, Client, as_store_errors, ask, read_stream, run_each
from conferral.storage.dead_letters import DEAD_LETTERED
from conferral.storage.entries import ENTRY_ID, Entry
from conferral.storage.keys import Keys

#: How long a reopened command is locked for its client, milliseconds; if that dies, others may retry then.
REOPEN_LOCK_MS = 10_000
#: Fields of a letter in addition to the entry's own.
_ORIGIN_FIELDS = ("dead_reason", "dead_stream", "dead_entry", "dead_size")
#: Reason shown for a letter without one, by another program: an empty reason selects all letters in a query by reason.
NO_REASON = "no reason given"
#: Maximum length of a reason, characters. A longer one is truncated at every read, so that queries agree.
REASON_MAX = 500
_STATUSES = {
    "": "another command has used its id since",
    "accepted": "its command is already accepted",
    "done": "its command is done",
    "rejected": "its command was rejected",
    "failed": "its command has failed",
    "reopened": "someone else has just retried it",
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter."""

    letter_id: str
    reason: str
    #: Key of the stream that it came from, and its id there.
    stream: str
    entry_id: str
    #: Of the whole entry, bytes; a larger one than its fields was cut.
    size: int
    #: Raw; excluded from the repr, since they hold addresses.
    fields: Mapping[bytes, bytes] = field(repr=False)

    @property
    def at_ms(self) -> int:
        """When it was dead-lettered, Unix milliseconds."""
        return int(self.letter_id.partition("-")[0])

    def decoded_fields(self) -> dict[str, str]:
        """Return the entry's fields in text form; invalid UTF-8 is escaped."""
        return as_text({_text(name): _text(value) for name, value in self.fields.items()})


class DeadLetterStore:
    """Reads, retries, and removes dead letters; may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def count(self) -> int:
        """Return the number of letters."""
        with as_store_errors(self._keys.dead):
            return int(await self._client.xlen(self._keys.dead))

    async def newest_first(self, chunk: int = CHUNK) -> AsyncIterator[DeadLetter]:
        """Yield all letters, newest first, read in chunks."""
        async for letter_id, fields in read_stream(self._client, self._keys.dead, newest_first=True, chunk=chunk):
            yield _parse_letter(letter_id, fields)

    async def get(self, letter_id: str) -> DeadLetter | None:
        """Return a letter; None for an unknown or malformed id."""
        if not is_letter_id(letter_id):
            return None
        found = await ask(self._client, "XRANGE", self._keys.dead, letter_id, letter_id)
        return _parse_letter(letter_id, found[0][1] or {}) if found else None

    async def remove(self, letter_ids: Iterable[str]) -> set[str]:
        """Remove letters for good; return the ids of those that existed."""
        wanted = [one for one in dict.fromkeys(letter_ids) if is_letter_id(one)]
        answers = await run_each(self._client, [("XDEL", self._keys.dead, one) for one in wanted])
        return {one for one, is_gone in zip(wanted, answers, strict=True) if is_gone}

    def retry_problem(self, letter: DeadLetter) -> str:
        """Return why a letter can't be retried; empty if it can."""
        return self._judge(letter)[0]

    async def put_back(self, letter: DeadLetter) -> str:
        """Move a letter back to its stream; return why not, or empty text."""
        problem, command_id, claim = self._judge(letter)
        if problem:
            return problem
        fields = dict(letter.fields)
        if command_id:
            may_go, status = await scripts.reopen_command(
                self._client, [self._keys.command(command_id)], [claim, DEAD_LETTERED, REOPEN_LOCK_MS]
            )
            if not int(may_go):
                return _STATUSES.get(status.decode(errors="replace"), "its command has progressed since")
            if claim:
                # Keep its id, so that a client waiting for the result, or resubmitting the command, finds this one.
                fields[b"id"] = command_id.encode()
        await ask(self._client, "XADD", letter.stream, "*", *(part for pair in fields.items() for part in pair))
        await ask(self._client, "XDEL", self._keys.dead, letter.letter_id)
        return ""

    def _judge(self, letter: DeadLetter) -> tuple[str, str, str]:
        """Return the problem, the command's id, and the entry with its claim.

        Each is empty if there is none. After routing, a command is its session's event, and its claim stays.
        """
        entry = Entry(letter.entry_id, letter.fields)
        if letter.size > entry.size:
            return f"only the first {entry.size:,} of its {letter.size:,} bytes were kept", "", ""
        try:
            fields = entry.text()
            if letter.stream == self._keys.commands:
                command_id = command_id_of(fields, letter.entry_id)
                problem = "" if fields.get("type") else "it would fail again: missing field type"
                return problem, command_id, letter.entry_id
            event = decode(fields, letter.entry_id)
        except BadEntryError as error:
            return f"it would fail again: {error}", "", ""
        if letter.stream != self._keys.events(self._keys.partition_of(event.session_id)):
            return "Conferral does not read the stream it came from", "", ""
        return "", event.command_id if isinstance(event, Command) else "", ""


def is_letter_id(text: str) -> bool:
    """Whether a text has the form of an entry id."""
    return ENTRY_ID.fullmatch(text) is not None


def _parse_letter(letter_id: str, fields: Mapping[bytes, bytes]) -> DeadLetter:
    own = {name: value for name, value in fields.items() if name not in {one.encode() for one in _ORIGIN_FIELDS}}
    reason, stream, entry_id, size = (_text(fields.get(name.encode(), b"")) for name in _ORIGIN_FIELDS)
    return DeadLetter(letter_id, shorten_reason(reason) or NO_REASON, stream, entry_id, int_of(size.encode()), own)


def shorten_reason(text: str) -> str:
    """Shorten a reason to `REASON_MAX`; queries compare shortened ones."""
    return text if len(text) <= REASON_MAX else f"{text[: REASON_MAX - 1]}…"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
