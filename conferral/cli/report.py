"""`report`: one page about a period."""

from pathlib import Path
from typing import Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson, Full
from conferral.cli.periods import Since, Until, local_now, parse_time
from conferral.operations.errors import CommandNotDoneError


def report(
    since: Since = None,
    until: Until = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML page with plots instead.")
    ] = None,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Report a period: who let it ring, and what failed.

    \b
    Examples:
      conferral report
      conferral report --since yesterday --until today
      conferral report --since 7d --html week.html
      conferral report --json | jq '.rung[] | select(.not_answered > 0)'

    The default period is today. Calls and transfers count when they end. Everything comes from the outcomes in Redis,
    which are kept for 30 days by default.
    """
    from conferral.outcomes import report as outcome_report
    from conferral.outcomes import report_page
    from conferral.redis_connection import run_query

    now = local_now()
    since, until = since or parse_time("today", now), until or now
    if until <= since:
        raise typer.BadParameter("must be later than --since; a day means its start", param_hint="--until")
    since_ms, until_ms = (round(one.timestamp() * 1000) for one in (since, until))
    found = run_query(lambda reader: outcome_report.read_report(reader, since_ms, until_ms))
    data = found.data(full=full)
    if html:
        try:
            html.write_text(report_page.report_page(data), encoding="utf-8")
        except OSError as error:
            raise CommandNotDoneError(f"can't write {html}: {error.strerror}") from None
    if as_json:
        output.print_json(data)
    elif html:
        output.print_line(f"wrote {html}")
    else:
        output.print_line(outcome_report.period_line(data))
        for sentence in outcome_report.totals(data):
            output.print_fitted(sentence, 0)
        for note in outcome_report.report_notes(data):
            output.print_note(note)
        for table in outcome_report.tables(data):
            output.print_line()
            output.print_heading(table.title)
            output.print_table(table.columns, table.rows)
