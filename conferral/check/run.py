"""Runs all checks."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from conferral.check import redis_server
from conferral.check.account import check_account, check_round_trip
from conferral.check.result import CheckResult, fail
from conferral.check.settings import check_http_parser, check_settings, check_sources
from conferral.check.workers import check_clocks, check_dead_letters, check_outcomes, check_workers
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.configured import find_primary, redis_address
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader

#: After this time, the check says what it waits for, seconds.
SLOW_AFTER_S = 2.0
T = TypeVar("T")


async def run_checks(
    settings: ServiceSettings, *, offline: bool, number: str, on_slow: Callable[[str], None]
) -> list[CheckResult]:
    """Check everything.

    Args:
        offline: Skip Twilio and the public URL.
        number: See `check_account`.
        on_slow: Called with what a check waits for, if that takes long.
    """
    client = make_client(settings.redis_url, find_primary(settings))
    try:
        address, outside, twilio_s = redis_address(settings.redis_url), list[CheckResult](), None
        if not offline:
            reading = _check_reachability(settings, number)
            outside, twilio_s = await _announced(reading, "Twilio and CONFERRAL_PUBLIC_URL", on_slow)
        store = await _announced(_check_store(client, settings, address, twilio_s), f"Redis at {address}", on_slow)
        return [*check_sources(), *check_settings(settings), *outside, check_http_parser(), *store]
    finally:
        await client.aclose()


async def _announced(check: Coroutine[Any, Any, T], what: str, on_slow: Callable[[str], None]) -> T:
    """Await a check; call `on_slow` once if it takes long."""
    task = asyncio.ensure_future(check)
    try:
        done, _ = await asyncio.wait({task}, timeout=SLOW_AFTER_S)
        if not done:
            on_slow(what)
        return await task
    finally:
        task.cancel()


async def _check_reachability(settings: ServiceSettings, number: str) -> tuple[list[CheckResult], float | None]:
    (account, twilio_s), round_trip = await asyncio.gather(check_account(settings, number), check_round_trip(settings))
    return [*account, round_trip], twilio_s


async def _check_store(
    client: Client, settings: ServiceSettings, address: str, twilio_s: float | None
) -> list[CheckResult]:
    """Check Redis and all that is stored there, as far as it answers."""
    reachable, info = await redis_server.check_reachable(client, address)
    lines = [reachable]
    if not info:
        return lines
    try:
        lines += await redis_server.check_server(client, info)
        lines.append(await redis_server.check_scripts(client))
        keys = Keys(settings.prefix, settings.partitions)
        lines.append(await redis_server.check_commands(client, keys))
        lines.append(await check_clocks(client, keys.config, twilio_s))
        set_up, found_keys = await redis_server.check_keys(client, settings)
        lines.append(set_up)
        if found_keys is not None:
            lines += await check_workers(SessionReader(client, keys))
            lines.append(await check_outcomes(SessionReader(client, keys), settings))
            lines.append(await check_dead_letters(client, keys))
    except StoreError as error:
        fix = redis_server.fix_for(error, WRONGTYPE=redis_server.FOREIGN_KEY_FIX)
        lines.append(fail("Redis", f"{address}: {error}", fix))
    return lines
