"""`explain`: say why a session is in its state and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conferral import output
from conferral.cli.options import AsJson, Full, SessionName

if TYPE_CHECKING:
    from conferral.operations.explanation import Explanation, Failure
    from conferral.operations.pending import Wait
    from conferral.operations.session_queries import SessionQueries


def explain(session: SessionName, full: Full = False, as_json: AsJson = False) -> None:
    """Explain what a session waits for, and what failed.

    \b
    Examples:
      conferral explain CA0123456789abcdef0123456789abcdef
      conferral explain CA0123456789abcdef0123456789abcdef --json | jq -r '.suggestions[0].line'

    Includes what will happen automatically, and when. For an ended call, why it ended.
    """
    from conferral.cli.redis_access import run_query

    session_id, explanation, now_ms = run_query(lambda reader: _read_explanation(reader, session, full=full))
    if as_json:
        output.print_json(explanation_json(session_id, explanation))
        return
    output.print_line(f"session         {session_id}")
    output.print_line()
    for sentence in explanation.summary:
        output.print_line(sentence)
    output.print_section(
        "Waiting for", [_wait_line(wait, now_ms) for wait in explanation.waits if wait.by in ("person", "twilio")]
    )
    output.print_section("Automatic next steps", explanation.upcoming)
    if explanation.first_failure is not None:
        _print_failure(explanation.first_failure)
    output.print_section(
        "Suggested actions", [line for one in explanation.suggestions for line in (one.line, f"  {one.why}")]
    )


async def _read_explanation(reader: SessionQueries, named: str, *, full: bool) -> tuple[str, Explanation, int]:
    from conferral.cli.history_source import read_history
    from conferral.cli.submission import own_command_line
    from conferral.operations import explanation
    from conferral.operations.partition_clock import read_session_time_ms
    from conferral.runtime.settings import StoreSettings, load
    from conferral.storage.codecs.session_view import view_of

    history = await read_history(reader, named)
    session = view_of(history.fields)
    now = await read_session_time_ms(reader, session.id)
    line = own_command_line(load(StoreSettings))
    explained = explanation.explain_damage(session, command_line=line) or explanation.explain(
        session, history.log, now, full=full, command_line=line
    )
    return session.id or named, explained, now


def _wait_line(wait: Wait, now_ms: int) -> str:
    from conferral.operations import wording

    lasts = wording.format_age(wait.since_ms, now_ms)
    return f"{wait.for_}, since {wording.format_clock(wait.since_ms)} UTC ({lasts})" if lasts else wait.for_


def _print_failure(failure: Failure) -> None:
    from conferral.operations import wording

    output.print_line()
    line = f"  {wording.format_clock(failure.at_ms)} UTC  {failure.text}"
    if failure.is_refusal:  # a refused command is not a failure
        output.print_heading("Last refused command (nothing failed)")
        output.print_line(f"{line}: {failure.guard}" if failure.guard else line)
        return
    output.print_heading("Earlier failure (none since)" if failure.is_earlier else "First failure")
    output.failure_line(line)
    if failure.guard and failure.guard not in failure.text:
        output.print_line(f"  because: {failure.guard}")
    if failure.twilio_code:
        output.print_line(f"  Twilio error {failure.twilio_code}: {failure.link}")


def explanation_json(session_id: str, explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON: times in ISO 8601, null for unknown values."""
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
        "suggestions": [{"command": one.command, "why": one.why, "line": one.line} for one in explanation.suggestions],
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
    from conferral.storage.codecs.timestamps import to_iso

    return to_iso(at_ms) if at_ms else None
