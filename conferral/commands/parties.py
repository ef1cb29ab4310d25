"""The commands about single parties: one more, one less, held, muted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from conferral.commands.asking import ask_before
from conferral.commands.options import (
    DESTINATION,
    AsJson,
    Brief,
    CallerId,
    CommandName,
    Confirm,
    Digits,
    NoWait,
    PartyName,
    RingTime,
    SessionName,
    Wait,
    Yes,
    dial_options,
)
from conferral.ordering import Way, order

_EXAMPLE = "CA0123456789abcdef0123456789abcdef"


class OneParty(NamedTuple):
    """A command whose fields are the session and a party of it."""

    name: str
    does: str
    #: The party of the example.
    whom: str
    more: str


ONE_PARTY = (
    OneParty(
        "hold",
        "Let one party hear music, and be heard by nobody.",
        "customer",
        "A bridged call is converted first. The last party who is not held can't be.",
    ),
    OneParty("unhold", "Let a held party hear the others again.", "customer", "Done when Twilio has confirmed it."),
    OneParty(
        "mute",
        "Let nobody hear one party, who goes on hearing the others.",
        "agent",
        "A bridged call is converted first.",
    ),
    OneParty("unmute", "Let a muted party be heard again.", "agent", "Done when Twilio has confirmed it."),
)


def _one_party(kind: str) -> Callable[..., None]:
    def give(
        session: SessionName,
        party: PartyName,
        wait: Wait = None,
        no_wait: NoWait = False,
        command_id: CommandName = None,
        as_json: AsJson = False,
    ) -> None:
        order({"type": kind, "session": session, "party": party}, Way(wait, no_wait, command_id, as_json))

    return give


def _help(command: OneParty) -> str:
    typed = f"conferral {command.name} {_EXAMPLE} --party {command.whom}"
    return f"{command.does}\n\n\b\nExamples:\n  {typed}\n  {typed} --no-wait\n\n{command.more}"


def add(
    session: SessionName,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help=f"Whom to dial: {DESTINATION}.")],
    party: Annotated[
        str, typer.Option(metavar="NAME", help="A new name, by which the party is known from then on, such as expert.")
    ],
    brief: Brief = None,
    confirm: Confirm = False,
    timeout: RingTime = None,
    digits: Digits = None,
    caller_id: CallerId = None,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Dial one more party in.

    \b
    Examples:
      conferral add CA0123456789abcdef0123456789abcdef --to client:carol --party expert
      conferral add CA0123456789abcdef0123456789abcdef --to +14155550145 --party interpreter --confirm

    A bridged call is converted first. From then on whoever leaves ends nothing, until one is left.
    """
    options = dial_options(brief, digits, confirm=confirm, timeout=timeout, caller_id=caller_id)
    fields = {"type": "add", "session": session, "to": to, "party": party}
    order(fields | options, Way(wait, no_wait, command_id, as_json))


def remove(
    session: SessionName,
    party: PartyName,
    yes: Yes = False,
    wait: Wait = None,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Remove a party. Asks first on a terminal.

    \b
    Examples:
      conferral remove CA0123456789abcdef0123456789abcdef --party expert
      conferral remove CA0123456789abcdef0123456789abcdef --party supervisor --yes

    Removing the customer ends the call. Removing the agent while a transfer runs is `complete`. Without a terminal, a
    session that is not named by its full id needs --yes.
    """
    if not yes:
        session = ask_before("remove", "{whom} will be hung up. Go on?", session, party)
    order({"type": "remove", "session": session, "party": party}, Way(wait, no_wait, command_id, as_json))


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(add)
    app.command()(remove)
    for command in ONE_PARTY:
        app.command(command.name, help=_help(command))(_one_party(command.name))
