"""A redis-py client whose commands share one pipelining connection.

redis-py needs several times as much CPU time for a command, most of what a nearly idle process uses. Commands,
their arguments, and the form of their answers stay redis-py's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from conferral.storage.connection.client import Client
from conferral.storage.connection.error_mapping import ErrorMappingPipeline, ErrorMappingRedis, as_connection_error
from conferral.storage.connection.pipelining import PipeliningConnection


class PipeliningClient(ErrorMappingRedis):
    """Sends all but transactions and subscriptions over one connection."""

    def __init__(self, client: Redis) -> None:
        super().__init__(connection_pool=client.connection_pool)
        self.auto_close_connection_pool = True
        self._shared = PipeliningConnection(client)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        (reply,) = await self.exchange([(args, options)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:
        """See redis-py; a transaction only if asked for."""
        return super().pipeline(transaction, shard_hint) if transaction else _SharedPipeline(self)

    async def exchange(self, commands: Sequence[tuple[tuple[Any, ...], Mapping[str, Any]]]) -> list[Any]:
        """Run commands with redis-py's options; return answers and refusals."""
        with as_connection_error():
            packed = self._shared.pack([_split_name(args) for args, _ in commands])
            replies = await self._shared.exchange(packed, len(commands))
        return [self._decode(args[0], options, reply) for (args, options), reply in zip(commands, replies, strict=True)]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections; running commands fail."""
        self._shared.close()
        await super().aclose(close_connection_pool)

    def _decode(self, name: Any, options: Mapping[str, Any], reply: Any) -> Any:
        """Give a reply the form that redis-py gives it, unless refused."""
        if isinstance(reply, Exception) or name not in self.response_callbacks:
            return reply
        # The option `keys` is only for redis-py's cache.
        given = {word: value for word, value in options.items() if word != "keys"}
        return self.response_callbacks[name](reply, **given)


class _SharedPipeline(ErrorMappingPipeline):
    def __init__(self, client: PipeliningClient) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        answers = await self._client.exchange(stack)
        if raise_on_error:
            self.raise_first_error(stack, answers)
        return answers


def _split_name(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """Split names such as CLIENT ID, which redis-py joins."""
    name = command[0]
    return (*name.split(), *command[1:]) if " " in name else command


def over_one_connection(client: Client) -> Client:
    """Return a client that uses one connection; a cluster's unchanged."""
    return PipeliningClient(client) if PipeliningConnection.can_serve(client) else client
