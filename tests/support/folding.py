"""What the log says that was changed, folded, gives what is stored."""

from collections.abc import Mapping, Sequence

import orjson

from conferral.operations import replaying
from conferral.operations.reader import LogEntry
from conferral.storage.session_codec import is_logged


def shown(fields: Mapping[str, str]) -> dict[str, str]:
    """The part of a hash of which the log tells; of the commands under way without whom they dial."""
    found = {name: value for name, value in fields.items() if is_logged(name)}
    if "orders" in found:
        orders = orjson.loads(found["orders"])
        found["orders"] = orjson.dumps([{"name": one["name"], "party": one["party"]} for one in orders]).decode()
    return found | {"state": fields["state"], "version": fields["version"]}


def difference(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> str:
    """In what the record as it is stored differs from what its whole log leads to; empty where they agree."""
    entries = [LogEntry("", entry) for entry in log]
    folded = shown(replaying.at_version(entries, int(stored["version"]), dict(stored)))
    wanted = shown(stored)
    names = sorted(folded.keys() | wanted.keys())
    found = {name: (folded.get(name), wanted.get(name)) for name in names if folded.get(name) != wanted.get(name)}
    return f"folded and stored differ in {found}" if found else ""


def assert_folds(log: Sequence[Mapping[str, str]], stored: Mapping[str, str]) -> None:
    """That a whole log leads to the record as it is stored."""
    different = difference(log, stored)
    assert not different, f"{stored.get('id')}: {different}"
