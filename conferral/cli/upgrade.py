"""`upgrade`: raise the schema version once every process supports it."""

from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson

if TYPE_CHECKING:
    from conferral.operations.session_queries import SessionQueries
    from conferral.storage.queries.process_registry import Process


def upgrade(
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Only print what would be done.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Upgrade even if a running process does not support the schema version.")
    ] = False,
) -> None:
    """Raise the storage schema to this release's version.

    \b
    Examples:
      conferral upgrade --check
      conferral upgrade

    After an update, Conferral keeps writing the previous schema version, so that old and new processes can run side by
    side. Run this when all processes are updated. It raises the schema version in PREFIX:config and can't be undone.
    It refuses while a running process does not support that version: a worker would stop processing, and webhooks would
    miss the data they can't read.
    """
    from conferral.redis_access import run_query
    from conferral.storage.schema import SCHEMA_VERSIONS

    old_version, new_version, outdated = run_query(lambda reader: _upgrade(reader, check=check, force=force))
    if as_json:
        behind = [process.name for process in outdated]
        output.print_json({"before": old_version, "after": new_version, "behind": behind})
        return
    for line in map(_describe, outdated):
        output.print_note(line)
    if old_version == new_version:
        output.print_line(f"schema version {new_version} is current; nothing to do")
        return
    verb = "would be" if check else "was"
    output.print_line(f"schema version {verb} raised from {old_version} to {new_version}; new:")
    for version in range(old_version + 1, new_version + 1):
        output.print_line(f"  {version}: {SCHEMA_VERSIONS[version]}")


def _describe(process: "Process") -> str:
    return f"{process.kind or 'process'} {process.name} supports schema version {process.schema_version}"


async def _upgrade(reader: "SessionQueries", *, check: bool, force: bool) -> "tuple[int, int, list[Process]]":
    """Return the schema version before and after, and outdated processes."""
    from conferral.errors import CommandNotDoneError
    from conferral.storage import config
    from conferral.storage.queries import process_registry
    from conferral.storage.schema import SCHEMA_VERSION

    client, keys = reader.client, reader.keys
    old_version = await config.read_schema_version(client, keys.prefix)
    if old_version > SCHEMA_VERSION:
        reason = f"Redis has schema version {old_version}, but this release supports {SCHEMA_VERSION}: update it"
        raise CommandNotDoneError(reason)
    _, running = await process_registry.read_all(client, keys)
    outdated = [process for process in running if process.schema_version < SCHEMA_VERSION]
    if check or old_version == SCHEMA_VERSION:
        return old_version, SCHEMA_VERSION, outdated
    if outdated and not force:
        raise CommandNotDoneError(
            f"{len(outdated)} running processes do not support schema version {SCHEMA_VERSION}: update them first",
            details=tuple(map(_describe, outdated)),
        )
    return old_version, await config.raise_schema_version(client, keys.prefix, SCHEMA_VERSION), outdated
