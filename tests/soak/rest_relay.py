"""A relay between one worker and Twilio that notes what the worker sends, and when."""

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

HOST = "127.0.0.1"
_REQUEST = re.compile(rb"(GET|POST|DELETE) (\S+) HTTP/1\.1\r\n")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it left the worker."""

    #: By `time.monotonic()`.
    at_s: float
    method: str
    path: str


@dataclass(slots=True)
class RestRelay:
    """Listens on a port of its own and passes everything on.

    Args:
        port: The sandbox's.
    """

    port: int
    sent: list[Sent] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writers = [writer]
        try:
            from_twilio, to_twilio = await asyncio.open_connection(HOST, self.port)
            writers.append(to_twilio)
            there = asyncio.ensure_future(self._forth(reader, to_twilio))
            back = asyncio.ensure_future(_copy(from_twilio, writer))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            for one in writers:
                one.close()
            for one in writers:
                with suppress(OSError):
                    await one.wait_closed()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            now_s = time.monotonic()
            self.sent += [Sent(now_s, method.decode(), path.decode()) for method, path in _REQUEST.findall(data)]
            writer.write(data)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
