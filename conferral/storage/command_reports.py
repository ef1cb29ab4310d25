"""A command's status, as workers report it."""

from conferral.statemachine.step import CommandReport
from conferral.storage import scripts
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys

#: How long a command's result is kept, seconds.
COMMAND_TTL_S = 86_400


async def report_command(client: Client, keys: Keys, session_id: str, report: CommandReport) -> None:
    """Store a command's status, unless a later one is already stored."""
    arguments = [report.status.value, report.reason, session_id, COMMAND_TTL_S, report.code]
    await scripts.report_command.durably(client, [keys.command(report.command_id)], arguments)
