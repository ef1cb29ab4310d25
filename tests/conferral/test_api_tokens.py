"""`conferral api-token`, and a tokens file that is wrong."""

import re
import signal
import tomllib
import urllib.error
import urllib.request

import pytest

from conferral.runtime.web.tokens import digest_of
from conferral.telephony.token_file import load_tokens
from tests.conferral.cli_helpers import SERVICE, Ran, set_up, start, until
from tests.conferral.test_processes import status
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
def test_the_console_reads_it_again_and_keeps_the_old_one_where_the_new_one_is_broken(redis, redis_server, tmp_path):
    set_up(redis)
    path = write_tokens(tmp_path / "tokens.toml", table("desk", ["read"]))
    port = free_port()
    url = f"http://127.0.0.1:{port}/report"
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
        finally:
            program.send_signal(signal.SIGTERM)
            _, err = program.communicate(timeout=60)

    assert program.returncode == 0
    assert not any(
        secret in err + line for name in ("desk", "wall") for secret in (secret_of(name), digest_of(secret_of(name)))
    )
