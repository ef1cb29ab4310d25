"""A listener that accepts all pending connections at once.

uvloop accepts one per iteration (since libuv 1.45). Under load, an iteration takes a tenth of a second, so a new
connection would wait for longer than Twilio does.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Self

import structlog

log = structlog.get_logger()

#: Connections accepted per iteration, count: bounds its duration.
ACCEPTS_MAX = 128
#: Listen backlog, count; the system may allow fewer.
BACKLOG = 1024
#: How long no connection is accepted when the process is out of file descriptors, seconds.
PAUSE_S = 0.2
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Listens, and hands each connection to a protocol."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._sockets: list[socket.socket] = []
        self._pauses: set[asyncio.TimerHandle] = set()
        # The event loop holds only weak references to tasks; these keep them alive.
        self._accepting: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> Self:
        """Listen on every address of a host; raise OSError if one is unavailable."""
        listener = cls(protocol)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
                listener._listen(family, address)
        except OSError:
            listener.close()
            raise
        return listener

    @property
    def port(self) -> int:
        """The port that the listener has, also if it was opened with 0."""
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop accepting connections; open ones stay."""
        loop = asyncio.get_running_loop()
        for pause in self._pauses:
            pause.cancel()
        self._pauses.clear()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _listen(self, family: int, address: tuple[object, ...]) -> None:
        listening = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(listening)
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Accept pending connections; pause without free file descriptors."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_MAX):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # the client disconnected while it waited
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                log.warning("connections_refused", reason=error.strerror, wait_s=PAUSE_S)
                loop.remove_reader(listening)
                self._pauses.add(loop.call_later(PAUSE_S, self._accept_again, listening))
                return
            connection.setblocking(False)
            task = loop.create_task(self._serve(connection))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    def _accept_again(self, listening: socket.socket) -> None:
        self._pauses = {pause for pause in self._pauses if pause.when() > asyncio.get_running_loop().time()}
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client disconnected at once
            connection.close()
