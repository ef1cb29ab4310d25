"""Histories of sessions: read from Redis or from a file, and saved."""

import os
import sys
from pathlib import Path

from conferral import output
from conferral.errors import CommandNotDoneError
from conferral.operations import replay
from conferral.operations.replay import FILE_BYTES_MAX, BadHistoryError, SessionHistory
from conferral.operations.session_queries import SessionQueries, displayed


async def read_history(reader: SessionQueries, named: str) -> SessionHistory:
    """Return a session's history; say so if a name is only an ended one's.

    Raises UnknownSession if none matches, CommandNotDoneError if Redis no longer has it.
    """
    exact = await reader.find_exact(named)
    session_id = exact or await reader.find(named)
    session = await reader.read_session(session_id)
    if not session.fields:
        reason = f"{session_id} is not in Redis: it was erased or has only just started; try again in a moment"
        raise CommandNotDoneError(reason)
    if not exact and session.is_ended:
        output.print_note(f"no live call matches {displayed(named)}; this is the only ended one")
    return SessionHistory(dict(session.fields), tuple(await reader.log(session_id)))


def read_history_file(name: str) -> SessionHistory:
    """Read a history file (`-`: standard input), or raise CommandNotDoneError."""
    try:
        if name == "-":
            body = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                body = file.read(FILE_BYTES_MAX + 1)
        return replay.parse_history(body)
    except OSError as error:
        raise CommandNotDoneError(f"{name} can't be read: {error.strerror}") from error
    except BadHistoryError as error:
        raise CommandNotDoneError(f"{name} is not a session history: {error}") from error


def save_history(history: SessionHistory, name: str) -> None:
    """Write a new file for its owner alone: it holds full phone numbers."""
    try:
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(replay.to_json(history))
    except OSError as error:
        raise CommandNotDoneError(f"{name} can't be written: {error.strerror}") from error
