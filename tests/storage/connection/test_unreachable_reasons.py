"""Why Redis can't be used, in words for operators: no class names, and the setting to change where one is wrong."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import AuthenticationError, MaxConnectionsError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.check.redis_server import check_reachable
from conferral.runtime.errors import SettingsError, StoreError, StoreForbiddenError, StoreUnreachableError
from conferral.storage import config
from conferral.storage.connection import client as connection_client
from conferral.storage.connection.client import as_store_errors, make_client
from conferral.storage.connection.errors import LOGIN_REFUSED, error_word, to_store_error
from conferral.storage.connection.primary import primary_of
from offhook import ACCOUNT_SID
from tests.support.each import each


def _caused_by(cause: BaseException) -> Exception:
    error = RedisConnectionError("secret text")
    error.__context__ = cause
    return error


@each(
    "error, reason",
    [
        (_caused_by(socket.gaierror(-2, "Name or service not known")), "host name not found"),
        (_caused_by(ssl.SSLError("secret text")), "TLS failed"),
        (RedisConnectionError("secret text"), "connection lost"),
        (ConnectionResetError("secret text"), "connection lost"),
        (MaxConnectionsError("secret text"), "all connections of this process are in use"),
    ],
)
def test_reason_names_no_class_and_quotes_no_text(error, reason) -> None:
    assert str(to_store_error(error)) == f"Redis can't be reached ({reason})"


@each("error", [RedisTimeoutError("secret text"), _caused_by(TimeoutError())])
def test_timeout_is_called_one(error) -> None:
    assert str(to_store_error(error)) == "Redis did not answer in time"


@pytest.mark.parametrize("options", ["", "?db=1"])
async def test_hung_server_on_a_socket_is_a_timeout(options, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(connection_client, "COMMAND_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/s")
        silent.listen()
        client = make_client(f"unix://{tmp_path}/s{options}")
        try:
            with pytest.raises(StoreUnreachableError, match=r"^Redis did not answer in time$"), as_store_errors():
                await client.get("key")
        finally:
            await client.aclose()


@pytest.mark.parametrize(
    "url, reason, state",
    [
        (lambda _folder: "redis://127.0.0.1:1/0", "connection refused", "connection refused"),
        (lambda folder: f"unix://{folder}/none.sock", "no such socket", "no such socket"),
        (
            lambda _folder: "redis://127.0.0.1:1/0?cluster=true",
            "no node of the cluster answers: connection refused",
            "no answer",
        ),
    ],
)
async def test_server_that_is_not_there_is_described(url, reason, state, tmp_path) -> None:
    client = make_client(url(tmp_path), primary_of(url(tmp_path), "{c}"))
    try:
        with pytest.raises(StoreUnreachableError) as raised, as_store_errors():
            await client.get("key")
    finally:
        await client.aclose()
    assert (str(raised.value), raised.value.state) == (f"Redis can't be reached ({reason})", state)


@each(
    "text, kind, words",
    [
        ("DB index is out of range", StoreError, "Redis has no database with the number in REDIS_URL"),
        ("WRONGTYPE Operation against a key", StoreError, "Redis refused (WRONGTYPE)"),
        ("NOAUTH Authentication required.", StoreForbiddenError, LOGIN_REFUSED),
        ("WRONGPASS invalid username-password pair", StoreForbiddenError, LOGIN_REFUSED),
        ("NOPERM this user has no permissions", StoreForbiddenError, "Redis refused (NOPERM)"),
    ],
)
def test_refusal_of_a_key_differs_from_one_of_the_user(text, kind, words) -> None:
    ours = to_store_error(ResponseError(text))
    assert (type(ours), str(ours)) == (kind, words)


@each("link", ["__cause__", "__context__"])
def test_refused_login_is_found_behind_a_connection_error(link) -> None:
    error = RedisConnectionError("secret text")
    setattr(error, link, AuthenticationError("secret text"))
    assert error_word(error) == "WRONGPASS"


def test_connection_that_broke_after_an_answer_is_not_taken_for_a_refusal() -> None:
    """The script may have run: a command that counts as refused would be submitted again."""
    error = RedisConnectionError("secret text")
    error.__context__ = NoScriptError("NOSCRIPT No matching script.")
    assert (error_word(error), to_store_error(error).state) == ("", "no answer")


@asynccontextmanager
async def server_that_answers(answer: bytes) -> AsyncIterator[str]:
    """Yield the URL of a server with one answer to every command."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # redis-py sends several commands at once while it connects, and waits for as many answers.
        async for line in reader:
            if line.startswith(b"*"):
                writer.write(answer)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize(
    "options, answer, correction",
    [
        ("", b"-MOVED 5061 10.0.0.2:6379\r\n", r"add \?cluster=true to REDIS_URL"),
        (
            "?cluster=true",
            b"-ERR This instance has cluster support disabled\r\n",
            r"remove \?cluster=true from REDIS_URL",
        ),
        ("", b"-CROSSSLOT Keys in request don't hash to the same slot\r\n", "put CONFERRAL_PREFIX in braces"),
        ("", b"-ERR DB index is out of range\r\n", "database (with the )?number in REDIS_URL"),
    ],
)
async def test_process_stops_at_its_start_if_redis_shows_that_the_url_is_wrong(options, answer, correction) -> None:
    async with server_that_answers(answer) as url:
        client = make_client(f"{url}{options}", primary_of(f"{url}{options}", "{c}"))
        for start in (
            config.check_eviction_policy(client),
            config.ensure(client, "conferral", 64, account_sid=ACCOUNT_SID),
        ):
            with pytest.raises(SettingsError, match=correction):
                await start
        with pytest.raises(StoreError, match=correction):
            await config.load_keys(client, "conferral")
        result, _ = await check_reachable(client, "here")
        assert re.search(correction, result.fix)
        await client.aclose()


