"""Session look-up: which session a command names, by its own id or by one of its calls."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from conferral.storage.connection.client import Client
from conferral.storage.connection.node_limits import grouped_by_node
from conferral.storage.keys import Keys


class SessionLookup:
    """Finds sessions by reference."""

    def __init__(self, client: Client, keys: Keys, permit: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
        self._client = client
        self._keys = keys
        #: Holds a permit for one command to the node that has a key.
        self._permit = permit

    def keys_of(self, reference: str) -> list[str]:
        """Return the keys that resolve a reference: the call's entry, and the session's own hash."""
        return [self._keys.call(reference), self._keys.session(reference)]

    async def find(self, reference: str) -> str | None:
        """Return the session that a command references by its id or by one of its calls."""
        call, session = self.keys_of(reference)
        if len(grouped_by_node(self._client, (call, session))) == 1:
            async with self._permit(call):
                pipeline = self._client.pipeline()
                pipeline.get(call)
                pipeline.exists(session)
                of_call, exists = await pipeline.execute()
        else:
            of_call, exists = await asyncio.gather(self._get(call), self._exists(session))
        if of_call is not None:
            return str(of_call.decode())
        return reference if exists else None

    async def _get(self, key: str) -> bytes | None:
        async with self._permit(key):
            found: bytes | None = await self._client.get(key)
        return found

    async def _exists(self, key: str) -> bool:
        async with self._permit(key):
            return bool(await self._client.exists(key))
