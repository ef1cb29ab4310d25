"""Shell completion (Tab) of option values and the session's parties."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from conferral.operations.session_queries import SessionQueries
    from conferral.storage.codecs.session_view import SessionView

_T = TypeVar("_T")

#: Repeated here, because importing `statemachine` would slow down `--help`. A test compares the two.
LIVE_STATES = ("bridged", "converting", "conferenced", "transferring")
STATES = (*LIVE_STATES, "ended")
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
    from conferral.demo.stories import STORIES

    return choices(*STORIES)(incomplete)


def complete_parties(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the connected parties of the session typed earlier."""
    # After an option without a value, click leaves the earlier arguments unparsed.
    typed = [context.params.get("session"), *context.args]
    named = next(filter(None, typed), "")

    async def find(reader: "SessionQueries") -> "SessionView":
        return await reader.view(await reader.find(named))

    session = read_in_time(find) if named else None
    return [
        (name, party.status if re.fullmatch("[a-z]{1,20}", party.status) else "")
        for name, party in (session.present if session else {}).items()
        if name.startswith(incomplete) and re.fullmatch(PARTY_PATTERN, name)
    ]


def read_in_time(read: Callable[["SessionQueries"], Awaitable[_T]]) -> _T | None:
    """Return what a function reads; None after an error or a timeout."""
    import asyncio

    from conferral.redis_access import open_redis
    from conferral.runtime.errors import ConferralError
    from conferral.runtime.settings import StoreSettings, load

    async def opened() -> _T:
        async with open_redis(load(StoreSettings)) as reader:
            return await read(reader)

    async def in_time() -> _T | None:
        reading = asyncio.ensure_future(opened())
        await asyncio.wait({reading}, timeout=TIMEOUT_S)
        if reading.done():
            return reading.result()
        reading.cancel()
        return None

    try:
        return asyncio.run(in_time())
    except ConferralError:
        return None
