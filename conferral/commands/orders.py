"""The commands that ask something of a session: one table of those that need no more than its name, and the others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from conferral import output
from conferral.commands.options import AsJson, CommandName, SessionName, id_like_or_none
from conferral.errors import NotDoneError
from conferral.ordering import Way, order

_EXAMPLE = "CA0123456789abcdef0123456789abcdef"


Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the command's id and don't wait.")]
Brief = Annotated[str | None, typer.Option(metavar="TEXT", help="Said to whoever answers, before they are let in.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Whoever answers must press 1: no voicemail takes the call.")]
RingTimeout = Annotated[
    int | None,
    typer.Option(
        min=5,
        max=600,
        help="Seconds to ring; CONFERRAL_RING_TIMEOUT by default. Elsewhere this field is called timeout.",
    ),
]
Digits = Annotated[
    str | None,
    typer.Option(metavar="DIGITS", help="Keys to press after the answer; w waits half a second. Not for client:."),
]


class Plain(NamedTuple):
    """A command whose one field is the session."""

    name: str
    does: str
    more: str


PLAIN = (
    Plain(
        "convert",
        "Move customer and agent into a conference.",
        "They go on talking: what was an ordinary bridge is a conference then.",
    ),
    Plain(
        "complete",
        "In a transfer: let the agent go; customer and target stay.",
        "While the target still rings, the agent goes at once and the transfer goes on as a blind one.",
    ),
    Plain(
        "cancel",
        "In a transfer: let the target go; customer and agent go on.",
        "A target who rings stops ringing.",
    ),
    Plain(
        "swap",
        "In a consult: change whom the agent talks to.",
        "The one is held before the other is let back in, so that customer and target never hear each other.",
    ),
    Plain("merge", "In a consult: let all three talk.", "Nobody is held any more."),
)


def _plain(kind: str) -> Callable[..., None]:
    def give(
        session: SessionName,
        timeout: Timeout = 30,
        no_wait: NoWait = False,
        command_id: CommandName = None,
        as_json: AsJson = False,
    ) -> None:
        order({"type": kind, "session": session}, Way(timeout, no_wait, command_id, as_json))

    return give


def _help(command: Plain) -> str:
    typed = f"conferral {command.name} {_EXAMPLE}"
    return f"{command.does}\n\n\b\nExamples:\n  {typed}\n  {typed} --no-wait\n\n{command.more}"


def call(
    agent: Annotated[str, typer.Option(metavar="ADDRESS", help="Who is called first: +E.164, client:NAME or sip:URI.")],
    customer: Annotated[str, typer.Option(metavar="ADDRESS", help="Who is called when the agent has answered.")],
    mode: Annotated[
        str, typer.Option(metavar="bridge", help="How the two are connected: bridge, which can be converted later.")
    ] = "bridge",
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The new session's id; one is made up without.", callback=id_like_or_none),
    ] = None,
    brief: Brief = None,
    confirm: Confirm = False,
    ring_timeout: RingTimeout = None,
    digits: Digits = None,
    timeout: Timeout = 30,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Call an agent, then a customer, and connect the two.

    \b
    Examples:
      conferral call --agent client:alice --customer +14155550123 --timeout 90
      conferral call --agent +14155550145 --customer +14155550123 --confirm --brief "A call to a customer"

    Done when the two talk. What is said before, the key to press and the seconds to ring are the agent's.
    """
    fields = {"type": "call", "agent": agent, "customer": customer, "mode": mode, "session": session or ""}
    options = _dial_options(brief, digits, confirm=confirm, ring_timeout_s=ring_timeout)
    order(fields | options, Way(timeout, no_wait, command_id, as_json))


def transfer(
    session: SessionName,
    to: Annotated[
        str, typer.Option(metavar="ADDRESS[,…]", help="To whom: +E.164, client:NAME or sip:URI; of several all ring.")
    ],
    mode: Annotated[str, typer.Option(metavar="warm|consult|blind", help="How; see above.")],
    brief: Brief = None,
    confirm: Confirm = False,
    ring_timeout: RingTimeout = None,
    digits: Digits = None,
    timeout: Timeout = 30,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Hand the customer over to somebody else.

    \b
    Examples:
      conferral transfer CA0123456789abcdef0123456789abcdef --to +14155550145 --mode warm --timeout 60
      conferral transfer CA0123456789abcdef0123456789abcdef --to client:bob,client:carol --mode consult
      conferral transfer CA0123456789abcdef0123456789abcdef --to +14155550145 --mode blind --confirm

    warm: all three talk, until the agent leaves. consult: the customer is held while agent and target talk. blind: the
    agent leaves at once. warm and consult are done when the target takes part, blind when customer and target talk.
    """
    options = _dial_options(brief, digits, confirm=confirm, ring_timeout_s=ring_timeout)
    fields = {"type": "transfer", "session": session, "to": to, "mode": mode}
    order(fields | options, Way(timeout, no_wait, command_id, as_json))


def _dial_options(
    brief: str | None, digits: str | None, *, confirm: bool, ring_timeout_s: int | None
) -> dict[str, str]:
    return {
        "brief": brief or "",
        "confirm": "true" if confirm else "",
        # Called otherwise here: --timeout is how long the outcome is waited for, in every command.
        "timeout": "" if ring_timeout_s is None else str(ring_timeout_s),
        "digits": digits or "",
    }


def end(
    session: SessionName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    timeout: Timeout = 30,
    no_wait: NoWait = False,
    command_id: CommandName = None,
    as_json: AsJson = False,
) -> None:
    """Hang everybody up. Asks first on a terminal.

    \b
    Examples:
      conferral end CA0123456789abcdef0123456789abcdef
      conferral end CA0123456789abcdef0123456789abcdef --yes
    """
    if not yes and sys.stdin.isatty():
        # Asked outside of the loop, so that Ctrl-C ends the question and the command with it.
        whom = asyncio.run(_whom(session))
        if not output.ask(f"{whom} will be hung up. End it?"):
            raise NotDoneError("nothing was done")
    order({"type": "end", "session": session}, Way(timeout, no_wait, command_id, as_json))


async def _whom(named: str) -> str:
    """Whom ending a session would hang up, in words."""
    from conferral import standing, words
    from conferral.access import opened
    from runtime.settings import StoreSettings, load

    async with opened(load(StoreSettings)) as reader:
        fields = await reader.session(await reader.find(named))
    whom = [
        f"{party} {words.address(fields.get(f'party.{party}.address', ''))}"
        for party in words.parties(fields)
        if fields.get(f"party.{party}.status") != "left"
    ]
    return standing.listed(whom) or "Nobody"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(call)
    app.command()(transfer)
    for command in PLAIN:
        app.command(command.name, help=_help(command))(_plain(command.name))
    app.command()(end)
