"""Histories of sessions, by any name."""

from conferral import output
from conferral.errors import CommandNotDoneError
from conferral.operations.replay import SessionHistory
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
