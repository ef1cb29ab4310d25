"""`outcomes`: list and follow outcomes; send them again."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conferral.cli import output
from conferral.cli.options import App, AsJson, Full, choices, one_of, require_no_options
from conferral.cli.periods import Since, local_now, parse_time
from conferral.statemachine.states import OutcomeKind

if TYPE_CHECKING:
    from conferral.outcomes.outcome import OutcomeRecord
    from conferral.storage.queries.session_reader import SessionReader


def outcomes(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new ones until Ctrl-C.")] = False,
    since: Since = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(OutcomeKind),
            help="Only those of this kind.",
            callback=one_of(*OutcomeKind),
            autocompletion=choices(*OutcomeKind),
        ),
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this session.")] = None,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """List outcomes, oldest first; by default, today's.

    \b
    Examples:
      conferral outcomes
      conferral outcomes --since 2h --kind transfer
      conferral outcomes --follow --json
      conferral outcomes resend --since yesterday

    `--json` prints an object a line, as `data` in docs/outcomes.md.
    """
    if context.invoked_subcommand is not None:
        require_no_options(context)
        return
    from conferral.cli.redis_connection import run_query

    start, wanted = since or parse_time("today", local_now()), {"kind": kind, "session": session or ""}
    if not as_json:
        output.print_note(f"since {start.isoformat(' ', 'minutes')}")
    run_query(lambda reader: _list(reader, start, wanted, follow=follow, full=full, as_json=as_json))


async def _list(
    reader: "SessionReader", start: datetime, filters: dict[str, Any], *, follow: bool, full: bool, as_json: bool
) -> None:
    """Print the outcomes since `start`; with `follow`, then new ones."""
    from conferral.cli.agent_names import agent_names
    from conferral.cli.follow import poll_until_stopped
    from conferral.outcomes.outcome import OutcomeRecord, outcome_data
    from conferral.runtime.settings import StoreSettings, load
    from conferral.storage.connection.client import CHUNK
    from conferral.storage.connection.configured import redis_address
    from conferral.storage.queries.session_reader import last_id_before

    after = last_id_before(round(start.timestamp() * 1000))
    names = {} if as_json else agent_names()

    async def is_done() -> bool:
        nonlocal after
        before = after
        found, after = await reader.outcome_page(after=after, limit=CHUNK, **filters)
        for fields in found:
            if as_json:
                output.print_json_line(outcome_data(fields))
            else:
                output.print_entries([_entry(OutcomeRecord.of(after, fields), names, full=full)])
        return after == before and not follow

    if follow:
        await poll_until_stopped(is_done, redis_address(load(StoreSettings).redis_url))
    while not follow and not await is_done():
        pass


def _entry(outcome: "OutcomeRecord", names: Mapping[str, str], *, full: bool) -> output.Entry:
    from conferral.operations import catalog
    from conferral.runtime.redaction import display_address

    def shown(address: str) -> str:
        return display_address(names.get(address, address), full=full)

    to = ", ".join(map(shown, outcome.to))
    customer, number = shown(outcome.customer), shown(outcome.number)
    who = " ".join(filter(None, (customer and f"customer {customer}", number and f"on {number}")))
    why = catalog.command_reason(outcome.kind, outcome.reason, str(outcome.code or ""))
    transfer = " ".join(filter(None, (outcome.mode, f"to {to}" if to else "")))
    recording = f"{outcome.recording_sid} ({outcome.duration_s:g} s)" if outcome.recording_sid else ""
    about = ": ".join(filter(None, (transfer or recording, why)))
    ended_at = outcome.ended_at.isoformat(" ", "seconds")[:19] if outcome.ended_at else ""
    kind = f"{outcome.kind} {outcome.result}"
    return output.Entry(f"{ended_at} UTC", kind, outcome.session, tuple(filter(None, (who, about))))


def resend(since: Since = None, as_json: AsJson = False) -> None:
    """Send outcomes again to CONFERRAL_OUTCOMES_URL, delivered ones too.

    \b
    Examples:
      conferral outcomes resend --since 2h

    Each keeps its webhook-id, so a receiver can tell repetitions. After a 410, sending starts again.
    """
    from conferral.cli.redis_connection import run_query
    from conferral.outcomes.resend import resend_since

    if since is None:
        raise typer.BadParameter("missing", param_hint="--since")
    start_ms = round(since.timestamp() * 1000)
    count = run_query(lambda reader: resend_since(reader, start_ms))
    _print_count(count, as_json=as_json)


def resend_undelivered(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, as in `conferral dead list`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All undelivered outcomes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send undelivered outcomes again.

    \b
    Examples:
      conferral dead resend 1800000000123-0
      conferral dead resend --all
    """
    from conferral.cli.redis_connection import run_query
    from conferral.outcomes import resend

    if bool(ids) == everything:
        raise typer.BadParameter("give ids or --all", param_hint="ID")
    count = run_query(lambda reader: resend.resend_undelivered(reader, ids))
    _print_count(count, as_json=as_json)
    if ids and count < len({*ids}):
        output.print_note(f"{len({*ids}) - count} not found among the undelivered outcomes")
        raise typer.Exit(1)


def _print_count(count: int, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"queued": count})
    else:
        output.print_line(f"{count} outcome{'' if count == 1 else 's'} will be sent again")


def register(app: typer.Typer) -> None:
    """Add `outcomes` with its subcommand."""
    of_outcomes = App()
    of_outcomes.callback(invoke_without_command=True)(outcomes)
    of_outcomes.command("resend")(resend)
    app.add_typer(of_outcomes, name="outcomes")
