"""`conferral setup`: point the account's numbers and TwiML app here."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conferral.cli import output
from conferral.cli.options import AsJson, Yes, load_settings, require_number
from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.cli.account_setup import Plan


def _check_numbers(given: list[str] | None) -> list[str] | None:
    for number in given or ():
        require_number(number)
    return given


def setup(
    numbers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NUMBER]...",
            help="Numbers in the account; by default TWILIO_NUMBER and those of the directory's inbound tables that "
            "no one else answers.",
            callback=_check_numbers,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Yes = False,
) -> None:
    """Point numbers and the TwiML app at the webhooks.

    \b
    Examples:
      conferral setup --dry-run
      conferral setup
      conferral setup +12025550101 --yes

    Sets the voice URL, the fallback URL, and the status callback of numbers and, if TWILIO_TWIML_APP_SID is set, of the
    app, to CONFERRAL_PUBLIC_URL, and changes nothing else. A number keeps the one of Conferral's paths that it has.
    Shows the differences and asks first; without a terminal, it needs --yes. A number that something else answers is
    only listed, unless you name it. Exits 0 if it is done or there is nothing to do.
    """
    settings = load_settings()
    import asyncio

    from conferral.cli.account_setup import apply, make_plan, opened  # slow, so a wrong setting is shown first
    from conferral.runtime import log
    from conferral.telephony.directory import load_directory

    log.configure(settings.log_format, level="warning", process="setup", cache_loggers=False)
    usual = list(dict.fromkeys((settings.number, *load_directory(settings).numbers)))

    async def planned() -> "Plan":
        async with opened(settings) as client:
            return await make_plan(client, settings, numbers or (), usual)

    async def applied(plan: "Plan") -> None:
        async with opened(settings) as client:
            await apply(client, plan.changes)

    plan = asyncio.run(planned())
    if not as_json:
        _print(plan)
    if missing := [f"{name}: {why}" for name, why in plan.left if numbers]:
        raise CommandNotDoneError("a number can't be set; nothing was changed", details=tuple(missing))
    if plan.changes and not dry_run:
        if not yes and not sys.stdin.isatty():
            raise CommandNotDoneError("without a terminal, setup needs --yes; nothing was changed")
        if not yes:
            output.require_confirmation("Change this at Twilio?")
        asyncio.run(applied(plan))
    if as_json:
        changes = [
            {"name": one.name, "sid": one.sid, "field": one.setting, "from": one.before, "to": one.after}
            for one in plan.changes
        ]
        left = [{"name": name, "reason": why} for name, why in plan.left]
        output.print_json({"changes": changes, "left": left, "done": not dry_run})
    elif not plan.changes:
        output.print_line("nothing to do")
    else:
        output.print_line("nothing was changed" if dry_run else "done; `conferral check` tests it")


def _print(plan: "Plan") -> None:
    rows = [(one.name, one.sid, one.setting, one.before or "(empty)", one.after) for one in plan.changes]
    if rows:
        output.print_table(("what", "SID", "field", "now", "then"), rows)
    for name, why in plan.left:
        output.print_line(f"not changed: {name}: {why}")
