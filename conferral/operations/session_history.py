"""A session with its log, and since when it is so."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from conferral.statemachine.session import Session
from conferral.storage.codecs.log_codec import LogEntry


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """A session's full history."""

    #: As it is now. It holds addresses, so no repr shows it.
    session: Session = field(repr=False)
    #: Oldest first.
    log: tuple[LogEntry, ...] = field(repr=False)


def field_changed_ms(name: str, log: Sequence[LogEntry], to: str = "") -> int:
    """Return when a field last changed; 0 if unknown, or if not to `to`."""
    for entry in reversed(log):
        if name in entry.changes:
            return entry.at_ms if not to or entry.changes[name] == to else 0
    return 0
