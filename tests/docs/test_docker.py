"""The image and the composition, as far as they can be checked without an engine."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

from console import app as console
from runtime.clock import SystemClock
from runtime.metrics import Metrics
from runtime.pages.serving import is_this_machine
from runtime.settings import ConsoleSettings, ServiceSettings, load
from tests.docs.generated import ROOT
from webhooks.app import make_app
from worker.status import make_status_app

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}


def instructions():
    """The Dockerfile's instructions in order: name and the rest, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages():
    found = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def copied_from_the_tree():
    return [
        source
        for name, rest in instructions()
        if name == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    ]


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
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert packages <= set(copied_from_the_tree())


def test_secrets_never_get_into_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]

    assert lines[0] == "*"
    assert not any(line.startswith("!.") for line in lines)


def test_libraries_are_installed_by_hash_from_the_lock():
    installs = [
        command.strip()
        for name, rest in instructions()
        if name == "RUN"
        for command in rest.split("&&")
        if " install " in command
    ]

    assert len(installs) == 2
    assert {"--require-hashes", "requirements.lock"} <= set(shlex.split(installs[0]))
    # The project itself needs nothing more from anywhere.
    assert {"--no-deps", "--no-index", "--no-build-isolation"} <= set(shlex.split(installs[1]))
    assert all("--no-cache-dir" in command for command in installs)


def test_the_image_that_runs_has_one_layer_of_ours_and_a_user_without_rights():
    last = stages()[-1]
    users = [rest for name, rest in last if name == "USER"]

    assert users
    assert users[-1] not in ("root", "0")
    assert [rest for name, rest in last if name == "COPY"] == ["--from=builder /opt/conferral /opt/conferral"]
    assert not any("pip" in rest for name, rest in last if name == "RUN")
    # Signals reach the process only when no shell stands between.
    assert ("ENTRYPOINT", '["conferral"]') in last


def test_no_image_is_named_without_a_version():
    images = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    images += [service["image"] for service in SERVICES.values()]

    for image in images:
        tag = image.partition(":")[2]
        assert tag, image
        assert tag != "latest", image


def test_the_image_has_a_python_that_the_project_is_tested_on():
    images = {rest.split()[0] for name, rest in instructions() if name == "FROM"}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")

    for image in images:
        version = re.search(r"python:(\d+\.\d+)", image)[1]
        assert f'"{version}"' in workflow


@pytest.mark.timeout(180)
def test_what_is_copied_is_enough_to_build_a_wheel_that_holds_everything(tmp_path):
    source, target = tmp_path / "src", tmp_path / "wheel"
    source.mkdir()
    for name in copied_from_the_tree():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)

    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", target, "."]
    built = subprocess.run([sys.executable, *command], cwd=source, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    expected = {
        path.relative_to(source).as_posix()
        for room in source.iterdir()
        if room.is_dir() and (room / "__init__.py").exists()
        for path in room.rglob("*")
        if path.suffix in (".py", ".lua", ".typed", ".html", ".css", ".js", ".svg")
    }
    assert expected - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)


# ---- the composition ---------------------------------------------------------------------------------------------


def test_there_are_redis_the_webhooks_two_workers_and_the_console():
    assert "redis" in SERVICES
    assert [name for name, service in OURS.items() if service["command"][0] == "webhooks"] == ["webhooks"]
    assert [name for name, service in OURS.items() if service["command"][0] == "console"] == ["console"]
    assert sum(service.get("deploy", {}).get("replicas", 1) for service in WORKERS.values()) == 2


def test_redis_keeps_what_it_is_given():
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))

    assert options == {"--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"}
    volume, _, folder = SERVICES["redis"]["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert folder == "/data"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_comes_back_by_itself(name):
    service = SERVICES[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_runs_is_a_command_with_these_options(name, commands):
    command, *arguments = OURS[name]["command"]

    assert command in commands
    known = {option for parameter in commands[command].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("name", OURS)
def test_a_process_gets_longer_to_stop_than_it_takes(name):
    assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > 10


@pytest.mark.parametrize("name", OURS)
def test_a_health_check_asks_for_a_route_that_exists_on_the_port_that_is_listened_on(name):
    service = OURS[name]
    text = " ".join(service["healthcheck"]["test"])
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)'", text).groups()
    arguments = service["command"]
    app = make_status_app(Metrics(), None) if name in WORKERS else APPS[name]()

    assert arguments[arguments.index("--port") + 1] == port
    assert path in {route.resource.canonical for route in app.router.routes()}
    timeout_s = int(service["healthcheck"]["timeout"].removesuffix("s"))
    assert int(re.search(r"timeout=(\d+)", text)[1]) < timeout_s
    compile(service["healthcheck"]["test"][3], "health check", "exec")


def webhooks_app():
    environ = {
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_NUMBER": "+12025550100",
        "CONFERRAL_PUBLIC_URL": "https://voice.example.com",
    }
    return make_app(load(ServiceSettings, environ), None, None, Metrics(), None)


def console_app():
    settings = load(ConsoleSettings, {"CONFERRAL_API_TOKEN": "a-token-that-nobody-guesses"})
    return console.make_app(settings, None, SystemClock())


APPS = {"webhooks": webhooks_app, "console": console_app}


def test_the_console_is_published_to_this_machine_alone():
    arguments = SERVICES["console"]["command"]

    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    port = arguments[arguments.index("--port") + 1]
    assert SERVICES["console"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    # It can't see that from inside: without a name it would answer under anybody's that leads here.
    assert is_this_machine(arguments[arguments.index("--allow-host") + 1])


def test_the_webhooks_listen_beyond_their_container_on_the_port_that_is_published():
    arguments = SERVICES["webhooks"]["command"]

    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    assert SERVICES["webhooks"]["ports"] == [f"127.0.0.1:8080:{arguments[arguments.index('--port') + 1]}"]


def test_nothing_is_published_past_what_ends_tls():
    published = [(name, port) for name, service in SERVICES.items() for port in service.get("ports", ())]

    assert [name for name, _ in published] == ["webhooks", "console"]
    assert all(port.startswith("127.0.0.1:") for _, port in published)


@pytest.mark.parametrize("name", OURS)
def test_a_process_finds_redis_and_its_secrets_outside_the_composition(name):
    service = OURS[name]
    known = {str(field.validation_alias) for field in ServiceSettings.model_fields.values()}

    assert service["env_file"] == ".env"
    assert service["environment"]["REDIS_URL"] == "redis://redis:6379/0"
    assert set(service["environment"]) <= known
    assert not {key for key in service["environment"] if "TOKEN" in key or "SECRET" in key}


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
