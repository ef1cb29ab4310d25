"""Ask for confirmation before a command hangs someone up."""

import sys
from typing import TYPE_CHECKING

from conferral import output
from conferral.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.operations.session_queries import SessionQueries


def confirm_hang_up(command: str, question: str, session: str, party: str = "") -> str:
    """Return the session if the user confirms, or if there is no terminal and they typed the full session id.

    Args:
        question: The prompt, with `{whom}` for the parties that it hangs up.
        session: The session as typed.
        party: The party to hang up: its name, or the SID of its call; empty for everyone.

    Raises:
        CommandNotDoneError: the user declined, or there is no terminal to ask on.
        UnknownSession, AmbiguousSession: no session matches; several match.
    """
    from conferral.cli.redis_access import run_query

    # Prompt outside of the event loop, so that Ctrl-C ends both the prompt and the command.
    meant, session_id, whom = run_query(lambda reader: _resolve(reader, session, party))
    if sys.stdin.isatty():
        output.require_confirmation(question.format(whom=whom))
    elif session != session_id:
        raise CommandNotDoneError(
            f"without a terminal, {command} needs --yes or the full session id; nothing was done",
            details=(f"it matches {session_id}: {whom}",),
        )
    return meant


async def _resolve(reader: "SessionQueries", named: str, party: str) -> tuple[str, str, str]:
    """Return the session's name for the command, its id, and a description of the parties to hang up."""
    from conferral.cli.submission import resolve_session
    from conferral.operations import wording

    # Resolve it now: by the time the user answers, the last digits may match another session.
    meant = await resolve_session(reader, named)
    session_id = await reader.find(meant)
    session = await reader.view(session_id)
    whom = [
        f"{name} {wording.display_address(one.address)}".strip()
        for name, one in session.present.items()
        if party in ("", name, one.call_sid)
    ]
    return meant, session_id, wording.join_names(whom) or "No one"
