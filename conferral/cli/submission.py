"""Submit a command from the terminal, and print its result."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import typer

from conferral.cli import output
from conferral.cli.agent_names import with_agent_names
from conferral.cli.command_line import own_command
from conferral.cli.redis_connection import describe_redis_error, open_redis, run_query
from conferral.commands.parser import BadCommandError, parse
from conferral.commands.submission import CommandSubmitter
from conferral.operations import catalog
from conferral.operations.errors import CommandNotDoneError, CommandRejected, PublishUnconfirmedError
from conferral.operations.explain import explanation, facts, people
from conferral.operations.session_search import allowed_commands_of, find_session, match_session, only_session
from conferral.runtime import log, tracing
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.redaction import display_address
from conferral.runtime.settings import CommandSettings, StoreSettings, load
from conferral.statemachine.events.commands import COMMANDS_BY_NAME, Convert, DialCommand
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.session import Session
from conferral.statemachine.states import ParticipantUpdate, State
from conferral.storage.codecs.text_codec import parse_code
from conferral.storage.command_stream import CommandResult
from conferral.storage.queries.live_workers import has_live_worker
from conferral.storage.queries.session_reader import SessionReader

#: How long to wait for an open hold or unhold before saying who talks to whom, in seconds.
HOLDS_WAIT_S = 2.0
HOLDS_POLL_S = 0.05
_HOLDS = (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
WAIT_BEYOND_RING_S = 15.0
WAIT_MIN_S = 30.0


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options for submitting any command."""

    #: How long to wait for the result, in seconds; None for the command's ring time plus a margin.
    wait_s: float | None
    no_wait: bool
    #: None to generate one.
    command_id: str | None
    as_json: bool


def submit(fields: Mapping[str, str], options: SubmitOptions) -> None:
    """Submit a command and print its result.

    `fields` are those of the command stream, without the id; empty ones are left out.

    Raises:
        BadParameter: the command is invalid for any session; nothing was published.
        CommandNotDoneError: it was rejected, has failed, or is still in progress.
    """
    named = fields.get("session", "")
    # Other session names are resolved once Redis is open; validate the other fields now, with a placeholder.
    needs_one = not named and not COMMANDS_BY_NAME[fields["type"]].opens_session
    stands_for = {"session": "CA"} if needs_one or (named and not ID_PATTERN.fullmatch(named)) else {}
    try:
        # Use the stream's own validation, so that invalid fields are reported without publishing anything.
        fields_given = parse({"by": "cli", **fields, **stands_for}).entry()
        "".join(fields_given.values()).encode()
    except BadCommandError as error:
        raise typer.BadParameter(str(error)) from None
    except UnicodeEncodeError:
        raise typer.BadParameter("not UTF-8") from None
    if tracing.is_wanted():
        # The operator did not ask about the endpoint of traces.
        log.configure(None, level="error", process="cli", cache_loggers=False)
    with tracing.exporting("cli"):
        asyncio.run(_submit(fields_given, named, options))


def default_wait_s(fields: Mapping[str, str], ring_timeout_s: int) -> float:
    """Return the default time to wait for a command's result, in seconds.

    >>> default_wait_s({"type": "end"}, 30), default_wait_s({"type": "transfer", "timeout": "60"}, 30)
    (30.0, 75.0)
    """
    if not issubclass(COMMANDS_BY_NAME[fields["type"]], DialCommand):
        return WAIT_MIN_S
    # For `call`, the field sets the agent's ring time and the setting the customer's.
    ring_s = int(fields.get("timeout") or ring_timeout_s) + (ring_timeout_s if fields["type"] == "call" else 0)
    return max(WAIT_MIN_S, ring_s + WAIT_BEYOND_RING_S)


async def resolve_session(reader: SessionReader, named: str, command: str) -> str:
    """Return the session's name for the command.

    Without a name, it is the only live session, for `convert` the only bridged one. An id or a call's SID is published
    as typed, because a repeated command is recognized by its fields. Anything else must match exactly one live session,
    else UnknownSession or AmbiguousSession is raised.
    """
    if not named:
        return await only_session(reader, State.BRIDGED if command == Convert.name else None)
    if await reader.find_exact(named):
        return named
    if found := await match_session(reader, named, live_only=True):
        return found
    if ID_PATTERN.fullmatch(named):
        return named  # the router rejects it, as on every other surface
    return await find_session(reader, named)


def confirm_hang_up(command: str, question: str, session: str, party: str = "") -> str:
    """Return the session's name, if the user confirms or typed its full id.

    Args:
        question: The prompt, with `{whom}` for the parties that it hangs up.
        party: The party to hang up: its name, or the SID of its call; empty for everyone.

    Raises:
        CommandNotDoneError: the user declined, or typed no full id and has no terminal.
    """
    # Prompt outside of the event loop, so that Ctrl-C ends both the prompt and the command.
    session_name, session_id, whom = run_query(lambda reader: _resolve_for_prompt(reader, command, session, party))
    if sys.stdin.isatty():
        output.require_confirmation(question.format(whom=whom))
    elif session != session_id:
        raise CommandNotDoneError(
            f"without a terminal, {command} needs --yes or the full session id; nothing was done",
            details=(f"it matches {session_id}: {whom}",),
        )
    return session_name


async def _resolve_for_prompt(reader: SessionReader, command: str, named: str, party: str) -> tuple[str, str, str]:
    """Return the session's name and id, and the parties to hang up."""
    # Resolve it now: by the time the user answers, the last digits may match another session.
    session_name = await resolve_session(reader, named, command)
    session_id = await find_session(reader, session_name)
    session = await reader.read_session(session_id)
    present = session.present if session is not None else {}
    whom = [
        f"{name} {display_address(one.address)}".strip()
        for name, one in present.items()
        if party in ("", name, one.call_sid)
    ]
    return session_name, session_id, catalog.join_names(whom) or "No one"


