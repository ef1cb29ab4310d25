"""Publishes commands and finds out what became of them."""

import asyncio
import secrets
from collections.abc import Callable

import structlog

from runtime import lifecycle
from runtime.errors import StoreError, StoreUnreachableError
from statemachine.machine import allowed_commands
from streams import commands, session_codec
from streams.command_models import Call, CommandModel
from streams.commands import CommandOutcome
from streams.connection import Client, store_errors
from streams.keys import Keys
from streams.partition import COMMAND_TTL_S
from webhooks.api.errors import ApiError, ErrorType
from webhooks.api.sessions import Sessions, unknown_session
from webhooks.api.turns import Turns

log = structlog.get_logger()

#: Between two looks for an outcome, at first and at most (seconds).
_LOOK_FIRST_S, _LOOK_MOST_S = 0.05, 0.25
#: Askers who wait for an outcome at the same time, at most (count); others are answered at once.
WAITING_MAX = 500


class Commands:
    """Gives commands by way of Redis."""

    def __init__(self, client: Client, keys: Keys, turns: Turns, sessions: Sessions) -> None:
        self._client = client
        self._keys = keys
        self._turns = turns
        self._sessions = sessions
        self._waiting = 0
        self._closing = asyncio.Event()

    def stop_waiting(self) -> None:
        """Whoever waits for an outcome is answered now."""
        self._closing.set()

    async def give(self, model: CommandModel) -> str:
        """Publishes a command; returns its id. One that was published before under the same id is not again.

        Raises:
            ApiError: the id was given before for another command, or the session that it names is not known (of a
                `call`: is known).
            StoreError: nobody knows whether it was published.
        """
        fields = model.entry()
        digest = commands.digest_of(fields)
        if model.id:
            kept = await self._turns(lambda: self._kept(model.id))
            _check_own(model.id, kept.get("digest", ""), digest)
            if kept.get("entry"):
                return model.id
        await self._check_session(model)
        command_id = model.id or f"api-{secrets.token_hex(10)}"
        await self._turns(lambda: self._publish({**fields, "id": command_id}, command_id, digest))
        return command_id

    async def _check_session(self, model: CommandModel) -> None:
        known = await self._sessions.find(model.session) if model.session else ""
        opens = isinstance(model, Call)
        if opens and known:
            reason = "session: there is a session or a call of this id already; leave the field out, and an id is made"
            raise ApiError(ErrorType.TAKEN, reason)
        if not opens and not known:
            raise unknown_session(model.session)

    async def _publish(self, entry: dict[str, str], command_id: str, digest: str) -> None:
        """The id is taken first: from then on it is known, and is of no use for another command."""
        key = self._keys.command(command_id)
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hsetnx(key, "digest", digest)
            pipeline.expire(key, COMMAND_TTL_S)
            pipeline.hget(key, "digest")
            kept = (await pipeline.execute())[-1]
        _check_own(command_id, kept.decode(errors="replace"), digest)
        await commands.publish(self._client, self._keys, entry)

    async def _kept(self, command_id: str) -> dict[str, str]:
        """What is kept under a command's id."""
        with store_errors():
            record = await self._client.hgetall(self._keys.command(command_id))
        return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in record.items()}

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        """How far a command has come; None where nobody knows it."""
        kept = await self._turns(lambda: self._kept(command_id))
        if not kept:
            return None
        return CommandOutcome(command_id, *(kept.get(name, "") for name in ("status", "reason", "session", "digest")))

    async def wait_for_outcome(
        self, command_id: str, digest: str, wait_s: float, is_gone: Callable[[], bool]
    ) -> CommandOutcome | None:
        """How far a command has come when nothing more will come of it, or when the time is up.

        Args:
            command_id: Which.
            digest: Of what was asked for.
            wait_s: Seconds.
            is_gone: Whether nobody waits any more.

        Raises:
            ApiError: the id belongs to another command.
        """
        if self._waiting >= WAITING_MAX:
            wait_s = 0
        self._waiting += 1
        try:
            return await self._look_until(command_id, digest, wait_s, is_gone)
        finally:
            self._waiting -= 1

    async def _look_until(
        self, command_id: str, digest: str, wait_s: float, is_gone: Callable[[], bool]
    ) -> CommandOutcome | None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        pause_s = _LOOK_FIRST_S
        while True:
            found = None
            try:
                found = await self.outcome(command_id)
            except StoreUnreachableError as error:
                # The command is published; only what became of it can't be seen now.
                log.warning("store_unreachable", task="api", reason=str(error))
            if found is not None:
                _check_own(command_id, found.digest, digest)
            left_s = until_s - loop.time()
            if (found is not None and found.is_final) or left_s <= 0 or is_gone() or self._closing.is_set():
                return found
            await lifecycle.pause(self._closing, min(pause_s, left_s))
            pause_s = min(_LOOK_MOST_S, pause_s * 1.2)

    async def allowed(self, session_id: str) -> tuple[str, ...]:
        """Names of the commands that a session would take now; none where it is not known or can't be understood."""
        try:
            return allowed_commands(session_codec.decode(await self._sessions.session(session_id)))
        except (ApiError, StoreError):
            return ()


def _check_own(command_id: str, kept_digest: str, digest: str) -> None:
    """Passes when nothing is kept under the id, or what was asked for.

    Raises:
        ApiError: it is another command's.
    """
    if kept_digest and kept_digest != digest:
        shown = commands.shown_id(command_id)
        raise ApiError(ErrorType.TAKEN, f"the id {shown} was given before, for another command; nothing was done")