def chain_of(error: BaseException | None) -> Iterator[str]:
    """Everything that an error was raised from."""
    while error is not None:
        yield repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "answer, state",
    [
        (b"-WRONGPASS invalid username-password pair\r\n", "password refused"),
        (b"-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n", "not permitted (NOPERM)"),
    ],
)
async def test_refusal_of_the_slot_map_is_named(answer, state) -> None:
    async with server_that_answers(answer) as url:
        client = make_client(f"{url}?cluster=true", primary_of(f"{url}?cluster=true", "{c}"))
        with pytest.raises(StoreUnreachableError) as raised, as_store_errors():
            await client.get("key")
        assert raised.value.state == state, [*chain_of(raised.value)]
        await client.aclose()


@each(
    "words, state, passes",
    [
        ("LOADING Redis is loading the dataset in memory", "loading", True),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
         "busy with a script (BUSY)", True),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
         "primary down (MASTERDOWN)", True),
        ("ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write against a replica.",
         "read-only (READONLY)", True),
        ("ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command not allowed when used",
         "full (OOM)", True),
        ("NOAUTH Authentication required.", "password refused", True),
        ("NOPERM this user has no permissions to run the 'set' command", "not permitted (NOPERM)", True),
        ("ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -NOPERM The user can't run this",
         "not permitted (NOPERM)", True),
        ("ERR Error running script (call to f_0): @user_script:1: The user executing the script can't run this",
         "not permitted (NOPERM)", True),
        ("ERR The user executing the script can't run this command or subcommand script: f_0, on @user_script:1.",
         "not permitted (NOPERM)", True),
        ("ERR something of tomorrow", "refuses (ERR)", False),
    ],
)  # fmt: skip
async def test_words_of_redis_are_named(words, state, passes) -> None:
    async with server_that_answers(f"-{words}\r\n".encode()) as url:
        client = make_client(url)
        with pytest.raises(StoreError) as raised, as_store_errors():
            await client.get("key")
        assert (raised.value.state, isinstance(raised.value, StoreUnreachableError)) == (state, passes)
        await client.aclose()


async def test_database_that_does_not_exist_is_named_over_a_socket_too(single) -> None:
    """redis-py hides it behind a connection error there; retrying would never end."""
    client = make_client(f"unix://{single.socket}?db=77")
    try:
        with (
            pytest.raises(StoreError, match=r"^Redis has no database with the number in REDIS_URL$"),
            as_store_errors(),
        ):
            await client.get("key")
    finally:
        await client.aclose()
