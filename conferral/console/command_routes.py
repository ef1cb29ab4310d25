"""Routes for users' actions: submit commands, retry and drop dead letters."""

from collections.abc import Coroutine
from typing import Any

import structlog
from aiohttp import web

from conferral.console.access import AccessControl
from conferral.console.redis_access import RedisAccess
from conferral.operations.command_submission import CommandSubmitter
from conferral.operations.dead_letters import BulkResult, CountChanged, DeadLetters
from conferral.operations.http_commands import parse_command, submit_command
from conferral.runtime.web.json_requests import RequestError, json_response, read_json_object

log = structlog.get_logger()


class CommandRoutes:
    """Handles requests that change something, after authorization."""

    def __init__(self, redis: RedisAccess, access: AccessControl) -> None:
        self._redis = redis
        self._access = access

    async def submit_command(self, request: web.Request) -> web.Response:
        """Publish a command; the WebSocket reports its status from Redis."""
        self._access.require_write(request)
        body = await read_json_object(request)
        parsed = parse_command(body | {"by": body.get("by") or "console"})
        submitter = CommandSubmitter(await self._redis.reader(), self._redis.limiter)
        submitted = await submit_command(submitter, parsed)
        return json_response({"command": submitted.command_id}, 202)

    async def act_on_dead_letters(self, request: web.Request) -> web.Response:
        """Retry or drop dead letters: by id, or all with a reason."""
        self._access.require_write(request)
        body = await read_json_object(request)
        act = body.get("act")
        if act not in ("retry", "drop"):
            raise RequestError("invalid", "act must be retry or drop")
        reader = await self._redis.reader()
        letters = DeadLetters(reader.client, reader.keys)
        if "ids" in body:
            done = await self._redis.limiter(_act_on_ids(letters, act, body["ids"]))
        else:
            done = await self._redis.limiter(_act_on_reason(letters, act, body))
        log.info("dead_letters_handled", outcome=act, count=done.done)
        return json_response({"done": done.done, "left": done.left, "refused": done.refused})


def _act_on_ids(letters: DeadLetters, act: str, ids: object) -> Coroutine[Any, Any, BulkResult]:
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise RequestError("invalid", "ids must be a list of dead-letter ids")
    return letters.retry(ids) if act == "retry" else letters.drop(ids)


async def _act_on_reason(letters: DeadLetters, act: str, body: dict[str, Any]) -> BulkResult:
    reason, count = body.get("reason", ""), body.get("count")
    if not isinstance(reason, str) or not isinstance(count, int) or isinstance(count, bool):
        raise RequestError("invalid", "needs ids, or reason and count (the number that the page shows)")
    try:
        return await (letters.retry_all(reason, count) if act == "retry" else letters.drop_all(reason, count))
    except CountChanged as error:
        raise RequestError("changed", str(error), count=error.count) from None
