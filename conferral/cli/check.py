"""`check`: find setup problems and say how to fix each one."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson

if TYPE_CHECKING:
    from conferral.runtime.settings import ServiceSettings


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
    to CONFERRAL_PUBLIC_URL. Changes nothing. No live worker is a failure, as is a number whose calls go elsewhere; a
    single worker is a warning. Exits 0 if no check fails, 1 if one does, 2 if a setting is missing or wrong.
    """
    if number is not None and not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise typer.BadParameter("must be + and digits, such as +12025550101", param_hint="--number")
    if number is not None and offline:
        raise typer.BadParameter("can't be combined with --offline", param_hint="--number")
    settings = _load_settings()
    import asyncio  # slow, and other commands' help needs none of it

    from conferral.check.run import run_checks  # slow, so a wrong setting is shown first

    lines = asyncio.run(run_checks(settings, offline=offline, number=number or ""))
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
        raise typer.Exit(1)


def _load_settings() -> "ServiceSettings":
    """Load the settings; if there is no `.env`, say how to create one."""
    from conferral.runtime.errors import SettingsError
    from conferral.runtime.settings import ServiceSettings, load

    try:
        return load(ServiceSettings)
    except SettingsError as error:
        if Path(".env").exists() or not all(": missing; " in problem for problem in error.problems):
            raise
        begin = ".env: not found in this folder; create one with `cp .env.example .env` in the repository"
        raise SettingsError((*error.problems, begin)) from None
