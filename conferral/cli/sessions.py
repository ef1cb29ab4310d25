"""`sessions` and `show`: list the sessions, and show one with its log."""

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.completion import STATES, choices
from conferral.cli.options import AsStored, Full, SessionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conferral.operations.history.replay import SessionHistory
    from conferral.operations.partition_clock import PartitionClocks
    from conferral.operations.session_queries import Fields, LogEntry

COLUMNS = ("session", "state", "attention", ">duration", "ended (UTC)", "customer", "agent", "transfer", "notes")


def sessions(
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE", help=f"Only sessions in this state: {', '.join(STATES)}.", autocompletion=choices(*STATES)
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include ended sessions.")] = False,
    full: Full = False,
    as_json: AsStored = False,
) -> None:
    """List live sessions, those that need attention first.

    \b
    Examples:
      conferral sessions
      conferral sessions --state conferenced
      conferral sessions --all --json | jq -r '.[].end_reason'

    A session needs attention if a timer is overdue, if one party was left alone, or if its transfer has just failed and
    the caller is not talking to anyone yet. The newest come next.
    """
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"must be one of {', '.join(STATES)}", param_hint="--state")
    found, times = asyncio.run(_read_sessions(state, with_ended=everything or state == "ended"))
    if as_json:
        output.print_json(found)
    elif found:
        rows = [table_row(fields, times.now_of(fields), full=full) for fields in found]
        entries = [narrow_entry(fields, times.now_of(fields), full=full) for fields in found]
        output.print_table(COLUMNS, rows, ("state", "attention"), entries)
    else:
        output.print_note("no calls" if everything else "no live calls (use --all for ended ones)")


async def _read_sessions(state: str | None, *, with_ended: bool) -> "tuple[list[Fields], PartitionClocks]":
    """Read sessions, those that need attention first, and the partitions' clocks."""
    from conferral.cli.redis_access import open_redis
    from conferral.operations.attention import sort_key
    from conferral.operations.partition_clock import read_partition_clocks
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        found = await reader.all_sessions(state, with_ended=with_ended)
        times = await read_partition_clocks(reader)
    return sorted(found, key=lambda fields: sort_key(fields, times.now_of(fields))), times


async def list_sessions(state: str | None, *, with_ended: bool) -> "list[Fields]":
    """Return the sessions, oldest first: those in one state, or all."""
    from conferral.cli.redis_access import open_redis
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        return await reader.all_sessions(state, with_ended=with_ended)


def table_row(fields: "Fields", now_ms: int = 0, *, full: bool = False) -> tuple[str, ...]:
    """Return a session as a table row.

    Args:
        fields: Its hash.
        now_ms: The partition's time, in Unix milliseconds; 0 for this machine's clock.
        full: Whether to show full phone numbers.
    """
    from conferral.operations import session_summary

    return (
        fields.get("id", "?"),
        _state(fields),
        _attention(fields, now_ms),
        _duration(fields),
        _ended_at(fields),
        session_summary.connected_address(fields, "customer", full=full),
        session_summary.connected_address(fields, "agent", full=full),
        session_summary.transfer_line(fields, full=full),
        "; ".join(session_summary.short_notes(fields)),
    )


def narrow_entry(fields: "Fields", now_ms: int = 0, *, full: bool = False) -> output.Entry:
    """Return a session as a few lines, for a narrow terminal."""
    from conferral.operations import session_summary

    told = [session_summary.transfer_line(fields, full=full), *session_summary.session_notes(fields)]
    participants = session_summary.participants_line(fields, full=full)
    lines = filter(None, (_attention(fields, now_ms), participants, "; ".join(filter(None, told))))
    ended_at = _ended_at(fields)
    lasted = f"ended {ended_at} UTC, lasted {_duration(fields)}" if ended_at else _duration(fields)
    return output.Entry(fields.get("id", "?"), _state(fields), lasted, tuple(lines))


def _state(fields: "Fields") -> str:
    from conferral.operations import wording

    return " ".join(filter(None, (wording.state_label(fields), fields.get("end_reason", ""))))


def _attention(fields: "Fields", now_ms: int) -> str:
    from conferral.operations.attention import attention_of
    from conferral.runtime.clock import SystemClock

    attention = attention_of(fields, now_ms or SystemClock().wall_ms())
    return attention.text if attention else ""


def _ended_at(fields: "Fields") -> str:
    return fields.get("ended_at", "")[:19].replace("T", " ")


def _duration(fields: "Fields") -> str:
    from conferral.operations import wording
    from conferral.runtime.clock import SystemClock

    end_ms = wording.parse_time_ms(fields.get("ended_at", "")) or SystemClock().wall_ms()
    return wording.format_age(wording.parse_time_ms(fields.get("created_at", "")), end_ms)


