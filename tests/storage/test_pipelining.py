"""The pipelining connection: replies in order, each exchange its own, and a broken connection fails them all once."""

import asyncio
import gc
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.errors import error_word
from conferral.storage.connection.pipelining import PipeliningConnection
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


@pytest.fixture
async def relay(single: RedisServer) -> AsyncIterator[Relay]:
    async with Relay(single.socket) as relay:
        yield relay


@pytest.fixture
async def connection(relay: Relay) -> AsyncIterator[PipeliningConnection]:
    client = make_client(relay.url)
    connection = PipeliningConnection(client)
    yield connection
    connection.close()
    await client.aclose()


async def exchange(connection: PipeliningConnection, *commands: tuple[Any, ...]) -> list[Any]:
    return await connection.exchange(connection.pack(commands), len(commands))


async def broken(asked: Any) -> Any:
    return (await asyncio.gather(asked, return_exceptions=True))[0]


async def test_replies_are_those_of_the_server_and_refusals_are_values(connection, single) -> None:
    replies = await exchange(
        connection,
        ("SET", "s", b"\xff"), ("GET", "s"), ("GET", "none"), ("HGET", "s", "f"), ("EVALSHA", "0" * 40, "0"),
        ("XADD", "x", "5-1", "a", "é"), ("XRANGE", "x", "-", "+"), ("INCRBY", "n", 7), ("LRANGE", "none", 0, -1),
    )  # fmt: skip
    wrong_type, no_script = replies[3:5]
    assert replies[:3] == [b"OK", b"\xff", None]
    assert (type(wrong_type), str(wrong_type).split()[0], type(no_script)) == (
        ResponseError, "WRONGTYPE", NoScriptError,
    )  # fmt: skip
    assert replies[5:] == [b"5-1", [[b"5-1", [b"a", "é".encode()]]], 7, []]


async def test_each_exchange_gets_its_own_replies_over_one_connection(connection, single) -> None:
    async def pair(number: int) -> list[Any]:
        return await exchange(connection, ("ECHO", f"{number}"), ("ECHO", f"{number}" * 2_000))

    assert await asyncio.gather(*map(pair, range(200))) == [
        [b"%d" % number, b"%d" % number * 2_000] for number in range(200)
    ]
    with single.client() as other:
        assert len(other.client_list()) == 2


async def test_canceled_exchange_shifts_no_replies(connection, relay) -> None:
    await exchange(connection, ("PING",))
    relay.delay_s = 0.02
    first = asyncio.ensure_future(exchange(connection, ("ECHO", "1"), ("ECHO", "2")))
    second = asyncio.ensure_future(exchange(connection, ("ECHO", "3")))
    await asyncio.sleep(0)  # both are sent
    first.cancel()
    assert await second == [b"3"]


@pytest.mark.parametrize("keep", [0, 1, 5, 9])
async def test_broken_connection_fails_all_exchanges_and_nothing_is_sent_twice(connection, relay, single, keep) -> None:
    await exchange(connection, ("PING",))
    relay.cut_reply(b"INCR", keep=keep, count=1)
    failed = await asyncio.gather(
        *(exchange(connection, ("INCR", "n"), ("INCR", "n")) for _ in range(5)), return_exceptions=True
    )
    assert {type(error) for error in failed} <= {RedisConnectionError, list}
    assert any(isinstance(error, RedisConnectionError) for error in failed)
    assert len({id(error) for error in failed}) == 5
    with single.client() as other:
        assert other.get("n") == "10", "all were executed, once each"
    assert await exchange(connection, ("INCR", "n")) == [11]


async def test_silent_server_breaks_the_connection_and_a_new_one_serves(connection, single) -> None:
    connection._timeout_s = 0.1
    await exchange(connection, ("PING",))
    single.signal(signal.SIGSTOP)
    try:
        failed = await asyncio.gather(*(exchange(connection, ("PING",)) for _ in range(3)), return_exceptions=True)
    finally:
        single.signal(signal.SIGCONT)
    assert [type(error) for error in failed] == [RedisTimeoutError] * 3
    connection._timeout_s = 10.0
    assert await exchange(connection, ("PING",)) == [b"PONG"]


