"""Checks the keys under our prefix for what another program has written."""

from conferral.check.redis_server import FOREIGN_KEY_FIX
from conferral.check.result import CheckResult, fail
from conferral.storage.connection.client import CHUNK, run_each
from conferral.storage.connection.errors import FOREIGN
from conferral.storage.queries.session_reader import SessionReader

#: Keys that are named, count.
_NAMED_MAX = 5


async def check_foreign_keys(reader: SessionReader) -> list[CheckResult]:
    """Return a line for keys to which another program has written, if any.

    These are keys of the wrong type, and live sessions that can't be read. `check_streams` reports shared streams.
    """
    keys, live = reader.keys, await reader.live_ids()
    for start in range(0, len(live), CHUNK):
        await reader.read_sessions(live[start : start + CHUNK])
    types = keys.redis_types(live)
    found = await run_each(reader.client, [("TYPE", name) for name in types])
    wrong = {
        name for (name, kind), one in zip(types.items(), found, strict=True) if one not in (b"none", kind.encode())
    }
    foreign = sorted((reader.foreign_keys | wrong) - {keys.commands, keys.outcomes, keys.dead})
    if not foreign:
        return []
    named = ", ".join(foreign[:_NAMED_MAX])
    more = f" and {len(foreign) - _NAMED_MAX:,} more" if len(foreign) > _NAMED_MAX else ""
    said = FOREIGN if len(foreign) == 1 else "belong to another program"
    fix = f"{FOREIGN_KEY_FIX}; then remove or rename (RENAME) the key; a session: conferral forget SESSION"
    return [fail("keys", f"{named}{more} {said}", fix)]
