"""The client: a connection, a method per command, and what it returns."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from inspect import Parameter, Signature
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from conferral.commands import parser
from conferral.commands.parser import own_fields
from conferral.commands.submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandFailed, CommandPending, CommandRejected, UnknownSession
from conferral.operations.redis_access import RedisLimiter
from conferral.operations.session_search import all_sessions
from conferral.outcomes.outcome import OutcomeRecord
from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import StoreSettings, load
from conferral.statemachine.events import commands as events
from conferral.statemachine.session import Session
from conferral.statemachine.states import STATES_AND_PHASES
from conferral.storage import config
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import parse_code
from conferral.storage.command_stream import CommandResult
from conferral.storage.connection.client import make_client
from conferral.storage.connection.configured import find_primary, redis_address
from conferral.storage.queries.session_reader import SessionReader


class Command:
    """A command and its id.

    You can wait for its outcome repeatedly, or in another program that submits the same command with the same id.
    """

    def __init__(self, submitter: CommandSubmitter, submitted: SubmittedCommand) -> None:
        self._submitter = submitter
        self._submitted = submitted
        self._result = CommandResult(submitted.command_id, "", "", "")

    def __repr__(self) -> str:
        return f"Command({self.kind}, id={self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        """The id under which Redis keeps the outcome for a day."""
        return self._submitted.command_id

    @property
    def kind(self) -> str:
        """The command's name: `transfer`, `end`..."""
        return self._submitted.kind

    @property
    def status(self) -> str:
        """The last status: empty, `accepted`, `done`, `rejected`, or `failed`."""
        return self._result.status

    @property
    def reason(self) -> str:
        """The reason, if one was reported."""
        return self._result.reason

    @property
    def code(self) -> int | None:
        """Twilio's error code, if Twilio refused what was needed."""
        return parse_code(self._result.code)

    @property
    def session(self) -> str:
        """The session's id; empty for a `call` without one until it is accepted."""
        return self._result.session or self._submitted.session

    async def refresh(self) -> str:
        """Read and return the status, without waiting or raising failures."""
        self._result = await self._submitter.wait_for_result(self._submitted, 0)
        return self.status

    async def done(self, timeout_s: float = 30.0) -> "Command":
        """Wait until the command is done; return the command itself.

        Raises:
            ValueError: `timeout_s` isn't a number of seconds, or is negative.
            CommandRejected: nothing happened.
            CommandFailed: it couldn't be done.
            CommandPending: the wait timed out; the command continues.
            StoreUnreachableError: Redis is unreachable; the command continues.
        """
        check_timeout(timeout_s)
        self._result = found = await self._submitter.wait_for_result(self._submitted, timeout_s)
        if found.status == "done":
            return self
        if not found.is_final:
            reason = f"still in progress when the wait timed out; its id is {self.id}"
            raise CommandPending(self.kind, reason, command_id=self.id, session=self.session)
        kind = CommandRejected if found.status == "rejected" else CommandFailed
        raise kind(
            self.kind,
            found.reason or "no reason was given",
            allowed=await self._submitter.allowed_commands(found.session),
            command_id=self.id,
            session=self.session,
            code=self.code,
        )


def check_timeout(timeout_s: object) -> None:
    """Raise ValueError if this is no time to wait; infinity is one."""
    if not isinstance(timeout_s, int | float) or not timeout_s >= 0:  # NaN is not
        raise ValueError("timeout_s must be a number of seconds, 0 or more")


#: A session's id, the SID of one of its calls, or a session that was read.
SessionRef = str | Session


#: How any command is submitted: keywords that are no fields, and their defaults.
SUBMISSION = {"id": "", "by": "", "deadline": "", "wait": True, "timeout_s": 30.0}
#: Keywords with another name than their field.
_KEYWORDS = {"timeout": "ring_timeout_s"}
_HOW = """id: For idempotency: a command submitted twice runs once, and both get its outcome. Generated by default.
    by: Who sends the command, in up to 64 printable characters. Its outcome, the log, and the outcomes stream show it.
    deadline: ISO 8601 with its zone, by the clock of Redis; a command that is not decided by then does nothing.
    wait: Whether to return when the command is done (the default), or as soon as it is published.
    timeout_s: How long to wait until the command is done, in seconds; 30 by default."""


