"""What `conferral check` and `canary` found, and the running canary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from conferral.storage.codecs.text_codec import decode_fields, parse_object, to_iso
from conferral.storage.connection.client import CHUNK, Client, Command, as_store_errors, ask
from conferral.storage.keys import Keys

#: Fields of the hash.
CHECK, CANARY = "check", "canary"
#: How long the lock lasts without a renewal, and how often it is renewed, seconds.
LOCK_TTL_S, RENEW_EVERY_S = 60, 15.0
#: Callbacks that are kept (count), and for how long after the last one, seconds: they hold full numbers.
CALLBACKS_MAX, CALLBACKS_TTL_S = 1_000, 300


@dataclass(frozen=True, slots=True)
class StoredCheck:
    """A run's time, result, and findings."""

    #: ISO 8601, UTC.
    time: str
    #: The worst status of its findings: `ok`, `warn`, or `fail`.
    result: str
    findings: Sequence[Mapping[str, Any]]


async def store_check(
    client: Client, keys: Keys, kind: str, at_ms: int, result: str, findings: Sequence[Mapping[str, Any]]
) -> None:
    """Replace what the last run of a kind found; raise StoreError."""
    document = {"time": to_iso(at_ms), "result": result, "findings": findings}
    await ask(client, "HSET", keys.checks, kind, orjson.dumps(document))


async def read_check(client: Client, keys: Keys, kind: str) -> StoredCheck | None:
    """Return what the last run found; None if there was none."""
    found = parse_object((await ask(client, "HGET", keys.checks, kind) or b"").decode(errors="replace"))
    rows = found.get("findings")
    findings = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return StoredCheck(str(found.get("time", "")), str(found.get("result", "")), findings) if found else None


@dataclass(frozen=True, slots=True)
class CanaryLock:
    """Lets one canary run at a time."""

    client: Client
    keys: Keys
    name: str

    async def acquire(self) -> bool:
        """Take the lock; return False if another canary has it."""
        return bool(await ask(self.client, "SET", self.keys.canary, self.name, "NX", "EX", LOCK_TTL_S))

    async def renew(self) -> None:
        """Keep the lock."""
        await ask(self.client, "SET", self.keys.canary, self.name, "XX", "EX", LOCK_TTL_S)

    async def release(self) -> None:
        """Give the lock back, unless another canary has it by now."""
        if await ask(self.client, "GET", self.keys.canary) == self.name.encode():
            await ask(self.client, "DEL", self.keys.canary)


@dataclass(frozen=True, slots=True)
class CanaryCallback:
    """A status callback of the canary's own calls, as it came."""

    at_ms: int
    #: Of the URL, as Twilio sent it.
    query: str
    form: Mapping[str, str] = field(repr=False)

    @property
    def event(self) -> str:
        """What it reports, in Twilio's words."""
        return self.form.get("StatusCallbackEvent") or self.form.get("CallStatus", "")


def keep_callback(keys: Keys, form: Mapping[str, str], query: str) -> Sequence[Command]:
    """Return the commands that store a callback."""
    entry = {"query": query, "form": orjson.dumps(dict(form)).decode()}
    stored = chain.from_iterable(entry.items())
    return (
        ("XADD", keys.canary_callbacks, "MAXLEN", "~", CALLBACKS_MAX, "*", *stored),
        ("EXPIRE", keys.canary_callbacks, CALLBACKS_TTL_S),
    )


async def read_callbacks(client: Client, keys: Keys, since_ms: int) -> list[CanaryCallback]:
    """Return the callbacks since a time of Redis's clock, as they came."""
    with as_store_errors():
        found = await client.xrange(keys.canary_callbacks, min=since_ms, count=CHUNK)
    entries = ((entry_id, decode_fields(fields)) for entry_id, fields in found)
    return [
        CanaryCallback(int(entry_id.partition(b"-")[0]), fields.get("query", ""), parse_object(fields.get("form", "")))
        for entry_id, fields in entries
    ]
