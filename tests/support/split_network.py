"""A network on loopback that can be split: what lives at some addresses can't reach the rest, and the other way round.

    with SplitNetwork() as network:
        port = network.relay_to("127.0.0.2", 7000)   # all clients of that server connect to this port
        network.cut_off("127.0.0.2")                 # connections stay open, and nothing passes between two sides
        network.heal()                               # what was held back arrives
        network.hold_back(port, "127.0.0.3")         # nothing passes between that server and that address
        network.cut(port)                            # connections to that server break; what was held back is lost

Who a client is, its source address says: Redis binds to one by a setting, a process of ours by `tests.support.at_host`.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

from tests.support.tcp_relay import Relay


class SplitNetwork:
    """Relays in a thread of their own: servers are waited for while the test's loop stands still."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="split-network", daemon=True)
        self._relays: list[tuple[Relay, str]] = []
        self._ending = AsyncExitStack()
        self._cut: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._run(self._ending.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def relay_to(self, host: str, port: int) -> int:
        """Returns the port that leads to a server, which may start later."""
        relay = Relay((host, port))
        self._run(self._ending.enter_async_context(relay))
        self._relays.append((relay, host))
        return relay.port

    def cut_off(self, *hosts: str) -> None:
        """From now on, these addresses reach only each other."""
        self._cut = frozenset(hosts)
        self._run(self._apply())

    def heal(self) -> None:
        """Everyone reaches everyone again."""
        self.cut_off()

    def hold_back(self, port: int, *sources: str) -> None:
        """From now on, the server behind a port and clients at some addresses don't reach each other."""
        self._run(self._on_relay(port, lambda relay: relay.fall_silent(lambda source: source in sources)))

    def cut(self, port: int) -> None:
        """Breaks all connections to the server behind a port; then nothing to it is held back any more."""
        self._run(self._on_relay(port, Relay.cut))
        self.hold_back(port)

    def lead_to(self, port: int, host: str, to_port: int) -> None:
        """Lets a port lead to another server; connections to the former one break."""

        def turn(relay: Relay) -> None:
            relay.lead_to((host, to_port))
            relay.cut()

        self._run(self._on_relay(port, turn))

    async def _on_relay(self, port: int, act: Callable[[Relay], None]) -> None:
        act(next(relay for relay, _ in self._relays if relay.port == port))

    async def _apply(self) -> None:
        for relay, host in self._relays:
            is_cut = host in self._cut
            relay.fall_silent(lambda source, is_cut=is_cut: (source in self._cut) != is_cut)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
