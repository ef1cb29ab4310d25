"""Entries of Redis streams: events and commands, as they are stored."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from conferral.statemachine.events import Event
from conferral.storage.codecs import event_codec
from conferral.storage.codecs.event_codec import BadEntryError

#: Maximum size, bytes; larger ones are dead-lettered unread.
ENTRY_BYTES_MAX = 64 * 1024
#: The form of an id.
ENTRY_ID = re.compile("[0-9]{1,20}-[0-9]{1,20}")


class Entry(NamedTuple):
    """One raw stream entry."""

    entry_id: str
    fields: Mapping[bytes, bytes]

    @property
    def size(self) -> int:
        """The size of its names and values, bytes."""
        return len(b"".join(self.fields)) + len(b"".join(self.fields.values()))

    def text(self) -> dict[str, str]:
        """Return the fields as text; raise BadEntryError if too large or no UTF-8."""
        if self.size > ENTRY_BYTES_MAX:
            raise BadEntryError("larger than 64 KiB")
        try:
            return {name.decode(): value.decode() for name, value in self.fields.items()}
        except UnicodeDecodeError:
            raise BadEntryError("not UTF-8") from None

    def event(self) -> Event:
        """Decode the event; raise BadEntryError if too large or invalid."""
        return event_codec.decode(self.text(), self.entry_id)


def parse_entry_id(entry_id: str) -> tuple[int, int]:
    """Return an id's milliseconds and number, which compare as in Redis."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number)
