"""`report`: one page about a period."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from conferral.cli import output
from conferral.cli.options import AsJson, Full, choices, one_of
from conferral.cli.periods import Since, Until, local_now, parse_time

if TYPE_CHECKING:
    from conferral.outcomes.report_csv import CsvKind

_ROWS = ("calls", "transfers")


def report(
    since: Since = None,
    until: Until = None,
    csv: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(_ROWS),
            help="Print CSV instead: a row for each call, or each transfer.",
            callback=one_of(*_ROWS),
            autocompletion=choices(*_ROWS),
        ),
    ] = None,
    within: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Count the calls that were answered in this time."),
    ] = 20,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Report a period: which calls were answered, and what failed.

    \b
    Examples:
      conferral report
      conferral report --since yesterday --until today
      conferral report --since 7d --csv calls >week.csv
      conferral report --since 7d --within 30
      conferral report --json | jq '.rung[] | select(.not_answered > 0)'

    The default period is today. Calls and transfers count when they end. Everything comes from the outcomes in Redis,
    which are kept for 30 days by default.
    """
    from conferral.cli.redis_connection import run_query
    from conferral.outcomes import report_text
    from conferral.outcomes.report import read_report
    from conferral.outcomes.report_csv import ReportCsv

    now = local_now()
    since, until = since or parse_time("today", now), until or now
    if until <= since:
        raise typer.BadParameter("must be later than --since; a day means its start", param_hint="--until")
    if csv and as_json:
        raise typer.BadParameter("can't be combined with --json", param_hint="--csv")
    since_ms, until_ms = (round(one.timestamp() * 1000) for one in (since, until))
    rows = ReportCsv(cast("CsvKind", csv), full=full) if csv else None
    found = run_query(lambda reader: read_report(reader, since_ms, until_ms, rows.add if rows else None))
    from conferral.cli.agent_names import agent_names

    names = agent_names()
    data = found.data(full=full, name_of=lambda one: one if as_json else names.get(one, one), within_s=within)
    if rows:
        output.print_file(rows.file(found))
        for note in report_text.report_notes(data):
            output.print_note(note)
    elif as_json:
        output.print_json(data)
    else:
        output.print_line(report_text.period_line(data))
        for sentence in report_text.totals(data):
            output.print_fitted(sentence, 0)
        for note in report_text.report_notes(data):
            output.print_note(note)
        for table in report_text.tables(data):
            output.print_line()
            output.print_heading(table.title)
            output.print_table(table.columns, table.rows)
