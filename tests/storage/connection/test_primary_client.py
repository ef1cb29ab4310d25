"""Clients of the primary, with servers that answer by a script: a command is never sent twice unless it was refused."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest

from conferral.runtime.errors import StoreError, StoreForbiddenError, StoreUnreachableError
from conferral.storage.connection import primary as primary_module
from conferral.storage.connection.client import Client, ask, make_client, run_all, run_or_raise
from conferral.storage.connection.errors import (
    NAME_UNKNOWN,
    NO_ANSWER,
    SENTINEL_LOGIN_REFUSED,
    SENTINEL_SETTING_WRONG,
)
from conferral.storage.connection.primary import primary_of
from tests.support.certificates import write_certificate
from tests.support.each import each

#: Of the keys {c}:…
SLOT = 7365
OK = b"+OK\r\n"
#: How an answer ends the connection, and how none comes.
CUT, SILENCE = b"cut", b""


class ScriptedServer:
    """Answers a command by its name: with bytes, or what a function makes of its arguments."""

    def __init__(self, **answers: bytes | Callable[..., bytes]) -> None:
        self.answers: dict[str, bytes | Callable[..., bytes]] = {"CLIENT": OK, "AUTH": OK} | answers
        #: The commands that it got, as text.
        self.got: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    name, *arguments = [part.decode() for part in command]
                    answer = self.answers[name]
                    if name != "CLIENT":
                        self.got.append(" ".join([name, *arguments]))
                    found = answer(*arguments) if callable(answer) else answer
                    if found == CUT:
                        return
                    writer.write(found)
        finally:
            writer.close()


@asynccontextmanager
async def serving(*servers: ScriptedServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for one in servers:
            listening = await stack.enter_async_context(await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=tls))
            one.port = listening.sockets[0].getsockname()[1]
        yield


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Client]:
    client = make_client(url, primary_of(url, "{c}"))
    yield client
    await client.aclose()


def cluster_url(*nodes: ScriptedServer) -> str:
    return f"redis://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}/?cluster=true"


def sentinel_url(*sentinels: ScriptedServer, options: str = "") -> str:
    return f"redis+sentinel://app:of-app@{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/main/0{options}"


def slots(owner: ScriptedServer, host: bytes = b"$9\r\n127.0.0.1\r\n") -> Callable[..., bytes]:
    """A slot map with one owner, at a host as Redis writes it."""
    return lambda *_: b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%b:%d\r\n$1\r\nx\r\n" % (host, owner.port)


def moved_to(other: ScriptedServer) -> Callable[..., bytes]:
    return lambda *_: b"-MOVED %d 127.0.0.1:%d\r\n" % (SLOT, other.port)


def named(server: ScriptedServer, host: bytes = b"$9\r\n127.0.0.1\r\n") -> Callable[..., bytes]:
    return lambda *_: b"*2\r\n%b$%d\r\n%d\r\n" % (host, len(str(server.port)), server.port)


def by_turns(*answers: bytes | Callable[..., bytes]) -> Callable[..., bytes]:
    """Each answer once, then the last one."""
    left = list(answers)

    def answer(*arguments: str) -> bytes:
        one = left.pop(0) if len(left) > 1 else left[0]
        return one(*arguments) if callable(one) else one

    return answer


def role(name: str) -> bytes:
    return b"*1\r\n$%d\r\n%b\r\n" % (len(name), name.encode())


# ---- a cluster ---------------------------------------------------------------------------------------------------


async def test_what_moved_in_mid_pipeline_is_sent_again_and_nothing_else() -> None:
    a, b = ScriptedServer(), ScriptedServer(INCR=b":7\r\n")
    a.answers |= {"CLUSTER": slots(a), "INCR": by_turns(b":1\r\n", b":2\r\n", moved_to(b))}
    async with serving(a, b), client_of(cluster_url(a)) as client:
        commands = [("INCR", f"{{c}}:{number}") for number in range(5)]
        assert await run_all(client, commands) == [1, 2, 7, 7, 7]
        assert b.got == [f"INCR {{c}}:{number}" for number in (2, 3, 4)]
        assert a.got == ["CLUSTER SLOTS", *(f"INCR {{c}}:{number}" for number in range(5))]
        assert await ask(client, "INCR", "{c}:5") == 7
        assert (len(a.got), len(b.got)) == (6, 4)


async def test_connection_that_breaks_in_mid_pipeline_repeats_nothing() -> None:
    a = ScriptedServer(INCR=by_turns(b":1\r\n", b":2\r\n", CUT))
    a.answers |= {"CLUSTER": slots(a)}
    async with serving(a), client_of(cluster_url(a)) as client:
        with pytest.raises(StoreUnreachableError):
            await run_or_raise(client, *[("INCR", f"{{c}}:{number}") for number in range(5)])
        assert a.got == ["CLUSTER SLOTS", "INCR {c}:0", "INCR {c}:1", "INCR {c}:2"]


async def test_nodes_that_disagree_get_a_command_once_each() -> None:
    a, b = ScriptedServer(), ScriptedServer()
    a.answers |= {"CLUSTER": slots(a), "INCR": moved_to(b)}
    b.answers |= {"INCR": moved_to(a)}
    async with serving(a, b), client_of(cluster_url(a)) as client:
        with pytest.raises(StoreUnreachableError) as passing:
            await ask(client, "INCR", "{c}:0")
        assert passing.value.state == "slots are being moved (TRYAGAIN)"
        assert (a.got, b.got) == (["CLUSTER SLOTS", "INCR {c}:0"], ["INCR {c}:0"])


@pytest.mark.parametrize("host", [b"$-1\r\n", b"$0\r\n\r\n", b"$1\r\n?\r\n"])
async def test_node_without_a_name_is_at_the_host_that_was_asked(host: bytes) -> None:
    a, b = ScriptedServer(), ScriptedServer(GET=b"$2\r\nof\r\n")
    a.answers |= {"CLUSTER": slots(b, host)}
    async with serving(a, b), client_of(cluster_url(a)) as client:
        assert await ask(client, "GET", "{c}:0") == b"of"


async def test_silent_node_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary_module, "ASK_TIMEOUT_S", 0.05)
    silent, b = ScriptedServer(CLUSTER=SILENCE), ScriptedServer(GET=b"$2\r\nof\r\n")
    b.answers |= {"CLUSTER": slots(b)}
    async with serving(silent, b), client_of(cluster_url(silent, b)) as client:
        assert await ask(client, "GET", "{c}:0") == b"of"
        assert silent.got == ["CLUSTER SLOTS"]


async def test_slot_without_a_node_is_named() -> None:
    a = ScriptedServer(CLUSTER=b"*0\r\n")
    async with serving(a), client_of(cluster_url(a)) as client:
        with pytest.raises(StoreUnreachableError, match="no node of the cluster has the prefix's slot"):
            await ask(client, "GET", "{c}:0")


async def test_single_server_that_is_a_cluster_gets_a_command_once() -> None:
    a = ScriptedServer()
    a.answers |= {"GET": moved_to(a)}
    async with serving(a), client_of(f"redis://127.0.0.1:{a.port}/0") as client:
        with pytest.raises(StoreError, match=r"add \?cluster=true"):
            await ask(client, "GET", "x")
        assert a.got == ["GET x"]


# ---- Sentinels ---------------------------------------------------------------------------------------------------


async def test_sentinels_and_their_primary_have_logins_of_their_own() -> None:
    a, sentinel = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=role("master")), ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    url = "?sentinel_username=us&sentinel_password=p%40ss"
    async with serving(a, sentinel), client_of(sentinel_url(sentinel, options=url)) as client:
        assert await ask(client, "GET", "x") == b"of"
    assert sentinel.got == ["AUTH us p@ss", "SENTINEL GET-MASTER-ADDR-BY-NAME main"]
    assert a.got == ["AUTH app of-app", "ROLE", "GET x"]


async def test_server_that_is_not_a_primary_yet_gets_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary_module, "ASK_EVERY_S", 0.0)
    a, sentinel = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=by_turns(role("slave"), role("master"))), ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, sentinel), client_of(sentinel_url(sentinel)) as client:
        with pytest.raises(StoreUnreachableError, match="the server that Sentinels name is not a primary"):
            await ask(client, "GET", "x")
        assert await ask(client, "GET", "x") == b"of"
    assert [one for one in a.got if not one.startswith("AUTH")] == ["ROLE", "ROLE", "GET x"]


async def test_server_that_has_not_said_its_role_gets_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary_module, "ASK_EVERY_S", 0.0)
    busy, sentinel = b"-BUSY Redis is busy running a script.\r\n", ScriptedServer()
    a = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=by_turns(busy, role("master")))
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, sentinel), client_of(sentinel_url(sentinel)) as client:
        with pytest.raises(StoreUnreachableError):
            await ask(client, "GET", "x")
        assert await ask(client, "GET", "x") == b"of"
    assert [one for one in a.got if not one.startswith("AUTH")] == ["ROLE", "ROLE", "GET x"]


async def test_new_primary_of_sentinels_gets_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The former one refuses nothing."""
    for interval in ("ASK_EVERY_S", "REFRESH_EVERY_S"):
        monkeypatch.setattr(primary_module, interval, 0.0)
    a, b = (ScriptedServer(GET=b"$1\r\n%b\r\n" % name, ROLE=role("master")) for name in (b"a", b"b"))
    sentinel = ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, b, sentinel), client_of(sentinel_url(sentinel)) as client:
        assert await ask(client, "GET", "x") == b"a"
        sentinel.answers |= {"SENTINEL": named(b)}
        async with asyncio.timeout(5):
            while await ask(client, "GET", "x") == b"a":
                await asyncio.sleep(0.001)  # a delay: the answer arrives in the background
        assert await ask(client, "GET", "x") == b"b"


