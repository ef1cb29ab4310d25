"""Commands that start, transfer, and end calls. Commands that take only a session share one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from conferral.cli.completion import CALL_MODES, TRANSFER_MODES, choices
from conferral.cli.confirm import confirm_hang_up
from conferral.cli.options import (
    DESTINATION,
    AsJson,
    Brief,
    CallerId,
    CommandId,
    Confirm,
    Digits,
    NoWait,
    RingTimeout,
    SessionName,
    Wait,
    Yes,
    check_optional_id,
    dial_options,
)
from conferral.cli.submission import SubmitOptions, submit

_EXAMPLE = "CA0123456789abcdef0123456789abcdef"


class SessionCommand(NamedTuple):
    """A command whose only field is the session."""

    name: str
    summary: str
    details: str


SESSION_COMMANDS = (
    SessionCommand(
        "convert",
        "Move customer and agent into a conference.",
        "They go on talking: what was an ordinary bridge is a conference then.",
    ),
    SessionCommand(
        "complete",
        "In a transfer: let the agent go; customer and target stay.",
        "While the target still rings, the agent goes at once and the transfer goes on as a blind one.",
    ),
    SessionCommand(
        "cancel",
        "In a transfer: let the target go; customer and agent go on.",
        "A target who rings stops ringing.",
    ),
    SessionCommand(
        "swap",
        "In a consult: change whom the agent talks to.",
        "The one is held before the other is let back in, so that customer and target never hear each other.",
    ),
    SessionCommand("merge", "In a consult: let all three talk.", "Nobody is held any more."),
    SessionCommand(
        "park",
        "Let the agent go; the customer waits with music.",
        "Until somebody takes the call up by `conferral retrieve`. After CONFERRAL_PARK_TIMEOUT it goes back to the\n"
        "agent who parked it.",
    ),
)


def _session_command(kind: str) -> Callable[..., None]:
    def run(
        session: SessionName,
        wait: Wait = None,
        no_wait: NoWait = False,
        command_id: CommandId = None,
        as_json: AsJson = False,
    ) -> None:
        submit({"type": kind, "session": session}, SubmitOptions(wait, no_wait, command_id, as_json))

    return run


def _help(command: SessionCommand) -> str:
    typed = f"conferral {command.name} {_EXAMPLE}"
    return f"{command.summary}\n\n\b\nExamples:\n  {typed}\n  {typed} --no-wait\n\n{command.details}"


def call(
    agent: Annotated[str, typer.Option(metavar="ADDRESS", help=f"Who is called first: {DESTINATION}.")],
    customer: Annotated[str, typer.Option(metavar="ADDRESS", help="Who is called when the agent has answered.")],
    mode: Annotated[
        str,
        typer.Option(
            metavar="bridge|conference",
            help="How the two are connected: by an ordinary bridge, which can be converted later, or in a conference.",
            autocompletion=choices(*CALL_MODES),
        ),
    ] = "bridge",
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The new session's id; one is made up without.", callback=check_optional_id),
    ] = None,
    brief: Brief = None,
    confirm: Confirm = False,
    timeout: RingTimeout = None,
    digits: Digits = None,
    caller_id: CallerId = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Call an agent, then a customer, and connect the two.

    \b
    Examples:
      conferral call --agent client:alice --customer +14155550123
      conferral call --agent client:alice --customer +14155550123 --mode conference
      conferral call --agent +14155550145 --customer +14155550123 --confirm --brief "A call to a customer"

    Done when the two talk. What is said before, the key to press and the seconds to ring are the agent's.
    """
    fields = {"type": "call", "agent": agent, "customer": customer, "mode": mode, "session": session or ""}
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    submit(fields | options, SubmitOptions(wait, no_wait, command_id, as_json))


def transfer(
    session: SessionName,
    to: Annotated[str, typer.Option(metavar="ADDRESS[,…]", help=f"To whom: {DESTINATION}; of several all ring.")],
    mode: Annotated[
        str,
        typer.Option(metavar="warm|consult|blind", help="How; see above.", autocompletion=choices(*TRANSFER_MODES)),
    ],
    brief: Brief = None,
    confirm: Confirm = False,
    timeout: RingTimeout = None,
    digits: Digits = None,
    caller_id: CallerId = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Hand the customer over to somebody else.

    \b
    Examples:
      conferral transfer CA0123456789abcdef0123456789abcdef --to +14155550145 --mode warm
      conferral transfer CA0123456789abcdef0123456789abcdef --to client:bob,client:carol --mode consult
      conferral transfer CA0123456789abcdef0123456789abcdef --to +14155550145 --mode blind --confirm

    warm: all three talk, until the agent leaves. consult: the customer is held while agent and target talk. blind: the
    agent leaves at once. warm and consult are done when the target takes part, blind when customer and target talk.
    """
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    fields = {"type": "transfer", "session": session, "to": to, "mode": mode}
    submit(fields | options, SubmitOptions(wait, no_wait, command_id, as_json))


def retrieve(
    session: SessionName,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help=f"Who takes it up: {DESTINATION}.")],
    brief: Brief = None,
    confirm: Confirm = False,
    timeout: RingTimeout = None,
    digits: Digits = None,
    caller_id: CallerId = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Take a parked call up again.

    \b
    Examples:
      conferral retrieve CA0123456789abcdef0123456789abcdef --to client:bob
      conferral retrieve CA0123456789abcdef0123456789abcdef --to +14155550145 --confirm

    Done when the two talk. If it fails the call stays parked.
    """
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    fields = {"type": "retrieve", "session": session, "to": to}
    submit(fields | options, SubmitOptions(wait, no_wait, command_id, as_json))


def end(
    session: SessionName,
    yes: Yes = False,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """End the call for everyone. Asks first on a terminal.

    \b
    Examples:
      conferral end CA0123456789abcdef0123456789abcdef
      conferral end CA01234 --yes

    Without a terminal, a session that is not named by its full id needs --yes.
    """
    if not yes:
        session = confirm_hang_up("end", "{whom} will be hung up. End it?", session)
    submit({"type": "end", "session": session}, SubmitOptions(wait, no_wait, command_id, as_json))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(call)
    app.command()(transfer)
    for command in SESSION_COMMANDS:
        app.command(command.name, help=_help(command))(_session_command(command.name))
    app.command()(retrieve)
    app.command()(end)
