"""What the log says that was changed, folded, gives what is stored."""

from collections.abc import Iterable, Mapping
from typing import Any

from conferral.statemachine.session import Session
from conferral.storage.codecs.log_codec import LogEntry
from conferral.worker.partition.log_entry import changes_of


def folded(log: Iterable[LogEntry]) -> dict[str, Any]:
    """The logged fields after these entries of a whole log; those that are empty are missing."""
    found: dict[str, Any] = {}
    for entry in log:
        found |= entry.changes
    return {name: value for name, value in found.items() if value}


def difference(log: Iterable[Mapping[str, str]], session: Session) -> str:
    """In what a session differs from what its whole log leads to; empty where they agree."""
    found = folded(LogEntry.of("", entry) for entry in log)
    wanted = changes_of(session, Session(session.id))
    names = sorted(found.keys() | wanted.keys())
    differ = {name: (found.get(name), wanted.get(name)) for name in names if found.get(name) != wanted.get(name)}
    return f"folded and stored differ in {differ}" if differ else ""
