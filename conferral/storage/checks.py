"""What `conferral check` found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from conferral.storage.codecs.text_codec import parse_object, to_iso
from conferral.storage.connection.client import Client, ask
from conferral.storage.keys import Keys

#: Field of the hash.
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class StoredCheck:
    """A run's time, result, and findings."""

    #: ISO 8601, UTC.
    time: str
    #: The worst status of its findings: `ok`, `warn`, or `fail`.
    result: str
    findings: Sequence[Mapping[str, Any]]


async def store_check(
    client: Client, keys: Keys, at_ms: int, result: str, findings: Sequence[Mapping[str, Any]]
) -> None:
    """Replace what the last run found; raise StoreError."""
    document = {"time": to_iso(at_ms), "result": result, "findings": findings}
    await ask(client, "HSET", keys.checks, _CHECK, orjson.dumps(document))


async def read_check(client: Client, keys: Keys) -> StoredCheck | None:
    """Return what the last run found; None if there was none."""
    found = parse_object((await ask(client, "HGET", keys.checks, _CHECK) or b"").decode(errors="replace"))
    rows = found.get("findings")
    findings = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return StoredCheck(str(found.get("time", "")), str(found.get("result", "")), findings) if found else None