def _method(command: type[events.Command]) -> Callable[..., Awaitable[Command]]:
    """Return a command's method: its fields are keywords, as are the options."""
    fields = {_KEYWORDS.get(one.name, one.name): one for one in own_fields(command)}
    # A new session's id is optional, and no position makes clear what it is.
    new = Parameter("session", _KEYWORD, default="")
    session = new if command.opens_session else Parameter("session", _POSITION)
    signature = Signature(
        [
            Parameter("self", _POSITION),
            session,
            *(
                Parameter(name, _KEYWORD, default=Parameter.empty if one.is_required else one.default)
                for name, one in fields.items()
            ),
            *(Parameter(name, _KEYWORD, default=default) for name, default in SUBMISSION.items()),
        ]
    )

    async def submit(self: Any, *positional: Any, **named: Any) -> Command:
        try:
            given = signature.bind(self, *positional, **named).arguments
        except TypeError as error:
            raise TypeError(f"{command.name}(): {error}") from None
        chosen = {one.name: given[name] for name, one in fields.items() if name in given}
        options = SUBMISSION | {name: given[name] for name in SUBMISSION if name in given}
        submitted: Command = await self._submit(command.name, given.get("session", ""), chosen, options)
        return submitted

    described = "\n".join(
        f"    {name}: {one.description[0].upper()}{one.description[1:]}." for name, one in fields.items()
    )
    submit.__name__, submit.__qualname__ = command.name, f"Client.{command.name}"
    submit.__signature__ = signature  # type: ignore[attr-defined]  # what `help` shows
    submit.__doc__ = f"{command.description()}\n\nArgs:\n{described}\n    {_HOW}"
    return submit


_POSITION, _KEYWORD = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY


#: Maximum number of concurrent requests to Redis. Each occupies a connection.
REQUESTS_MAX = 8
POLL_EVERY_S = 0.2
BACK_OFF_MAX_S = 5.0
#: Time limit for publishing a command with `wait=False` while Redis is unreachable, in seconds.
PUBLISH_TIMEOUT_S = 5.0