async def test_next_sentinel_is_asked_and_stays_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary_module, "ASK_EVERY_S", 0.0)
    a, gone, sentinel = ScriptedServer(GET=CUT, ROLE=role("master")), ScriptedServer(SENTINEL=CUT), ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, gone, sentinel), client_of(sentinel_url(gone, sentinel)) as client:
        for _ in range(3):
            with pytest.raises(StoreUnreachableError):
                await ask(client, "GET", "x")
    assert (len(gone.got), len(sentinel.got)) == (1, 3)


@pytest.mark.parametrize(
    "answer, error, words, state",
    [
        (b"*-1\r\n", StoreUnreachableError, "no Sentinel knows a primary with the name main", NAME_UNKNOWN),
        (CUT, StoreUnreachableError, "no Sentinel answers", NO_ANSWER),
        (b"-ERR unknown command 'SENTINEL', with args\r\n", StoreUnreachableError, SENTINEL_SETTING_WRONG, NO_ANSWER),
        (b"-NOAUTH Authentication required.\r\n", StoreForbiddenError, SENTINEL_LOGIN_REFUSED, "password refused"),
    ],
)
async def test_what_is_wrong_with_sentinels_is_named(
    answer: bytes, error: type[StoreError], words: str, state: str
) -> None:
    sentinel = ScriptedServer(SENTINEL=answer)
    async with serving(sentinel), client_of(sentinel_url(sentinel)) as client:
        with pytest.raises(error) as raised:
            await ask(client, "GET", "x")
        assert words in str(raised.value)
        assert raised.value.state == state
        assert "of-app" not in f"{raised.value!r}{raised.value.state}"


