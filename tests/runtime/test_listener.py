"""New connections are accepted although the open ones keep the process busy."""

import asyncio
import errno
import socket
from collections.abc import Callable

import pytest

from conferral.runtime.web import listener as doors
from conferral.runtime.web.listener import Listener


class Echo(asyncio.Protocol):
    """Answers as configured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


async def says(port: int, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"hello")
        return await reader.readexactly(5)
    finally:
        writer.close()


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    factories: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
    try:
        from uvloop import new_event_loop
    except ImportError:
        return factories
    return [*factories, new_event_loop]


@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)
def test_all_who_wait_are_let_in_within_one_turn_or_two(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        entered: list[int] = []
        turns = 0

        class Noting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                entered.append(turns)

        door = await Listener.open(Noting, "127.0.0.1", 0)
        waiting = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(100)]
        while len(entered) < 100:
            turns += 1
            await asyncio.sleep(0)
        door.close()
        for one in waiting:
            one.close()
        assert entered[-1] - entered[0] < 20, "one by one it would be a hundred"

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(story(), 20))


async def test_more_than_are_let_in_at_once_come_in_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "ACCEPTS_MAX", 3)
    door = await Listener.open(Echo, "127.0.0.1", 0)
    assert await asyncio.gather(*(says(door.port) for _ in range(20))) == [b"hello"] * 20
    door.close()


async def test_closed_listener_refuses_new_connections_and_keeps_open_ones() -> None:
    door = await Listener.open(Echo, "127.0.0.1", 0)
    port = door.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    door.close()
    with pytest.raises(ConnectionRefusedError):
        await says(port)
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    writer.close()


async def test_port_in_use_is_reported_and_nothing_is_left_open() -> None:
    door = await Listener.open(Echo, "127.0.0.1", 0)
    with pytest.raises(OSError) as raised:
        await Listener.open(Echo, "127.0.0.1", door.port)
    assert raised.value.errno == errno.EADDRINUSE
    assert await says(door.port) == b"hello"
    door.close()


async def test_process_with_too_many_open_files_recovers_once_some_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "PAUSE_S", 0.02)
    door = await Listener.open(Echo, "127.0.0.1", 0)
    port, refusals = door.port, 3
    listening = door._sockets[0]

    class Full:
        """Says for a while that there are too many."""

        def accept(self) -> tuple[socket.socket, object]:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return listening.accept()

        def fileno(self) -> int:
            return listening.fileno()

        def close(self) -> None:
            listening.close()

    loop = asyncio.get_running_loop()
    loop.remove_reader(listening)
    full = Full()
    door._sockets = [full]  # type: ignore[list-item]
    loop.add_reader(full, door._accept, full)
    assert await says(port) == b"hello"
    assert refusals == 0
    door.close()
