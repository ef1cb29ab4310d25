"""`supervise`, `announce`, and `record`: who hears what."""

from __future__ import annotations

from typing import Annotated

import typer

from conferral.cli.completion import RECORD_ACTIONS, SUPERVISE_MODES, choices
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
    dial_options,
)
from conferral.cli.submission import SubmitOptions, submit


def supervise(
    session: SessionName,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help=f"Who to dial: {DESTINATION}.")],
    mode: Annotated[
        str,
        typer.Option(
            metavar="monitor|whisper|barge",
            help="Who hears the supervisor; see above.",
            autocompletion=choices(*SUPERVISE_MODES),
        ),
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
    """Add a supervisor, or switch the supervisor's mode.

    \b
    Examples:
      conferral supervise CA0123456789abcdef0123456789abcdef --to client:dave --mode monitor
      conferral supervise CA0123456789abcdef0123456789abcdef --to client:dave --mode whisper

    monitor: no one hears them. whisper: only the agent hears them. barge: everyone hears them. The supervisor always
    hears everyone. Repeat the command with another mode to switch; no one is dialed again. A bridged call is converted
    first.
    """
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    fields = {"type": "supervise", "session": session, "to": to, "mode": mode}
    submit(fields | options, SubmitOptions(wait, no_wait, command_id, as_json))


def announce(
    session: SessionName,
    url: Annotated[str | None, typer.Option(metavar="URL", help="URL of audio or TwiML to play to everyone.")] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="Sentence to say to everyone.")] = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Play audio or say a sentence to everyone.

    \b
    Examples:
      conferral announce CA0123456789abcdef0123456789abcdef --say "This call is being recorded."
      conferral announce CA0123456789abcdef0123456789abcdef --url https://media.example.com/closing.mp3

    Needs --url or --say. Done when it has been played to its end. Parties on hold don't hear it. A bridged call is
    converted first.
    """
    fields = {"type": "announce", "session": session, "url": url or "", "say": say or ""}
    submit(fields, SubmitOptions(wait, no_wait, command_id, as_json))


def record(
    session: SessionName,
    action: Annotated[
        str,
        typer.Option(
            metavar="start|pause|resume|stop",
            help="What to do with the recording.",
            autocompletion=choices(*RECORD_ACTIONS),
        ),
    ],
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Record the customer's call in two channels.

    \b
    Examples:
      conferral record CA0123456789abcdef0123456789abcdef --action start
      conferral record CA0123456789abcdef0123456789abcdef --action pause

    If the conference is recorded from its start, the command controls that recording.
    """
    fields = {"type": "record", "session": session, "action": action}
    submit(fields, SubmitOptions(wait, no_wait, command_id, as_json))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(supervise)
    app.command()(announce)
    app.command()(record)
