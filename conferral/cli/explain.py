"""`explain` and `replay`: why a session is as it is, and how it got there."""

import re
from typing import Any

import typer

from conferral import output
from conferral.cli.session_tables import print_fields, print_parties, read_history
from conferral.command_line import own_command, own_command_line
from conferral.operations import descriptions, explanation, replay, session_summary, timeline
from conferral.operations.errors import CommandNotDoneError
from conferral.operations.explanation import Explanation, Failure
from conferral.operations.pending import Wait, list_waits
from conferral.operations.replay import SessionHistory
from conferral.operations.session_queries import SessionQueries
from conferral.operations.session_summary import audibility
from conferral.operations.timeline import TimelineEntry
from conferral.redis_connection import run_query
from conferral.runtime.settings import StoreSettings, load
from conferral.storage.codecs.log_codec import LogEntry
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
    now = await reader.now_ms()
    has_worker = await has_live_worker(reader.client, reader.keys)
    explained = explanation.explain_damage(session) or explanation.explain(
        session, history.log, now, full=full, has_worker=has_worker
    )
    return session.id or named, explained, now


def _wait_line(wait: Wait, now_ms: int) -> str:
    lasts = descriptions.format_age(wait.since_ms, now_ms)
    return f"{wait.for_}, since {descriptions.format_clock(wait.since_ms)} UTC ({lasts})" if lasts else wait.for_


def _print_failure(failure: Failure) -> None:
    output.print_line()
    line = f"  {descriptions.format_clock(failure.at_ms)} UTC  {failure.text}"
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


_CLOCK = re.compile(r"\d{2}:\d{2}:\d{2}(\.\d{1,3})?")
_ENTRY = re.compile(r"\d{1,19}-\d{1,19}")
_MINUTE_MS = 60_000


def print_replay(named: str, as_of: str | None, *, full: bool, as_json: bool) -> None:
    """Print a session's steps, or its state as of a version, time, or entry."""
    history = run_query(lambda reader: read_history(reader, named))
    if not history.is_complete:
        output.print_note("the log is incomplete: its beginning is missing, or an older version wrote it")
    if as_of is not None:
        _print_as_of(history, _selected_version(history, as_of), full=full, as_json=as_json)
    else:
        _print_steps(history, full=full, as_json=as_json)


def _selected_version(history: SessionHistory, as_of: str) -> int:
    """Return the version that `--as-of` selects, or raise BadParameter."""
    if re.fullmatch(r"\d{1,9}", as_of):
        if history.log and int(as_of) > (newest := max(one.version for one in history.log)):
            raise typer.BadParameter(f"no version {as_of}; the newest is {newest}", param_hint="--as-of")
        return int(as_of)
    if _ENTRY.fullmatch(as_of):
        found = [entry for entry in history.log if entry.id == as_of]
        if not found:
            raise typer.BadParameter(f"no log entry {as_of}", param_hint="--as-of")
        return found[0].version
    created = history.fields.get("created_at", "")
    at_ms = descriptions.parse_time_ms(f"{created[:10]}T{as_of}+00:00" if _CLOCK.fullmatch(as_of) else as_of)
    if not at_ms:
        raise typer.BadParameter("must be a version, a time (UTC), or the id of a log entry", param_hint="--as-of")
    return replay.version_at(history.log, at_ms)


def _print_steps(history: SessionHistory, *, full: bool, as_json: bool) -> None:
    state, participants = "", ""
    moments = timeline.build_timeline(history.log, full=full)
    versions = replay.all_versions(history.log, history.fields)
    for entry, moment, fields in zip(history.log, moments, versions, strict=True):
        session = stored_session(fields)
        connected = "" if session.is_ended else session_summary.activity_line(session, full=full)
        if as_json:
            output.print_json_line(_step_json(entry, moment, connected))
            continue
        print_line = output.print_failure if moment.is_failure else output.print_line
        failed = "failed: " if moment.is_failure else ""
        gap = descriptions.format_gap(moment.gap_ms)
        print_line(f"{moment.version:>5}  {descriptions.entry_clock(entry)}  {gap:>12}  {failed}{moment.text}")
        label = session_summary.state_label(session)
        lines = [label if label != state else "", connected if connected != participants else ""]
        unanswered = "no response yet"
        lines += [f"asks Twilio to {one.text}: {timeline.effect_result(one) or unanswered}" for one in moment.effects]
        lines += [f"{moment.outcome}: {moment.reason}" if moment.reason else ""]
        for line in filter(None, lines):
            output.print_line(f"{'':>37}{line}")
        state, participants = label, connected


def _step_json(entry: LogEntry, moment: TimelineEntry, connected: str) -> dict[str, Any]:
    return {
        "entry": moment.entry_id,
        "version": moment.version,
        "at": to_iso(entry.at_ms),
        "gap_ms": moment.gap_ms,
        "event": moment.event,
        "what": moment.text,
        "consequence": moment.consequence,
        "from": moment.state_before,
        "to": moment.state_after,
        "outcome": moment.outcome,
        "reason": moment.reason,
        "is_failure": moment.is_failure,
        "requested_by": moment.requested_by or None,
        "effects": [
            {
                "id": one.id,
                "kind": one.kind,
                "party": one.party,
                "what": one.text,
                "outcome": one.outcome,
                "took_ms": one.took_ms,
                "twilio_code": one.twilio_code or None,
                "attempts": one.attempts or None,
                "attempts_note": one.attempts_note,
            }
            for one in moment.effects
        ],
        "changes": entry.changes,
        "now": connected,
    }


def _print_as_of(history: SessionHistory, version: int, *, full: bool, as_json: bool) -> None:
    """Print a session as it was after one version, from its log."""
    fields = replay.at_version(history.log, version, history.fields)
    if "version" not in fields:
        raise CommandNotDoneError(f"version {version} is not in the log, which begins later")
    session = stored_session(fields)
    then_ms, heard = session.updated_at_ms, audibility(session)
    waits = list_waits(session, then_ms, replay.pending_effects_at(history.log, version))
    if as_json:
        hearing = [one.text for one in heard]
        output.print_json({"fields": fields, "hearing": hearing, "waits": [wait_json(one) for one in waits]})
        return
    print_fields(session, full=full, is_stored=False)
    print_parties(session, full=full)
    output.print_section("Who heard whom", [one.text for one in heard])
    output.print_section("Waiting for", [_step_wait_line(one, then_ms) for one in waits if one.by != "sweep"])


def _step_wait_line(wait: Wait, then_ms: int) -> str:
    if not wait.comes_at_ms:
        return wait.for_
    left_ms = max(0, wait.comes_at_ms - then_ms)
    left = f"{left_ms / 1000:.1f} s" if left_ms < _MINUTE_MS else descriptions.format_age(then_ms, wait.comes_at_ms)
    return f"{wait.for_} (in {left})"
