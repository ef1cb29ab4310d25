"""Commands from the pages: submitted, and tracked until they are done."""

from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from conferral.commands.http import parse_command, submit_command
from conferral.commands.submission import CommandSubmitter
from conferral.console.access import AccessControl
from conferral.console.messages import encode_message
from conferral.operations import catalog
from conferral.operations.dead_letters import CountChanged, DeadLetters
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.resend import resend_undelivered
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.web.json_requests import RequestError, json_response, read_json_object
from conferral.runtime.web.tokens import Permission, Token
from conferral.statemachine.reasons import Reason
from conferral.statemachine.step import CommandStatus
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from conferral.storage.queries.session_reader import SessionReader

log = structlog.get_logger()


class CommandRoutes:
    """Handles requests that change something, after authorization."""

    def __init__(self, redis: RedisAccess, access: AccessControl) -> None:
        self._redis = redis
        self._access = access

    async def submit_command(self, request: web.Request) -> web.Response:
        """Publish a command; the WebSocket reports its status from Redis."""
        token = await self._access.require_write(request)
        body = await read_json_object(request)
        parsed = parse_command(body | {"by": body.get("by") or "console"})
        submitter = CommandSubmitter(await self._redis.reader(), self._redis.limiter)
        submitted = await submit_command(submitter, parsed, token)
        return json_response({"command": submitted.command_id}, 202)

    async def act_on_dead_letters(self, request: web.Request) -> web.Response:
        """Retry, drop, or send again what failed: by id, or all with a reason."""
        token = await self._access.require_write(request)
        body = await read_json_object(request)
        act = body.get("act")
        if act not in ("retry", "drop", "resend"):
            raise RequestError("invalid", "act must be retry, drop, or resend")
        token.require(Permission.RESEND if act == "resend" else Permission.DEAD)
        reader = await self._redis.reader()
        if act == "resend":
            return await self._resend(reader, body.get("ids"), token)
        letters = DeadLetters(reader.client, reader.keys)
        match body:
            case {"ids": [*ids]} if all(isinstance(one, str) for one in ids):
                handling = letters.retry(ids) if act == "retry" else letters.drop(ids)
            case {"reason": str(reason), "count": int(count)} if not isinstance(count, bool):
                handling = (letters.retry_all if act == "retry" else letters.drop_all)(reason, count)
            case _:
                raise RequestError("invalid", "needs ids, or reason and count (the number that the page shows)")
        try:
            done = await self._redis.limiter(handling)
        except CountChanged as error:
            raise RequestError("changed", str(error), count=error.count) from None
        log.info("dead_letters_handled", outcome=act, count=done.done, token_name=token.name)
        return json_response({"done": done.done, "left": done.left, "refused": done.refused})

    async def _resend(self, reader: SessionReader, ids: object, token: Token) -> web.Response:
        """Send undelivered outcomes again, all without ids."""
        if ids is not None and not (isinstance(ids, list) and all(isinstance(one, str) for one in ids)):
            raise RequestError("invalid", "ids must be a list of texts")
        count = await self._redis.limiter(resend_undelivered(reader, ids))
        log.info("dead_letters_handled", outcome="resend", count=count, token_name=token.name)
        return json_response({"done": count})


#: Per page (count); beyond it, the oldest is dropped.
TRACKED_MAX = 50
#: After its deadline, a command that was decided just in time is known within this (ms).
DECISION_MS = 2_000
#: Longer than any command takes.
TRACKED_FOR_S = 900.0


@dataclass(slots=True)
class _TrackedCommand:
    #: As the page named it; Redis doesn't store it.
    type: str
    until_s: float
    #: When no worker can have decided it in time any more, Unix milliseconds; 0 for never.
    expired_ms: int
    #: The result last sent to the page.
    reported: CommandResult | None = None


class CommandTracker:
    """The commands that one page tracks."""

    def __init__(self, redis: RedisAccess, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._tracked: dict[str, _TrackedCommand] = {}

    def __bool__(self) -> bool:
        return bool(self._tracked)

    def add(self, command_id: str, type_: str, deadline_ms: int = 0) -> None:
        """Track a command that the page submitted, to send its `type_` back."""
        expired_ms = deadline_ms + DECISION_MS if deadline_ms else 0
        self._tracked[command_id] = _TrackedCommand(type_, self._clock.monotonic_s() + TRACKED_FOR_S, expired_ms)
        while len(self._tracked) > TRACKED_MAX:
            del self._tracked[next(iter(self._tracked))]

    async def new_messages(self) -> list[bytes]:
        """Return unsent results; if it raises StoreError, none is lost."""
        messages: list[bytes] = []
        for command_id, one in list(self._tracked.items()):
            is_expired = 0 < one.expired_ms < self._clock.wall_ms()
            try:
                found = await self._redis.run(
                    lambda reader, name=command_id: command_stream.read_result(reader.client, reader.keys, name)  # type: ignore[misc]
                )
            except StoreError:
                if messages:
                    break  # return the messages found; the next call raises the error
                raise
            if is_expired and not found.status:
                found = replace(found, status=CommandStatus.REJECTED, reason=Reason.EXPIRED)
            if found.status and found != one.reported:
                one.reported = found
                why = catalog.command_reason(one.type, found.reason, found.code)
                shown = {"status": found.status, "reason": why, "session": found.session}
                messages.append(encode_message("command", command=command_id, **shown, type=one.type))
            if found.is_final or self._clock.monotonic_s() >= one.until_s:
                self._tracked.pop(command_id, None)
        return messages
