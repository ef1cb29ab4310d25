"""Command queue: pipelines that send what has gathered meanwhile.

After a broken connection, commands are retried within their deadline, so they must be safe to repeat.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client, Command, as_store_errors, run_all
from conferral.storage.connection.errors import is_transient

DEADLINE_S = 2.0
#: How long a durable command may take, seconds: a replica may lag.
DURABLE_DEADLINE_S = 5.0
#: Pause before commands are retried after a broken connection, seconds.
RETRY_AFTER_S = 0.05
#: Callers per pipeline, and pipelines at once, count: while one is answered, the next gathers. While a replica lags,
#: durable ones take much longer.
PIPELINE_MAX, PIPELINES_MAX, DURABLE_PIPELINES_MAX = 500, 2, 8
#: Callers without an answer, count; more are refused. The commands of each have 10 KiB at most, usually 1 KiB.
CALLERS_MAX = 1_000


class _Caller(NamedTuple):
    commands: Sequence[Command]
    done: asyncio.Future[list[Any]]


class CommandQueue:
    """Runs commands in shared pipelines, each caller's within a deadline.

    All wait for a replica (`is_durable`), or none: a read must not wait until a replica has another caller's write.
    """

    def __init__(self, client: Client, deadline_s: float, *, is_durable: bool = False) -> None:
        self._client = client
        #: For how long a caller's commands are sent again, and for how long it waits.
        self._retry_s, self._deadline_s = deadline_s, max(deadline_s, DURABLE_DEADLINE_S) if is_durable else deadline_s
        self._pipelines_max = DURABLE_PIPELINES_MAX if is_durable else PIPELINES_MAX
        self._is_durable = is_durable
        self._waiting: deque[_Caller] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._callers = 0

    async def run(self, *commands: Command) -> list[Any]:
        """Run commands in a shared pipeline; return their answers.

        Raise the first refusal as a StoreError. Raise StoreUnreachableError if too many wait, or if the deadline has
        passed: then the result is unknown.
        """
        if self._callers >= CALLERS_MAX:
            raise StoreUnreachableError("too much waits for Redis")
        loop = asyncio.get_running_loop()
        retry_until_s, deadline_s = loop.time() + self._retry_s, loop.time() + self._deadline_s
        self._callers += 1
        try:
            while True:
                try:
                    return await self._try(commands, deadline_s)
                except StoreUnreachableError as error:
                    if not is_transient(error.__cause__):
                        raise
                    if loop.time() + RETRY_AFTER_S >= retry_until_s:
                        raise
                await asyncio.sleep(RETRY_AFTER_S)
        finally:
            self._callers -= 1

    async def close(self) -> None:
        """Finish running and waiting commands."""
        while self._senders:
            await asyncio.wait(self._senders)

    async def _try(self, commands: Sequence[Command], deadline_s: float) -> list[Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append(_Caller(commands, done))
        if len(self._senders) < self._pipelines_max:
            sender = loop.create_task(self._send())  # begins after this turn of the loop, with all that has come in it
            self._senders.add(sender)
        # A timer of the future: a timeout of the task costs more than the command.
        expiry = loop.call_at(deadline_s, _answer, done, [TimeoutError()])
        try:
            answers = await done
        finally:
            expiry.cancel()
        for answer in answers:
            if isinstance(answer, Exception):
                with as_store_errors():
                    raise answer
        return answers

    async def _send(self) -> None:
        """Send what waits, until nothing does."""
        try:
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(len(self._waiting), PIPELINE_MAX))]
                # Those whose callers still wait.
                await self._send_batch([one for one in some if not one.done.done()])
        finally:
            # In the same turn of the loop as the last answer: a caller that comes then must not count on this sender.
            self._senders -= {asyncio.current_task()}

    async def _send_batch(self, batch: Sequence["_Caller"]) -> None:
        """Run the callers' commands in one pipeline, and give each its answers.

        A refusal is an answer, too; a broken connection is the answer to all.
        """
        if not batch:
            return
        try:
            commands = [command for one in batch for command in one.commands]
            async with asyncio.timeout(self._deadline_s):  # by then, no caller waits
                answers = iter(await run_all(self._client, commands, is_durable=self._is_durable))
        except (RedisError, OSError) as error:
            answers = iter([error] * sum(len(one.commands) for one in batch))
        for one in batch:
            _answer(one.done, list(islice(answers, len(one.commands))))


def _answer(done: asyncio.Future[list[Any]], answers: list[Any]) -> None:
    """Give a caller answers, unless it has some or has gone."""
    if not done.done():
        done.set_result(answers)
