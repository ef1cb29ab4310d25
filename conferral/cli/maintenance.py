"""Maintenance: create tokens, erase a session."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conferral.cli import output
from conferral.cli.options import AsJson, SessionName, Yes
from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conferral.operations.erasure import ErasurePlan, SessionErasure
    from conferral.runtime.settings import TwilioSettings


def api_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")], as_json: AsJson = False
) -> None:
    """Create a token for the file of CONFERRAL_TOKENS.

    \b
    Examples:
      conferral api-token wallboard
      conferral api-token desk >>tokens.toml

    Shows the token once, on standard error, and prints the lines to add to the file, which hold only its digest. Edit
    `may`, then send SIGHUP to webhooks and console. Stores nothing.
    """
    import secrets

    from conferral.runtime.web.tokens import NAME_RULE, Permission, digest_of, is_token_name

    if not is_token_name(name):
        raise typer.BadParameter(NAME_RULE, param_hint="NAME")
    token = secrets.token_hex(32)
    lines = (f"[tokens.{name}]", f'sha256 = "{digest_of(token)}"', f'may = ["{Permission.READ}"]')
    if as_json:
        output.print_json({"name": name, "token": token, "lines": "\n".join(lines)})
        return
    output.print_note(f"token, shown only now: {token}")
    for line in lines:
        output.print_line(line)


_TRACE_NAMES = {
    "session": ("session record", "session records"),
    "log_entries": ("log entry", "log entries"),
    "gates": ("call screening record", "call screening records"),
    "calls": ("call", "calls"),
    "commands": ("command record", "command records"),
    "outcomes": ("outcome", "outcomes"),
    "dead_letters": ("dead letter", "dead letters"),
    "recordings": ("recording at Twilio", "recordings at Twilio"),
    "sign_ins": ("sign-in or unused link", "sign-ins and unused links"),
    "presence": ("presence", "presences"),
    "agent_calls": ("call of an agent", "calls of agents"),
}


def forget(
    session: SessionName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be erased.")] = False,
    recordings: Annotated[bool, typer.Option("--recordings", help="Also delete its recordings at Twilio.")] = False,
    agent: Annotated[
        bool, typer.Option("--agent", help="SESSION is an agent's identity: erase what is about their desk.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase everything stored about an ended session, or a number.
    Asks for confirmation on a terminal.

    \b
    Examples:
      conferral forget CA0123456789abcdef0123456789abcdef --dry-run
      conferral forget 23 --recordings
      conferral forget CA0123456789abcdef0123456789abcdef --yes --json
      conferral forget alice --agent

    Without a terminal, it always needs --yes, unless --dry-run is given.

    Erases the session record, log, index of calls, outcomes, the dead letters that name it, and the content of its
    command records; command ids are kept so that no command runs twice. Refuses a live session, unless it can't be
    read. Waits until a session has been over for a minute, since Twilio may send late callbacks. Run it again to erase
    anything left.
    A call's SID, or its customer, names all sessions of a call that came back. A full number, such as +12025550123,
    names all calls in which it took part, or was dialed.
    With --recordings, which needs the TWILIO_ settings, it first deletes all recordings of its calls and conferences,
    and messages in the voicemail, at Twilio. If Twilio refuses one, it is named, and the rest is erased; exits 1.
    With --agent, it ends an agent's sign-ins at the desk, and erases them, unused links, presence, and list of calls.
    """
    if agent and recordings:
        raise typer.BadParameter("recordings are of calls", param_hint="--recordings")
    from conferral.cli.redis_connection import run_query
    from conferral.operations.erasure import SessionErasure
    from conferral.runtime import log
    from conferral.runtime.settings import StoreSettings, TwilioSettings, load

    twilio = load(TwilioSettings) if recordings else None
    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandNotDoneError("without a terminal, forget needs --yes; nothing was erased")
    # The log line about the erasure is its only record; on a terminal, no one keeps it.
    level = "warning" if sys.stderr.isatty() else "info"
    log.configure(load(StoreSettings).log_format, level=level, process="forget", cache_loggers=False)
    if agent:
        _forget_agent(session, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    plans = _plans_once_quiet(session, may_wait=not dry_run)
    found = [plan for plan in plans if not plan.is_empty]
    if found and not (dry_run or yes):
        about = "; ".join(_plan_lines(plan, plan.counts) for plan in found)
        also = "; its recordings at Twilio" if twilio else ""
        output.require_confirmation(f"{about}{also} will be deleted permanently. Continue?")
    deleted, refused = _erase_at_twilio(twilio, found, dry_run=dry_run) if twilio and found else ({}, [])
    if found and not dry_run:
        run_query(lambda reader: _erase(SessionErasure(reader), found))
    for plan in plans:
        counts = plan.counts | ({"recordings": deleted.get(plan.session_id, 0)} if twilio else {})
        if as_json:
            output.print_json({"session": plan.session_id, "dry_run": dry_run, "erased": counts})
        elif plan.is_empty:
            output.print_line(f"Redis holds nothing about {plan.session_id}")
        else:
            output.print_line(f"{'would be erased' if dry_run else 'erased'}: {_plan_lines(plan, counts)}")
    if refused:
        raise CommandNotDoneError(f"Twilio refuses to delete recordings: {'; '.join(refused)}")


def _forget_agent(identity: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from conferral.cli.redis_connection import run_query
    from conferral.operations.agent_erasure import count_agent, erase_agent

    if not (dry_run or yes):
        output.require_confirmation(f"{identity}'s sign-ins, links, and presence will be erased. Continue?")
    act = count_agent if dry_run else erase_agent
    counts = run_query(lambda reader: act(reader, identity))
    if as_json:
        output.print_json({"agent": identity, "dry_run": dry_run, "erased": counts})
    elif not any(counts.values()):
        output.print_line(f"Redis holds nothing about {identity}'s desk")
    else:
        done = "would be erased" if dry_run else "erased"
        output.print_line(f"{done}: {identity}: {_counted(counts)}")


def _counted(counts: "Mapping[str, int]") -> str:
    return ", ".join(f"{count} {_TRACE_NAMES[what][count != 1]}" for what, count in counts.items() if count)


def _plans_once_quiet(named: str, *, may_wait: bool) -> "list[ErasurePlan]":
    """Return the plans, once the session may be erased."""
    import time

    from conferral.cli.redis_connection import run_query
    from conferral.operations.erasure import ErasureRefused, SessionErasure

    while True:
        try:
            return run_query(lambda reader: SessionErasure(reader).plans(named))
        except ErasureRefused as refusal:
            if not (refusal.wait_s and may_wait):
                raise
            why = "the session has only just ended, and Twilio may still send callbacks"
            output.print_note(f"{why}; waiting {refusal.wait_s:.0f} s")
            time.sleep(refusal.wait_s)


def _erase_at_twilio(
    settings: "TwilioSettings", plans: "list[ErasurePlan]", *, dry_run: bool
) -> tuple[dict[str, int], list[str]]:
    import asyncio  # slow, and other commands' help needs none of it

    from conferral.cli.recording_erasure import erase_recordings  # as Twilio's library

    return asyncio.run(erase_recordings(settings, plans, dry_run=dry_run))


async def _erase(erasure: "SessionErasure", plans: "list[ErasurePlan]") -> None:
    for plan in plans:
        await erasure.erase(plan)


def _plan_lines(plan: "ErasurePlan", counts: "Mapping[str, int]") -> str:
    from conferral.runtime.redaction import display_address
    from conferral.storage.codecs.text_codec import to_iso

    customer = plan.session.parties.get("customer") if plan.session is not None else None
    address = display_address(customer.address) if customer else ""
    ended_at = to_iso(plan.ended_at_ms)
    foreign = "can't be read; its calls continue" if plan.is_foreign else ""
    about = ", ".join(filter(None, (address, f"ended {ended_at}" if ended_at else "", foreign)))
    return f"{plan.session_id}{f' ({about})' if about else ''}: {_counted(counts) or 'an index entry'}"
