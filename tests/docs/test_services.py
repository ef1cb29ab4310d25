"""The systemd units and the proxies: what reads them takes them, and they lead to what listens there."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.telephony.callback_urls import FALLBACK_PATH, GATE_PATH
from conferral.webhooks.api.desk_routes import DESK_ROUTES
from conferral.webhooks.api.openapi import ALL_ROUTES
from conferral.webhooks.app import make_app
from conferral.webhooks.wait_url import PATHS
from tests.docs.generated import ROOT
from tests.docs.test_blocks import TREE, parsed
from tests.webhooks.webhook_helpers import settings

#: Where the page has the repository.
FOLDER = "/srv/conferral"
#: What each unit is started for.
INSTANCES = {"conferral": ("webhooks", "console"), "conferral-worker": ("9100", "9101")}
#: Seconds that a process takes to stop at most.
STOPS_WITHIN_S = 10
#: Fewest files that a process may open (count).
FILES_LEAST = 65_536
SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = {it.relative_to(SYSTEMD).as_posix(): it.read_text("utf-8") for it in SYSTEMD.rglob("*.*") if it.is_file()}
NGINX = (ROOT / "deploy" / "nginx" / "conferral.conf").read_text("utf-8")
CADDY = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text("utf-8")


def port_of(command: str) -> str:
    """The port on which a process listens by default."""
    return next(str(one.default) for one in TREE.commands[command].params if one.name == "port")


def settings_of(text: str, name: str) -> list[str]:
    """The values of a unit's setting, in order."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


