"""What the last canary found; the check's own result is kept next to it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from conferral.check.result import CheckResult, ok, warn
from conferral.runtime.errors import StoreError
from conferral.storage.checks import CANARY, CHECK, read_check, store_check
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms

NAME = "canary"
_STATUSES = ("ok", "warn", "fail")


async def check_canary(client: Client, keys: Keys) -> CheckResult:
    """Say when the last canary ran, and what it found."""
    last = await read_check(client, keys, CANARY)
    if last is None:
        return ok(NAME, "has never run: conferral canary tries this installation on the account (docs/canary.md)")
    bad = [f"{one.get('flow')}: {one.get('found')}" for one in last.findings if one.get("status") == "fail"]
    if last.result == "fail":
        found = f"ran {last.time}: {'; '.join(bad) or 'it did not finish'}"
        return warn(NAME, found, "docs/canary.md says what each finding means; run it again: conferral canary")
    seen = sum(bool(one.get("reading")) for one in last.findings)
    missing = [str(one.get("name")) for one in last.findings if one.get("status") == "warn"]
    rest = f"; not observed: {', '.join(missing)}" if missing else ""
    return ok(NAME, f"ran {last.time}: as documented; {seen} behaviors of Twilio observed{rest}")


async def keep_result(client: Client, keys: Keys, lines: Sequence[CheckResult]) -> None:
    """Store the check's result, if Redis takes it: the user may only read."""
    result = max((line.status for line in lines), key=_STATUSES.index, default="ok")
    with suppress(StoreError):
        now_ms = await server_time_ms(client, keys.config)
        await store_check(client, keys, CHECK, now_ms, result, [asdict(line) for line in lines])
