"""The Python client: gives commands, waits for their outcomes, reads and follows sessions. Redis is all it needs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from conferral.cli.redis_access import make_redis_client, redacted_url
from conferral.client.commands import COMMAND_OPTIONS, CommandMethods, CommandOptions, SessionRef
from conferral.client.handle import Command
from conferral.client.models import LogEntry, OutcomeRecord, Session
from conferral.operations.command_submission import CommandSubmitter, with_public_field_name
from conferral.operations.errors import CommandRejected, UnknownSession
from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.settings import StoreSettings, load
from conferral.storage import config
from conferral.storage.commands import command_models
from conferral.storage.commands.command_models import BadCommandError

#: Requests to Redis at once (count); each takes a connection while it lasts.
REQUESTS_MAX = 8
#: Between two looks for something new, seconds.
POLL_EVERY_S = 0.2
#: Longest pause while Redis is out of reach, seconds.
BACK_OFF_MAX_S = 5.0
#: Seconds to wait for an outcome where nothing else is said.
TIMEOUT_S = 30.0
#: How long a command that is not waited for may take to be published while Redis is away, seconds.
PUBLISH_TIMEOUT_S = 5.0

#: Fields whose keywords are called otherwise.
_KEYWORDS = {"timeout": "ring_timeout_s"}

#: The log of the program that uses the client: sentences for people, no events as in the log of our processes.
_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Client(CommandMethods):
    """A connection to Conferral's Redis, as a context manager.

    Many tasks may use one at the same time. It belongs to the event loop that it was opened in.

        async with Client() as client:
            await client.transfer(session, to="client:bob", mode="warm", confirm=True)

    Args:
        redis_url: `redis://`, `rediss://` or `unix://`; by default REDIS_URL of the environment or of `.env`.
        prefix: First part of every key; by default CONFERRAL_PREFIX.

    Raises:
        SettingsError: one of the two can't be understood.
    """

    def __init__(self, redis_url: str | None = None, prefix: str | None = None) -> None:
        if redis_url is None or prefix is None:
            settings = load(StoreSettings)
            redis_url, prefix = redis_url or settings.redis_url, prefix or settings.prefix
        checked = load(StoreSettings, {"REDIS_URL": redis_url, "CONFERRAL_PREFIX": prefix})
        self._url, self._prefix = checked.redis_url, checked.prefix
        self._run = RedisLimiter(REQUESTS_MAX)
        self._connection: SessionQueries | None = None

    def __repr__(self) -> str:
        return f"Client({redacted_url(self._url)}, prefix={self._prefix!r})"

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            StoreUnreachableError: Redis can't be reached.
            StoreError: nothing is set up under the prefix.
        """
        if self._connection is not None:
            raise RuntimeError("the client is open already")
        store = make_redis_client(self._url)
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

    # ---- commands ------------------------------------------------------------------------------------------------

    async def _submit(
        self, kind: str, session: SessionRef, fields: Mapping[str, Any], options: CommandOptions
    ) -> Command:
        if unknown_options := options.keys() - COMMAND_OPTIONS:
            raise TypeError(f"{kind}() got an unexpected keyword argument {min(unknown_options)!r}")
        named = session.id if isinstance(session, Session) else session
        try:
            checked = command_models.validate({"type": kind, "session": named, "id": options.get("id", ""), **fields})
        except BadCommandError as error:
            raise CommandRejected(kind, with_public_field_name(str(error), _KEYWORDS)) from None
        waits, timeout_s = options.get("wait", True), options.get("timeout_s", TIMEOUT_S)
        submitter = CommandSubmitter(self._reader, self._run, self._warn_once_unreachable())
        until_s = _now_s() + timeout_s
        entry = {name: text for name, text in checked.entry().items() if name != "id"}
        submitted = await submitter.submit(entry, checked.id, retry_for_s=timeout_s if waits else PUBLISH_TIMEOUT_S)
        command = Command(submitter, submitted)
        return await command.done(max(0.0, until_s - _now_s())) if waits else command

    def _warn_once_unreachable(self) -> Callable[[StoreUnreachableError], None]:
        """Tells once for each command that Redis is away: whoever waits for it would wonder why nothing comes."""
        told: list[StoreUnreachableError] = []

        def note(error: StoreUnreachableError) -> None:
            if not told:
                _logger.warning("%s at %s; trying again", error, redacted_url(self._url))
            told.append(error)

        return note

    # ---- what there is -------------------------------------------------------------------------------------------

    async def sessions(self, state: str | None = None, *, with_ended: bool = False) -> list[Session]:
        """The live sessions, oldest first.

        Args:
            state: Only those in this state, for instance `conferenced`; `ended` for those that have ended.
            with_ended: Those that have ended too, as long as they are kept.
        """
        found = await self._run(self._reader.all_sessions(state, with_ended=with_ended))
        return [Session.of(fields) for fields in found]

    async def session(self, named: str) -> Session:
        """A session by its id, or by the SID of one of its calls.

        Raises:
            UnknownSession: nobody knows it.
        """
        return Session.of(await self._run(self._read_hash(named)))

    async def _read_hash(self, session: str) -> Fields:
        session_id = await self._reader.find_exact(session)
        fields = await self._reader.read_session(session_id) if session_id else {}
        if not fields:
            raise UnknownSession("no session and no call of this id is known")
        return fields

    # ---- what happens --------------------------------------------------------------------------------------------

    async def follow(
        self, session: SessionRef, *, from_start: bool = False, after: str = ""
    ) -> AsyncIterator[LogEntry]:
        """What happens to a session, as it happens, until it has ended.

        While Redis is away nothing comes; when it is back, nothing was missed.

        Args:
            session: Which.
            from_start: Whether to tell first what has happened before.
            after: Go on behind this entry, by its `id`.

        Raises:
            UnknownSession: nobody knows it.
        """
        named = session.id if isinstance(session, Session) else session
        session_id = (await self._read_hash(named))["id"]
        position = after or ("" if from_start else await self._retry_while_unreachable(self._newest_entry, session_id))
        while True:
            # Asked before the log: an end that comes in between is found in the log of the next round.
            is_over = await self._retry_while_unreachable(self._is_over, session_id)
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
        """Finished transfers and ended sessions, as they come, for as long as one likes.

        Each comes at least once: `id` tells repetitions. About the last 10,000 are kept. While Redis is away nothing
        comes; when it is back, nothing was missed.

        Args:
            after: Go on behind the outcome of this `position`; `0` for all that are kept; by default only those that
                come from now on.
        """
        position_ms = after or await self._retry_while_unreachable(self._reader.last_outcome_id)
        while True:
            found = await self._retry_while_unreachable(self._reader.outcomes, position_ms)
            for position, fields in found:
                position_ms = position
                yield OutcomeRecord.of(position, fields)
            if not found:
                await asyncio.sleep(POLL_EVERY_S)

    async def _newest_entry(self, session_id: str) -> str:
        return (await self._reader.last_log_ids([session_id]))[session_id]

    async def _is_over(self, session_id: str) -> bool:
        return (await self._reader.read_session(session_id)).get("state", "ended") == "ended"

    async def _retry_while_unreachable(
        self, request: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What came of a request that may be repeated; while Redis is away it is."""
        pause_s = POLL_EVERY_S
        while True:
            try:
                return await self._run(request(*args, **kwargs))
            except StoreUnreachableError:
                await asyncio.sleep(pause_s)
                pause_s = min(BACK_OFF_MAX_S, pause_s * 2)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
