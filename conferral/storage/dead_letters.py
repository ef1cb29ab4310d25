"""Dead letters: the first 64 KiB of each entry that failed."""

from itertools import chain, islice

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage import scripts
from conferral.storage.connection.client import Client
from conferral.storage.connection.errors import STATES
from conferral.storage.entries import ENTRY_BYTES_MAX, Entry
from conferral.storage.keys import Keys

#: Fields of a dead letter (count): a script can pass 8,000 names and values. Source: Lua 5.1, `LUAI_MAXCSTACK`.
_LETTER_FIELDS_MAX = 3_900
#: Approximate number of dead letters kept. How long they are kept at most: `retention.py`, `CONFERRAL_OUTCOMES_TTL`.
DEAD_LETTERS_MAX = 10_000
#: Prefix of the reason of a command that failed because its entry was dead-lettered.
DEAD_LETTERED = "dead-lettered: "


def _first_fields(entry: Entry) -> dict[bytes, bytes]:
    """Return an entry's fields up to 64 KiB; the last value may be cut."""
    kept: dict[bytes, bytes] = {}
    free = ENTRY_BYTES_MAX
    for name, value in islice(entry.fields.items(), _LETTER_FIELDS_MAX):
        if len(name) > free:
            break
        kept[name] = value[: free - len(name)]
        free -= len(name) + len(kept[name])
    return kept


async def append_dead_letter(client: Client, keys: Keys, stream: str, entry: Entry, reason: str) -> str:
    """Append an entry's first 64 KiB to the dead letters, with its origin.

    Return why Redis refuses it for good; empty if it doesn't. The caller drops a refused one: kept, it would stop all
    others.
    """
    origin = {"dead_reason": reason, "dead_stream": stream, "dead_entry": entry.entry_id, "dead_size": str(entry.size)}
    letter = {**_first_fields(entry), **{name.encode(): value.encode() for name, value in origin.items()}}
    try:
        await scripts.dead_letter_entry(client, [keys.dead], [DEAD_LETTERS_MAX, *chain.from_iterable(letter.items())])
    except StoreError as error:
        if isinstance(error, StoreUnreachableError) and error.state != STATES["OOM"]:
            raise
        return str(error)
    return ""