def show(session: SessionName, full: Full = False, as_json: AsStored = False) -> None:
    """Show a session and its log.

    \b
    Examples:
      conferral show CA0123456789abcdef0123456789abcdef
      conferral show CA0123456789abcdef0123456789abcdef --json

    With --json: the fields of the session's hash in Redis. For the log as JSON: conferral watch SESSION --json
    """
    history = asyncio.run(_read_history(session))
    if as_json:
        output.print_json(history.fields)
        return
    print_fields(history.fields, full=full)
    print_parties(history.fields, full=full)
    _print_attempts(history.fields, full=full)
    _print_log(history.log, full=full)


async def _read_history(named: str) -> "SessionHistory":
    from conferral.cli.history_source import read_history
    from conferral.cli.redis_access import open_redis
    from conferral.runtime.settings import StoreSettings, load

    async with open_redis(load(StoreSettings)) as reader:
        return await read_history(reader, named)


#: Width of the names of a session's fields (columns).
_NAME_WIDTH = 15
PARTY_COLUMNS = ("party", "status", "address", "call", "label", "notes")
LOG_COLUMNS = (">version", "at (UTC)", ">since", "", "what happened", "consequence")


def print_fields(fields: "Fields", *, full: bool) -> None:
    """Print the session-level fields, one per line."""
    for line in field_lines(fields, full=full):
        output.print_fitted(line, _NAME_WIDTH + 1)


def field_lines(fields: "Fields", *, full: bool) -> list[str]:
    """Return the session-level fields as lines."""
    from conferral.operations import session_summary, wording
    from conferral.operations.damage import REPAIR, damaged_field

    shown = {
        "session": fields.get("id", ""),
        "state": wording.state_label(fields),
        "end_reason": fields.get("end_reason", ""),
        **{name: fields.get(name, "") for name in ("direction", "created_at", "updated_at", "ended_at")},
        "conference_sid": fields.get("conference_sid", ""),
        "conference_name": fields.get("conference_name", ""),
        "transfer": session_summary.transfer_line(fields, full=full),
        "now": "" if fields.get("state") == "ended" else session_summary.participants_line(fields, full=full),
        "notes": "; ".join(session_summary.session_notes(fields)),
        "recording": " ".join(filter(None, (fields.get(f"recording.{name}", "") for name in ("sid", "url")))),
        "version": fields.get("version", ""),
        "damaged": f"field {field}: {REPAIR}" if (field := damaged_field(fields)) else "",
    }
    return [f"{name:<{_NAME_WIDTH}} {value}" for name, value in shown.items() if value]


def print_parties(fields: "Fields", *, full: bool) -> None:
    """Print the session's parties as a table."""
    rows, entries = party_rows(fields, full=full)
    output.print_line()
    output.print_table(PARTY_COLUMNS, rows, entries=entries)


def party_rows(fields: "Fields", *, full: bool) -> "tuple[list[tuple[str, ...]], list[output.Entry]]":
    """Return the parties as table rows, and as entries for a narrow terminal."""
    from conferral.operations import session_summary, wording

    rows: list[tuple[str, ...]] = []
    entries: list[output.Entry] = []
    for party in wording.party_names(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("status", "address", "call_sid", "label")}
        address, notes = (
            wording.display_address(of["address"], full=full),
            ", ".join(session_summary.party_notes(fields, party)),
        )
        rows.append((party, of["status"], address, of["call_sid"], of["label"], notes))
        legs = "  ".join(filter(None, (of["call_sid"], of["label"])))
        entries.append(output.Entry(party, of["status"], address, tuple(filter(None, (legs, notes)))))
    for which, agent in session_summary.agent_attempts_note(fields):
        address = wording.display_address(agent, full=full)
        rows.append((which, "not reached", address, "", "", "tried before"))
        entries.append(output.Entry(which, "not reached", address, ("tried before",)))
    return rows, entries


def _print_attempts(fields: "Fields", *, full: bool) -> None:
    from conferral.operations import session_summary
    from conferral.runtime.clock import SystemClock

    rows = session_summary.dial_attempts(fields, SystemClock().wall_ms(), full=full)
    if rows:
        output.print_line()
        output.print_table(("attempt", "to", "result", ">waited", ">talked"), rows)


def _print_log(log: "Sequence[LogEntry]", *, full: bool) -> None:
    rows = log_rows(log, full=full)
    output.print_line()
    if rows:
        output.print_table(LOG_COLUMNS, rows, styled=("",))
    else:
        output.print_note("its log is empty")


def log_rows(log: "Sequence[LogEntry]", *, full: bool) -> list[tuple[str, ...]]:
    """Return the session's log as table rows, oldest first."""
    from conferral.operations.history import timeline

    rows: list[tuple[str, ...]] = []
    for entry, moment in zip(log, timeline.build_timeline(log, full=full), strict=True):
        clock = re.sub(r"^.*T(.*?)Z?$", r"\1", entry["at"])
        gap = f"+{moment.gap_ms} ms" if rows else ""
        answers = timeline.effect_results(moment)
        followed = f"{moment.consequence} [{answers}]" if answers else moment.consequence
        mark = "refused" if moment.outcome == "refused" else "failed" if moment.is_failure else ""
        rows.append((entry["version"], clock, gap, mark, moment.text, followed))
    return rows


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sessions)
    app.command()(show)
