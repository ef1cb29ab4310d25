"""`sessions` and `show`: what is going on, and what has happened to one call."""

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.commands.completing import STATES, one_of
from conferral.commands.options import AsStored, Full, SessionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conferral.operations.reader import Fields, LogEntry
    from conferral.operations.replaying import History
    from conferral.operations.times import Times

COLUMNS = ("session", "state", "trouble", ">duration", "ended (UTC)", "customer", "agent", "transfer", "notes")


def sessions(
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE", help=f"Only those in this state: {', '.join(STATES)}.", autocompletion=one_of(*STATES)
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    full: Full = False,
    as_json: AsStored = False,
) -> None:
    """List the live sessions, those that need attention first.

    \b
    Examples:
      conferral sessions
      conferral sessions --state conferenced
      conferral sessions --all --json | jq -r '.[].end_reason'

    A session needs attention when it waits for longer than it should, when one party was left alone, or when its
    transfer has just failed and the caller is not yet in a conversation again. The newest come next.
    """
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"must be one of {', '.join(STATES)}", param_hint="--state")
    found, times = asyncio.run(_sessions(state, with_ended=everything or state == "ended"))
    if as_json:
        output.show_json(found)
    elif found:
        rows = [row(fields, times.of(fields), full=full) for fields in found]
        entries = [entry(fields, times.of(fields), full=full) for fields in found]
        output.show_table(COLUMNS, rows, ("state", "trouble"), entries)
    else:
        output.note("no calls" if everything else "no live calls (use --all for ended ones)")


async def _sessions(state: str | None, *, with_ended: bool) -> "tuple[list[Fields], Times]":
    """Sessions, those that need attention first, and what time it is for them."""
    from conferral.access import opened
    from conferral.operations.times import read_times
    from conferral.operations.trouble import sort_key
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        found = await reader.listed(state, with_ended=with_ended)
        times = await read_times(reader)
    return sorted(found, key=lambda fields: sort_key(fields, times.of(fields))), times


async def list_sessions(state: str | None, *, with_ended: bool) -> "list[Fields]":
    """Sessions, oldest first; those in one state, or all."""
    from conferral.access import opened
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        return await reader.listed(state, with_ended=with_ended)


def row(fields: "Fields", now_ms: int = 0, *, full: bool = False) -> tuple[str, ...]:
    """A session as a row of the table.

    Args:
        fields: Its hash.
        now_ms: What time it is for it, Unix milliseconds; 0 for what this machine's clock shows.
        full: Whether numbers are shown whole.
    """
    from conferral.operations import standing

    return (
        fields.get("id", "?"),
        _state(fields),
        _trouble(fields, now_ms),
        _duration(fields),
        _ended_at(fields),
        standing.address_there(fields, "customer", full=full),
        standing.address_there(fields, "agent", full=full),
        standing.transfer(fields, full=full),
        "; ".join(standing.beside(fields)),
    )


def entry(fields: "Fields", now_ms: int = 0, *, full: bool = False) -> output.Entry:
    """A session as a few lines, for a narrow terminal."""
    from conferral.operations import standing

    told = [standing.transfer(fields, full=full), *standing.notes(fields)]
    company = standing.company(fields, full=full)
    lines = filter(None, (_trouble(fields, now_ms), company, "; ".join(filter(None, told))))
    ended_at = _ended_at(fields)
    lasted = f"ended {ended_at} UTC, lasted {_duration(fields)}" if ended_at else _duration(fields)
    return output.Entry(fields.get("id", "?"), _state(fields), lasted, tuple(lines))


def _state(fields: "Fields") -> str:
    from conferral.operations import words

    return " ".join(filter(None, (words.state(fields), fields.get("end_reason", ""))))


def _trouble(fields: "Fields", now_ms: int) -> str:
    from conferral.operations.trouble import trouble_of
    from conferral.runtime.clock import SystemClock

    trouble = trouble_of(fields, now_ms or SystemClock().wall_ms())
    return trouble.words if trouble else ""


def _ended_at(fields: "Fields") -> str:
    return fields.get("ended_at", "")[:19].replace("T", " ")


def _duration(fields: "Fields") -> str:
    from conferral.operations import words
    from conferral.runtime.clock import SystemClock

    end_ms = words.time_ms(fields.get("ended_at", "")) or SystemClock().wall_ms()
    return words.age(words.time_ms(fields.get("created_at", "")), end_ms)