async def test_name_that_a_sentinel_does_not_know_is_named_though_another_is_gone() -> None:
    sentinel, gone = ScriptedServer(SENTINEL=b"*-1\r\n"), ScriptedServer(SENTINEL=CUT)
    async with serving(sentinel, gone), client_of(sentinel_url(sentinel, gone)) as client:
        with pytest.raises(StoreUnreachableError, match="no Sentinel knows a primary with the name main"):
            await ask(client, "GET", "x")


async def test_while_no_sentinel_answers_the_primary_is_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its role is checked; and a Sentinel that answers, but names none, is believed."""
    monkeypatch.setattr(primary_module, "ASK_EVERY_S", 0.0)
    a = ScriptedServer(GET=by_turns(b"$2\r\nof\r\n", CUT, b"$2\r\nof\r\n"))
    a.answers |= {"ROLE": by_turns(role("master"), role("master"), role("slave"))}
    sentinel = ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, sentinel), client_of(sentinel_url(sentinel)) as client:
        assert await ask(client, "GET", "x") == b"of"
        sentinel.answers |= {"SENTINEL": CUT}
        with pytest.raises(StoreUnreachableError):
            await ask(client, "GET", "x")
        assert await ask(client, "GET", "x") == b"of"
        await client.connection_pool.disconnect()
        with pytest.raises(StoreUnreachableError, match="not a primary"):
            await ask(client, "GET", "x")
        sentinel.answers |= {"SENTINEL": b"*-1\r\n"}
        with pytest.raises(StoreUnreachableError, match="no Sentinel knows"):
            await ask(client, "GET", "x")


async def test_pool_of_a_process_asks_one_sentinel_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    a, sentinel = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=role("master")), ScriptedServer()
    sentinel.answers |= {"SENTINEL": named(a)}
    async with serving(a, sentinel):
        url = sentinel_url(sentinel)
        primary: Any = primary_of(url, "c")
        clients = [make_client(url, primary), make_client(url, primary, blocking=True)]
        await asyncio.gather(*(ask(client, "GET", "x") for client in clients for _ in range(8)))
        assert len(sentinel.got) == 1
        for client in clients:
            await client.aclose()


NO_REPLICAS = b"-NOREPLICAS Not enough good replicas to write.\r\n"


@each("a", [
    ScriptedServer(GET=NO_REPLICAS, ROLE=role("master")),
    ScriptedServer(ROLE=role("slave")),
    ScriptedServer(GET=b"-READONLY You can't write against a read only replica.\r\n", ROLE=role("master")),
    ScriptedServer(ROLE=CUT),
])  # fmt: skip
async def test_after_a_refusal_another_sentinel_is_asked(monkeypatch: pytest.MonkeyPatch, a: ScriptedServer) -> None:
    """The first is cut off with the former primary, and still names it; this process reaches both sides."""
    for interval in ("ASK_EVERY_S", "REFRESH_EVERY_S"):
        monkeypatch.setattr(primary_module, interval, 0.0)
    b = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=role("master"))
    stale, other = ScriptedServer(SENTINEL=named(a)), ScriptedServer(SENTINEL=named(b))
    async with serving(a, b, stale, other):
        stale.answers |= {"SENTINEL": named(a)}
        other.answers |= {"SENTINEL": named(b)}
        async with client_of(sentinel_url(stale, other)) as client:
            async with asyncio.timeout(5):
                while True:
                    with suppress(StoreError):
                        if await ask(client, "GET", "x") == b"of":
                            break
            asked = len(stale.got)
            for _ in range(5):
                assert await ask(client, "GET", "x") == b"of"
            assert len(stale.got) == asked


# ---- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, not of its address."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


BY_NAME, BY_IP, UNKNOWN = b"$9\r\nlocalhost\r\n", b"$9\r\n127.0.0.1\r\n", b"$1\r\n?\r\n"


@pytest.mark.parametrize("scheme, announced, is_reached", [
    ("rediss", BY_NAME, True),
    ("rediss", UNKNOWN, True),
    ("rediss", BY_IP, False),
    ("rediss+sentinel", BY_NAME, True),
    ("rediss+sentinel", BY_IP, False),
])  # fmt: skip
async def test_certificate_must_have_the_name_that_nodes_or_sentinels_announce(
    certificate: Path, tls: ssl.SSLContext, scheme: str, announced: bytes, is_reached: bool
) -> None:
    a, guide = ScriptedServer(GET=b"$2\r\nof\r\n", ROLE=role("master")), ScriptedServer()
    async with serving(a, guide, tls=tls):
        guide.answers |= {"SENTINEL": named(a, announced), "CLUSTER": slots(a, announced)}
        path = "main/0?" if "sentinel" in scheme else "?cluster=true&"
        async with client_of(f"{scheme}://localhost:{guide.port}/{path}ssl_ca_certs={certificate}") as client:
            if is_reached:
                assert await ask(client, "GET", "{c}:0") == b"of"
            else:
                with pytest.raises(StoreUnreachableError, match="TLS failed"):
                    await ask(client, "GET", "{c}:0")
    assert len(guide.got) == 1


async def test_guide_whose_certificate_is_not_valid_is_named(tls: ssl.SSLContext) -> None:
    a = ScriptedServer()
    async with serving(a, tls=tls):
        for path, words in (("?cluster=true", "no node of the cluster answers"), ("main/0", "no Sentinel answers")):
            scheme = "rediss" if "cluster" in path else "rediss+sentinel"
            async with client_of(f"{scheme}://localhost:{a.port}/{path}") as client:
                with pytest.raises(StoreUnreachableError, match=f"{words}: TLS failed"):
                    await ask(client, "GET", "{c}:0")


async def test_connection_whose_answers_were_not_read_is_not_used_again():
    """An answer that can't be parsed leaves the next one, which may arrive later, for another command."""
    connections = 0

    class Counting(ScriptedServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await super().serve(reader, writer)

    server = Counting(SET=OK, INFO=b":1\r\n", WAIT=SILENCE, GET=b"+value\r\n")
    async with serving(server), client_of(f"redis://127.0.0.1:{server.port}") as client:
        client.replication.is_expected = True
        with pytest.raises(StoreUnreachableError):
            await run_or_raise(client, ("SET", "a", 1), is_durable=True)
        assert await ask(client, "GET", "a") == b"value"
    assert connections == 2
