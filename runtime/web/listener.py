"""A port whose connections are let in as many at a time as there are.

uvloop lets in one in each turn of the loop. Under load a turn serves hundreds of connections that are open already and
takes a tenth of a second, so that whoever comes new waits for longer than Twilio does. (libuv accepts one connection
for each time that a listening socket is found readable, since 1.45.)
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Self

import structlog

log = structlog.get_logger()

#: Connections let in in one turn of the loop, count: bounds the turn.
ACCEPTS_MAX = 128
#: Connections that wait to be let in, count; the system may allow fewer.
BACKLOG = 1024
#: How long nobody is let in when the process has as many files open as it may, seconds.
PAUSE_S = 0.2
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Listens, and hands each connection to a protocol."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Does not listen yet.

        Args:
            protocol: Makes the protocol of a connection.
        """
        self._protocol = protocol
        self._sockets: list[socket.socket] = []
        self._pauses: set[asyncio.TimerHandle] = set()
        # The loop holds tasks weakly: these are the references that keep them.
        self._accepting: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> Self:
        """Listens at every address of a host.

        Raises:
            OSError: one of them can't be had.
        """
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
        """The port that it listens on."""
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Lets nobody in any more; who is in stays."""
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
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_MAX):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # it went away while it waited
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                log.warning("connections_refused", reason=error.strerror, wait_s=PAUSE_S)
                loop.remove_reader(listening)
                self._pauses.add(loop.call_later(PAUSE_S, self._resume, listening))
                return
            connection.setblocking(False)
            task = loop.create_task(self._connect(connection))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    def _resume(self, listening: socket.socket) -> None:
        self._pauses = {pause for pause in self._pauses if pause.when() > asyncio.get_running_loop().time()}
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # it went away at once
            connection.close()
