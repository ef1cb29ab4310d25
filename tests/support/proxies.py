"""The shipped configurations of TLS proxies in front of a test's processes, without TLS."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import process_reports
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
INCLUDED = "conferral-desk-sign-in.conf"
#: How long a proxy may take to listen on a busy machine, seconds.
START_S = 30.0
#: As in Debian's own nginx.conf.
_NGINX = """pid {folder}/pid;
error_log stderr;
{user}
worker_processes auto;
events {{ worker_connections 768; }}
http {{
access_log off;
{folders}
{servers}
}}
"""


def require(program: str) -> None:
    """Skip the test without a proxy's program. In CI, fail, unless `.ci/run` could not install it."""
    if shutil.which(program):
        return
    if os.environ.get("CI") == "true" and "CONFERRAL_TEST_WITHOUT_PROXIES" not in os.environ:
        pytest.fail(f"{program} is not on PATH, and CI requires it: .ci/run installs it, or says that it can't")
    pytest.skip(f"{program} is not on PATH: apt-get install nginx-light caddy (in CI: .ci/run could not)")


@dataclass(frozen=True, slots=True)
class DeskProxy:
    """How the shipped nginx has agents sign in at a sign-in proxy."""

    port: int
    #: Else nginx passes the desk's requests through it.
    is_asked: bool
    secret: str


def nginx_command(folder: Path, port: int, webhooks_port: int, *, desk: DeskProxy | None = None) -> list[str]:
    """Return the command. With `desk`, the desk's host name is the loopback address."""
    shipped = (ROOT / "deploy" / "nginx" / "conferral.conf").read_text("utf-8")
    servers = re.sub(r"^ *ssl_certificate.*\n", "", shipped, flags=re.MULTILINE)
    if desk is not None:
        servers = servers.replace("desk.example.com", HOST)
        if desk.is_asked:
            sign_in = (ROOT / "deploy" / "nginx" / INCLUDED).read_text("utf-8")
            sign_in = sign_in.replace(":4180;", f":{desk.port};").replace("change-me", desk.secret)
            (folder / INCLUDED).write_text(sign_in.replace(":8080;", f":{webhooks_port};"), "utf-8")
            servers = servers.replace(f"# include /etc/nginx/{INCLUDED};", f"include {folder}/{INCLUDED};")
        else:
            before, desks = servers.split(f"server_name {HOST};")
            desks = desks.replace(":8080;", f":{desk.port};", 1).replace("^/desk(/|$)", "^/(desk|oauth2)(/|$)")
            servers = f"{before}server_name {HOST};{desks}"
    servers = servers.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(":8080;", f":{webhooks_port};")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(folder=folder, user=user, folders=folders, servers=servers)
    (folder / "nginx.conf").write_text(text, "utf-8")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]


def caddy_command(folder: Path, port: int, webhooks_port: int) -> list[str]:
    shipped = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text("utf-8")
    sites = re.sub(r"^(\w+\.example\.com) \{", rf"http://\1:{port} {{", shipped, flags=re.MULTILINE)
    sites = sites.replace("127.0.0.1:8080", f"127.0.0.1:{webhooks_port}")
    options = "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n\tgrace_period 1s\n}\n"
    (folder / "Caddyfile").write_text(options + sites, "utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS: dict[str, Callable[..., list[str]]] = {"nginx": nginx_command, "caddy": caddy_command}


@contextmanager
def proxy(program: str, folder: Path, webhooks_port: int, *, port: int = 0, **options: Any) -> Iterator[int]:
    """Run a proxy with its shipped configuration; yield its port."""
    require(program)
    port, log = port or free_port(), folder / f"{program}.log"
    command = COMMANDS[program](folder, port, webhooks_port, **options)
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        with process_reports.watched(program, process.poll, lambda: log.read_text(errors="replace")):
            until_s = time.monotonic() + START_S
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, process_reports.described()
                assert time.monotonic() < until_s, process_reports.described()
                time.sleep(0.02)
            yield port
    finally:
        process.terminate()
        process.wait(timeout=START_S)
