"""What the log says that was changed, folded, gives what is stored."""

from collections.abc import Mapping, Sequence

import orjson

from conferral.operations import replay
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import is_logged


def shown(fields: Mapping[str, str]) -> dict[str, str]:
    """The part of a hash that the log records; pending commands without the address that they dial."""
    found = {name: value for name, value in fields.items() if is_logged(name)}
    if "pending_commands" in found:
        pending = orjson.loads(found["pending_commands"])
        names = [{name: one[name] for name in ("command_id", "name", "party") if name in one} for one in pending]
        found["pending_commands"] = orjson.dumps(names).decode()
    return found | {"state": fields["state"], "version": fields["version"]}


def difference(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> str:
    """In what the record as it is stored differs from what its whole log leads to; empty where they agree."""
    entries = [LogEntry.of("", entry) for entry in log]
    folded = shown(replay.at_version(entries, int(stored["version"]), dict(stored)))
    wanted = shown(stored)
    names = sorted(folded.keys() | wanted.keys())
    found = {name: (folded.get(name), wanted.get(name)) for name in names if folded.get(name) != wanted.get(name)}
    return f"folded and stored differ in {found}" if found else ""


def assert_folds(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> None:
    """That a whole log leads to the record as it is stored."""
    different = difference(log, stored)
    assert not different, f"{stored.get('id')}: {different}"
