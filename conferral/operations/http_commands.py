"""Commands over HTTP: validates, publishes, and logs them."""

from collections.abc import Mapping
from typing import Any

import structlog

from conferral.operations.command_submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandIdConflict, CommandStreamFull, UnknownSession
from conferral.runtime.web.json_requests import RequestError
from conferral.storage.commands import command_parser, command_stream
from conferral.storage.commands.command_parser import BadCommandError, ParsedCommand
from conferral.storage.commands.field_values import SENDER

log = structlog.get_logger()

#: Name of the submitter for commands authorized by `CONFERRAL_API_TOKEN`.
TOKEN_NAME = "api"  # noqa: S105  # a name, not a token


def parse_command(fields: Mapping[str, Any]) -> ParsedCommand:
    """Return a body's command, or raise RequestError."""
    try:
        parsed = command_parser.parse(fields)
    except BadCommandError as error:
        raise RequestError("invalid", str(error)) from None
    if "/" in parsed.by:  # only the token's name may precede one
        raise RequestError("invalid", f"by {SENDER.rule}")
    return parsed


async def submit_command(submitter: CommandSubmitter, parsed: ParsedCommand) -> SubmittedCommand:
    """Publish a command, or raise RequestError; StoreError leaves it unknown."""
    fields = parsed.entry() | {"by": f"{TOKEN_NAME}/{parsed.by}" if parsed.by else TOKEN_NAME}
    try:
        submitted = await submitter.submit(fields, parsed.id, check_session=True)
    except CommandIdConflict as error:
        raise RequestError("id-conflict", error.reason) from None
    except CommandStreamFull as error:
        raise RequestError("full", error.reason) from None
    except UnknownSession as error:
        raise RequestError("unknown", str(error)) from None
    log.info(
        "command_published",
        command=submitted.kind,
        command_id=command_stream.safe_id(submitted.command_id),
        session_id=command_stream.safe_id(submitted.session),
    )
    return submitted
