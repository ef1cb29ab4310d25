"""`upgrade`: raise the schema version that all processes write, once every process supports it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson

if TYPE_CHECKING:
    from conferral.storage.queries.process_registry import Process


def upgrade(
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be done.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although some process does not know the level.")] = False,
) -> None:
    """Write at the level of this version, once every process runs it.

    \b
    Examples:
      conferral upgrade --check
      conferral upgrade

    A newer version goes on writing what the one before understands, so that both can run side by side. This raises the
    level in PREFIX:config; it never goes back. Refused while a process runs that does not know it: such a worker would
    stand still, such webhooks would answer without what they can't read.
    """
    from conferral.storage.schema import SCHEMA_VERSIONS

    old_version, new_version, outdated = asyncio.run(_upgrade(check=check, force=force))
    if as_json:
        output.print_json(
            {"before": old_version, "after": new_version, "behind": [process.name for process in outdated]}
        )
        return
    for process in outdated:
        output.print_note(f"{process.kind or 'a process'} {process.name} knows level {process.schema_version}")
    if old_version == new_version:
        output.print_line(f"level {new_version}: nothing is to be raised")
        return
    output.print_line(
        f"level {old_version} {'would become' if check else 'is now'} {new_version}; written from now on:"
    )
    for level in range(old_version + 1, new_version + 1):
        output.print_line(f"  {level}: {SCHEMA_VERSIONS[level]}")


async def _upgrade(*, check: bool, force: bool) -> "tuple[int, int, list[Process]]":
    """Return the schema version before and after, and the processes that don't support the new one.

    Raises:
        CommandNotDoneError: some process doesn't support the new version.
    """
    from conferral.cli.redis_access import open_redis
    from conferral.errors import CommandNotDoneError
    from conferral.runtime.settings import StoreSettings, load
    from conferral.storage import config
    from conferral.storage.queries import process_registry
    from conferral.storage.schema import SCHEMA_VERSION

    async with open_redis(load(StoreSettings)) as reader:
        client, keys = reader.client, reader.keys
        old_version = await config.read_schema_version(client, keys.prefix)
        if old_version > SCHEMA_VERSION:
            raise CommandNotDoneError(
                f"Redis is at level {old_version}, this version knows {SCHEMA_VERSION}: update it"
            )
        outdated = [
            process
            for process in await process_registry.list_running(client, keys)
            if process.schema_version < SCHEMA_VERSION
        ]
        if check or old_version == SCHEMA_VERSION:
            return old_version, SCHEMA_VERSION, outdated
        if outdated and not force:
            told = [
                f"{process.kind or 'process'} {process.name} knows level {process.schema_version}"
                for process in outdated
            ]
            raise CommandNotDoneError(
                f"{len(outdated)} of the running processes do not understand level {SCHEMA_VERSION}: update them first",
                details=tuple(told),
            )
        return old_version, await config.raise_schema_version(client, keys.prefix, SCHEMA_VERSION), outdated


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(upgrade)
