"""`forget`: erases all that Redis holds of one ended session."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.commands.options import AsJson, SessionName, Yes
from conferral.errors import NotDoneError

if TYPE_CHECKING:
    from conferral.operations.forgetting import Plan

#: What is counted, in words for one and for several.
_WHAT = {
    "session": ("record of the session", "records of the session"),
    "log_entries": ("entry of its log", "entries of its log"),
    "gates": ("note of who has passed its gate", "notes of who has passed its gate"),
    "calls": ("call", "calls"),
    "commands": ("record of a command", "records of commands"),
    "outcomes": ("outcome", "outcomes"),
    "dead_letters": ("dead letter", "dead letters"),
}


def forget(
    session: SessionName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase all that Redis holds of one session that has ended. Asks first on a terminal.

    \b
    Examples:
      conferral forget CA0123456789abcdef0123456789abcdef --dry-run
      conferral forget 23
      conferral forget CA0123456789abcdef0123456789abcdef --yes --json

    Without a terminal, it always needs --yes, unless --dry-run is given.

    Its record, its log, the index of its calls, its outcomes, the dead letters that name it, and what records of its
    commands say of it; that their ids were given stays, so that no command is done twice. A live session is refused,
    and one that has ended less than a minute ago. Said again, it erases what is left. Recordings lie at Twilio.
    """
    from conferral.runtime import log
    from conferral.runtime.settings import StoreSettings, load

    if not (yes or dry_run or sys.stdin.isatty()):
        raise NotDoneError("without a terminal, forget needs --yes; nothing was erased")
    # The line that says what was erased is the record of it.
    log.configure(load(StoreSettings).log_format, for_good=False)
    plan = asyncio.run(_plan(session))
    traces = plan.traces
    if not plan.is_empty and not dry_run:
        if not yes and not output.ask(f"{_told(plan)} will be gone for good. Go on?"):
            raise NotDoneError("nothing was done")
        asyncio.run(_forget(plan))
    if as_json:
        output.show_json({"session": traces.session_id, "dry_run": dry_run, "erased": traces.counts})
    elif plan.is_empty:
        output.result(f"nothing of {traces.session_id} is in Redis")
    else:
        output.result(f"{'would be erased' if dry_run else 'erased'}: {_told(plan)}")


def _told(plan: "Plan") -> str:
    """What goes, in words; numbers by their last digits."""
    from conferral.operations import words

    traces = plan.traces
    address = words.address(plan.fields.get("party.customer.address", ""))
    ended_at = plan.fields.get("ended_at", "")
    about = ", ".join(filter(None, (address, f"ended {ended_at}" if ended_at else "")))
    counted = [f"{count} {_WHAT[what][count != 1]}" for what, count in traces.counts.items() if count]
    return f"{traces.session_id}{f' ({about})' if about else ''}: {', '.join(counted) or 'its place in an index'}"


async def _plan(named: str) -> "Plan":
    from conferral.access import opened
    from conferral.operations.forgetting import Forgetting
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        return await Forgetting(reader).plan(named)


async def _forget(plan: "Plan") -> None:
    from conferral.access import opened
    from conferral.operations.forgetting import Forgetting
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        await Forgetting(reader).forget(plan)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(forget)
