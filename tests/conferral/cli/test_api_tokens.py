"""`conferral api-token`, and a tokens file that is wrong."""

import re
import signal
import socket
import tomllib
import urllib.error
import urllib.request

import pytest

from conferral.runtime.web.tokens import digest_of
from conferral.telephony.token_file import load_tokens
from tests.conferral.cli_helpers import SERVICE, Ran, set_up, start, until
from tests.conferral.processes.test_processes import status
from tests.support.ports import free_port
from tests.support.token_files import bearer_of, secret_of, table, write_tokens

pytestmark = pytest.mark.processes


def test_a_token_is_printed_once_and_only_its_digest_is_for_the_file(run, tmp_path):
    ran = run("api-token", "desk")

    token = re.fullmatch(r"token, shown only now: ([0-9a-f]{64})\n", ran.err)[1]
    assert ran == Ran(0, f'[tokens.desk]\nsha256 = "{digest_of(token)}"\nmay = ["read"]\n', ran.err)
    path = write_tokens(tmp_path / "tokens.toml", ran.out)
    assert load_tokens(path, None)[digest_of(token)].may == {"read"}
    assert run("api-token", "desk").err != ran.err


def test_as_json_it_has_both(run):
    ran = run("api-token", "desk", "--json")
    assert (ran.code, ran.err, ran.json["name"]) == (0, "", "desk")
    assert tomllib.loads(ran.json["lines"])["tokens"]["desk"]["sha256"] == digest_of(ran.json["token"])


@pytest.mark.parametrize("name", ["api", "cli", "a b", "desk/alice", "d" * 33, "-", "1st", "call-4155550123"])
def test_a_name_that_no_token_may_have_is_wrong_usage(run, name):
    ran = run("api-token", "--", name)
    assert (ran.code, ran.out) == (2, "")
    assert "must be a letter, then up to 31 letters" in " ".join(ran.err.split())


@pytest.mark.redis
@pytest.mark.parametrize("command", ["webhooks", "console"])
def test_a_file_that_is_wrong_stops_the_process_with_2(run, redis_server, tmp_path, command):
    write_tokens(tmp_path / "tokens.toml", table("desk", ["dance"]))
    settings = {**SERVICE, "REDIS_URL": redis_server.url, "CONFERRAL_TOKENS": "tokens.toml"}

    ran = run(command, "--port", str(free_port()), **settings)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("CONFERRAL_TOKENS: tokens.toml, tokens.desk.may: entry 1 is wrong; must be ")


def answered(url, name):
    """The status with this token."""
    request = urllib.request.Request(url, headers=bearer_of(name))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.redis
@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "CONFERRAL_API_TOKEN: missing; "),
        (
            "a" * 19,
            "CONFERRAL_API_TOKEN: the value (hidden, 19 characters) is not valid; it must be at least 20",
        ),
    ],
)
def test_without_a_token_that_can_be_one_the_console_does_not_start(run, redis, token, problem):
    ran = run("console", "--port", str(free_port()), CONFERRAL_API_TOKEN=token)

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.startswith(problem)


def open_page(port, name):
    """A connection to the console's socket, as a page has it."""
    page = socket.create_connection(("127.0.0.1", port))
    page.sendall(
        f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer_of(name)['Authorization']}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert page.recv(12) == b"HTTP/1.1 101"
    return page


@pytest.mark.redis
def test_the_console_reads_it_again_and_stops_despite_an_open_page(redis, redis_server, tmp_path):
    """Where the new file is broken, it keeps the old one."""
    set_up(redis)
    path = write_tokens(tmp_path / "tokens.toml", table("desk", ["read"]))
    port = free_port()
    url = f"http://127.0.0.1:{port}/report.json"
    env = {**SERVICE, "REDIS_URL": redis_server.url, "CONFERRAL_TOKENS": str(path)}
    with start("console", "--port", str(port), cwd=tmp_path, env=env) as program:
        try:
            until(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200, "the console does not answer", program)
            until(lambda: answered(url, "desk") == 200, "the token is not known", program)

            write_tokens(path, table("wall", ["read"]), table("robot", ["end"]))
            program.send_signal(signal.SIGHUP)
            until(lambda: answered(url, "wall") == 200, "the console did not read the tokens again", program)
            assert [answered(url, name) for name in ("desk", "robot")] == [401, 403]

            write_tokens(path, table("wall", ["dance"]))
            program.send_signal(signal.SIGHUP)
            line = next(line for line in program.stderr if "tokens_refused" in line)
            assert "tokens.wall.may: entry 1 is wrong" in line
            assert answered(url, "wall") == 200
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as response:
                assert "CONFERRAL_TOKENS: the file is broken" in response.read().decode()
            page = open_page(port, "wall")
        finally:
            program.send_signal(signal.SIGTERM)
            out, err = program.communicate(timeout=60)

    page.close()
    assert (program.returncode, out) == (0, "")
    assert ("console_stopped" in err, "Traceback" in err) == (True, False)
    assert not any(
        secret in err + line for name in ("desk", "wall") for secret in (secret_of(name), digest_of(secret_of(name)))
    )
