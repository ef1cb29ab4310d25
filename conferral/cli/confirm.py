"""Asks before a command hangs someone up."""

import asyncio
import sys

from conferral import output
from conferral.errors import CommandNotDoneError


def confirm_hang_up(command: str, question: str, session: str, party: str = "") -> str:
    """Pass if the answer is yes, or if the full session id was typed where no one can answer; return the session.

    Args:
        command: Its name.
        question: With `{whom}` for those whom it hangs up.
        session: As it was typed.
        party: Whom it hangs up: a party's name, or the SID of its call; empty for everyone.

    Raises:
        NotDoneError: the answer is no, or no one can be asked.
        UnknownSession, AmbiguousSession: none matches; several do.
    """
    # Asked outside of the loop, so that Ctrl-C ends the question and the command with it.
    meant, session_id, whom = asyncio.run(_resolve(session, party))
    if sys.stdin.isatty():
        if not output.confirm(question.format(whom=whom)):
            raise CommandNotDoneError("nothing was done")
    elif session != session_id:
        raise CommandNotDoneError(
            f"without a terminal, {command} needs --yes or the full session id; nothing was done",
            details=(f"this is {session_id}: {whom}",),
        )
    return meant


async def _resolve(named: str, party: str) -> tuple[str, str, str]:
    """The session as its command is to name it, its id, and whom the command would hang up, in words."""
    from conferral.cli.redis_access import open_redis
    from conferral.cli.submission import resolve_session
    from conferral.operations import session_summary, wording
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        # Last digits may match another session by the time the question is answered.
        meant = await resolve_session(reader, named)
        session_id = await reader.find(meant)
        fields = await reader.read_session(session_id)
    whom = [
        f"{name} {wording.display_address(fields.get(f'party.{name}.address', ''))}".strip()
        for name in wording.party_names(fields)
        if fields.get(f"party.{name}.status") != "left"
        and party in ("", name, fields.get(f"party.{name}.call_sid", ""))
    ]
    return meant, session_id, session_summary.join_names(whom) or "No one"
