"""`conferral console` as a process: how it starts, what it says where, and that it stops when it is asked to."""

import os
import pty
import signal
import socket
import subprocess
import urllib.request

import pytest

from conferral.main import main
from tests.conferral.kit import PROGRAM, environment, free_port, start, until
from tests.console.kit import TOKEN

pytestmark = [pytest.mark.processes, pytest.mark.redis]


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except OSError:
        return 0


@pytest.mark.parametrize("asked", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_it_serves_the_page_and_stops_with_0_when_asked_while_a_page_looks(redis, redis_server, tmp_path, asked):
    port = free_port()
    settings = {"REDIS_URL": redis_server.url, "CONFERRAL_API_TOKEN": TOKEN}
    with start("console", "--port", str(port), cwd=tmp_path, env=settings) as program:
        try:
            until(lambda: status(f"http://127.0.0.1:{port}/readyz") == 200, "the console does not answer")
            with socket.create_connection(("127.0.0.1", port)) as page:
                page.sendall(
                    f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    "\r\n".encode()
                )
                assert page.recv(12) == b"HTTP/1.1 101"
                program.send_signal(asked)
                out, err = program.communicate(timeout=20)
        finally:
            program.kill()

    assert program.returncode == 0, err
    assert out == ""
    assert [word for word in ("console_started", "console_stopped") if word not in err] == []
    assert "Traceback" not in err
    assert TOKEN not in err  # standard error is a file here: what is written there is kept


def test_on_a_terminal_it_tells_the_url_that_signs_in(redis_server, tmp_path):
    port = free_port()
    controller, terminal = pty.openpty()
    variables = environment(REDIS_URL=redis_server.url, CONFERRAL_API_TOKEN=TOKEN, NO_COLOR="1")
    program = subprocess.Popen(
        [*PROGRAM, "console", "--host", "0.0.0.0", "--port", str(port)],
        cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    try:
        until(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200, "the console does not answer")
        told = os.read(controller, 65536).decode()
    finally:
        program.terminate()
        program.wait(20)
        os.close(controller)

    assert f"http://127.0.0.1:{port}/#token={TOKEN}" in told
    assert "0.0.0.0 is reached from elsewhere and speaks no TLS" in told
    assert [line for line in told.splitlines() if TOKEN in line] == [f"console: http://127.0.0.1:{port}/#token={TOKEN}"]


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
    [("", "CONFERRAL_API_TOKEN: missing; "), ("a b", "CONFERRAL_API_TOKEN: must be letters, digits")],
)
def test_without_a_token_that_can_be_one_it_does_not_start(refused, token, problem):
    code, told = refused("--port", str(free_port()), token=token)

    assert (code, told.out) == (2, "")
    assert told.err.startswith(problem)
    assert len(told.err.splitlines()) == 1


def test_a_port_that_is_taken_is_named(refused):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, told = refused("--port", str(port), token=TOKEN)

    assert code == 2
    assert told.err == f"port {port} on 127.0.0.1 can't be had (address already in use); choose another with --port\n"
