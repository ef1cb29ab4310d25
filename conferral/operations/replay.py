"""Replay: a session at any version, and since when it is so, from its log.

Each log entry's `changes` holds what the event changed in the public fields, without addresses. Replay takes those from
the current hash by the participant's label, which is never reused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import is_logged
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.session_reader import Fields

#: Fields that never change, so their current value always held.
_CONSTANT_FIELDS = ("id", "direction", "by", "created_at", "agents", "was_handed_off")


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """A session's full history."""

    #: The current hash. It holds addresses, so no repr shows it.
    fields: Fields = field(repr=False)
    #: Oldest first.
    log: tuple[LogEntry, ...] = field(repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether the log reaches back to the start, with each event's changes."""
        return bool(self.log) and self.log[0].version == 1 and bool(self.log[0].changes)


def at_version(log: Sequence[LogEntry], version: int, last_fields: Fields) -> Fields:
    """Return a session's public fields as of a version; empty if unknown."""
    then: Fields = {}
    for entry, found in zip(log, all_versions(log, last_fields), strict=True):
        if entry.version > version:
            break
        then = found
    return then


def all_versions(log: Sequence[LogEntry], last_fields: Fields) -> Iterator[Fields]:
    """Yield a session's public fields after each log entry."""
    all_changes = [entry.changes for entry in log]
    addresses = {label: last_fields.get(f"{party}address", "") for party, label in _labels(last_fields).items()}
    found: Fields = {}
    # Without the log's start, fields without later changes keep their value; others appear with their first change.
    if log and log[0].version > 1:
        later = {name for changed in all_changes for name in changed}
        found = {name: value for name, value in last_fields.items() if is_logged(name) and name not in later}
    for entry, changed in zip(log, all_changes, strict=True):
        for name, value in changed.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        found |= {"state": entry.state_after, "version": str(entry.version), "updated_at": to_iso(entry.at_ms)}
        yield _with_constants(found, last_fields, addresses)


def _with_constants(then: Fields, now: Fields, address_of_legs: Fields) -> Fields:
    """Add what the log lacks: constant fields, and addresses by their legs."""
    found = {name: now[name] for name in _CONSTANT_FIELDS if name in now}
    addresses = {party: address_of_legs.get(label) for party, label in _labels(then).items()}
    found |= {f"{party}address": address for party, address in addresses.items() if address}
    if then.get("transfer.mode") and then.get("transfer.number") == now.get("transfer.number"):
        found |= {name: now.get(name, "") for name in ("transfer.to", "transfer.by", "transfer.fallback")}
    return then | found


def version_at(log: Sequence[LogEntry], at_ms: int) -> int:
    """Return the version at a time in Unix milliseconds; 0 before the first."""
    return max((entry.version for entry in log if entry.at_ms <= at_ms), default=0)


def _labels(fields: Fields) -> Fields:
    return {
        name.removesuffix("label"): label
        for name, label in fields.items()
        if name.startswith("party.") and name.endswith(".label")
    }


def changes_of(entry: LogEntry, *names: str) -> dict[str, str | None]:
    """Return an entry's changes of these fields."""
    return {name: entry.changes[name] for name in names if name in entry.changes}


def field_changed_ms(name: str, log: Sequence[LogEntry], to: str = "") -> int:
    """Return when a field last changed; 0 if unknown, or if not to `to`."""
    for entry in reversed(log):
        if changed := changes_of(entry, name):
            return entry.at_ms if not to or changed[name] == to else 0
    return 0
