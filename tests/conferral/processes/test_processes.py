"""`webhooks`, `worker` and `sandbox` as processes: starting, stopping, and what stands in their way."""

import base64
import contextlib
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

from conferral.storage.config import SCHEMA_VERSION
from tests.conferral.cli_helpers import KEYS, SERVICE, Ran, start, until
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.processes, pytest.mark.redis]
LISTENS = {"webhooks": "/healthz", "worker": "/healthz", "sandbox": "/sandbox/calls"}
#: Gauges of webhooks.
STREAMS = {"conferral_streams", "conferral_desk_streams"}


def status(url):
    """The HTTP status that is answered; 0 while no one listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def asked_by(url):
    """The URLs that a sandbox has asked, oldest first."""
    with urllib.request.urlopen(f"{url}/sandbox/requests", timeout=5) as answer:
        return [entry["url"] for entry in json.load(answer)["deliveries"]]


@contextlib.contextmanager
def running(command, cwd, redis_url, **variables):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"TWILIO_API_URL": url} if command == "sandbox" else {}
    env = {**SERVICE, "REDIS_URL": redis_url, **own, **variables}
    with start(command, "--port", str(port), cwd=cwd, env=env) as program:
        try:
            yield program, url
        finally:
            program.kill()


#: How each process that listens is stopped, and how long webhooks drain after SIGTERM, in seconds. Every run has the
#: first; the long one has the others, too.
ASKED = [
    pytest.param(asked, drain_s, marks=[pytest.mark.soak] if number else [])
    for number, (asked, drain_s) in enumerate(((signal.SIGTERM, 2), (signal.SIGTERM, 8), (signal.SIGINT, 8)))
]


def gauges_of(url):
    """The gauges that a process exports. The library calls the time when a counter was created one, too."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        exposition = answer.read().decode()
    assert "# TYPE conferral_store_failures_total counter" in exposition
    return re.findall(r"^# TYPE (conferral_\w+)(?<!_created) gauge$", exposition, re.MULTILINE)


def not_ready_for(url):
    """What `/readyz` lacks; None while no one listens."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return []
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["missing"] if error.code == 503 else [error.code]
    except OSError:
        return None


def watch_draining(program, url, drain_s):
    """Webhooks that were asked to stop serve on for a while."""
    began_s = time.monotonic()
    until(lambda: not_ready_for(url) == ["draining"], "webhooks do not drain", program)
    served_until_s = began_s
    while (answered := status(f"{url}/voice/inbound")) != 0:
        assert answered == 405  # a new caller's request would be answered
        served_until_s = time.monotonic()
    assert served_until_s - began_s >= drain_s - 0.2
    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize("command", LISTENS)
@pytest.mark.parametrize(("asked", "drain_s"), ASKED)
def test_process_serves_before_redis_is_there_and_exits_0_when_stopped(
    redis_program, tmp_path, command, asked, drain_s
):
    """It agrees with Redis later, and webhooks drain while `/readyz` says so.

    Only workers export gauges of calls: a 0 of the webhooks would lower averages.
    """
    with RedisServer(redis_program) as server:
        server.kill()
        with running(command, tmp_path, server.url, CONFERRAL_DRAIN=str(drain_s)) as (program, url):
            until(lambda: status(url + LISTENS[command]) == 200, f"{command} answers only with Redis", program)
            if command != "sandbox":
                assert status(f"{url}/readyz") == 503
            server.start()
            if command != "sandbox":
                until(lambda: status(f"{url}/readyz") == 200, f"{command} does not find Redis", program)
                with server.client() as client:
                    until(lambda: client.hget(KEYS.config, "partitions") == "16", f"{command} did not agree", program)
                assert bool({*gauges_of(url)} - STREAMS) is (command == "worker")

            program.send_signal(asked)
            if command == "webhooks" and asked is signal.SIGTERM:
                watch_draining(program, url, drain_s)
            out, err = program.communicate(timeout=60)

    assert program.returncode == 0, err
    assert bool(out) is (command == "sandbox")
    assert "Traceback" not in err


def test_the_sandbox_takes_the_app_and_the_api_key_of_the_settings(redis, redis_server, tmp_path):
    """A call of a browser goes through the app to the webhooks; the API key is as good as the token."""
    sid, token = SERVICE["TWILIO_ACCOUNT_SID"], SERVICE["TWILIO_AUTH_TOKEN"]
    key, other = "SK" + "d4" * 16, "SK" + "e5" * 16
    (tmp_path / ".env").write_text(f"TWILIO_API_KEY={key}\nTWILIO_API_SECRET=hidden-secret\n")
    app = {"TWILIO_TWIML_APP_SID": "AP" + "c3" * 16}
    with running("sandbox", tmp_path, redis_server.url, **app) as (program, url):
        until(lambda: status(f"{url}/sandbox/calls") == 200, "the sandbox does not answer", program)
        calls = f"{url}/2010-04-01/Accounts/{sid}/Calls.json"
        answered = [
            status(urllib.request.Request(calls, headers={"Authorization": f"Basic {encoded(user, password)}"}))
            for user, password in ((sid, token), (key, "hidden-secret"), (key, token), (other, "hidden-secret"))
        ]
        call = json.dumps({"identity": "alice", "to": "client:bob"}).encode()
        with urllib.request.urlopen(f"{url}/sandbox/browser-calls", data=call, timeout=5) as answer:
            assert answer.status == 201
        until(lambda: asked_by(url), "nobody is asked for TwiML", program)
        asked = asked_by(url)

    assert answered == [200, 200, 401, 401]
    assert asked[0] == "http://127.0.0.1:9/voice/client"


def encoded(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("command", [*LISTENS, "console"])
def test_a_port_that_is_taken_is_named_with_the_way_out(run, redis, command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = run(command, "--port", str(port), **SERVICE, CONFERRAL_API_TOKEN="a-token-that-nobody-guesses")

    reason = f"port {port} on 127.0.0.1 is unavailable (address already in use); choose another with --port\n"
    assert ran == Ran(2, "", reason)


@pytest.mark.parametrize("command", ["webhooks", "worker", "console"])
@pytest.mark.parametrize("other", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_schema_stops_the_process_with_2_in_words(run, redis, command, other):
    redis.hset(KEYS.config, mapping={"partitions": 16, "schema": other})

    ran = run(command, "--port", str(free_port()), **SERVICE, CONFERRAL_API_TOKEN="a-token-that-nobody-guesses")

    assert ran.code == 2
    assert f"CONFERRAL_PREFIX: conferral:config in Redis has schema {other}, and this release reads only" in ran.err
    assert "run a release with that schema, set another CONFERRAL_PREFIX, or delete all keys" in ran.err


@pytest.mark.parametrize("command", ["webhooks", "worker"])
def test_another_number_of_partitions_stops_the_process_with_2(run, redis, command):
    redis.hset(KEYS.config, mapping={"partitions": 4, "schema": SCHEMA_VERSION})

    ran = run(command, "--port", str(free_port()), **SERVICE)

    assert ran.code == 2
    assert "CONFERRAL_PARTITIONS: 16, but conferral:config in Redis was set up with 4; use that" in ran.err
