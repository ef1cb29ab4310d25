"""The image and the composition, as far as they can be checked without an engine."""

import os
import re
import shutil
import subprocess

import pytest
import redis
import yaml

from conferral.console import app as console
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ConsoleSettings, ServiceSettings, load
from conferral.runtime.web.pages import is_loopback
from conferral.webhooks.app import make_app
from conferral.worker.readiness import make_monitoring_app
from tests.docs.generated import ROOT
from tests.webhooks.webhook_helpers import settings

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}


def instructions():
    """The Dockerfile's instructions in order: name and the rest, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def rest_of(instruction):
    """What follows each instruction of this name."""
    return [rest for name, rest in instructions() if name == instruction]


def option(service, name):
    """The value of an option in a service's command."""
    arguments = SERVICES[service]["command"]
    return arguments[arguments.index(name) + 1]


def copied_from_the_tree():
    return [source for rest in rest_of("COPY") if "--from=" not in rest for source in rest.split()[:-1]]


# ---- the image ---------------------------------------------------------------------------------------------------


def test_everything_that_is_copied_exists_and_is_not_kept_out_of_the_build():
    let_in = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }

    for source in copied_from_the_tree():
        assert (ROOT / source).exists(), source
        assert source in let_in, source


def test_every_package_that_ships_is_copied():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = project["tool"]["setuptools"]["package-dir"].values()

    assert {"conferral", *folders} <= set(copied_from_the_tree())


def test_secrets_never_get_into_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]

    assert lines[0] == "*"
    assert not any(line.startswith("!.") for line in lines)


# ---- the composition ---------------------------------------------------------------------------------------------


def test_redis_keeps_what_it_is_given():
    (_, _, script) = SERVICES["redis"]["command"]
    words = script.splitlines()[0].partition(" <<")[0].removeprefix("exec redis-server - ").split()

    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        "--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction",
    }  # fmt: skip
    volume, _, folder = SERVICES["redis"]["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert folder == "/data"


@pytest.mark.parametrize("name", OURS)
def test_docker_services_run_existing_commands_and_options(name, commands):
    command, *arguments = OURS[name]["command"]

    assert command in commands
    known = {option for parameter in commands[command].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("name", WORKERS)
def test_prometheus_reaches_the_metrics_of_workers_from_their_network_alone(name):
    assert option(name, "--host") == "0.0.0.0"
    assert "outside" in SERVICES[name]["networks"]


@pytest.mark.parametrize("name", OURS)
def test_a_health_check_asks_for_a_route_that_exists_on_the_port_that_is_listened_on(name):
    service = OURS[name]
    text = " ".join(service["healthcheck"]["test"])
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)'", text).groups()
    app = make_monitoring_app(Metrics(), None, None) if name in WORKERS else APPS[name]()

    assert option(name, "--port") == port
    assert path in {route.resource.canonical for route in app.router.routes()}
    timeout_s = int(service["healthcheck"]["timeout"].removesuffix("s"))
    assert int(re.search(r"timeout=(\d+)", text)[1]) < timeout_s
    compile(service["healthcheck"]["test"][3], "health check", "exec")


def console_app():
    given = load(ConsoleSettings, {"CONFERRAL_API_TOKEN": "a-token-that-nobody-guesses"})
    return console.make_app(given, None, SystemClock())


APPS = {
    "webhooks": lambda: make_app(settings(), None, None, Metrics(), None),
    "console": console_app,
}


def test_the_console_is_published_to_this_machine_alone():
    assert option("console", "--host") == "0.0.0.0"
    port = option("console", "--port")
    assert SERVICES["console"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    # It can't see that from inside: without a name it would answer under anyone's that leads here.
    assert is_loopback(option("console", "--allow-host"))


@pytest.mark.parametrize("name", OURS)
def test_a_process_finds_redis_and_its_secrets_outside_the_composition(name):
    service = OURS[name]
    known = {str(field.validation_alias) for field in ServiceSettings.model_fields.values()}

    assert "env_file" not in service, "it would pass on all of .env"
    assert re.fullmatch(r"redis://:\$\{REDIS_PASSWORD:\?[^}]+\}@redis:6379/0", service["environment"]["REDIS_URL"])
    assert set(service["environment"]) <= known
    written = {name: value for name, value in service["environment"].items() if value is not None}
    assert written.keys() == {"REDIS_URL", "CONFERRAL_LOG_FORMAT"}, "all else is passed on"


#: The code of each process, and the settings that it reads at its start in `conferral/processes/`.
READ_FROM = {
    "webhooks": (("webhooks", "conferral/telephony"), {"session_ttl_s", "replay_window_s", "partitions", "drain_s"}),
    "worker": (("worker", "conferral/telephony"), {"session_ttl_s", "replay_window_s", "partitions"}),
    "console": (("conferral/console",), {*ConsoleSettings.model_fields}),
}


@pytest.mark.parametrize("name", OURS)
def test_a_process_gets_the_settings_that_it_reads_and_no_others(name):
    service = OURS[name]
    packages, others = READ_FROM[service["command"][0]]
    code = "\n".join(path.read_text("utf-8") for package in packages for path in (ROOT / package).rglob("*.py"))
    read = {*others, "redis_url", "prefix", "log_format", *re.findall(r"settings\.(\w+)", code)}
    fields = {**ServiceSettings.model_fields, **ConsoleSettings.model_fields}

    wanted = {str(it.validation_alias) for field, it in fields.items() if field in read}
    assert set(service["environment"]) == wanted, "docker-compose.yml names each setting that a process reads"


def test_redis_asks_for_a_password_and_is_reached_by_conferral_alone():
    service = SERVICES["redis"]

    assert "ports" not in service
    assert service["networks"] == ["store"]
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert service["environment"] == {"REDISCLI_AUTH": "${REDIS_PASSWORD:?}"}
    assert "requirepass $$REDISCLI_AUTH" in service["command"][2]
    assert (service["user"], service["read_only"], service["cap_drop"]) == ("redis", True, ["ALL"])


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH")
def test_the_line_that_starts_redis_gives_it_its_password(tmp_path):
    script = SERVICES["redis"]["command"][2].replace("$$", "$").replace(" - ", " - --port 0 --unixsocket r.sock ", 1)
    server = subprocess.Popen(
        ["sh", "-c", script], cwd=tmp_path, env={"PATH": os.environ["PATH"], "REDISCLI_AUTH": "s3cret"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert any("eady to accept connections" in line for line in server.stdout), "it ended before it was ready"
        with redis.Redis(unix_socket_path=str(tmp_path / "r.sock"), password="s3cret") as client:
            assert client.ping()
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        with (
            redis.Redis(unix_socket_path=str(tmp_path / "r.sock")) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0, "it is process 1 of its container, so the signal reaches it"


def test_docker_itself_takes_the_composition(tmp_path):
    """`docker compose config` needs the client and its plug-in, but no engine."""
    asked = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if not asked or asked.returncode:
        pytest.skip("no docker client with the compose plug-in on PATH")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")

    checked = subprocess.run(
        ["docker", "compose", "config", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