async def test_commands_that_follow_do_not_prolong_the_wait_for_the_first(connection, relay) -> None:
    connection._timeout_s = 0.1
    await exchange(connection, ("PING",))
    relay.fall_silent()
    first = asyncio.ensure_future(exchange(connection, ("PING",)))
    others = []
    for _ in range(200):
        others.append(asyncio.ensure_future(exchange(connection, ("PING",))))
        await asyncio.sleep(0.01)  # a delay: the server's
        if first.done():
            break
    assert isinstance(await broken(first), RedisTimeoutError)
    assert len(others) < 100
    for other in others:
        other.cancel()
    relay.go_on()


async def test_slow_connection_is_kept_as_long_as_replies_arrive(tmp_path: Path) -> None:
    async def answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            for _ in range(data.count(b"SETINFO")):
                writer.write(b"+OK\r\n")
            for _ in range(data.count(b"PING")):
                await asyncio.sleep(0.2)  # a delay: the server's
                writer.write(b"+PONG\r\n")
        writer.close()
        closed.set()

    closed = asyncio.Event()
    listener = await asyncio.start_unix_server(answer_slowly, tmp_path / "redis.sock")
    client = make_client(f"unix://{tmp_path}/redis.sock")
    connection = PipeliningConnection(client, timeout_s=0.6)
    assert await asyncio.gather(*(exchange(connection, ("PING",)) for _ in range(6))) == [[b"PONG"]] * 6
    connection.close()
    await client.aclose()
    await closed.wait()
    listener.close()


async def test_closed_connection_is_not_opened_again(connection, single) -> None:
    assert await exchange(connection, ("PING",)) == [b"PONG"]
    with single.client() as other:
        before = other.info("stats")["total_connections_received"]
        connection.close()
        with pytest.raises(RedisConnectionError):
            await exchange(connection, ("PING",))
        assert other.info("stats")["total_connections_received"] == before


async def test_idle_connection_outlives_the_reply_timeout(connection, single) -> None:
    connection._timeout_s = 0.05
    await exchange(connection, ("PING",))
    await asyncio.sleep(0.15)  # a delay: nothing may happen for this long
    assert await exchange(connection, ("PING",)) == [b"PONG"]
    with single.client() as other:
        assert other.info("stats")["total_connections_received"] >= 1
        assert len(other.client_list()) == 2


async def test_demoted_server_is_left_once_its_replies_are_in(connection, relay, single) -> None:
    with RedisServer(single.program) as new, single.client() as old:
        await exchange(connection, ("PING",))
        old.replicaof("127.0.0.1", 1)
        relay.lead_to(new.socket, cut=False)
        try:
            write = asyncio.ensure_future(exchange(connection, ("SET", "a", "b")))
            read = asyncio.ensure_future(exchange(connection, ("XREAD", "BLOCK", 300, "STREAMS", "none", "$")))
            (refused,) = await write
            assert type(refused) is ReadOnlyError
            assert await exchange(connection, ("SET", "a", "b")) == [b"OK"]
            assert await read == [None]
            while len(old.client_list()) > 1:
                await asyncio.sleep(0.001)
            with new.client() as other:
                assert other.get("a") == "b"
        finally:
            old.replicaof("NO", "ONE")


async def test_server_out_of_reach_fails_every_exchange_and_attempts_are_shared(tmp_path: Path, monkeypatch) -> None:
    client = make_client(f"unix://{tmp_path}/none.sock")
    connection, attempts = PipeliningConnection(client), []
    connect = PipeliningConnection._connect
    monkeypatch.setattr(PipeliningConnection, "_connect", lambda self: attempts.append(1) or connect(self))
    failed = await asyncio.gather(*(exchange(connection, ("PING",)) for _ in range(4)), return_exceptions=True)
    assert [type(error) for error in failed] == [RedisConnectionError] * 4
    assert len(attempts) == 1
    assert isinstance(await broken(exchange(connection, ("PING",))), RedisConnectionError)
    assert len(attempts) == 2
    await client.aclose()


