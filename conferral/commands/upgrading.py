"""`upgrade`: raises the level at which all processes write, once every one of them knows it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.commands.options import AsJson

if TYPE_CHECKING:
    from conferral.storage.processes import Process


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
    from conferral.storage.levels import LEVELS

    before, after, behind = asyncio.run(_upgrade(check=check, force=force))
    if as_json:
        output.show_json({"before": before, "after": after, "behind": [process.name for process in behind]})
        return
    for process in behind:
        output.note(f"{process.kind or 'a process'} {process.name} knows level {process.level}")
    if before == after:
        output.result(f"level {after}: nothing is to be raised")
        return
    output.result(f"level {before} {'would become' if check else 'is now'} {after}; written from now on:")
    for level in range(before + 1, after + 1):
        output.result(f"  {level}: {LEVELS[level]}")


async def _upgrade(*, check: bool, force: bool) -> "tuple[int, int, list[Process]]":
    """The level before and after, and the processes that don't know the new one.

    Raises:
        NotDoneError: some process does not know the new level.
    """
    from conferral.access import opened
    from conferral.errors import NotDoneError
    from conferral.runtime.settings import StoreSettings, load
    from conferral.storage import config, processes
    from conferral.storage.levels import LEVEL

    async with opened(load(StoreSettings)) as reader:
        client, keys = reader.client, reader.keys
        before = await config.level_of(client, keys.prefix)
        if before > LEVEL:
            raise NotDoneError(f"Redis is at level {before}, this version knows {LEVEL}: update it")
        behind = [process for process in await processes.running(client, keys) if process.level < LEVEL]
        if check or before == LEVEL:
            return before, LEVEL, behind
        if behind and not force:
            told = [f"{process.kind or 'process'} {process.name} knows level {process.level}" for process in behind]
            raise NotDoneError(
                f"{len(behind)} of the processes that run would not understand level {LEVEL}: update them first",
                details=tuple(told),
            )
        return before, await config.raise_level(client, keys.prefix, LEVEL), behind


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(upgrade)
