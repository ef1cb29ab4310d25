"""Options and arguments that several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from conferral.cli.completion import TIMEOUT_S, complete_parties

if TYPE_CHECKING:
    from conferral.operations.session_queries import Fields

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; errors too.")]
#: For output in storage format: keys are Redis field names, and values are not redacted.
AsStored = Annotated[
    bool, typer.Option("--json", help="Print JSON: fields as in Redis, with full phone numbers; errors too.")
]
Full = Annotated[bool, typer.Option("--full", help="Show full phone numbers instead of their last two digits.")]


def _check_session(value: str) -> str:
    import re

    if not re.fullmatch(SESSION_PATTERN, value):
        raise typer.BadParameter("must be 1 to 64 letters, digits, _ or -, or an address such as client:alice")
    return value


def _check_optional_session(value: str | None) -> str | None:
    return value if value is None else _check_session(value)


def check_optional_id(value: str | None) -> str | None:
    """Validate an optional id."""
    from conferral.statemachine.ids import id_error

    if value is not None and (why := id_error(value)):
        raise typer.BadParameter(why)
    return value


def complete_sessions(incomplete: str) -> list[tuple[str, str]]:
    """Complete live sessions by id prefix, each with its state."""
    import asyncio
    import re

    from conferral.operations import session_summary, wording
    from conferral.runtime.errors import ConferralError
    from conferral.statemachine.ids import ID_PATTERN

    try:
        found = asyncio.run(_live_sessions())
    except ConferralError:
        return []  # completion must never print errors
    offered = []
    for fields in found:
        name = fields.get("id", "")
        if name.startswith(incomplete) and ID_PATTERN.fullmatch(name):
            addresses = (session_summary.connected_address(fields, party) for party in ("customer", "agent"))
            about = ", ".join(filter(None, (wording.state_label(fields), *addresses)))
            offered.append((name, re.sub(UNSAFE_IN_SHELL, "?", about)))
    return offered


def complete_histories(incomplete: str) -> list[tuple[str, str]]:
    """Complete `replay`'s argument: live sessions, history files, and their folders."""
    import re
    from pathlib import Path

    folder, _, begun = incomplete.rpartition("/")
    place = Path(f"{folder}/" if "/" in incomplete else ".")
    try:
        there = sorted(place.iterdir())
    except OSError:
        there = []  # unreadable
    offered = []
    for one in there:
        # Skip names that could contain shell syntax; the user can still type them.
        if not one.name.startswith(begun) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,@+-]*", one.name):
            continue
        name = f"{folder}/{one.name}" if "/" in incomplete else one.name
        if one.is_dir():
            offered.append((f"{name}/", "folder"))
        elif one.suffix == ".json":
            offered.append((name, "file"))
    return complete_sessions(incomplete) + offered[:COMPLETED_FILES_MAX]


async def _live_sessions() -> "list[Fields]":
    """Return all live sessions, newest first; none if reading them takes longer than `TIMEOUT_S`."""
    import asyncio

    from conferral.cli.sessions import list_sessions

    listing = asyncio.ensure_future(list_sessions(None, with_ended=False))
    await asyncio.wait({listing}, timeout=TIMEOUT_S)
    if not listing.done():
        listing.cancel()
        return []
    return listing.result()[::-1]


#: Characters that could be shell syntax. Some shells evaluate completions, and callers choose their addresses.
UNSAFE_IN_SHELL = r"[^A-Za-z0-9 +…,.:@_-]"
#: Maximum number of files and folders offered.
COMPLETED_FILES_MAX = 200
#: Ways to name a session: ids, SIDs, and their prefixes, last digits, a party's name, address, or label.
SESSION_PATTERN = r"[A-Za-z0-9_-]{1,64}|(client|sips?):[!-~]{1,250}|\+[0-9]{2,15}"
#: The same for help texts.
SESSION_HELP = (
    "Its id or at least the first 4 characters, a call SID, the conference SID, the last digits of a number, or a "
    "party's name, address, or label"
)
SessionName = Annotated[
    str,
    typer.Argument(
        metavar="SESSION",
        help=f"{SESSION_HELP}.",
        callback=_check_session,
        autocompletion=complete_sessions,
    ),
]
OptionalSessionName = Annotated[
    str | None,
    typer.Argument(
        metavar="[SESSION]",
        help=f"{SESSION_HELP}; without it, all live sessions.",
        callback=_check_optional_session,
        autocompletion=complete_sessions,
    ),
]


def _check_wait(value: float | None) -> float | None:
    if value is not None and not 0 <= value < float("inf"):
        raise typer.BadParameter("must be 0 or more seconds")
    return value


Wait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long to wait for the result; by default, the ring time plus 15 s, at least 30.",
        callback=_check_wait,
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the command's id and don't wait.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
PartyName = Annotated[
    str,
    typer.Option(
        metavar="PARTY",
        help="The party's name, as in `conferral show`, or its call SID.",
        autocompletion=complete_parties,
    ),
]
Brief = Annotated[str | None, typer.Option(metavar="TEXT", help="Sentence for the dialed party before they join.")]
Confirm = Annotated[
    bool, typer.Option("--confirm", help="The dialed party must press 1, so that no voicemail takes the call.")
]
RingTimeout = Annotated[
    # Text, so that an invalid value gets the same message as on every other surface.
    str | None,
    typer.Option(metavar="SECONDS", help="How long to ring, 5 to 600; CONFERRAL_RING_TIMEOUT by default."),
]
Digits = Annotated[
    str | None,
    typer.Option(metavar="DIGITS", help="DTMF digits sent after the answer; w waits half a second. Not for client:."),
]
CallerId = Annotated[
    str | None,
    typer.Option("--caller-id", metavar="NUMBER", help="Number in the account that the dialed party sees."),
]
#: Formats of a destination.
DESTINATION = "+E.164, client:NAME, sip:URI, or a name from the directory"
CommandId = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="ID",
        help="The command's id; two commands with the same id run once.",
        callback=check_optional_id,
    ),
]


def dial_options(
    brief: str | None, digits: str | None, *, confirm: bool, timeout: str | None, caller_id: str | None
) -> dict[str, str]:
    """Return the dial options as command fields; unset ones are empty."""
    return {
        "brief": brief or "",
        "confirm": "true" if confirm else "",
        "timeout": timeout or "",
        "digits": digits or "",
        "caller_id": caller_id or "",
    }