def show(session: SessionName, full: Full = False, as_json: AsStored = False) -> None:
    """Show one session, and what has happened to it.

    \b
    Examples:
      conferral show CA0123456789abcdef0123456789abcdef
      conferral show CA0123456789abcdef0123456789abcdef --json

    With --json: the fields of the session's hash as they are in Redis. Its log as JSON: conferral watch SESSION --json
    """
    history = asyncio.run(_history(session))
    if as_json:
        output.show_json(history.fields)
        return
    show_fields(history.fields, full=full)
    show_parties(history.fields, full=full)
    _show_attempts(history.fields, full=full)
    _show_log(history.log, full=full)


async def _history(named: str) -> "History":
    from conferral.access import opened
    from conferral.reading import read_history
    from conferral.runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        return await read_history(reader, named)


PARTY_COLUMNS = ("party", "status", "address", "call", "label", "notes")
LOG_COLUMNS = (">version", "at (UTC)", ">since", "", "what happened", "what followed")


def show_fields(fields: "Fields", *, full: bool) -> None:
    """What there is to be said of a session as a whole, a line each."""
    for line in field_lines(fields, full=full):
        output.result(line)


def field_lines(fields: "Fields", *, full: bool) -> list[str]:
    """The same as texts."""
    from conferral.operations import standing, words
    from conferral.operations.damage import REPAIR, damaged_field

    shown = {
        "session": fields.get("id", ""),
        "state": words.state(fields),
        "end_reason": fields.get("end_reason", ""),
        **{name: fields.get(name, "") for name in ("direction", "created_at", "updated_at", "ended_at")},
        "conference_sid": fields.get("conference_sid", ""),
        "conference_name": fields.get("conference_name", ""),
        "transfer": standing.transfer(fields, full=full),
        "now": "" if fields.get("state") == "ended" else standing.company(fields, full=full),
        "more": "; ".join(standing.notes(fields)),
        "recording": " ".join(filter(None, (fields.get(f"recording.{name}", "") for name in ("sid", "url")))),
        "version": fields.get("version", ""),
        "damaged": f"field {field}: {REPAIR}" if (field := damaged_field(fields)) else "",
    }
    return [f"{name:<15} {value}" for name, value in shown.items() if value]


def show_parties(fields: "Fields", *, full: bool) -> None:
    """Its parties, a row each."""
    rows, entries = party_rows(fields, full=full)
    output.result()
    output.show_table(PARTY_COLUMNS, rows, entries=entries)


def party_rows(fields: "Fields", *, full: bool) -> "tuple[list[tuple[str, ...]], list[output.Entry]]":
    """The same as rows of a table, and as entries for a narrow terminal."""
    from conferral.operations import standing, words

    rows: list[tuple[str, ...]] = []
    entries: list[output.Entry] = []
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("status", "address", "call_sid", "label")}
        address, notes = words.address(of["address"], full=full), ", ".join(standing.party_notes(fields, party))
        rows.append((party, of["status"], address, of["call_sid"], of["label"], notes))
        legs = "  ".join(filter(None, (of["call_sid"], of["label"])))
        entries.append(output.Entry(party, of["status"], address, tuple(filter(None, (legs, notes)))))
    for which, agent in standing.tried_agents(fields):
        address = words.address(agent, full=full)
        rows.append((which, "not reached", address, "", "", "tried before"))
        entries.append(output.Entry(which, "not reached", address, ("tried before",)))
    return rows, entries


def _show_attempts(fields: "Fields", *, full: bool) -> None:
    from conferral.operations import standing
    from conferral.runtime.clock import SystemClock

    rows = standing.attempts(fields, SystemClock().wall_ms(), full=full)
    if rows:
        output.result()
        output.show_table(("attempt", "to", "result", ">waited", ">talked"), rows)


def _show_log(log: "Sequence[LogEntry]", *, full: bool) -> None:
    rows = log_rows(log, full=full)
    output.result()
    if rows:
        output.show_table(LOG_COLUMNS, rows, styled=("",))
    else:
        output.note("nothing is in its log")


def log_rows(log: "Sequence[LogEntry]", *, full: bool) -> list[tuple[str, ...]]:
    """What has happened to a session, as rows of a table, oldest first."""
    from conferral.operations import timeline

    rows: list[tuple[str, ...]] = []
    for entry, moment in zip(log, timeline.timeline(log, full=full), strict=True):
        clock = re.sub(r"^.*T(.*?)Z?$", r"\1", entry["at"])
        gap = f"+{moment.gap_ms} ms" if rows else ""
        answers = timeline.answers(moment)
        followed = f"{moment.follow} [{answers}]" if answers else moment.follow
        mark = "refused" if moment.outcome == "refused" else "failed" if moment.is_failure else ""
        rows.append((entry["version"], clock, gap, mark, moment.words, followed))
    return rows


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(sessions)
    app.command()(show)
