"""The command `conferral check`."""

from dataclasses import asdict
from typing import Annotated

import typer

from conferral.cli import output
from conferral.cli.options import AsJson, load_settings, require_number


def check(
    as_json: AsJson = False,
    offline: Annotated[bool, typer.Option("--offline", help="Skip Twilio and the public URL.")] = False,
    number: Annotated[
        str | None,
        typer.Option(
            metavar="+E.164",
            help="Check that calls to this number in the account arrive here; TWILIO_NUMBER by default.",
        ),
    ] = None,
) -> None:
    """Check the setup and show how to fix problems.

    \b
    Examples:
      conferral check
      conferral check --offline
      conferral check --number +12025550101
      conferral check --json | jq '.[] | select(.status != "ok")'

    Checks settings, libraries, Redis, and workers; reads account and number from Twilio; and sends one signed request
    to CONFERRAL_PUBLIC_URL. Changes nothing. No live worker is a failure; a single worker is a warning, as is a number
    whose calls go to your own app. Exits 0 if no check fails, 1 if one does, 2 if a setting is missing or wrong.
    """
    require_number(number, "--number")
    if number is not None and offline:
        raise typer.BadParameter("can't be combined with --offline", param_hint="--number")
    settings = load_settings()
    import asyncio  # slow, and other commands' help needs none of it

    from conferral.check.run import run_checks  # slow, so a wrong setting is shown first
    from conferral.runtime import log

    log.configure(settings.log_format, level="warning", process="check", cache_loggers=False)

    def on_slow(what: str) -> None:
        output.print_note(f"still checking: waiting for {what} ...")

    lines = asyncio.run(run_checks(settings, offline=offline, number=number or "", on_slow=on_slow))
    if as_json:
        output.print_json([asdict(line) for line in lines])
    else:
        output.print_table(
            ("status", "check", "result"), [(line.status, line.name, line.found) for line in lines], styled=("status",)
        )
        for line in lines:
            if line.fix:
                output.print_line(f"{line.status}: {line.name}: {line.fix}")
    if failed := sum(line.status == "fail" for line in lines):
        output.print_note(f"{failed} of {len(lines)} checks failed")
        raise typer.Exit(2 if any(line.setting for line in lines) else 1)
