"""Commands about a single party: add, remove, hold, unhold, mute, unmute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from conferral.cli.confirm import confirm_hang_up
from conferral.cli.options import (
    DESTINATION,
    AsJson,
    Brief,
    CallerId,
    CommandId,
    Confirm,
    Digits,
    NoWait,
    PartyName,
    RingTimeout,
    SessionName,
    Wait,
    Yes,
    dial_options,
)
from conferral.cli.submission import SubmitOptions, submit

_EXAMPLE = "CA0123456789abcdef0123456789abcdef"


class PartyCommandHelp(NamedTuple):
    """A command whose fields are the session and one of its parties."""

    name: str
    summary: str
    #: The party in the example.
    party_help: str
    details: str


PARTY_COMMANDS = (
    PartyCommandHelp(
        "hold",
        "Put a party on hold.",
        "customer",
        "The party hears music, and no one hears them. A bridged call is converted first. The last party who is not\n"
        "on hold can't be put on hold.",
    ),
    PartyCommandHelp("unhold", "Take a party off hold.", "customer", "Done when Twilio has confirmed it."),
    PartyCommandHelp(
        "mute",
        "Mute a party.",
        "agent",
        "No one hears the party, who still hears the others. A bridged call is converted first.",
    ),
    PartyCommandHelp("unmute", "Unmute a party.", "agent", "Done when Twilio has confirmed it."),
)


def _party_command(kind: str) -> Callable[..., None]:
    def run(
        session: SessionName,
        party: PartyName,
        wait: Wait = None,
        no_wait: NoWait = False,
        command_id: CommandId = None,
        as_json: AsJson = False,
    ) -> None:
        submit({"type": kind, "session": session, "party": party}, SubmitOptions(wait, no_wait, command_id, as_json))

    return run


def _help(command: PartyCommandHelp) -> str:
    typed = f"conferral {command.name} {_EXAMPLE} --party {command.party_help}"
    return f"{command.summary}\n\n\b\nExamples:\n  {typed}\n  {typed} --no-wait\n\n{command.details}"


def add(
    session: SessionName,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help=f"Who to dial: {DESTINATION}.")],
    party: Annotated[
        str, typer.Option(metavar="NAME", help="A new name, by which the party is known from then on, such as expert.")
    ],
    brief: Brief = None,
    confirm: Confirm = False,
    timeout: RingTimeout = None,
    digits: Digits = None,
    caller_id: CallerId = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Add a party.

    \b
    Examples:
      conferral add CA0123456789abcdef0123456789abcdef --to client:carol --party expert
      conferral add CA0123456789abcdef0123456789abcdef --to +14155550145 --party interpreter --confirm

    A bridged call is converted first. From then on, the call continues until one party is left.
    """
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    fields = {"type": "add", "session": session, "to": to, "party": party}
    submit(fields | options, SubmitOptions(wait, no_wait, command_id, as_json))


def remove(
    session: SessionName,
    party: PartyName,
    yes: Yes = False,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandId = None,
    as_json: AsJson = False,
) -> None:
    """Remove a party. Asks first on a terminal.

    \b
    Examples:
      conferral remove CA0123456789abcdef0123456789abcdef --party expert
      conferral remove CA0123456789abcdef0123456789abcdef --party supervisor --yes

    Removing the customer ends the call. Removing the agent during a transfer counts as `complete`. Without a
    terminal, it needs --yes unless SESSION is the full id.
    """
    if not yes:
        session = confirm_hang_up("remove", "{whom} will be hung up. Continue?", session, party)
    submit({"type": "remove", "session": session, "party": party}, SubmitOptions(wait, no_wait, command_id, as_json))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(add)
    app.command()(remove)
    for command in PARTY_COMMANDS:
        app.command(command.name, help=_help(command))(_party_command(command.name))
