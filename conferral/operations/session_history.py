"""A session with its log, and since when it is so."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.queries.session_reader import Fields


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """A session's full history."""

    #: The current hash. It holds addresses, so no repr shows it.
    fields: Fields = field(repr=False)
    #: Oldest first.
    log: tuple[LogEntry, ...] = field(repr=False)


def changes_of(entry: LogEntry, *names: str) -> dict[str, str | None]:
    """Return an entry's changes of these fields."""
    return {name: entry.changes[name] for name in names if name in entry.changes}


def field_changed_ms(name: str, log: Sequence[LogEntry], to: str = "") -> int:
    """Return when a field last changed; 0 if unknown, or if not to `to`."""
    for entry in reversed(log):
        if changed := changes_of(entry, name):
            return entry.at_ms if not to or changed[name] == to else 0
    return 0
