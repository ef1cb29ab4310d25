"""The images and the composition, as far as they can be checked without an engine."""

import re
import shutil
import subprocess

import pytest
import yaml
from opentelemetry.sdk import environment_variables

from conferral.check.redis_server import VERSION_MIN, ServerVersion
from conferral.runtime.settings import ConsoleSettings, ServiceSettings
from tests.docs.dockerfiles import copied_from_the_tree, rest_of
from tests.docs.generated import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


#: Each Dockerfile, and what lists what its build may see.
DOCKERFILES = {"Dockerfile": ".dockerignore", "sandbox/Dockerfile": "sandbox/Dockerfile.dockerignore"}


def option(service, name):
    """The value of an option in a service's command."""
    arguments = SERVICES[service]["command"]
    return arguments[arguments.index(name) + 1]


# ---- the images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dockerfile, ignored", DOCKERFILES.items())
def test_everything_that_is_copied_exists_and_is_not_kept_out_of_the_build(dockerfile, ignored):
    let_in = {line[1:] for line in (ROOT / ignored).read_text("utf-8").splitlines() if line[:1] == "!"}

    for source in copied_from_the_tree(dockerfile):
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_in), source


def test_the_image_of_a_server_has_no_sandbox_and_both_have_one_base():
    assert not any(source.startswith("sandbox") for source in copied_from_the_tree())
    assert {rest_of("FROM")[-1]} == {rest_of("FROM", "sandbox/Dockerfile")[-1]}


def test_every_package_that_ships_is_copied():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = project["tool"]["setuptools"]["package-dir"].values()

    assert {"conferral", *folders} <= set(copied_from_the_tree())


@pytest.mark.parametrize("ignored", DOCKERFILES.values())
def test_secrets_never_get_into_the_build(ignored):
    lines = [line for line in (ROOT / ignored).read_text("utf-8").splitlines() if line and line[0] != "#"]

    assert lines[0] == "*"
    assert not any(line.startswith("!.") for line in lines)


# ---- the composition ---------------------------------------------------------------------------------------------


def test_redis_has_the_security_fixes_that_the_check_asks_for():
    version = ServerVersion("Redis", SERVICES["redis"]["image"].partition(":")[2].partition("-")[0])
    assert version.numbers >= VERSION_MIN
    assert not version.missing_security_fixes


def test_the_image_has_the_version_of_the_package():
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert {service["image"] for service in OURS.values()} == {f"conferral:{version}"}


@pytest.mark.parametrize("name", OURS)
def test_docker_services_run_existing_commands_and_options(name, commands):
    command, *arguments = OURS[name]["command"]

    assert command in commands
    known = {option for parameter in commands[command].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


#: The code of each process, and the settings that it reads at its start in `conferral/processes/`. `check` also runs
#: next to the worker, and compares the keys.
READ_FROM = {
    "webhooks": (
        ("webhooks", "conferral/telephony"),
        {"session_ttl_s", "partitions", "drain_s", "region", "edge"},
    ),
    "worker": (
        ("worker", "conferral/telephony", "conferral/outcomes"),
        {"session_ttl_s", "partitions", "webhook_keys", "region", "edge"},
    ),
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
    given = {one for one in service["environment"] if not one.startswith("OTEL_")}
    assert given == wanted, "docker-compose.yml names each setting that a process reads"


def test_variables_of_opentelemetry_are_those_that_its_sdk_reads():
    known = {*vars(environment_variables)}
    given = {one for service in OURS.values() for one in service["environment"] if one.startswith("OTEL_")}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in given
    assert given <= known


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
