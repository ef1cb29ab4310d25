"""`check`: what is wrong with a set-up, and how to mend it."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from conferral import output
from conferral.commands.options import AsJson

if TYPE_CHECKING:
    from conferral.checks.line import Line
    from runtime.settings import ServiceSettings


def check(as_json: AsJson = False) -> None:
    """Say what is wrong with the set-up, and how to mend it.

    \b
    Examples:
      conferral check
      conferral check --json | jq '.[] | select(.status != "ok")'

    Looks at settings, libraries, Redis and workers; changes nothing. Ends with 0 when no line fails, 1 when one does, 2
    when a setting is missing or wrong.
    """
    from runtime.settings import ServiceSettings, load

    lines = asyncio.run(_check(load(ServiceSettings)))
    if as_json:
        output.show_json([asdict(line) for line in lines])
    else:
        output.show_table(
            ("status", "what", "found"), [(line.status, line.name, line.found) for line in lines], styled=("status",)
        )
        for line in lines:
            if line.mend:
                output.result(f"{line.status}: {line.name}: {line.mend}")
    failed = sum(line.status == "fail" for line in lines)
    if failed:
        output.note(f"{failed} of {len(lines)} lines fail")
        raise typer.Exit(1)


async def _check(settings: "ServiceSettings") -> "list[Line]":
    from conferral.access import make_store_client, place_of
    from conferral.checks.libraries import check_libraries
    from conferral.checks.settings import check_settings

    client = make_store_client(settings.redis_url)
    try:
        return [
            *check_settings(settings),
            *check_libraries(),
            *await _check_store(client, settings, place_of(settings.redis_url)),
        ]
    finally:
        await client.aclose()


async def _check_store(client: object, settings: "ServiceSettings", place: str) -> "list[Line]":
    from conferral.checks import store
    from conferral.checks.cluster import check_cluster
    from conferral.checks.line import fail
    from conferral.checks.workers import check_workers
    from runtime.errors import StoreError

    reachable, info = await store.check_reachable(client, place)
    lines = [reachable]
    if not info:
        return lines
    try:
        lines += await store.check_server(client, info)
        lines.append(await store.check_scripts(client))
        set_up, keys = await store.check_keys(client, settings)
        lines.append(set_up)
        if keys is not None:
            lines += await check_cluster(client, keys)
            lines += await check_workers(client, keys)
    except StoreError as error:
        lines.append(fail("Redis", f"{place}: {error}", "look at its log"))
    return lines


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(check)
