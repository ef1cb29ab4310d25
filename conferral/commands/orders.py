"""`convert` and `end`: one command to one session, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.commands.options import AsJson, CommandName, SessionName
from conferral.errors import NotDoneError

if TYPE_CHECKING:
    from conferral.access import Fields, Reader
    from runtime.settings import StoreSettings
    from streams.commands import CommandOutcome

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the command's id and don't wait.")]

_DONE = {"convert": "converted", "end": "ended"}


def convert(
    session: SessionName,
    timeout: Timeout = 30,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Move customer and agent into a conference.

    \b
    Examples:
      conferral convert CA0123456789abcdef0123456789abcdef
      conferral convert CA0123456789abcdef0123456789abcdef --no-wait

    They go on talking: what was an ordinary bridge is a conference then.
    """
    asyncio.run(_order("convert", session, timeout, no_wait=no_wait, command_id=command_id, as_json=as_json))


def end(
    session: SessionName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    timeout: Timeout = 30,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Hang everybody up. Asks first on a terminal.

    \b
    Examples:
      conferral end CA0123456789abcdef0123456789abcdef
      conferral end CA0123456789abcdef0123456789abcdef --yes
    """
    if not yes and sys.stdin.isatty():
        # Asked outside of the loop, so that Ctrl-C ends the question and the command with it.
        whom = asyncio.run(_whom(session))
        if not output.ask(f"{whom} will be hung up. End it?"):
            raise NotDoneError("nothing was done")
    asyncio.run(_order("end", session, timeout, no_wait=no_wait, command_id=command_id, as_json=as_json))


async def _order(
    kind: str,
    named: str,
    timeout_s: float,
    *,
    no_wait: bool,
    command_id: str | None,
    as_json: bool,
) -> None:
    from conferral.access import opened
    from runtime.settings import StoreSettings, load
    from streams import commands

    settings = load(StoreSettings)
    async with opened(settings) as reader:
        given = command_id or f"cli-{secrets.token_hex(8)}"
        await commands.publish(reader.client, reader.keys, {"type": kind, "session": named, "id": given})
        if no_wait:
            if as_json:
                output.show_json({"command": given})
            else:
                output.result(given)
            return
        outcome = await commands.wait_for_outcome(reader.client, reader.keys, given, timeout_s)
        session_id = outcome.session or named
        fields = await reader.session(session_id)
        if outcome.status != "done":
            raise await _not_done(reader, kind, outcome, fields, timeout_s)
    if as_json:
        output.show_json({"command": given, "status": outcome.status, "reason": outcome.reason, "session": session_id})
    else:
        _tell_done(kind, session_id, fields, _command_line(settings))


async def _whom(named: str) -> str:
    """Whom ending a session would hang up, in words."""
    from conferral import words
    from conferral.access import opened
    from runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        fields = await reader.session(await reader.find(named))
    whom = [
        f"{party} {words.address(fields.get(f'party.{party}.address', ''))}"
        for party in words.parties(fields)
        if fields.get(f"party.{party}.status") != "left"
    ]
    return " and ".join(whom) or "Nobody"


async def _not_done(reader: Reader, kind: str, outcome: CommandOutcome, fields: Fields, timeout_s: float) -> Exception:
    if outcome.is_final:
        reason = f"{kind} {outcome.status}: {outcome.reason or 'no reason was told'}"
        return NotDoneError(reason, allowed=_allowed(fields), command_id=outcome.command_id)
    reason = f"{kind} is still under way after {timeout_s:g} s; its id is {outcome.command_id}"
    if not outcome.status and not await _anybody_works(reader):
        reason += "; no worker is alive, one takes it up as soon as it starts: conferral worker"
    return NotDoneError(reason, command_id=outcome.command_id)


async def _anybody_works(reader: Reader) -> bool:
    from conferral.checks.workers import alive

    return bool(await alive(reader.client, reader.keys))


def _allowed(fields: Fields) -> tuple[str, ...]:
    from runtime.errors import StoreError
    from statemachine.machine import allowed_commands
    from streams import session_codec

    try:
        return allowed_commands(session_codec.decode(fields)) if fields else ()
    except StoreError:
        return ()  # a record that can't be understood: nothing is known of it


def _command_line(settings: StoreSettings) -> str:
    """How this program is called from here, with the Redis that was meant; never with a password."""
    from conferral.demo.programs import own_command
    from runtime.settings import StoreSettings

    default = StoreSettings.model_fields["redis_url"].default
    if settings.redis_url == default or "@" in settings.redis_url:
        return own_command()
    return f"REDIS_URL={shlex.quote(settings.redis_url)} {own_command()}"


def _tell_done(kind: str, session_id: str, fields: Fields, command_line: str) -> None:
    from conferral import words

    output.result(f"{_DONE[kind]}: {session_id} is {words.state(fields) if fields else 'not known any more'}")
    if fields.get("state") == "ended":
        output.note(f"what happened: {command_line} show {session_id}")
    else:
        output.note(f"next: {command_line} end {session_id}, or watch in place of end")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(convert)
    app.command()(end)
