"""`explain`: say why a session is in its state and what would help."""

from typing import Any

from conferral import output
from conferral.cli.history_source import read_history
from conferral.command_line import own_command, own_command_line
from conferral.operations import explanation, wording
from conferral.operations.explanation import Explanation, Failure
from conferral.operations.pending import Wait
from conferral.operations.session_queries import SessionQueries
from conferral.redis_access import run_query
from conferral.runtime.settings import StoreSettings, load
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.process_registry import has_live_worker


def print_explanation(named: str, *, full: bool, as_json: bool) -> None:
    """Print what a session waits for, and what failed."""
    session_id, explained, now_ms = run_query(lambda reader: _read_explanation(reader, named, full=full))
    if as_json:
        output.print_json(explanation_json(session_id, explained, own_command_line(load(StoreSettings))))
        return
    output.print_line(f"session         {session_id}")
    output.print_line()
    for sentence in explained.summary:
        output.print_line(sentence)
    waits = [_wait_line(wait, now_ms) for wait in explained.waits if wait.by in ("person", "twilio", "worker")]
    output.print_section("Waiting for", waits)
    output.print_section("Automatic next steps", explained.upcoming)
    if explained.first_failure is not None:
        _print_failure(explained.first_failure)
    program = own_command()
    # Without REDIS_URL: the next command finds Redis where this one did.
    suggested = [line for one in explained.suggestions for line in (f"{program} {one.arguments}", f"  {one.why}")]
    output.print_section("Suggested actions", suggested)


async def _read_explanation(reader: SessionQueries, named: str, *, full: bool) -> tuple[str, Explanation, int]:
    history = await read_history(reader, named)
    session = stored_session(history.fields)
    now = await reader.now_ms(session.id)
    has_worker = await has_live_worker(reader.client, reader.keys)
    explained = explanation.explain_damage(session) or explanation.explain(
        session, history.log, now, full=full, has_worker=has_worker
    )
    return session.id or named, explained, now


def _wait_line(wait: Wait, now_ms: int) -> str:
    lasts = wording.format_age(wait.since_ms, now_ms)
    return f"{wait.for_}, since {wording.format_clock(wait.since_ms)} UTC ({lasts})" if lasts else wait.for_


def _print_failure(failure: Failure) -> None:
    output.print_line()
    line = f"  {wording.format_clock(failure.at_ms)} UTC  {failure.text}"
    if failure.is_refusal:  # a refused command is not a failure
        output.print_heading("Last refused command (nothing failed)")
        output.print_line(f"{line}: {failure.guard}" if failure.guard else line)
        return
    output.print_heading("Earlier failure (none since)" if failure.is_earlier else "First failure")
    (output.print_line if failure.is_earlier else output.print_failure)(line)
    if failure.guard and failure.guard not in failure.text:
        output.print_line(f"  because: {failure.guard}")
    if failure.twilio_code:
        output.print_line(f"  Twilio error {failure.twilio_code}: {failure.link}")


def explanation_json(session_id: str, explanation: Explanation, command_line: str) -> dict[str, Any]:
    """Return an explanation as JSON; unknown values are null."""
    failure = explanation.first_failure
    return {
        "session": session_id,
        "summary": list(explanation.summary),
        "waits": [wait_json(wait) for wait in explanation.waits],
        "upcoming": list(explanation.upcoming),
        "first_failure": None
        if failure is None
        else {
            "entry": failure.entry_id,
            "at": to_iso_or_none(failure.at_ms),
            "what": failure.text,
            "reason": failure.reason,
            "twilio_code": failure.twilio_code or None,
            "link": failure.link or None,
        },
        "suggestions": [
            {"command": one.command, "why": one.why, "line": f"{command_line} {one.arguments}"}
            for one in explanation.suggestions
        ],
    }


def wait_json(wait: Wait) -> dict[str, Any]:
    """Return one pending item as JSON."""
    return {
        "for": wait.for_,
        "by": wait.by,
        "since": to_iso_or_none(wait.since_ms),
        "comes_at": to_iso_or_none(wait.comes_at_ms),
    }


def to_iso_or_none(at_ms: int) -> str | None:
    """Return a time in ISO 8601; None for 0."""
    return to_iso(at_ms) if at_ms else None
