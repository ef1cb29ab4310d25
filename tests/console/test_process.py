"""`conferral console` as a process: how it starts, what it says where, and that it stops when it is asked to."""

import signal
import socket
from contextlib import contextmanager

import pytest

from conferral.main import main
from tests.conferral.cli_helpers import start, until
from tests.console.console_helpers import TOKEN
from tests.support.ports import free_port

pytestmark = [pytest.mark.processes, pytest.mark.redis]


TRIES = 5


@contextmanager
def running(folder, redis_url, *arguments, stderr, said):
    """A console of our own that listens, with its port.

    A port that was free may be someone else's by the time it is wanted: other tests open some too.

    Args:
        stderr: Where its standard error goes.
        said: Returns everything that has arrived there.
    """
    for _ in range(TRIES):
        port = free_port()
        variables = {"REDIS_URL": redis_url, "CONFERRAL_API_TOKEN": TOKEN, "NO_COLOR": "1"}
        program = start(
            "console", "--port", str(port), *arguments, cwd=folder, env=variables, stderr=stderr, text=False
        )
        try:
            until(lambda: program.poll() is not None or "console_started" in said(), "the console does not start")  # noqa: B023
            if program.poll() is None:
                yield program, port
                return
        finally:
            program.kill()
            program.communicate()
    pytest.fail(f"no port could be had in {TRIES} tries: {said()}")


@pytest.mark.parametrize("asked", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_console_serves_the_page_and_exits_with_0_despite_an_open_page(redis, redis_server, tmp_path, asked):
    written = tmp_path / "stderr"
    with (
        written.open("ab") as stderr,
        running(tmp_path, redis_server.url, stderr=stderr, said=written.read_text) as (program, port),
        socket.create_connection(("127.0.0.1", port)) as page,
    ):
        page.sendall(
            f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "\r\n".encode()
        )
        assert page.recv(12) == b"HTTP/1.1 101"
        program.send_signal(asked)
        out, _ = program.communicate(timeout=60)
    reported = written.read_text()

    assert program.returncode == 0, reported
    assert out == b""
    assert [word for word in ("console_started", "console_stopped") if word not in reported] == []
    assert "Traceback" not in reported
    assert TOKEN not in reported  # standard error is a file here: what is written there is kept


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys, redis_server):
    """Runs the command inside the test's process, where it does not come as far as serving."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_server.url)

    def refused(*arguments, token):
        monkeypatch.setenv("CONFERRAL_API_TOKEN", token)
        code = main(["console", *arguments])
        return code, capsys.readouterr()

    return refused


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "CONFERRAL_API_TOKEN: missing; "),
        ("a b", "CONFERRAL_API_TOKEN: the value (hidden, 3 characters) is not valid;"),
    ],
)
def test_without_a_token_that_can_be_one_it_does_not_start(refused, token, problem):
    code, body = refused("--port", str(free_port()), token=token)

    assert (code, body.out) == (2, "")
    assert body.err.startswith(problem)
    assert len(body.err.splitlines()) == 1
