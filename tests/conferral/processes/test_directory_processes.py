"""The directory and the tokens file in running processes: they are read at start, and again on SIGHUP."""

import json
import signal
import urllib.error
import urllib.parse
import urllib.request

import pytest
from twilio.request_validator import RequestValidator

from conferral.runtime.web.tokens import digest_of
from conferral.storage.presence_runs import KEPT_MS
from tests.conferral.cli_helpers import CALL, KEYS, SERVICE, Ran, start, stored_fields, until
from tests.conferral.processes.test_processes import running, status
from tests.support.people import AGENT_PHONE
from tests.support.ports import free_port
from tests.support.token_files import bearer_of, secret_of, table, write_tokens

pytestmark = [pytest.mark.processes, pytest.mark.redis]
CALLED = SERVICE["TWILIO_NUMBER"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "directory.toml"


def agent(name):
    return f'[destinations]\ndesk = "client:{name}"\n[inbound."{CALLED}"]\nagents = ["desk"]\n'


def answer(url, public=""):
    """The TwiML that answers an incoming call."""
    form = {
        "AccountSid": SERVICE["TWILIO_ACCOUNT_SID"],
        "CallSid": CALL,
        "From": "+14155550123",
        "To": CALLED,
        "CallStatus": "ringing",
        "Direction": "inbound",
    }
    signature = RequestValidator(SERVICE["TWILIO_AUTH_TOKEN"]).compute_signature(f"{public or url}/voice/inbound", form)
    request = urllib.request.Request(
        f"{url}/voice/inbound",
        urllib.parse.urlencode(form).encode(),
        {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


@pytest.mark.parametrize("command", ["webhooks", "worker"])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "directory.toml can't be read (no such file or directory)"),
        ("[destinations]\ndesk = 5\n", "directory.toml, destinations.desk: Input should be a valid string"),
    ],
    ids=["missing", "wrong"],
)
def test_a_directory_that_is_missing_or_wrong_stops_the_process_with_2(run, redis_server, path, command, text, found):
    if text is not None:
        path.write_text(text)
    settings = {**SERVICE, "REDIS_URL": redis_server.url, "CONFERRAL_DIRECTORY": path.name}
    assert run(command, "--port", str(free_port()), **settings) == Ran(2, "", f"CONFERRAL_DIRECTORY: {found}\n")


def asked_with(url, token):
    """The status of a request to the control API with this token."""
    request = urllib.request.Request(f"{url}/sessions", headers=bearer_of(token))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_webhooks_read_it_again_and_keep_the_old_one_where_the_new_one_is_broken(redis, redis_server, tmp_path, path):
    path.write_text(agent("bob"))
    tokens = write_tokens(tmp_path / "tokens.toml", table("desk", ["read"]))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {**SERVICE, "REDIS_URL": redis_server.url, "CONFERRAL_DIRECTORY": str(path), "CONFERRAL_PUBLIC_URL": url}
    env["CONFERRAL_TOKENS"] = str(tokens)
    with start("webhooks", "--port", str(port), cwd=tmp_path, env=env) as program:
        try:
            until(lambda: status(f"{url}/healthz") == 200, "the webhooks do not answer", program)
            assert ">bob<" in answer(url)
            until(lambda: asked_with(url, "desk") == 200, "the token is not known", program)

            path.write_text(agent("carol"))
            write_tokens(tokens, table("wall", ["read"]), table("robot", ["end"]))
            program.send_signal(signal.SIGHUP)
            until(lambda: ">carol<" in answer(url), "the webhooks did not read the directory again", program)
            until(lambda: asked_with(url, "wall") == 200, "the webhooks did not read the tokens again", program)
            assert [asked_with(url, name) for name in ("desk", "robot")] == [401, 403]

            path.write_text(agent("dora") + "beep = 5\n")
            write_tokens(tokens, table("wall", ["dance"]))
            program.send_signal(signal.SIGHUP)
            lines = (line for line in program.stderr if "directory_refused" in line or "tokens_refused" in line)
            refused = {found["event"]: found["reason"] for found in map(json.loads, (next(lines), next(lines)))}
            assert "directory.toml, inbound." in refused["directory_refused"]
            assert "tokens.wall.may: entry 1 is wrong" in refused["tokens_refused"]
            assert ">carol<" in answer(url)
            assert asked_with(url, "wall") == 200
        finally:
            program.send_signal(signal.SIGTERM)
            _, err = program.communicate(timeout=60)

    assert program.returncode == 0
    secrets = [secret for name in ("desk", "wall") for secret in (secret_of(name), digest_of(secret_of(name)))]
    assert not any(secret in f"{err}{refused}" for secret in (CALLED, *secrets))


def test_a_worker_reads_it_again(redis, redis_server, tmp_path, path):
    path.write_text("")
    twilio = {"TWILIO_API_URL": "http://127.0.0.1:9"}  # no one is there: nothing is dialed
    command = {"type": "call", "agent": "desk", "customer": "client:visitor"}
    with running("worker", tmp_path, redis_server.url, CONFERRAL_DIRECTORY=str(path), **twilio) as (program, url):
        until(lambda: status(f"{url}/readyz") == 200, "the worker is not ready", program)
        redis.xadd(KEYS.commands, {**command, "id": "before"})
        until(lambda: redis.hget(KEYS.command("before"), "status"), "the command has no outcome", program)
        assert redis.hget(KEYS.command("before"), "reason").startswith("agent: no destination is named desk in the")

        path.write_text(agent("bob"))
        program.send_signal(signal.SIGHUP)
        next(line for line in program.stderr if "directory_read" in line)
        redis.xadd(KEYS.commands, {**command, "id": "after", "session": "order-7"})
        until(lambda: redis.exists(KEYS.session("order-7")), "the call was not taken up", program)

        assert stored_fields(redis, "order-7")["party.agent.address"] == "client:bob"


def test_webhooks_keep_presence_without_any_desk(redis, redis_server, tmp_path, path):
    """So it is known that no desk is there: phones are rung, though someone waits in the queue."""
    agents = f'agents = ["client:dana", "{AGENT_PHONE}"]\nfallback = "queue,end"\n'
    path.write_text(f'[inbound."{CALLED}"]\n{agents}[agents.dana]\n')
    redis.hset(KEYS.queued, "other", CALLED)
    public = "https://conferral.example.com"
    given = {"CONFERRAL_DIRECTORY": str(path), "CONFERRAL_PUBLIC_URL": public}
    with running("webhooks", tmp_path, redis_server.url, **given) as (program, url):
        until(lambda: redis.hget(KEYS.presence, "webhooks_ms"), "webhooks don't keep presence", program)
        redis.hincrby(KEYS.presence, "webhooks_since_ms", -KEPT_MS)
        said = redis.hget(KEYS.presence, "webhooks_ms")
        until(lambda: redis.hget(KEYS.presence, "webhooks_ms") != said, "webhooks say it once", program)
        assert f">{AGENT_PHONE}<" in answer(url, public)
