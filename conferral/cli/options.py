"""What several commands share: settings, options, arguments, completion."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from conferral.runtime.limits import NUMBER
from conferral.statemachine.ids import ID_PATTERN, ID_RULE, REFERENCE_PATTERN, id_error

if TYPE_CHECKING:
    from conferral.runtime.settings import ServiceSettings
    from conferral.statemachine.session import Session
    from conferral.storage.queries.session_reader import SessionReader

_T = TypeVar("_T")

COMPLETION_TIMEOUT_S = 1.0


def _refuse_repeated(options: Sequence[Any], ctx: Any, args: Sequence[str]) -> None:
    """Refuse an option with a value that is given twice: the last would win."""
    with_value = {name: one for one in options for name in one.opts if not getattr(one, "is_flag", True)}
    normalize = ctx.token_normalize_func or str
    given: set[str] = set()
    words = iter(() if ctx.resilient_parsing else args)
    for word in words:
        if word == "--" or not (ctx.allow_interspersed_args or word.startswith("-")):
            return
        name, has_value, _ = word.partition("=")
        option = with_value.get(normalize(name))
        if option is None or option.multiple:
            continue
        if option.name in given:
            raise typer.BadParameter("is given more than once", ctx=ctx, param_hint=option.opts[0])
        given.add(option.name)
        if not has_value:
            next(words, None)


class OnceCommand(TyperCommand):
    """A command whose options may be given once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; see typer."""
        _refuse_repeated(self.params, ctx, args)
        return super().parse_args(ctx, args)


class _OnceGroup(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_repeated(self.params, ctx, args)
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """An app whose commands have plain help, and `-h`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=_OnceGroup,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Add a command; see typer."""
        return super().command(name, **{"cls": OnceCommand, **settings})


def require_number(number: str | None, option: str | None = None) -> None:
    """Refuse what is given for a phone number, and is none."""
    if number is not None and not re.fullmatch(NUMBER, number):
        raise typer.BadParameter("must be + and digits, such as +12025550101", param_hint=option)


def require_no_options(context: typer.Context) -> None:
    """Refuse options before a subcommand, where they have no effect."""
    sources = filter(None, map(context.get_parameter_source, context.params))
    if any(source.name != "DEFAULT" for source in sources):
        raise typer.BadParameter(f"put options after {context.invoked_subcommand}")


def load_settings() -> "ServiceSettings":
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


def choices(*allowed: str) -> Callable[[str], list[str]]:
    """Return a completer for these words."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in allowed if word.startswith(incomplete)]

    return completed


def one_of(*allowed: str) -> Callable[[str | None], str | None]:
    """Return a callback that refuses any other word."""

    def checked(word: str | None) -> str | None:
        if word is not None and word not in allowed:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(repr(str(one)) for one in allowed)}.")
        return word

    return checked


def complete_parties(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the parties, except former ones, of the session typed earlier."""
    # After an option without a value, click leaves the earlier arguments unparsed.
    typed = [context.params.get("session"), *context.args]
    named = next(filter(None, typed), "")

    async def find(reader: "SessionReader") -> "Session | None":
        from conferral.operations.session_search import find_session

        return await reader.read_session(await find_session(reader, named))

    session = read_in_time(find) if named else None
    return [
        (name, party.status if re.fullmatch("[a-z]{1,20}", party.status) else "")
        for name, party in (session.present if session else {}).items()
        if name.startswith(incomplete) and REFERENCE_PATTERN.fullmatch(name)  # others might contain shell syntax
    ]


def read_in_time(read: Callable[["SessionReader"], Awaitable[_T]]) -> _T | None:
    """Return what a function reads; None after an error or a timeout."""
    import asyncio

    from conferral.cli.redis_connection import open_redis
    from conferral.runtime.errors import ConferralError
    from conferral.runtime.settings import StoreSettings, load

    async def in_time() -> _T:
        async with asyncio.timeout(COMPLETION_TIMEOUT_S), open_redis(load(StoreSettings)) as reader:
            return await read(reader)

    try:
        return asyncio.run(in_time())
    except (ConferralError, TimeoutError):
        return None


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, including errors.")]
#: For output in storage format: keys are Redis field names, and values are not redacted.
AsStored = Annotated[
    bool, typer.Option("--json", help="Print JSON: fields as in Redis, with full phone numbers; errors too.")
]
Full = Annotated[bool, typer.Option("--full", help="Show full phone numbers instead of their last two digits.")]


def _check_session(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(SESSION_PATTERN, value):
        raise typer.BadParameter(f"{ID_RULE}, or an address such as client:alice")
    return value


def _check_optional_id(value: str | None) -> str | None:
    if value is not None and (why := id_error(value)):
        raise typer.BadParameter(why)
    return value


def complete_sessions(incomplete: str) -> list[tuple[str, str]]:
    """Complete live sessions by id prefix, each with its state."""
    from conferral.operations import session_search
    from conferral.operations.explain import people

    offered = []
    live = read_in_time(lambda reader: session_search.all_sessions(reader, None, with_ended=False))
    for session in reversed(live or []):
        if session.id.startswith(incomplete) and ID_PATTERN.fullmatch(session.id):
            addresses = (people.connected_address(session, name) for name in ("customer", "agent"))
            about = ", ".join(filter(None, (f"{session.state} {session.phase}".strip(), *addresses)))
            offered.append((session.id, re.sub(UNSAFE_IN_SHELL, "?", about)))
    return offered


#: Characters that could be shell syntax. Some shells evaluate completions, and callers choose their addresses.
UNSAFE_IN_SHELL = r"[^A-Za-z0-9 +…,.:@_-]"
#: Ways to name a session: ids, SIDs, and their prefixes, last digits, a party's name, address, or label.
SESSION_PATTERN = rf"{REFERENCE_PATTERN.pattern}|(client|sips?):[!-~]{{1,250}}|\+[0-9]{{2,15}}"
SESSION_HELP = (
    "Its id or at least the first 4 characters, a call SID, the conference SID, the last digits of a number, or a "
    "party's name, address, or label"
)
SessionName = Annotated[
    str,
    typer.Argument(
        metavar="SESSION", help=f"{SESSION_HELP}.", callback=_check_session, autocompletion=complete_sessions
    ),
]
OnlySession = Annotated[
    str | None,
    typer.Argument(
        metavar="SESSION",
        help=f"{SESSION_HELP}. By default, the only live session; for convert, the only bridged one.",
        callback=_check_session,
        autocompletion=complete_sessions,
        show_default=False,
    ),
]
NewSessionName = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The new session's id; generated by default.", callback=_check_optional_id),
]


def _check_wait(value: float | None) -> float | None:
    if value is not None and not 0 <= value < float("inf"):
        raise typer.BadParameter("must be 0 or more seconds")
    return value


def _wait_option(default: str) -> Any:
    text = f"How long to wait for the result; default: {default}."
    return Annotated[float | None, typer.Option(metavar="SECONDS", help=text, callback=_check_wait)]


WAIT, WAIT_FOR_DIAL = _wait_option("30 s"), _wait_option("the ring time of each phone plus 15 s, at least 30 s")
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the command's id and don't wait.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]
CommandId = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="ID",
        help="The command's id; two commands with the same id run once.",
        callback=_check_optional_id,
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        metavar="TIME",
        help="ISO 8601 with its zone, by the clock of Redis: a command that is not decided by then does nothing.",
    ),
]
