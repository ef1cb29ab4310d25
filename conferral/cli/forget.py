"""`forget`: erase what Redis holds about an ended or damaged session."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.options import AsJson, SessionName, Yes
from conferral.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.operations.erasure import ErasurePlan, SessionErasure

_TRACE_NAMES = {
    "session": ("session record", "session records"),
    "log_entries": ("log entry", "log entries"),
    "gates": ("call screening record", "call screening records"),
    "calls": ("call", "calls"),
    "commands": ("command record", "command records"),
    "outcomes": ("outcome", "outcomes"),
    "dead_letters": ("dead letter", "dead letters"),
}


def forget(
    session: SessionName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be erased.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase everything stored about an ended or damaged session.
    Asks for confirmation on a terminal.

    \b
    Examples:
      conferral forget CA0123456789abcdef0123456789abcdef --dry-run
      conferral forget 23
      conferral forget CA0123456789abcdef0123456789abcdef --yes --json

    Without a terminal, it always needs --yes, unless --dry-run is given.

    Erases the session record, log, index of calls, outcomes, the dead letters that name it, and the content of its
    command records; command ids are kept so that no command runs twice. Refuses a live session, unless it is damaged,
    and one that ended less than a minute ago. Run it again to erase anything left.
    A call's SID, or its customer, names all sessions of a call that came back.
    Does not delete recordings at Twilio.
    """
    from conferral.operations.erasure import SessionErasure
    from conferral.redis_access import run_query
    from conferral.runtime import log
    from conferral.runtime.settings import StoreSettings, load

    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandNotDoneError("without a terminal, forget needs --yes; nothing was erased")
    # The log line about the erasure is its only record; on a terminal, no one keeps it.
    level = "warning" if sys.stderr.isatty() else "info"
    log.configure(load(StoreSettings).log_format, level=level, process="forget", cache_loggers=False)
    plans = run_query(lambda reader: SessionErasure(reader).plans(session))
    found = [plan for plan in plans if not plan.is_empty]
    if found and not dry_run:
        if not yes:
            about = "; ".join(map(_plan_lines, found))
            output.require_confirmation(f"{about} will be deleted permanently. Continue?")
        run_query(lambda reader: _erase(SessionErasure(reader), found))
    for plan in plans:
        traces = plan.traces
        if as_json:
            output.print_json({"session": traces.session_id, "dry_run": dry_run, "erased": traces.counts})
        elif plan.is_empty:
            output.print_line(f"Redis holds nothing about {traces.session_id}")
        else:
            output.print_line(f"{'would be erased' if dry_run else 'erased'}: {_plan_lines(plan)}")


async def _erase(erasure: "SessionErasure", plans: "list[ErasurePlan]") -> None:
    for plan in plans:
        await erasure.erase(plan)


def _plan_lines(plan: "ErasurePlan") -> str:
    from conferral.operations import wording

    traces, customer = plan.traces, plan.session.parties.get("customer")
    address = wording.display_address(customer.address) if customer else ""
    ended_at = plan.session.fields.get("ended_at", "")
    damaged = "damaged; its calls continue" if traces.is_damaged else ""
    about = ", ".join(filter(None, (address, f"ended {ended_at}" if ended_at else "", damaged)))
    counted = [f"{count} {_TRACE_NAMES[what][count != 1]}" for what, count in traces.counts.items() if count]
    return f"{traces.session_id}{f' ({about})' if about else ''}: {', '.join(counted) or 'an index entry'}"
