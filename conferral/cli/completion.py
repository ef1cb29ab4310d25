"""What the shell offers on Tab for the values of options: closed lists, and the parties of the session."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from conferral.operations.session_queries import Fields

#: The closed lists. What is typed is held against the words of `statemachine`, which is too heavy to import for
#: `--help`; a test compares the two.
STATES = ("bridged", "converting", "conferenced", "transferring", "ended")
CALL_MODES = ("bridge", "conference")
TRANSFER_MODES = ("warm", "consult", "blind")
SUPERVISE_MODES = ("monitor", "whisper", "barge")
RECORD_ACTIONS = ("start", "pause", "resume", "stop")
#: How long the shell waits for what it may offer, seconds.
TIMEOUT_S = 1.0
#: What a party's name looks like. What doesn't is not offered: it could mean something to a shell.
PARTY_PATTERN = r"[A-Za-z0-9_-]{1,64}"


def choices(*allowed: str) -> Callable[[str], list[str]]:
    """Makes what offers those of these words that begin as somebody has typed."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in allowed if word.startswith(incomplete)]

    return completed


def complete_stories(incomplete: str) -> list[str]:
    """The demo's stories whose names begin so."""
    from conferral.demo.scenarios.calls import STORIES

    return choices(*STORIES)(incomplete)


def complete_parties(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The parties on the line of the session that was typed before, each with its status; none without one."""
    import asyncio
    import re

    from conferral.operations import wording
    from conferral.runtime.errors import ConferralError

    # Behind an option that has no value yet, what stands before it is left as it was typed.
    typed = [context.params.get("session"), *context.args]
    session = next(filter(None, typed), "")
    if not session:
        return []
    try:
        fields = asyncio.run(_find_session(session))
    except ConferralError:
        return []  # a shell that completes is no place for errors
    present = [(name, fields.get(f"party.{name}.status", "")) for name in wording.party_names(fields)]
    return [
        (name, status if re.fullmatch("[a-z]{1,20}", status) else "")
        for name, status in present
        if name.startswith(incomplete) and status != "left" and re.fullmatch(PARTY_PATTERN, name)
    ]


async def _find_session(named: str) -> "Fields":
    """A session's hash; empty when finding it takes longer than somebody waits who has pressed Tab."""
    import asyncio

    looking = asyncio.ensure_future(_read_session(named))
    await asyncio.wait({looking}, timeout=TIMEOUT_S)
    if not looking.done():
        looking.cancel()
        return {}
    return looking.result()


async def _read_session(named: str) -> "Fields":
    from conferral.cli.redis_access import open_redis
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        return await reader.read_session(await reader.find(named))
