"""Gives one command to one session: publishes it, waits for what comes of it, and tells that."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from conferral import output
from conferral.errors import NotDoneError

if TYPE_CHECKING:
    from conferral.access import Fields, Reader
    from runtime.settings import StoreSettings
    from streams.commands import CommandOutcome

#: What has happened when a command is done, in a word; of a transfer its mode says it.
_DONE = {
    "call": "connected",
    "convert": "converted",
    "transfer warm": "joined",
    "transfer consult": "consulting",
    "transfer blind": "transferred",
    "complete": "completed",
    "cancel": "cancelled",
    "swap": "swapped",
    "merge": "merged",
    "end": "ended",
}
#: The commands that lead on from where a session stands, the likeliest first.
_NEXT = ("transfer", "complete", "merge", "swap", "cancel", "convert", "end")


@dataclass(frozen=True, slots=True)
class Way:
    """How a command is given, whatever it asks for."""

    #: Seconds to wait for the outcome.
    timeout_s: float
    #: Whether the command's id is printed at once in place of the outcome.
    no_wait: bool
    #: None for one that is made up.
    command_id: str | None
    as_json: bool


def order(fields: dict[str, str], way: Way) -> None:
    """Gives a command and tells what came of it.

    Args:
        fields: As the stream of commands takes them, without the id; empty ones are left out.
        way: How.

    Raises:
        BadParameter: no session could take it; nothing was published.
        NotDoneError: it was refused or has failed, or is still under way.
    """
    from streams.commands import BadCommandError, parse

    given = {name: value for name, value in fields.items() if value}
    try:
        # By those who take it from the stream too: what they would not understand is told without them.
        parse(given)
        "".join(given.values()).encode()
    except BadCommandError as error:
        raise typer.BadParameter(str(error)) from None
    except UnicodeEncodeError:
        raise typer.BadParameter("not UTF-8") from None
    asyncio.run(_order(given, way))


async def _order(fields: dict[str, str], way: Way) -> None:
    from conferral.access import opened
    from runtime.settings import StoreSettings, load
    from streams import commands

    settings = load(StoreSettings)
    async with opened(settings) as reader:
        given = way.command_id or f"cli-{secrets.token_hex(8)}"
        digest = commands.digest_of(fields)
        if way.command_id:
            _check_own(await commands.outcome(reader.client, reader.keys, given), digest)
        await commands.publish(reader.client, reader.keys, {**fields, "id": given})
        if way.no_wait:
            if way.as_json:
                output.show_json({"command": given})
            else:
                output.result(given)
            return
        outcome = await commands.wait_for_outcome(reader.client, reader.keys, given, way.timeout_s, digest=digest)
        _check_own(outcome, digest)  # two may have given the same id at the same moment
        session_id = outcome.session or fields.get("session", "")
        session = await reader.session(session_id) if session_id else {}
        if outcome.status != "done":
            line = _command_line(settings)
            raise await _not_done(reader, fields["type"], outcome, session, way.timeout_s, line)
    if way.as_json:
        output.show_json({"command": given, "status": outcome.status, "reason": outcome.reason, "session": session_id})
    else:
        word = _DONE[" ".join(filter(None, (fields["type"], fields.get("mode", "") * (fields["type"] == "transfer"))))]
        _tell_done(word, session_id, outcome.reason, session, _command_line(settings))


def _check_own(outcome: CommandOutcome, digest: str) -> None:
    """Passes when what is kept under the id is of the command of this digest, or nothing is.

    Raises:
        NotDoneError: it is another command's.
    """
    if outcome.is_of_another(digest):
        reason = f"the id {outcome.command_id} was given before, for another command; nothing was done"
        raise NotDoneError(reason, command_id=outcome.command_id, status="rejected")


async def _not_done(
    reader: Reader, kind: str, outcome: CommandOutcome, session: Fields, timeout_s: float, command_line: str
) -> Exception:
    from conferral import standing, words

    if outcome.is_final:
        reason = f"{kind} {outcome.status}: {outcome.reason or 'no reason was told'}"
        # What was tried and failed has left its mark: whoever asked must know with whom the customer is now.
        stands = [f"{session['id']} is {words.state(session)}", standing.company(session)] if session.get("id") else []
        details = tuple(filter(None, stands)) if outcome.status == "failed" else ()
        return NotDoneError(
            reason,
            allowed=_allowed(session),
            command_id=outcome.command_id,
            status=outcome.status,
            details=details,
        )
    reason = f"{kind} is still under way after {timeout_s:g} s; its id is {outcome.command_id}"
    if not outcome.status and not await _anybody_works(reader):
        reason += "; no worker is alive, one takes it up as soon as it starts: conferral worker"
    details = (f"follow it: {command_line} watch {outcome.session}",) if outcome.session else ()
    return NotDoneError(reason, command_id=outcome.command_id, status=outcome.status, details=details)


async def _anybody_works(reader: Reader) -> bool:
    from conferral.checks.workers import alive

    return bool(await alive(reader.client, reader.keys))


def _allowed(session: Fields) -> tuple[str, ...]:
    from runtime.errors import StoreError
    from statemachine.machine import allowed_commands
    from streams import session_codec

    try:
        return allowed_commands(session_codec.decode(session)) if session else ()
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


def _tell_done(word: str, session_id: str, reason: str, session: Fields, command_line: str) -> None:
    from conferral import standing, words

    why = f" ({reason})" if reason else ""
    output.result(f"{word}: {session_id} is {words.state(session) if session else 'not known any more'}{why}")
    if together := standing.company(session):
        output.result(together)
    if session.get("state") == "ended":
        output.note(f"what happened: {command_line} show {session_id}")
    else:
        # A conversion of what is a conference already is allowed and changes nothing; a transfer before both are in it
        # is allowed and only waits.
        pointless = {"bridged": (), "conferenced": ("convert",)}.get(session.get("state", ""), ("convert", "transfer"))
        allowed = tuple(name for name in _allowed(session) if name not in pointless)
        output.note(f"next: {next_step(allowed, session_id, command_line)}")


def next_step(allowed: tuple[str, ...], session_id: str, command_line: str) -> str:
    """What can be typed next: the likeliest command whole, the others by name.

    >>> next_step(("complete", "cancel", "end"), "CA1", "conferral")
    'conferral complete CA1, or cancel, end or watch in place of complete'
    """
    first, *others = [*(name for name in _NEXT if name in allowed), "watch"]
    if not others:
        return f"{command_line} {first} {session_id}"
    either = " or ".join(filter(None, (", ".join(others[:-1]), others[-1])))
    if first == "transfer":
        # The only one that needs more than the session.
        whole = f"{command_line} transfer {session_id} --to ADDRESS --mode consult"
        return f"{whole}, or {either} with the session alone"
    return f"{command_line} {first} {session_id}, or {either} in place of {first}"
