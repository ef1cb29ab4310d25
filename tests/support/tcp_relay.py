"""A relay between a client and a server that loses, delays, and cuts what passes through it.

    async with Relay(redis_server.socket) as relay:
        client = make_client(relay.url)
        relay.cut_reply(b"XADD")             # the next reply to an XADD never comes back, and the connection is cut
        relay.fall_silent()                  # connections stay open, nothing passes any more
        relay.reply_delay_s = 0.08           # what the server sends arrives later
        relay.cut()                          # all connections break; what was held back never arrives
        relay.lead_to(other.socket)          # new connections lead elsewhere

Requests are distinguished by bytes that they contain. Works between unix sockets and between TCP ports alike.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

#: Where a server listens: a unix socket, a port on loopback, or a port of another of loopback's addresses.
Address = Path | int | tuple[str, int]


@dataclass
class _Cut:
    """Orders that the replies to some requests are cut off."""

    containing: bytes
    skip: int
    every: int
    count: int
    seen: int = 0

    def meets(self, request: bytes) -> bool:
        if not self.count or self.containing not in request:
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        self.count -= 1
        return True


@dataclass(eq=False)
class _Link:
    """One client's connection."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    #: The client's address; empty on a unix socket.
    source: str
    #: Whether the next reply is lost.
    is_cut: bool = False
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def cut(self) -> None:
        for task in self.tasks:
            task.cancel()


class Relay:
    """Listens on a unix socket of its own or on a free port, like the server that it leads to.

    Attributes:
        requests: Pieces that clients have sent (count).
        cut_off: Replies that were cut off (count).
        on_request: Waited for with every request before it is passed on.
        on_cut: Called when a reply was cut off, before its client notices.
        reply_delay_s: For how long each piece that the server sends is held back, seconds.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="conferral-relay-")
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cuts: list[_Cut] = []
        self._is_silent_to: Callable[[str], bool] = lambda _source: False
        self._changed = asyncio.Event()
        self.requests = self.cut_off = 0
        self.on_request: Callable[[bytes], Awaitable[None]] | None = None
        self.on_cut: Callable[[], None] = lambda: None
        self.reply_delay_s = 0.0

    async def __aenter__(self) -> Self:
        if isinstance(self._server, Path):
            self._listener = await asyncio.start_unix_server(self._accept, self.socket)
        else:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._listener.close()
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._folder.cleanup()

    @property
    def socket(self) -> Path:
        return Path(self._folder.name) / "relay.sock"

    @property
    def url(self) -> str:
        """For a client of Redis."""
        return f"unix://{self.socket}" if isinstance(self._server, Path) else f"redis://127.0.0.1:{self.port}"

    # ---- faults --------------------------------------------------------------------------------------------------

    def cut_reply(self, containing: bytes, *, skip: int = 0, every: int = 1, count: int = 1_000_000) -> None:
        """Cuts the connection instead of replying to requests: what was asked for happens, but no one learns of it.

        Args:
            containing: Of requests that contain this.
            skip: How many of those requests are answered first.
            every: Behind those the first, and then every so manieth.
            count: How many replies at most.
        """
        self._cuts.append(_Cut(containing, skip, every, count))

    def fall_silent(self, to: Callable[[str], bool] = lambda _source: True) -> None:
        """Keeps connections open, but lets nothing through any more, for all clients or for those at some addresses.

        What is held back arrives if it is asked for less than before.
        """
        self._is_silent_to = to
        self._changed.set()
        self._changed = asyncio.Event()

    def cut(self) -> None:
        """Breaks all connections; what is held back is lost."""
        for link in self._links:
            link.cut()

    def lead_to(self, server: Address) -> None:
        """New connections lead to another server of the same kind; those that there are stay."""
        self._server = server

    # ---- connections ---------------------------------------------------------------------------------------------

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        peer = to_client.get_extra_info("peername")
        link = _Link(from_client, to_client, source=peer[0] if peer else "")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            from_server, to_server = await self._connect()
        except OSError:
            to_client.close()
            return
        link.tasks = {
            asyncio.create_task(self._forth(link, to_server)),
            asyncio.create_task(self._back(link, from_server)),
        }
        self._links.add(link)
        try:
            # Whichever side goes first takes the other one along.
            _, other = await asyncio.wait(link.tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in other:
                one.cancel()
            await asyncio.gather(*link.tasks, return_exceptions=True)
        finally:
            self._links.discard(link)
            to_client.close()
            to_server.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, Path):
            return await asyncio.open_unix_connection(str(self._server))
        host, port = ("127.0.0.1", self._server) if isinstance(self._server, int) else self._server
        return await asyncio.open_connection(host, port)

    async def _forth(self, link: _Link, to_server: asyncio.StreamWriter) -> None:
        while data := await link.from_client.read(1 << 20):
            self.requests += 1
            for cut in self._cuts:
                link.is_cut |= cut.meets(data)
            if self.on_request is not None:
                await self.on_request(data)
            await self._may_pass(link)
            to_server.write(data)
            await to_server.drain()

    async def _may_pass(self, link: _Link) -> None:
        while self._is_silent_to(link.source):
            await self._changed.wait()

    async def _back(self, link: _Link, from_server: asyncio.StreamReader) -> None:
        sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        receiving = asyncio.create_task(self._receive(from_server, sent))
        try:
            await self._deliver(link, sent)
        finally:
            receiving.cancel()

    async def _receive(self, from_server: asyncio.StreamReader, sent: "asyncio.Queue[tuple[float, bytes]]") -> None:
        now_s = asyncio.get_running_loop().time
        with suppress(OSError):
            while data := await from_server.read(1 << 16):
                sent.put_nowait((now_s() + self.reply_delay_s, data))
        sent.put_nowait((now_s() + self.reply_delay_s, b""))

    async def _deliver(self, link: _Link, sent: "asyncio.Queue[tuple[float, bytes]]") -> None:
        while True:
            due_s, data = await sent.get()
            if (left_s := due_s - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(left_s)  # a delay: the network's
            if not data:
                return
            await self._may_pass(link)
            if link.is_cut:
                self.cut_off += 1
                self.on_cut()
                return
            link.to_client.write(data)
            await link.to_client.drain()
