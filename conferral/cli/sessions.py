"""`sessions` and `show`."""

from typing import Annotated

import typer

from conferral.cli.options import AsStored, Full, SessionName, choices
from conferral.statemachine.states import STATES_AND_PHASES


def sessions(
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help=f"Only sessions in this state or phase: {', '.join(STATES_AND_PHASES)}.",
            autocompletion=choices(*STATES_AND_PHASES),
        ),
    ] = None,
    party: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|NAME|SID",
            help="Only sessions in which this address, name of the directory, or call takes part now.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include ended sessions.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Stay, and show changes until Ctrl-C.")] = False,
    full: Full = False,
    as_json: AsStored = False,
) -> None:
    """List live sessions, those that need attention first.

    \b
    Examples:
      conferral sessions
      conferral sessions --state conferenced
      conferral sessions --state queued
      conferral sessions --party client:alice
      conferral sessions --all --json | jq -r '.[].end_reason'
      conferral sessions --follow --json | jq -r 'select(.to == "ended") | .session'

    --follow keeps the list up to date on a terminal. In a pipe, it prints a line per change, and with --json an object
    per log entry as in Redis.

    A session needs attention if a timer is overdue, if one party was left alone, or if its transfer has just failed,
    the caller is not talking to anyone yet, and no fallback is under way. The others follow, newest first.
    """
    if state is not None and state not in STATES_AND_PHASES:
        raise typer.BadParameter(f"must be one of {', '.join(STATES_AND_PHASES)}", param_hint="--state")
    address = _address_of(party) if party else ""
    if follow:
        if everything or state == "ended":
            raise typer.BadParameter("ended sessions don't change", param_hint="--follow")
        from conferral.cli.follow import follow_sessions

        follow_sessions(state, address, full=full, as_json=as_json)
        return
    from conferral.cli.session_output import print_sessions

    print_sessions(state, address, everything=everything, full=full, as_json=as_json)


def _address_of(party: str) -> str:
    """Return the directory's address for a name; an address or SID as it is."""
    from conferral.operations.session_search import displayed, is_address_or_call_sid
    from conferral.runtime.settings import DirectorySettings, load
    from conferral.telephony.directory.file import read_destinations

    path = load(DirectorySettings).directory
    address = read_destinations(path).get(party, party) if path else party
    if not is_address_or_call_sid(address):
        shown = displayed(party)
        reason = f"{shown} is neither an address nor a name in the directory; try client:{shown}"
        raise typer.BadParameter(reason, param_hint="--party")
    return address


def show(
    session: SessionName,
    everything: Annotated[
        bool, typer.Option("--all", help="Include log entries that only confirm what others say.")
    ] = False,
    full: Full = False,
    as_json: AsStored = False,
) -> None:
    """Show how a call stands, who is in it, and its log.

    \b
    Examples:
      conferral show CA0123456789abcdef0123456789abcdef
      conferral show CA0123456789abcdef0123456789abcdef --json

    With --json: the fields of the session's hash in Redis.
    """
    from conferral.cli.session_output import print_session

    print_session(session, everything=everything, full=full, as_json=as_json)