#: The log of the program that uses the client. It gets sentences, not the structured events of Conferral's processes.
_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Client:
    """A connection to Conferral's Redis, as a context manager.

    Many tasks can share one client. It belongs to the event loop that opened it.

        async with Client() as client:
            await client.transfer(session, to="client:bob", mode="warm", confirm=True)

    It has a method for each command, which returns the command when it is done or, with `wait=False`, as soon as it is
    published. Each may raise CommandRejected (nothing happened: a field is invalid, or the session doesn't allow the
    command), CommandFailed (it couldn't be done), CommandPending (the wait timed out, and the command continues),
    PublishUnconfirmedError (Redis stopped answering; submit it again with the error's `command_id` as `id`), and
    StoreUnreachableError (Redis did not answer, or refused, before the command was published or after it).

    Args:
        redis_url: As in REDIS_URL; by default that of the environment or `.env`.
        prefix: First part of every key; by default CONFERRAL_PREFIX.

    Invalid ones raise SettingsError.
    """

    def __init__(self, redis_url: str | None = None, prefix: str | None = None) -> None:
        if redis_url is None or prefix is None:
            settings = load(StoreSettings)
            redis_url, prefix = redis_url or settings.redis_url, prefix or settings.prefix
        self._settings = load(StoreSettings, {"REDIS_URL": redis_url, "CONFERRAL_PREFIX": prefix})
        find_primary(self._settings)  # an invalid URL is a settings error
        self._run = RedisLimiter(REQUESTS_MAX)
        self._connection: SessionReader | None = None

    if TYPE_CHECKING:  # type checkers can't evaluate the loop below the class

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Command]]:
            """Return a command's method."""

    def __repr__(self) -> str:
        return f"Client({redis_address(self._settings.redis_url)}, prefix={self._settings.prefix!r})"

    async def __aenter__(self) -> Self:
        """Connect; raise StoreError if Redis is unreachable or not set up."""
        if self._connection is not None:
            raise RuntimeError("the client is open already")
        store = make_client(self._settings.redis_url, find_primary(self._settings), max_connections=2 * REQUESTS_MAX)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(store.aclose)
            self._connection = SessionReader(store, await self._run(config.load_keys(store, self._settings.prefix)))
            on_failure.pop_all()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        reader, self._connection = self._reader, None
        await reader.client.aclose()

    @property
    def _reader(self) -> SessionReader:
        if self._connection is None:
            raise RuntimeError("the client is not open: async with Client() as client")
        return self._connection

    async def _submit(
        self, kind: str, session: SessionRef, fields: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Command:
        """Submit a command; its method names the fields and the options."""
        named = session.id if isinstance(session, Session) else session
        waits, timeout_s = options["wait"], options["timeout_s"]
        common = {"session": named, **{name: options[name] for name in ("id", "by", "deadline")}}
        try:
            checked = parser.parse({"type": kind, **common, **fields})
            check_timeout(timeout_s)
        except ValueError as error:
            # The field `timeout` has another name in Python.
            reason = f"ring_timeout_s: {error}" if str(error).startswith("timeout ") else str(error)
            raise CommandRejected(kind, reason) from None
        submitter = CommandSubmitter(self._reader, self._run, self._warn_once_unreachable())
        until_s = _now_s() + timeout_s
        entry = {name: text for name, text in checked.entry().items() if name != "id"}
        submitted = await submitter.submit(entry, checked.id, retry_for_s=timeout_s if waits else PUBLISH_TIMEOUT_S)
        command = Command(submitter, submitted)
        return await command.done(max(0.0, until_s - _now_s())) if waits else command

    def _warn_once_unreachable(self) -> Callable[[StoreError], None]:
        """Return a callback that logs the first error of a command."""
        reported: list[StoreError] = []

        def warn_once(error: StoreError) -> None:
            if not reported:
                _logger.warning("%s at %s; trying again", error, redis_address(self._settings.redis_url))
            reported.append(error)

        return warn_once

    async def sessions(self, state: str | None = None, *, party: str = "", with_ended: bool = False) -> list[Session]:
        """Return the live sessions, oldest first.

        Args:
            state: Only sessions in this state or phase, such as `ended` or `queued`; an unknown one raises ValueError.
            party: Only live sessions in which this address or call SID takes part now.
            with_ended: Whether to include ended sessions that Redis still holds.
        """
        if state is not None and state not in STATES_AND_PHASES:
            raise ValueError(f"state must be one of {', '.join(STATES_AND_PHASES)}")
        return await self._run(all_sessions(self._reader, state, with_ended=with_ended, party=party))

    async def session(self, named: str) -> Session:
        """Return a session by its id or a call's SID, or raise UnknownSession."""
        view = await self._run(self._reader.read_exact(named))
        if view is None:
            raise UnknownSession("no session or call with this id is known")
        return view

    async def follow(
        self, session: SessionRef, *, from_start: bool = False, after: str = ""
    ) -> AsyncIterator[LogEntry]:
        """Yield a session's log entries as they arrive, until it ends.

        While Redis is unreachable, nothing arrives; afterwards, the missed entries follow. Raises UnknownSession.

        Args:
            from_start: Whether to start with the entries that already exist.
            after: Start after the entry with this `id`.
        """
        session_id = (await self.session(session)).id if isinstance(session, str) else session.id
        position = after
        if not (after or from_start):
            newest = await self._retry_while_unreachable(self._reader.last_log_ids, [session_id])
            position = newest[session_id]
        while True:
            found, is_over = await self._retry_while_unreachable(self._reader.log_after, session_id, position)
            for entry in found:
                position = entry.id
                yield entry
                if entry.is_end:
                    return
            if is_over:
                return
            await asyncio.sleep(POLL_EVERY_S)

    async def outcomes(self, *, after: str = "") -> AsyncIterator[OutcomeRecord]:
        """Yield finished transfers, ended sessions, and messages, without end.

        Each arrives at least once; deduplicate by `id`. Redis keeps about the last `CONFERRAL_OUTCOMES_KEPT`. While
        Redis is unreachable, nothing arrives; afterwards, the missed ones follow.

        Args:
            after: Start after this `position`; `0` for all that Redis keeps; by default, only new ones.
        """
        position = after or await self._retry_while_unreachable(self._reader.last_outcome_id)
        while True:
            found = await self._retry_while_unreachable(self._reader.outcomes, position)
            for position, fields in found:
                yield OutcomeRecord.of(position, fields)
            if not found:
                await asyncio.sleep(POLL_EVERY_S)

    async def _retry_while_unreachable(
        self, request: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Retry an idempotent request until Redis answers."""
        return await retry_unreachable(
            lambda: self._run(request(*args, **kwargs)), POLL_EVERY_S, pause_max_s=BACK_OFF_MAX_S
        )


for _command in events.COMMANDS:
    setattr(Client, _command.name, _method(_command))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
