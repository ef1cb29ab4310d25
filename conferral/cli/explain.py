"""`explain` and `replay`: why a session is as it is, and how it got there."""

import re

import typer

from conferral.cli import output
from conferral.cli.agent_names import agent_names, with_agent_names
from conferral.cli.command_line import own_command
from conferral.cli.redis_connection import run_query
from conferral.cli.session_output import print_fields, print_parties, read_history
from conferral.operations import catalog, replay
from conferral.operations.errors import CommandNotDoneError
from conferral.operations.explain import explanation, facts, people, timeline
from conferral.operations.explain.explanation import Explanation, Failure
from conferral.operations.explain.naming import with_names
from conferral.operations.explain.waits import Wait, list_waits
from conferral.operations.json_values import to_json_object, to_json_value
from conferral.operations.replay import SessionHistory
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.codecs.text_codec import parse_time_ms
from conferral.storage.queries.live_workers import has_live_worker
from conferral.storage.queries.session_reader import SessionReader


def print_explanation(named: str, *, full: bool, as_json: bool) -> None:
    """Print what a session waits for, and what failed."""
    session_id, explained, now_ms = run_query(lambda reader: _read_explanation(reader, named, full=full))
    if as_json:
        program = own_command()
        suggested = [
            {"command": one.command, "why": one.why, "line": f"{program} {one.arguments}"}
            for one in explained.suggestions
        ]
        output.print_json({"session": session_id} | to_json_object(explained) | {"suggestions": suggested})
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
    lines = [line for one in explained.suggestions for line in (f"{program} {one.arguments}", f"  {one.why}")]
    output.print_section("Suggested actions", lines)


async def _read_explanation(reader: SessionReader, named: str, *, full: bool) -> tuple[str, Explanation, int]:
    history = await read_history(reader, named)
    session = stored_session(history.fields)
    now = await reader.now_ms()
    has_worker = await has_live_worker(reader.client, reader.keys)
    moments = timeline.build_timeline(history.log, full=full)
    explained = explanation.explain(session, moments, now, names=agent_names(), full=full, has_worker=has_worker)
    return session.id or named, explained, now


def _wait_line(wait: Wait, now_ms: int) -> str:
    lasts = catalog.format_age(wait.since_ms, now_ms)
    return f"{wait.for_}, since {catalog.utc_clock(wait.since_ms)} ({lasts})" if lasts else wait.for_


def _print_failure(failure: Failure) -> None:
    output.print_line()
    line = f"  {catalog.utc_clock(failure.at_ms)}  {failure.what}"
    if failure.is_refusal:  # a refused command is not a failure
        output.print_heading("Last refused command (nothing failed)")
        output.print_line(f"{line}: {failure.guard}" if failure.guard else line)
        return
    output.print_heading("Earlier failure (none since)" if failure.is_earlier else "First failure")
    (output.print_line if failure.is_earlier else output.print_failure)(line)
    if failure.guard and failure.guard not in failure.what:
        output.print_line(f"  because: {failure.guard}")
    if failure.twilio_code:
        output.print_line(f"  Twilio error {failure.twilio_code}: {failure.link}")


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
    at_ms = parse_time_ms(f"{created[:10]}T{as_of}+00:00" if _CLOCK.fullmatch(as_of) else as_of)
    if not at_ms:
        raise typer.BadParameter("must be a version, a time (UTC), or the id of a log entry", param_hint="--as-of")
    return replay.version_at(history.log, at_ms)


def _print_steps(history: SessionHistory, *, full: bool, as_json: bool) -> None:
    state, participants, names = "", "", agent_names()
    moments = timeline.build_timeline(history.log, full=full)
    versions = replay.all_versions(history.log, history.fields)
    for moment, fields in zip(moments, versions, strict=True):
        entry, session = moment.entry, with_names(stored_session(fields), names)
        connected = "" if session.is_ended else people.activity_line(session, full=full)
        if as_json:
            output.print_json_line({**moment.public(), "changes": entry.changes, "now": connected})
            continue
        print_line = output.print_failure if moment.is_failure else output.print_line
        failed = "failed: " if moment.is_failure else ""
        gap = catalog.format_gap(moment.gap_ms)
        print_line(f"{entry.version:>5}  {catalog.precise_clock(entry.at_ms)}  {gap:>12}  {failed}{moment.what}")
        label = facts.state_label(session)
        lines = [label if label != state else "", connected if connected != participants else ""]
        unanswered = "no response yet"
        lines += [f"asks Twilio to {one.what}: {timeline.effect_result(one) or unanswered}" for one in moment.effects]
        lines += [f"{entry.outcome}: {moment.reason}" if moment.reason else ""]
        for line in filter(None, lines):
            output.print_line(f"{'':>37}{line}")
        state, participants = label, connected


def _print_as_of(history: SessionHistory, version: int, *, full: bool, as_json: bool) -> None:
    """Print a session as it was after one version, from its log."""
    fields = replay.at_version(history.log, version, history.fields)
    if "version" not in fields:
        raise CommandNotDoneError(f"version {version} is not in the log, which begins later")
    session = stored_session(fields)
    then_ms, hearing = session.updated_at_ms, [one.text for one in people.audibility(session)]
    past = timeline.build_timeline([entry for entry in history.log if entry.version <= version], full=full)
    waits = list_waits(session, past, then_ms)
    if as_json:
        output.print_json({"fields": fields, "hearing": hearing, "waits": to_json_value(waits)})
        return
    shown = with_agent_names(session)
    print_fields(shown, full=full)
    print_parties(shown, full=full)
    output.print_section("Who heard whom", hearing)
    output.print_section("Waiting for", [_step_wait_line(one, then_ms) for one in waits if one.by != "sweep"])


def _step_wait_line(wait: Wait, then_ms: int) -> str:
    if not wait.comes_at_ms:
        return wait.for_
    left_ms = max(0, wait.comes_at_ms - then_ms)
    left = f"{left_ms / 1000:.1f} s" if left_ms < _MINUTE_MS else catalog.format_age(then_ms, wait.comes_at_ms)
    return f"{wait.for_} (in {left})"
