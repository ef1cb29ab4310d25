"""Options and arguments that several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from conferral.commands.completing import WITHIN_S, completed_parties

if TYPE_CHECKING:
    from conferral.operations.reader import Fields

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output; errors too.")]
#: Of what is shown as it is stored: keys are the names of fields in Redis, and values are whole.
AsStored = Annotated[
    bool, typer.Option("--json", help="For machines: fields as in Redis, with whole numbers; errors too.")
]
Full = Annotated[bool, typer.Option("--full", help="Show whole numbers instead of their last two digits.")]


def _session_like(value: str) -> str:
    import re

    if not re.fullmatch(SESSION_TEXT, value):
        raise typer.BadParameter("must be 1 to 64 letters, digits, _ or -, or an address such as client:alice")
    return value


def _session_like_or_none(value: str | None) -> str | None:
    return value if value is None else _session_like(value)


def id_like_or_none(value: str | None) -> str | None:
    """Passes what can be an id, and nothing at all."""
    from conferral.statemachine.ids import why_no_id

    if value is not None and (why := why_no_id(value)):
        raise typer.BadParameter(why)
    return value


def completed_sessions(incomplete: str) -> list[tuple[str, str]]:
    """The live sessions whose ids begin so, each with its state: what the shell offers on Tab."""
    import asyncio
    import re

    from conferral.operations import standing, words
    from conferral.runtime.errors import ConferralError
    from conferral.statemachine.ids import ID_PATTERN

    try:
        found = asyncio.run(_live_sessions())
    except ConferralError:
        return []  # a shell that completes is no place for errors
    offered = []
    for fields in found:
        name = fields.get("id", "")
        if name.startswith(incomplete) and ID_PATTERN.fullmatch(name):
            addresses = (standing.address_there(fields, party) for party in ("customer", "agent"))
            told = ", ".join(filter(None, (words.state(fields), *addresses)))
            offered.append((name, re.sub(UNSAFE_IN_SHELL, "?", told)))
    return offered


def completed_histories(incomplete: str) -> list[tuple[str, str]]:
    """What `replay` takes: the same sessions, and files of histories with the folders that lead to them."""
    import re
    from pathlib import Path

    folder, _, begun = incomplete.rpartition("/")
    place = Path(f"{folder}/" if "/" in incomplete else ".")
    try:
        there = sorted(place.iterdir())
    except OSError:
        there = []  # nothing that can be read
    offered = []
    for one in there:
        # What could mean something to the shell is left to whoever types it.
        if not one.name.startswith(begun) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,@+-]*", one.name):
            continue
        name = f"{folder}/{one.name}" if "/" in incomplete else one.name
        if one.is_dir():
            offered.append((f"{name}/", "folder"))
        elif one.suffix == ".json":
            offered.append((name, "file"))
    return completed_sessions(incomplete) + offered[:COMPLETED_FILES_MOST]


async def _live_sessions() -> "list[Fields]":
    """All of them, the newest first; none when that takes longer than somebody waits who has pressed Tab."""
    import asyncio

    from conferral.commands.sessions import list_sessions

    listing = asyncio.ensure_future(list_sessions(None, with_ended=False))
    await asyncio.wait({listing}, timeout=WITHIN_S)
    if not listing.done():
        listing.cancel()
        return []
    return listing.result()[::-1]


#: Everything that could mean something to a shell, some of which evaluate what they are offered: an address may hold
#: what its owner likes.
UNSAFE_IN_SHELL = r"[^A-Za-z0-9 +…,.:@_-]"
#: Files and folders that are offered (count).
COMPLETED_FILES_MOST = 200
#: How a session is named: by ids, SIDs, and their prefixes, last digits, a party's name, address, or label.
SESSION_TEXT = r"[A-Za-z0-9_-]{1,64}|(client|sips?):[!-~]{1,250}|\+[0-9]{2,15}"
#: The same in words, for helps.
SESSION_HELP = (
    "Its id or at least 4 characters of it, a call's or the conference's SID, last digits of a number, or a party's "
    "name, address, or label"
)
SessionName = Annotated[
    str,
    typer.Argument(
        metavar="SESSION",
        help=f"{SESSION_HELP}.",
        callback=_session_like,
        autocompletion=completed_sessions,
    ),
]
OptionalSessionName = Annotated[
    str | None,
    typer.Argument(
        metavar="[SESSION]",
        help=f"{SESSION_HELP}; without it, all live sessions.",
        callback=_session_like_or_none,
        autocompletion=completed_sessions,
    ),
]


def _wait_like(value: float | None) -> float | None:
    if value is not None and not 0 <= value < float("inf"):
        raise typer.BadParameter("must be 0 or more seconds")
    return value


Wait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long to wait for the result; by default, the ring time plus 15 s, at least 30.",
        callback=_wait_like,
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the command's id and don't wait.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
PartyName = Annotated[
    str,
    typer.Option(
        metavar="PARTY",
        help="Whom: a party's name as `conferral show` has it, or the SID of its call.",
        autocompletion=completed_parties,
    ),
]
Brief = Annotated[str | None, typer.Option(metavar="TEXT", help="Said to whoever answers, before they are let in.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Whoever answers must press 1: no voicemail takes the call.")]
RingTime = Annotated[
    # Text, so that a wrong value gets the same message here as everywhere else that takes commands.
    str | None,
    typer.Option(metavar="SECONDS", help="How long to ring, 5 to 600; CONFERRAL_RING_TIMEOUT by default."),
]
Digits = Annotated[
    str | None,
    typer.Option(metavar="DIGITS", help="Keys to press after the answer; w waits half a second. Not for client:."),
]
CallerId = Annotated[
    str | None,
    typer.Option("--caller-id", metavar="NUMBER", help="Which number in your account the dialed party sees."),
]
#: How a destination is written.
DESTINATION = "+E.164, client:NAME, sip:URI or a name from the directory"
CommandName = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="ID", help="The command's id; given twice, it is done once.", callback=id_like_or_none
    ),
]


def dial_options(
    brief: str | None, digits: str | None, *, confirm: bool, timeout: str | None, caller_id: str | None
) -> dict[str, str]:
    """The dial options as the stream of commands takes them; empty where they are not given."""
    return {
        "brief": brief or "",
        "confirm": "true" if confirm else "",
        "timeout": timeout or "",
        "digits": digits or "",
        "caller_id": caller_id or "",
    }