#: What a process can't do or see that was taken over. Source: systemd.exec(5), "Sandboxing".
CONFINED = {
    "NoNewPrivileges": ["true"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["true"],
    "PrivateTmp": ["true"],
    "PrivateDevices": ["true"],
    "CapabilityBoundingSet": [""],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "SystemCallFilter": ["@system-service"],
}


def test_the_units_start_what_the_command_line_knows_and_leave_it_time_to_stop() -> None:
    units = {f"{unit}@.service": instances for unit, instances in INSTANCES.items()}
    others = {"conferral-check.service": ("",), "conferral@console.service.d/host.conf": ("",)}
    others["conferral-worker@.service.d/host.conf"] = INSTANCES["conferral-worker"]
    assert UNITS.keys() == units.keys() | others.keys() | {"conferral-check.timer"}
    for name, instances in (units | others).items():
        program, *words = shlex.split(settings_of(UNITS[name], "ExecStart")[-1])
        assert program == f"{FOLDER}/.venv/bin/conferral"
        for instance in instances:
            parsed([word.replace("%i", instance) for word in words])
    for name in units:
        (stops_s,), (files,) = settings_of(UNITS[name], "TimeoutStopSec"), settings_of(UNITS[name], "LimitNOFILE")
        assert int(stops_s) > STOPS_WITHIN_S
        assert int(files) >= FILES_LEAST
        # Someone may cure what ended a process with 2, such as a key of Redis: it starts again, after a pause.
        assert settings_of(UNITS[name], "Restart") == ["always"]
        assert not settings_of(UNITS[name], "RestartPreventExitStatus")
        assert "$$EXIT_STATUS" in settings_of(UNITS[name], "ExecStopPost")[0]
    for name in units.keys() | {"conferral-check.service"}:
        assert settings_of(UNITS[name], "User") == ["conferral"]
        assert settings_of(UNITS[name], "WorkingDirectory") == [FOLDER]
        assert {one: settings_of(UNITS[name], one) for one in CONFINED} == CONFINED


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, to read units")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "srv" / ".venv" / "bin" / "conferral"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    for place, text in UNITS.items():
        unit = tmp_path / place
        unit.parent.mkdir(exist_ok=True)
        unit.write_text(text.replace(FOLDER, str(tmp_path / "srv")), "utf-8")

    names = [str(tmp_path / f"{unit}@{one}.service") for unit, instances in INSTANCES.items() for one in instances]
    names += [str(tmp_path / "conferral-check.service"), str(tmp_path / "conferral-check.timer")]
    command = ["systemd-analyze", "verify", "--man=no", *names]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_proxies_lead_to_the_ports_that_are_listened_on() -> None:
    for text in (NGINX, CADDY):
        ports = [port_of("webhooks"), port_of("webhooks"), port_of("console")]
        assert re.findall(r"127\.0\.0\.1:(\d+)", text) == ports


def test_the_proxies_pass_what_twilio_requests_and_no_more() -> None:
    webhooks, _, consoles = re.findall(r"location ~ (\S+) \{", NGINX)
    (patterns,) = re.findall(r"@twilio path (.+)\n\thandle @twilio \{\n\t\treverse_proxy 127", CADDY)
    for rest in ("    location / { return 404; }\n", "\thandle {\n\t\trespond 404\n\t}\n"):
        assert (NGINX + CADDY).count(rest) == 2  # of the desk's host, too
    twilios = {path for path in webhook_paths() if path.split("/")[1] in ("voice", "callbacks", "media")}
    assert twilios > {*PATHS.values(), GATE_PATH, FALLBACK_PATH}

    for path in webhook_paths():
        assert bool(re.search(webhooks, path)) is (path in twilios), path
        assert any(fnmatch.fnmatchcase(path, one) for one in patterns.split()) is (path in twilios), path
    assert re.search(r"not path (\S+)\n", CADDY)[1] == "/desk/tokens"
    assert [one for one in ("/healthz", "/readyz", "/", "/ws") if re.search(consoles, one)] == ["/healthz", "/readyz"]
    assert "\t@inside path */healthz */readyz\n\trespond @inside 404\n" in CADDY


def webhook_paths() -> set[str]:
    """Every path that the webhooks answer; an id is the word that a careless pattern would take for Twilio's."""
    app = make_app(settings(), None, None, Metrics(), SystemClock())
    ours = {route.resource.canonical for route in app.router.routes() if route.resource is not None}
    return {re.sub(r"\{\w+\}", "voice", path) for path in ours | {route.path for route in ALL_ROUTES}}


def test_the_proxies_pass_the_desk_under_a_host_of_its_own_and_nothing_else_of_the_api() -> None:
    _, desks, _ = re.findall(r"location ~ (\S+) \{", NGINX)
    (hidden,) = re.findall(r"location = (\S+) \{ return 404; \}", NGINX)
    (patterns,) = re.findall(r"@desk \{\n\t\tpath (.+)\n", CADDY)
    browsers = {route.path for route in DESK_ROUTES} | {"/desk", "/desk/conferral-desk.js"}
    for path in webhook_paths() | {re.sub(r"\{\w+\}", "voice", path) for path in browsers}:
        is_desks = path.startswith("/desk") and path != hidden
        assert (path != hidden and bool(re.search(desks, path))) is is_desks, path
        assert (path != hidden and any(fnmatch.fnmatchcase(path, one) for one in patterns.split())) is is_desks, path


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx, to read its configuration")
def test_nginx_takes_its_file(tmp_path: Path) -> None:
    assert shutil.which("openssl"), "a machine with nginx has openssl"
    keys = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.com", *keys]
    subprocess.run(make, capture_output=True, check=True, timeout=30)
    servers = re.sub(r"/etc/ssl/[\w.]+/", f"{tmp_path}/", NGINX)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    whole = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{servers}}}\n"
    (tmp_path / "nginx.conf").write_text(whole, "utf-8")

    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert process.returncode == 0, process.stderr


@pytest.mark.skipif(shutil.which("caddy") is None, reason="needs caddy, to read its configuration")
def test_caddy_takes_its_file_and_proxies_before_it_refuses_the_rest(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(CADDY, "utf-8")

    command = ["caddy", "adapt", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")]
    output = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert output.returncode == 0, output.stderr
    assert "127.0.0.1:8082" in output.stdout
    (server,) = json.loads(output.stdout)["apps"]["http"]["servers"].values()
    for host in server["routes"]:
        # Caddy sorts directives: what matches every path has to come last.
        (site,) = host["handle"]
        assert ["match" in one for one in site["routes"]][-2:] == [True, False]
