"""Shell completion (Tab) of option values: closed lists, and the session's parties."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from conferral.storage.codecs.session_view import SessionView

#: Repeated here, because importing `statemachine` would slow down `--help`. A test compares the two.
STATES = ("bridged", "converting", "conferenced", "transferring", "ended")
#: Timeout for completion, in seconds.
TIMEOUT_S = 1.0
#: Party names that are offered. Others might contain shell syntax.
PARTY_PATTERN = r"[A-Za-z0-9_-]{1,64}"


def choices(*allowed: str) -> Callable[[str], list[str]]:
    """Return a completer for these words."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in allowed if word.startswith(incomplete)]

    return completed


def complete_stories(incomplete: str) -> list[str]:
    """Complete the names of the demo's stories."""
    from conferral.demo.scenarios.calls import STORIES

    return choices(*STORIES)(incomplete)


def complete_parties(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the connected parties of the session typed earlier, each with its status; none without a session."""
    import asyncio
    import re

    from conferral.runtime.errors import ConferralError

    # After an option without a value, click leaves the earlier arguments unparsed.
    typed = [context.params.get("session"), *context.args]
    session = next(filter(None, typed), "")
    if not session:
        return []
    try:
        parties = asyncio.run(_find_session(session)).present
    except ConferralError:
        return []  # completion must never print errors
    return [
        (name, party.status if re.fullmatch("[a-z]{1,20}", party.status) else "")
        for name, party in parties.items()
        if name.startswith(incomplete) and re.fullmatch(PARTY_PATTERN, name)
    ]


async def _find_session(named: str) -> "SessionView":
    """Return a session; empty if reading it takes longer than `TIMEOUT_S`."""
    import asyncio

    from conferral.storage.codecs.session_view import SessionView

    reading = asyncio.ensure_future(_read_session(named))
    await asyncio.wait({reading}, timeout=TIMEOUT_S)
    if not reading.done():
        reading.cancel()
        return SessionView()
    return reading.result()


async def _read_session(named: str) -> "SessionView":
    from conferral.cli.redis_access import open_redis
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        return await reader.view(await reader.find(named))
