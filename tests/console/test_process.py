"""`conferral console` as a process: how it starts, what it says where, and that it stops when it is asked to."""

import os
import pty
import select
import signal
import socket
from contextlib import contextmanager

import pytest

from conferral.console.app import ConsoleOptions
from conferral.main import main
from conferral.processes import common
from conferral.processes import pages as console_process
from conferral.runtime.log import KEYS
from tests.conferral.cli_helpers import start, until
from tests.console.console_helpers import TOKEN
from tests.support.log_lines import lines_of
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


def test_terminal_shows_the_sign_in_url(redis_server, tmp_path):
    controller, terminal = pty.openpty()
    shown = []

    def said():
        while select.select([controller], [], [], 0)[0]:
            shown.append(os.read(controller, 65536).decode())
        return "".join(shown)

    try:
        with running(tmp_path, redis_server.url, "--host", "0.0.0.0", stderr=terminal, said=said) as (_, port):
            reported = said()
    finally:
        os.close(terminal)
        os.close(controller)

    assert [line for line in reported.splitlines() if TOKEN in line] == [
        f"console: http://127.0.0.1:{port}/#token={TOKEN}"
    ]
    assert "0.0.0.0 is reachable from other machines, without TLS" in reported


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


@pytest.mark.parametrize("host", ["https://console.example.com", "console.example.com/", "::1", ""])
def test_allowed_host_must_be_a_name_and_not_a_url(refused, host):
    """Of a URL the scheme would be the name, and everyone be turned away in words that blame the browser."""
    code, answer = refused("--port", str(free_port()), "--allow-host", host, token=TOKEN)

    assert code == 2
    assert "--allow-host" in answer.err
    assert "must be a name" in answer.err


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("secret", ["a token of 6 characters can be guessed"]),
        ("ab" * 12, ["a token of 2 different characters can be guessed"]),
        (TOKEN, []),
    ],
)
def test_a_token_that_can_be_guessed_is_warned_of_at_the_start(monkeypatch, tmp_path, token, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONFERRAL_API_TOKEN", token)
    monkeypatch.setattr(console_process.lifecycle, "run", lambda _work, **_more: 0)
    monkeypatch.setattr(common.logging_setup, "configure", lambda _form, **_more: None)

    with lines_of(monkeypatch, common) as lines:
        assert console_process.run_console("127.0.0.1", free_port(), ConsoleOptions()) == 0

    found = [line for line in lines if line["event"] == "api_token_weak"]
    assert [line["reason"] for line in found] == expected
    assert all(line.keys() - {"event", "log_level"} <= KEYS for line in found)
    assert token not in str(found)