async def _submit(fields: dict[str, str], session_typed: str, options: SubmitOptions) -> None:
    """Publish a command and, unless `--no-wait`, wait for its result."""
    settings = load(CommandSettings)
    wait_s = default_wait_s(fields, settings.ring_timeout_s) if options.wait_s is None else options.wait_s
    async with open_redis(settings) as reader:
        if not COMMANDS_BY_NAME[fields["type"]].opens_session:
            fields = {**fields, "session": await resolve_session(reader, session_typed, fields["type"])}
        submitter = CommandSubmitter(reader)
        interrupted = _watch_interrupt()
        try:
            submitted = await submitter.submit(fields, options.command_id or "")
            command_id = submitted.command_id
            if options.no_wait:
                if options.as_json:
                    output.print_json({"command": command_id})
                else:
                    output.print_line(command_id)
                return
            try:
                result = await submitter.wait_for_result(submitted, wait_s, interrupted.is_set)
            except StoreUnreachableError as error:
                status_text = f"{submitted.kind} may still be in progress"
                raise _unknown_result(error, settings, status_text, command_id) from None
        except PublishUnconfirmedError as error:
            raise _unknown_result(error, settings, f"{error.kind} may have been published", error.command_id) from None
        except CommandRejected as error:  # for another command with the same id
            raise CommandNotDoneError(error.reason, command_id=error.command_id, status="rejected") from None
        session_id, session = result.session or submitted.session, None
        with suppress(StoreError):  # the result is known, even if Redis no longer answers
            session = await reader.read_session(session_id) if session_id else None
        if result.status != "done":
            waited = "" if interrupted.is_set() else f" after {wait_s:g} s"
            raise await _not_done(reader, fields["type"], result, session, waited, own_command())
        if not options.as_json:
            session = await _session_after_holds(reader, session, interrupted)
    if options.as_json:
        about = {"status": result.status, "reason": result.reason, "session": session_id}
        output.print_json({"command": command_id, **about})
    else:
        _print_done(fields, session_id, result.reason, session, own_command())


def _watch_interrupt() -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; the second ends us."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()

    def on_interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    return interrupted


def _unknown_result(
    error: StoreUnreachableError, settings: StoreSettings, status_text: str, command_id: str
) -> Exception:
    """Return the error about a command whose result can't be read."""
    reason = f"{describe_redis_error(error, settings.redis_url)}; {status_text}; repeat it with --id {command_id}"
    return CommandNotDoneError(reason, command_id=command_id, exit_code=3)


async def _session_after_holds(
    reader: SessionReader, session: Session | None, interrupted: asyncio.Event
) -> Session | None:
    """Read the session until Twilio has answered its holds, or for 2 s."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + HOLDS_WAIT_S
    with suppress(StoreError):
        while session is not None and clock() < until_s and not interrupted.is_set():
            if not any(party.pending_update in _HOLDS for party in session.present.values()):
                break
            await asyncio.sleep(HOLDS_POLL_S)
            session = await reader.read_session(session.id)
    return session


async def _not_done(
    reader: SessionReader, kind: str, result: CommandResult, session: Session | None, waited: str, command_line: str
) -> Exception:
    """Return the error for a command that failed or is still in progress.

    `waited` is how long, such as ` after 5 s`; empty if it was interrupted.
    """
    if result.is_final:
        why = catalog.command_reason(kind, result.reason, result.code) or "no reason given"
        reason = f"{kind} {result.status}: {why}"
        # A failed attempt can change the call: say who the customer is connected to now.
        now = []
        if session is not None:
            connected = people.activity_line(with_agent_names(session))
            now = [f"{session.id} is {facts.state_label(session)}", connected]
        details = tuple(filter(None, now)) if result.status == "failed" else ()
        return CommandNotDoneError(
            reason,
            allowed=allowed_commands_of(session),
            command_id=result.command_id,
            status=result.status,
            details=details,
            command_reason=result.reason,
            code=parse_code(result.code),
        )
    reason = f"{kind} is still in progress{waited} (command {result.command_id})"
    if not result.status and not await has_live_worker(reader.client, reader.keys):
        reason += "; no worker is running; start one: conferral worker"
    details = (f"to see it: {command_line} show {result.session}",) if result.session else ()
    return CommandNotDoneError(reason, command_id=result.command_id, status=result.status, details=details, exit_code=3)


def _done_word(fields: Mapping[str, str]) -> str:
    command = COMMANDS_BY_NAME[fields["type"]]
    attribute, _ = command.variants
    return command.done if isinstance(command.done, str) else command.done.get(fields.get(attribute, ""), "done")


def _print_done(
    fields: dict[str, str], session_id: str, reason: str, session: Session | None, command_line: str
) -> None:
    word = _done_word(fields)
    if session is None or (session.state == word == "ended"):
        line = f"{word} {session_id}"
    elif session.is_ended:
        line = f"{word}; {session_id} has ended"
    else:
        line = f"{word}; {session_id} is now {facts.state_label(session)}"
    output.print_line(f"{line} ({reason})" if reason else line)
    if session is None:
        return
    for line in (people.activity_line(with_agent_names(session)), "; ".join(facts.session_notes(session))):
        if line:
            output.print_line(line)
    if session.is_ended:
        output.print_note(f"for details: {command_line} show {session_id}")
    else:
        for one in explanation.suggested_commands(session)[:1]:
            output.print_note(f"next: {command_line} {one.arguments} ({one.why})")
