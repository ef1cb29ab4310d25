"""Pub/Sub hints that a rebalance may be necessary; workers also poll."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import structlog
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.connection.error_mapping import as_connection_error
from conferral.storage.keys import Keys

log = structlog.get_logger()

#: Pause before subscribing again, seconds: after the connection broke, and after Redis refused the subscription.
RECONNECT_PAUSE_S = 1.0
RETRY_REFUSED_S = 60.0
#: Timeout of one wait for a message, seconds; a message and the stop end it at once.
WAIT_S = 60.0


class RebalanceChannel:
    """Sends and receives notifications; cluster nodes forward them to all."""

    def __init__(self, client: Client, keys: Keys, name: str) -> None:
        self._client = client
        self._channel = keys.rebalance_channel
        self._name = name

    async def notify(self) -> None:
        """Notify the other workers; a failure is harmless."""
        try:
            with store_errors():
                await self._client.execute_command("PUBLISH", self._channel, self._name)
        except StoreError as error:
            log.debug("rebalance_notify_failed", reason=str(error))

    async def subscribe(self, stop: asyncio.Event, on_message: Callable[[], None]) -> None:
        """Call `on_message` for each notification and each new subscription."""
        while not stop.is_set():
            try:
                with store_errors(), as_connection_error():
                    await self.listen(stop, on_message)
            except StoreUnreachableError:
                await pause(stop, RECONNECT_PAUSE_S)
            except StoreError as error:
                log.info("pubsub_unavailable", reason=str(error))
                await pause(stop, RETRY_REFUSED_S)

    async def listen(self, stop: asyncio.Event, on_message: Callable[[], None]) -> None:
        """Subscribe once, and listen until the connection breaks."""
        channel = await self._open_pubsub()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await channel.subscribe(self._channel)
            on_message()  # some may have been missed
            while not stop.is_set():
                message = await _next_message(channel, stopping)
                if message is not None and message["data"] != self._name.encode():
                    on_message()
        finally:
            stopping.cancel()
            await channel.aclose()

    async def _open_pubsub(self) -> Any:
        if not isinstance(self._client, RedisCluster):
            return self._client.pubsub(ignore_subscribe_messages=True)
        try:
            await self._client.initialize()
            node = self._client.get_random_node()
            return self._client.pubsub(node=node, ignore_subscribe_messages=True)
        except RedisClusterException as error:  # outside redis-py's own exception hierarchy
            raise StoreUnreachableError("no node of the cluster can be listened to") from error


async def _next_message(channel: Any, stopping: "asyncio.Task[Literal[True]]") -> Any:
    """Return the next message; None after `WAIT_S`, or when stopping."""
    waiting = asyncio.ensure_future(channel.get_message(timeout=WAIT_S))
    await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        # The connection is closed next, so unread data on it is harmless.
        waiting.cancel()
        await asyncio.wait({waiting})
        if waiting.cancelled() or waiting.exception() is not None:
            return None
    return waiting.result()
