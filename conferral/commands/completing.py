"""What the shell offers on Tab for the values of options: closed lists, and the parties of the session."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from conferral.operations.reader import Fields

#: The closed lists. What is typed is held against the words of `statemachine`, which is too heavy to import for
#: `--help`; a test compares the two.
STATES = ("bridged", "converting", "conferenced", "transferring", "ended")
CALL_MODES = ("bridge", "conference")
TRANSFER_MODES = ("warm", "consult", "blind")
SUPERVISE_MODES = ("monitor", "whisper", "barge")
RECORD_ACTIONS = ("start", "pause", "resume", "stop")
#: How long the shell waits for what it may offer, seconds.
WITHIN_S = 1.0
#: What a party's name looks like. What doesn't is not offered: it could mean something to a shell.
PARTY_TEXT = r"[A-Za-z0-9_-]{1,64}"


def one_of(*words: str) -> Callable[[str], list[str]]:
    """Makes what offers those of these words that begin as somebody has typed."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return completed


def completed_stories(incomplete: str) -> list[str]:
    """The demo's stories whose names begin so."""
    from conferral.demo.stories import STORIES

    return one_of(*STORIES)(incomplete)


def completed_parties(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The parties on the line of the session that was typed before, each with its status; none without one."""
    import asyncio
    import re

    from conferral.operations import words
    from conferral.runtime.errors import ConferralError

    # Behind an option that has no value yet, what stands before it is left as it was typed.
    typed = [context.params.get("session"), *context.args]
    session = next(filter(None, typed), "")
    if not session:
        return []
    try:
        fields = asyncio.run(_session(session))
    except ConferralError:
        return []  # a shell that completes is no place for errors
    there = [(name, fields.get(f"party.{name}.status", "")) for name in words.parties(fields)]
    return [
        (name, status if re.fullmatch("[a-z]{1,20}", status) else "")
        for name, status in there
        if name.startswith(incomplete) and status != "left" and re.fullmatch(PARTY_TEXT, name)
    ]


async def _session(named: str) -> "Fields":
    """A session's hash; empty when finding it takes longer than somebody waits who has pressed Tab."""
    import asyncio

    looking = asyncio.ensure_future(_read(named))
    await asyncio.wait({looking}, timeout=WITHIN_S)
    if not looking.done():
        looking.cancel()
        return {}
    return looking.result()


async def _read(named: str) -> "Fields":
    from conferral.access import opened
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        return await reader.session(await reader.find(named))
