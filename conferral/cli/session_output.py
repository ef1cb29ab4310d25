"""What CLI commands read and print of sessions: entries, parties, logs."""

from collections.abc import Sequence

from conferral.cli import output
from conferral.cli.agent_names import agent_names, with_agent_names
from conferral.cli.redis_connection import require_complete, run_query
from conferral.operations import catalog
from conferral.operations.errors import CommandNotDoneError
from conferral.operations.explain import facts, people, timeline
from conferral.operations.explain.attention import attention_of, sort_key
from conferral.operations.explain.naming import with_names
from conferral.operations.session_history import SessionHistory, field_changed_ms
from conferral.operations.session_search import all_sessions, displayed, find_session
from conferral.runtime.clock import SystemClock
from conferral.runtime.redaction import display_address
from conferral.statemachine.session import Session
from conferral.statemachine.states import TransferStage
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import public
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.connection.errors import FOREIGN
from conferral.storage.queries.session_reader import SessionReader


def print_sessions(state: str | None, party: str, *, everything: bool, full: bool, as_json: bool) -> None:
    """Print sessions in a state, or live ones; `everything`: ended ones too."""
    with_ended = everything or state == "ended"
    found, now_ms, missing = run_query(lambda reader: read_sessions(reader, state, party, with_ended=with_ended))
    if as_json:
        output.print_json([public(one) for one in found])
    elif found:
        output.print_entries(session_entry(one, now_ms, full=full) for one in found)
    else:
        every = "no calls" if everything else "no live calls (use --all for ended ones)"
        chosen = f"no {state} calls" if state else every
        shown = f"no call in which {display_address(party, full=full)} takes part now"
        output.print_note(shown if party else chosen)
    require_complete(missing)


async def read_sessions(
    reader: SessionReader, state: str | None, party: str, *, with_ended: bool
) -> tuple[list[Session], int, list[str]]:
    """Return sessions, most urgent first; Redis's time; unreadable lists.

    In the sessions, agents have their names.
    """
    found = await all_sessions(reader, state, with_ended=with_ended, party=party)
    now_ms = await reader.now_ms()
    names = agent_names()
    ordered = [with_names(one, names) for one in sorted(found, key=lambda one: sort_key(one, now_ms))]
    return ordered, now_ms, [f"{key} {FOREIGN}" for key in sorted(reader.foreign_keys)]


def session_entry(session: Session, now_ms: int, *, full: bool) -> output.Entry:
    """Return what `conferral sessions` prints of one session.

    `now_ms` is Redis's time; 0 for ours.
    """
    here_ms = SystemClock().wall_ms()
    attention = attention_of(session, now_ms or here_ms)
    problem = attention.text if attention and attention.needs_attention else ""
    participants = people.activity_line(session, full=full)
    about = (facts.number_line(session, full=full), facts.transfer_line(session, full=full))
    notes = [*about, *facts.session_notes(session)]
    lines = filter(None, (problem, participants, "; ".join(filter(None, notes))))
    state = f"{facts.state_label(session)} {session.end_reason}".rstrip()
    ended_at = to_iso(session.ended_at_ms)[:19].replace("T", " ")
    lasts = catalog.format_age(session.created_at_ms, session.ended_at_ms or here_ms)
    lasted = f"ended {ended_at} UTC, lasted {lasts}" if ended_at else lasts
    return output.Entry(session.id or "?", state, lasted, tuple(lines))


async def read_history(reader: SessionReader, named: str) -> SessionHistory:
    """Return a session's history; note if only an ended one matches.

    Raises UnknownSession if none matches, CommandNotDoneError if Redis no longer has it.
    """
    exact = await reader.find_exact(named)
    session_id = exact or await find_session(reader, named)
    session = await reader.read_session(session_id)
    if session is None:
        reason = f"{session_id} is not in Redis: it was erased or has only just started; try again in a moment"
        foreign = [f"{key} {FOREIGN}" for key in reader.foreign_keys]
        raise CommandNotDoneError(foreign[0] if foreign else reason)
    if not exact and session.is_ended:
        output.print_note(f"no live call matches {displayed(named)}; this is the only ended one")
    return SessionHistory(session, tuple(await reader.log(session_id)))


