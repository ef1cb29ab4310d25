"""`check`: find setup problems and say how to fix each one."""

import asyncio
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson

if TYPE_CHECKING:
    from conferral.check.result import CheckResult
    from conferral.runtime.settings import ServiceSettings


def check(
    as_json: AsJson = False,
    offline: Annotated[bool, typer.Option("--offline", help="Skip Twilio and the public URL.")] = False,
    number: Annotated[
        str | None,
        typer.Option(
            metavar="+E.164",
            help="Check that calls to this number in the account arrive here; TWILIO_NUMBER by default.",
        ),
    ] = None,
) -> None:
    """Check the setup and show how to fix problems.

    \b
    Examples:
      conferral check
      conferral check --offline
      conferral check --number +12025550101
      conferral check --json | jq '.[] | select(.status != "ok")'

    Checks settings, libraries, Redis, and workers, reads account and number from Twilio, and sends one signed request
    to CONFERRAL_PUBLIC_URL. Changes nothing. Exits 0 if no check fails, 1 if one does, 2 if a setting is missing or
    wrong.
    """
    if number is not None and not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise typer.BadParameter("must be + and digits, such as +12025550101", param_hint="--number")
    if number is not None and offline:
        raise typer.BadParameter("can't be combined with --offline", param_hint="--number")
    lines = asyncio.run(_run_checks(_load_settings(), offline=offline, number=number or ""))
    if as_json:
        output.print_json([asdict(line) for line in lines])
    else:
        output.print_table(
            ("status", "check", "result"), [(line.status, line.name, line.found) for line in lines], styled=("status",)
        )
        for line in lines:
            if line.fix:
                output.print_line(f"{line.status}: {line.name}: {line.fix}")
    failed = sum(line.status == "fail" for line in lines)
    if failed:
        output.print_note(f"{failed} of {len(lines)} checks failed")
        raise typer.Exit(1)


def _load_settings() -> "ServiceSettings":
    """Load the settings. If settings are missing and there is no `.env`, say how to create one."""
    from conferral.runtime.errors import SettingsError
    from conferral.runtime.settings import ServiceSettings, load

    try:
        return load(ServiceSettings)
    except SettingsError as error:
        if Path(".env").exists() or not all(": missing; " in problem for problem in error.problems):
            raise
        begin = ".env: not found in this folder; create one with `cp .env.example .env` in the repository"
        raise SettingsError((*error.problems, begin)) from None


async def _run_checks(settings: "ServiceSettings", *, offline: bool, number: str) -> "list[CheckResult]":
    from conferral.check.libraries import check_libraries
    from conferral.check.settings import check_settings, check_sources
    from conferral.cli.redis_access import make_redis_client, redacted_url

    client = make_redis_client(settings.redis_url)
    try:
        return [
            *check_sources(),
            *check_settings(settings),
            *([] if offline else await _check_reachability(settings, number)),
            *check_libraries(),
            *await _check_store(client, settings, redacted_url(settings.redis_url)),
        ]
    finally:
        await client.aclose()


async def _check_reachability(settings: "ServiceSettings", number: str) -> "list[CheckResult]":
    from conferral.check.account import check_account
    from conferral.check.public_url import check_round_trip

    account, round_trip = await asyncio.gather(check_account(settings, number), check_round_trip(settings))
    return [*account, round_trip]


async def _check_store(client: object, settings: "ServiceSettings", place: str) -> "list[CheckResult]":
    from conferral.check import redis_server
    from conferral.check.cluster import check_cluster
    from conferral.check.result import fail
    from conferral.check.workers import check_workers
    from conferral.runtime.errors import StoreError

    reachable, info = await redis_server.check_reachable(client, place)
    lines = [reachable]
    if not info:
        return lines
    try:
        lines += await redis_server.check_server(client, info)
        lines.append(await redis_server.check_scripts(client))
        set_up, keys = await redis_server.check_keys(client, settings)
        lines.append(set_up)
        if keys is not None:
            lines += await check_cluster(client, keys)
            lines += await check_workers(client, keys)
            lines.append(await redis_server.check_sessions(client, keys))
    except StoreError as error:
        lines.append(fail("Redis", f"{place}: {error}", redis_server.fix_for(error)))
    return lines
