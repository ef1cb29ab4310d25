"""A submitted command and its outcome."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from conferral.client.commands import Command, SessionRef, check_timeout, method_of
from conferral.client.models import LogEntry, OutcomeRecord
from conferral.operations.command_submission import CommandSubmitter
from conferral.operations.errors import CommandRejected, UnknownSession
from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.redis_access import make_redis_client, redacted_url
from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import StoreSettings, load
from conferral.statemachine.events.commands import COMMANDS
from conferral.statemachine.states import State
from conferral.storage import config
from conferral.storage.codecs.session_codec import StoredSession
from conferral.storage.commands import command_parser

#: Maximum number of concurrent requests to a node of Redis, and to several nodes. Each occupies a connection.
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
        redis_url: `redis://`, `rediss://`, or `unix://`; by default REDIS_URL from the environment or `.env`.
        prefix: First part of every key; by default CONFERRAL_PREFIX.

    Invalid ones raise SettingsError.
    """

    def __init__(self, redis_url: str | None = None, prefix: str | None = None) -> None:
        if redis_url is None or prefix is None:
            settings = load(StoreSettings)
            redis_url, prefix = redis_url or settings.redis_url, prefix or settings.prefix
        checked = load(StoreSettings, {"REDIS_URL": redis_url, "CONFERRAL_PREFIX": prefix})
        self._url, self._prefix = checked.redis_url, checked.prefix
        self._run = RedisLimiter(REQUESTS_MAX)
        self._connection: SessionQueries | None = None

    if TYPE_CHECKING:  # type checkers can't evaluate the loop below the class

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Command]]:
            """Return a command's method."""

    def __repr__(self) -> str:
        return f"Client({redacted_url(self._url)}, prefix={self._prefix!r})"

    async def __aenter__(self) -> Self:
        """Connect; raise StoreError if Redis is unreachable or not set up."""
        if self._connection is not None:
            raise RuntimeError("the client is open already")
        store = make_redis_client(self._url, max_connections=2 * REQUESTS_MAX)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(store.aclose)
            self._connection = SessionQueries(store, await self._run(config.load(store, self._prefix)))
            on_failure.pop_all()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        reader, self._connection = self._reader, None
        await reader.client.aclose()

    @property
    def _reader(self) -> SessionQueries:
        if self._connection is None:
            raise RuntimeError("the client is not open: async with Client() as client")
        return self._connection

    async def _submit(
        self, kind: str, session: SessionRef, fields: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Command:
        """Submit a command; its method names the fields and the options."""
        named = session.id if isinstance(session, StoredSession) else session
        waits, timeout_s = options["wait"], options["timeout_s"]
        common = {"session": named, "id": options["id"], "by": options["by"]}
        try:
            checked = command_parser.parse({"type": kind, **common, **fields})
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

        def note(error: StoreError) -> None:
            if not reported:
                _logger.warning("%s at %s; trying again", error, redacted_url(self._url))
            reported.append(error)

        return note

    async def sessions(
        self, state: str | None = None, *, party: str = "", with_ended: bool = False
    ) -> list[StoredSession]:
        """Return the live sessions, oldest first.

        Args:
            state: Only sessions in this state, such as `conferenced` or `ended`; an unknown state raises ValueError.
            party: Only live sessions in which this address or call SID takes part now.
            with_ended: Whether to include ended sessions that Redis still holds.
        """
        if state is not None and state not in tuple(State):
            raise ValueError(f"state must be one of {', '.join(State)}")
        return await self._run(self._reader.all_sessions(state, with_ended=with_ended, party=party))

    async def session(self, named: str) -> StoredSession:
        """Return a session by its id or a call's SID, or raise UnknownSession."""
        view = await self._reader.view_exact(named, self._run)
        if not view.fields:
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
        position = after or ("" if from_start else await self._newest_entry_id(session_id))
        while True:
            # Read this before the log: if the session ends in between, the next round finds the end in the log.
            is_over = not (await self._retry_while_unreachable(self._reader.read_session, session_id)).is_live
            found = await self._retry_while_unreachable(self._reader.logs, {session_id: position})
            for raw in found[session_id]:
                position = raw.entry_id
                entry = LogEntry.of(session_id, raw)
                yield entry
                if entry.is_end:
                    return
            if is_over:
                return
            await asyncio.sleep(POLL_EVERY_S)

    async def outcomes(self, *, after: str = "") -> AsyncIterator[OutcomeRecord]:
        """Yield finished transfers and ended sessions, without end.

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

    async def _newest_entry_id(self, session_id: str) -> str:
        return (await self._retry_while_unreachable(self._reader.last_log_ids, [session_id]))[session_id]

    async def _retry_while_unreachable(
        self, request: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Retry an idempotent request until Redis answers."""
        return await retry_unreachable(
            lambda: self._run(request(*args, **kwargs)), POLL_EVERY_S, pause_max_s=BACK_OFF_MAX_S
        )


for _command in COMMANDS:
    setattr(Client, _command.name, method_of(_command))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