def print_session(named: str, *, everything: bool, full: bool, as_json: bool) -> None:
    """Print a session and its log."""
    history = run_query(lambda reader: read_history(reader, named))
    if as_json:
        output.print_json(public(history.session))
        return
    found = with_agent_names(history.session)
    sentences = people.headline(found, full=full)
    output.print_line(" ".join(f"{text}." for text, _ in sentences))
    output.print_line()
    print_fields(found, full=full)
    print_parties(found, full=full)
    _print_attempts(found, history.log, full=full)
    _print_log(history.log, everything=everything, full=full)


_NAME_WIDTH = 15


def print_fields(session: Session, *, full: bool) -> None:
    """Print the session-level fields, one per line."""
    recording = session.recording
    shown = {
        "session": session.id,
        "state": facts.state_label(session),
        "end_reason": session.end_reason,
        "direction": session.direction,
        "created_at": to_iso(session.created_at_ms),
        "updated_at": to_iso(session.updated_at_ms),
        "ended_at": to_iso(session.ended_at_ms),
        "conference_sid": session.conference_sid,
        "conference_name": session.conference_name,
        "number": display_address(session.number, full=full),
        "by": display_address(session.by, full=full),
        "ref": display_address(session.ref, full=full),
        "transfer": facts.transfer_line(session, full=full),
        "now": "" if session.is_ended else people.activity_line(session, full=full),
        "notes": "; ".join(facts.session_notes(session)),
        "recording": f"{recording.sid} {recording.url}".strip() if recording is not None else "",
        "version": str(session.version),
    }
    for name, value in shown.items():
        if value:
            output.print_fitted(f"{name:<{_NAME_WIDTH}} {value}", _NAME_WIDTH + 1)


def print_parties(session: Session, *, full: bool) -> None:
    """Print the session's parties, and the agents who were tried before."""
    entries: list[output.Entry] = []
    for name, party in session.parties.items():
        address = display_address(party.address, full=full)
        since = [f"since {catalog.utc_clock(party.since_ms)}"] if party.since_ms and not party.is_gone else []
        notes = ", ".join([*since, *people.party_notes(session, party)])
        legs = "  ".join(filter(None, (party.call_sid, party.label)))
        entries.append(output.Entry(name, party.status, address, tuple(filter(None, (legs, notes)))))
    for which, agent in facts.agents_tried(session):
        address = display_address(agent, full=full)
        entries.append(output.Entry(which, "not reached", address, ("tried before",)))
    output.print_line()
    output.print_entries(entries)


def _print_attempts(session: Session, log: Sequence[LogEntry], *, full: bool) -> None:
    # A party that took over the call talks on, but no longer as the transfer's target.
    stage = "internal_transfer.stage" if session.internal_transfer is not None else "transfer.stage"
    over_ms = field_changed_ms(stage, log, to=TransferStage.OVER)
    until_ms = over_ms or session.ended_at_ms or SystemClock().wall_ms()
    rows = facts.dial_attempts(session, until_ms, full=full)
    if rows:
        output.print_line()
        output.print_table(("attempt", "to", "result", ">waited", ">talked"), rows)


def _print_log(log: Sequence[LogEntry], *, everything: bool, full: bool) -> None:
    """Print a log; without `everything`, no entries that only repeat."""
    rows: list[tuple[str, ...]] = []
    before_ms = 0
    for moment in timeline.build_timeline(log, full=full):
        entry = moment.entry
        if moment.is_confirmation and not everything:
            continue
        gap = catalog.format_gap(max(0, entry.at_ms - before_ms)) if before_ms and entry.at_ms else ""
        before_ms = entry.at_ms or before_ms
        answers = timeline.effect_results(moment)
        followed = f"{moment.consequence} [{answers}]" if answers else moment.consequence
        mark = "refused" if entry.outcome == "refused" else "failed" if moment.is_failure else ""
        rows.append((str(entry.version), catalog.precise_clock(entry.at_ms), gap, mark, moment.what, followed))
    output.print_line()
    if not log:
        output.print_note("its log is empty")
        return
    if rows:
        columns = (">version", "at (UTC)", ">since", "", "what happened", "consequence")
        output.print_table(columns, rows, styled=("",))
    if folded := len(log) - len(rows):
        output.print_note(f"{folded} without news not shown (use --all)")
