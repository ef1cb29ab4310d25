"""Commands over HTTP: validates, authorizes, publishes, and logs them."""

from collections.abc import Mapping
from typing import Any

import structlog

from conferral.commands import parser
from conferral.commands.field_values import SENDER
from conferral.commands.parser import BadCommandError, ParsedCommand
from conferral.commands.submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandIdConflict, CommandStreamFull, UnknownSession
from conferral.runtime.errors import ConferralError
from conferral.runtime.web.json_requests import RequestError
from conferral.runtime.web.tokens import Token
from conferral.statemachine.ids import safe_id
from conferral.statemachine.places import is_url
from conferral.statemachine.states import Place

log = structlog.get_logger()


def parse_command(fields: Mapping[str, Any]) -> ParsedCommand:
    """Return a body's command, or raise RequestError."""
    try:
        parsed = parser.parse(fields)
    except BadCommandError as error:
        raise RequestError("invalid", str(error)) from None
    if "/" in parsed.by:  # only the token's name may precede one
        raise RequestError("invalid", f"by {SENDER.rule}")
    return parsed


def _limit_destinations(parsed: ParsedCommand, token: Token) -> ParsedCommand:
    """Return the command with addresses for names, or raise RequestError.

    What is published names no name: the router's directory, which may be another one, can't change what was allowed.
    """
    if (resolve := token.address_of) is None:
        return parsed
    resolved: dict[str, list[str]] = {}
    try:
        for name, destinations in parsed.destinations.items():
            resolved[name] = [*map(resolve, destinations)]
        name, places = "fallback", parsed.fallback
        if places:
            # Words name no destination, and URLs have a list of their own; the router refuses an empty place.
            resolved[name] = [place if place in ("", *Place) or is_url(place) else resolve(place) for place in places]
    except ConferralError as error:
        raise token.refusal(f"may not name this destination in {name}: {error}") from None
    return parsed.with_addresses(resolved)


async def submit_command(submitter: CommandSubmitter, parsed: ParsedCommand, token: Token) -> SubmittedCommand:
    """Publish a command if the token may send it.

    Otherwise raises RequestError; StoreError leaves it unknown.
    """
    token.require(parsed.event_type.name)
    parsed = _limit_destinations(parsed, token)
    fields = parsed.entry() | {"by": f"{token.name}/{parsed.by}" if parsed.by else token.name}
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
        command_id=safe_id(submitted.command_id),
        session_id=safe_id(submitted.session),
        token_name=token.name,
    )
    return submitted
