"""Check that the live sessions in Redis can be decoded."""

from conferral.check.result import CheckResult, fail, ok
from conferral.operations.damage import damaged_field, describe_damage, repair_of
from conferral.operations.session_queries import CHUNK, SessionQueries
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys

#: Maximum number of sessions decoded, so that the check answers within seconds.
CHECKED_MAX = 5_000
#: Maximum number of damaged sessions listed by name.
LISTED_MAX = 5


async def check_sessions(client: Client, keys: Keys) -> CheckResult:
    """Check the stored state of live sessions."""
    reader = SessionQueries(client, keys)
    live = await reader.live_ids()
    checked = live[:CHECKED_MAX]
    damaged: dict[str, str] = {}
    for start in range(0, len(checked), CHUNK):
        records = await reader.read_hashes(checked[start : start + CHUNK])
        damaged |= {name: field for name, fields in records.items() if (field := damaged_field(fields))}
    if not damaged:
        of = "" if len(checked) == len(live) else f" of {len(live)}"
        return ok("sessions", f"{len(checked)}{of} live sessions are readable")
    named = ", ".join(f"{name} ({describe_damage(field)})" for name, field in list(damaged.items())[:LISTED_MAX])
    more = f" and {len(damaged) - LISTED_MAX} more" if len(damaged) > LISTED_MAX else ""
    return fail("sessions", f"the stored state is damaged: {named}{more}", repair_of(next(iter(damaged.values()))))
