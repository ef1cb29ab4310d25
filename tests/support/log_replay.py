"""What the log says that was changed, folded, gives what is stored."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import is_logged
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.session_reader import Fields

#: Fields that never change, so their current value always held.
_CONSTANT_FIELDS = ("id", "direction", "by", "created_at", "agents", "was_handed_off")


def shown(fields: Mapping[str, str]) -> dict[str, str]:
    """The part of a hash that the log records; pending commands without the address that they dial."""
    found = {name: value for name, value in fields.items() if is_logged(name)}
    if "pending_commands" in found:
        pending = msgspec.json.decode(found["pending_commands"])
        names = [{name: one[name] for name in ("command_id", "name", "party") if name in one} for one in pending]
        found["pending_commands"] = msgspec.json.encode(names).decode()
    return found | {"state": fields["state"], "version": fields["version"]}


def difference(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> str:
    """In what the record as it is stored differs from what its whole log leads to; empty where they agree."""
    entries = [LogEntry.of("", entry) for entry in log]
    folded = shown(at_version(entries, int(stored["version"]), dict(stored)))
    wanted = shown(stored)
    names = sorted(folded.keys() | wanted.keys())
    found = {name: (folded.get(name), wanted.get(name)) for name in names if folded.get(name) != wanted.get(name)}
    return f"folded and stored differ in {found}" if found else ""


def assert_folds(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> None:
    """That a whole log leads to the record as it is stored."""
    different = difference(log, stored)
    assert not different, f"{stored.get('id')}: {different}"


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


def _labels(fields: Fields) -> Fields:
    return {
        name.removesuffix("label"): label
        for name, label in fields.items()
        if name.startswith("party.") and name.endswith(".label")
    }
