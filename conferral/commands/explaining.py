"""`explain`: in words, why a session stands where it stands and what would help."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from conferral import output
from conferral.commands.options import AsJson, Full, SessionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conferral.operations.explaining import Explanation, Failure
    from conferral.operations.waiting import Wait


def explain(session: SessionName, full: Full = False, as_json: AsJson = False) -> None:
    """Say what a session waits for, what failed, and what helps.

    \b
    Examples:
      conferral explain CA0123456789abcdef0123456789abcdef
      conferral explain CA0123456789abcdef0123456789abcdef --json | jq -r '.helps[0].line'

    Also what comes by itself, and when. Of a session that has ended: why it did.
    """
    session_id, told, now_ms = asyncio.run(_explained(session, full=full))
    if as_json:
        output.show_json(as_object(session_id, told))
        return
    output.result(f"session         {session_id}")
    output.result()
    for sentence in told.standing:
        output.result(sentence)
    _tell("It waits for", [_wait(wait, now_ms) for wait in told.waits if wait.by in ("person", "twilio")])
    _tell("What comes by itself", told.comes_by_itself)
    if told.first_failure is not None:
        _tell_failure(told.first_failure)
    _tell("What would help", [line for one in told.helps for line in (one.line, f"  {one.why}")])


async def _explained(named: str, *, full: bool) -> tuple[str, Explanation, int]:
    from conferral.access import opened
    from conferral.operations import explaining
    from conferral.operations.times import read_times
    from conferral.ordering import own_command_line
    from conferral.reading import read_history
    from conferral.runtime.settings import StoreSettings, load

    settings = load(StoreSettings)
    async with opened(settings) as reader:
        history = await read_history(reader, named)
        now = (await read_times(reader)).of(history.fields)
    line = own_command_line(settings)
    told = explaining.explain_damage(history.fields, command_line=line) or explaining.explain(
        history.fields, history.log, now, full=full, command_line=line
    )
    return history.fields.get("id", named), told, now


def _tell(heading: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    output.result()
    output.heading(heading)
    for line in lines:
        output.result(f"  {line}")


def _wait(wait: Wait, now_ms: int) -> str:
    from conferral.operations import words

    lasts = words.age(wait.since_ms, now_ms)
    return f"{wait.for_}, since {words.clock(wait.since_ms)} UTC ({lasts})" if lasts else wait.for_


def _tell_failure(failure: Failure) -> None:
    from conferral.operations import words

    output.result()
    line = f"  {words.clock(failure.at_ms)} UTC  {failure.words}"
    if failure.is_refusal:  # no alarm: nothing has failed
        output.heading("What was refused: nothing has failed")
        output.result(f"{line}: {failure.guard}" if failure.guard else line)
        return
    output.heading("What failed earlier, nothing since" if failure.is_earlier else "What failed first")
    output.alarm(line)
    if failure.guard and failure.guard not in failure.words:
        output.result(f"  because: {failure.guard}")
    if failure.twilio_code:
        output.result(f"  Twilio's code {failure.twilio_code}: {failure.link}")


def as_object(session_id: str, told: Explanation) -> dict[str, Any]:
    """An explanation as JSON has it: times in ISO 8601, null for what nobody knows."""
    failure = told.first_failure
    return {
        "session": session_id,
        "standing": list(told.standing),
        "waits": [wait_object(wait) for wait in told.waits],
        "comes_by_itself": list(told.comes_by_itself),
        "first_failure": None
        if failure is None
        else {
            "entry": failure.entry_id,
            "at": iso(failure.at_ms),
            "what": failure.words,
            "reason": failure.guard,
            "twilio_code": failure.twilio_code or None,
            "link": failure.link or None,
        },
        "helps": [{"command": one.command, "why": one.why, "line": one.line} for one in told.helps],
    }


def wait_object(wait: Wait) -> dict[str, Any]:
    """One thing that is waited for, as JSON has it."""
    return {"for": wait.for_, "by": wait.by, "since": iso(wait.since_ms), "comes_at": iso(wait.comes_at_ms)}


def iso(at_ms: int) -> str | None:
    """A time as JSON has it; null for none."""
    from conferral.storage.times import to_iso

    return to_iso(at_ms) if at_ms else None


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(explain)
