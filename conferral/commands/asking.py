"""Asks on a terminal before somebody is hung up."""

import asyncio
import sys

from conferral import output
from conferral.errors import NotDoneError


def ask_before(question: str, session: str, party: str = "") -> str:
    """Passes when the answer is yes, or when nobody is there to be asked; returns the session to which it applies.

    Args:
        question: With `{whom}` for those whom it hangs up.
        session: As it was typed.
        party: Whom it hangs up: a party's name, or the SID of its call; empty for everybody.

    Raises:
        NotDoneError: the answer is no, or nobody knows the session.
    """
    if not sys.stdin.isatty():
        return session
    # Asked outside of the loop, so that Ctrl-C ends the question and the command with it.
    meant, whom = asyncio.run(_whom(session, party))
    if not output.ask(question.format(whom=whom)):
        raise NotDoneError("nothing was done")
    return meant


async def _whom(named: str, party: str) -> tuple[str, str]:
    """The session as its command is to name it, and whom it would hang up, in words."""
    from conferral.access import opened
    from operators import standing, words
    from runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        session_id = await reader.find(named)
        fields = await reader.session(session_id)
        # Last digits may mean somebody else by the time that the question is answered.
        meant = named if await reader.look_for(named) else session_id
    whom = [
        f"{name} {words.address(fields.get(f'party.{name}.address', ''))}".strip()
        for name in words.parties(fields)
        if fields.get(f"party.{name}.status") != "left"
        and party in ("", name, fields.get(f"party.{name}.call_sid", ""))
    ]
    return meant, standing.listed(whom) or "Nobody"