async def test_attempt_to_connect_that_no_one_awaits_anymore_is_not_reported(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, report: reports.append(report))
    client = make_client(f"unix://{tmp_path}/none.sock")
    for closes in (False, True):
        connection = PipeliningConnection(client)
        waiting = asyncio.ensure_future(exchange(connection, ("PING",)))
        await asyncio.sleep(0)  # it connects
        if closes:
            connection.close()
        waiting.cancel()
        await asyncio.wait([waiting])
        while connection._opening is not None:
            await asyncio.sleep(0)
    gc.collect()
    assert reports == []
    await client.aclose()


async def test_closing_fails_what_waits(connection, relay) -> None:
    await exchange(connection, ("PING",))
    relay.fall_silent()
    waiting = asyncio.ensure_future(exchange(connection, ("PING",)))
    await asyncio.sleep(0)  # it is sent
    connection.close()
    assert isinstance(await broken(waiting), RedisConnectionError)
    relay.go_on()


async def test_closing_ends_an_attempt_to_connect(connection, relay, single) -> None:
    """Whether Redis has answered the attempt by then or not."""
    with single.client() as other:
        connections = len(other.client_list())
        relay.fall_silent()
        waiting = asyncio.ensure_future(exchange(connection, ("PING",)))
        while not relay.requests:
            await asyncio.sleep(0.001)
        connection.close()
        assert isinstance(await broken(waiting), RedisConnectionError)
        relay.go_on()
        while len(other.client_list()) > connections:
            await asyncio.sleep(0.001)


async def test_connection_that_opens_after_the_end_is_closed(connection, single, monkeypatch) -> None:
    make, opened = connection._client.connection_pool.make_connection, []

    def make_connection() -> object:
        made = make()
        connect = made.connect

        async def connect_and_close() -> None:
            await connect()
            opened.append(made)
            connection._is_closed = True  # and the cancellation came too late

        made.connect = connect_and_close
        return made

    monkeypatch.setattr(connection._client.connection_pool, "make_connection", make_connection)
    assert isinstance(await broken(exchange(connection, ("PING",))), RedisConnectionError)
    assert [made.is_connected for made in opened] == [False]


async def test_password_and_database_of_the_url_are_used(single) -> None:
    with single.client() as other:
        other.config_set("requirepass", "secret")
        try:
            refused = PipeliningConnection(make_client(f"unix://:wrong@{single.socket}"))
            assert error_word(await broken(exchange(refused, ("PING",)))) == "WRONGPASS"
            connection = PipeliningConnection(make_client(f"unix://:secret@{single.socket}?db=3"))
            assert await exchange(connection, ("SET", "a", "b")) == [b"OK"]
            other.execute_command("AUTH", "secret")
            other.execute_command("SELECT", 3)
            assert other.execute_command("GET", "a") == "b"
            connection.close()
        finally:
            other.execute_command("AUTH", "secret")
            other.config_set("requirepass", "")
            other.execute_command("FLUSHALL")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("makes a certificate with openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([program, *options, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


async def test_tls_is_spoken_if_the_url_says_so(single: RedisServer, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    passing: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(str(single.socket))
        for one, other in ((reader, to_redis), (from_redis, writer)):
            passing.add(asyncio.ensure_future(copy(one, other)))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    client: Client = make_client(f"rediss://localhost:{port}?ssl_cert_reqs=required&ssl_ca_certs={certificate[0]}")
    connection = PipeliningConnection(client)
    assert await exchange(connection, ("ECHO", "x" * 100_000), ("PING",)) == [b"x" * 100_000, b"PONG"]
    connection.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*passing)
    listening.close()
    await client.aclose()
