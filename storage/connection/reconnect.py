"""Connections that are made anew when the server at their end was demoted.

After a failover the address leads to another server, but connections to the old one stay open. It answers reads, from
what it had, and refuses writes with READONLY. The first such answer makes every connection of the process to that
address connect again when it is used next, those of blocking reads too, and so the address is looked up again.
"""

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from redis.exceptions import ResponseError

from conferral.storage.connection.errors import error_word

#: How soon a new connection may be found wanting too, seconds: the address may lead to the old server for a while.
REFRESH_EVERY_S = 0.5


class Address:
    """What all clients of a process at one address share: how often it was to be looked up anew."""

    def __init__(self) -> None:
        #: Number of the look-up whose connections are good (count).
        self.generation = 0
        self._since_s = float("-inf")

    def report_read_only(self, generation: int) -> None:
        """A server has said that it is read-only, over a connection that was made by that look-up."""
        # By the loop's clock, as all else that waits here: a simulated second is one, however fast it goes by.
        now_s = asyncio.get_running_loop().time()
        if generation == self.generation and not 0 <= now_s - self._since_s < REFRESH_EVERY_S:
            self.generation += 1
            self._since_s = now_s


_ADDRESSES: WeakValueDictionary[str, Address] = WeakValueDictionary()


def address_of(url: str) -> Address:
    """What all clients of this process at a URL share."""
    address = _ADDRESSES.get(url)
    if address is None:
        address = _ADDRESSES[url] = Address()
    return address


def reconnect_after_demotion(connection_class: type[Any]) -> type[Any]:
    """The same kind of connection, which is made anew when its server was demoted; takes the keyword `address`."""
    return type(f"Renewing{connection_class.__name__}", (_ReconnectMixin, connection_class), {})


class _ReconnectMixin:
    """To be put in front of a connection of redis-py."""

    def __init__(self, *arguments: Any, address: Address, **options: Any) -> None:
        self._address = address
        self._generation = address.generation
        super().__init__(*arguments, **options)

    async def connect(self) -> None:
        """Asked for whenever the pool gives the connection to somebody."""
        behind: Any = super()
        if behind.is_connected and self._generation != self._address.generation:
            await behind.disconnect(nowait=True)
        await behind.connect()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """One answer; takes note of those that tell of a demoted server."""
        behind: Any = super()
        try:
            return await behind.read_response(*arguments, **options)
        except ResponseError as error:
            if error_word(error) == "READONLY":
                self._address.report_read_only(self._generation)
            raise

    async def _connect(self) -> None:
        self._generation = self._address.generation
        await super()._connect()  # type: ignore[misc]  # of the connection behind
