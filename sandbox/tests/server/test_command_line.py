"""The command `offhook`, as a shell runs it."""

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
from typing import Any, Self

import aiohttp
import pytest

from offhook import NUMBER, Sandbox
from offhook.command.options import NAMES, read_api_key, read_options
from offhook.command_line import main, make_parser


class Command:
    """A process of the command, which may write no files."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        line = shlex.join([sys.executable, "-m", "offhook", "--port", "0", *arguments])
        self._command = ["sh", "-c", f"ulimit -f 0; exec {line}"]
        self._environment = {**os.environ, **environment, "HOME": "/nonexistent", "TMPDIR": "/nonexistent"}
        self.printed: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.PIPE, env=self._environment
        )
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            name, _, value = line.partition(":")
            self.printed[name.strip()] = value.strip()
            if "client.region = client.edge = undefined;" in line:
                break
        return self

    async def __aexit__(self, *_failure: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def test_command_serves_until_it_is_stopped() -> None:
    async with Command() as command:
        url, account, token = (command.printed[name] for name in ("URL", "account", "token"))
        login = {"Authorization": aiohttp.encode_basic_auth(account, token)}
        form = {"From": command.printed["numbers"], "To": "client:alice", "Twiml": "<Response/>"}
        resource = f"{url}/2010-04-01/Accounts/{account}/Calls.json"
        async with aiohttp.request("POST", resource, data=form, headers=login) as answer:
            assert (answer.status, (await answer.json())["from"]) == (201, NUMBER)
        command.process.send_signal(signal.SIGTERM)
        assert (await command.process.communicate(), command.process.returncode) == ((b"", None), 0)


async def test_command_serves_other_machines_that_have_its_token() -> None:
    names = "Offhook.test other.test"
    async with Command(OFFHOOK_HOST="0.0.0.0", OFFHOOK_ALLOW_HOST=names, OFFHOOK_TOKEN="a-token") as command:
        assert command.printed["phones"].startswith("http://offhook.test:")
        assert command.printed["phones"].endswith("/?token=a-token")
        url = command.printed["URL"].replace("offhook.test", "127.0.0.1")
        for host, token, status in (("other.test", "a-token", 200), ("offhook.test", "b", 401), ("x", "a-token", 403)):
            headers = {"Host": host, "Authorization": f"Bearer {token}"}
            async with aiohttp.request("GET", f"{url}/sandbox/calls", headers=headers) as answer:
                assert answer.status == status
        for header in (b"Authorization: Bearer \xff", b"Cookie: offhook=\xff"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"GET /sandbox/calls HTTP/1.1\r\nHost: other.test\r\n" + header + b"\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"401"
            writer.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "99999"],
        ["--port", "-1"],
        ["--port", "9" * 5_000],
        ["--pot", "1"],
        ["--host", "0.0.0.0"],
        ["--allow-host", "http://offhook.test"],
        ["--allow-host", "offhook.test:8081"],
        ["--host", "no host"],
        ["--host", ""],
    ],
)
def test_unusable_option_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(arguments)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n"), err.startswith("offhook: ")) == (2, "", 1, True)


def test_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert capsys.readouterr() == ("", f"offhook: can't listen on 127.0.0.1, port {port}: address already in use\n")


def test_options_come_from_the_environment_unless_they_are_given() -> None:
    variables = {"OFFHOOK_PORT": "9000", "OFFHOOK_HOST": "::1", "OFFHOOK_ALLOW_HOST": "a b", "OFFHOOK_STRICT": "yes"}

    def given(*arguments: str) -> dict[str, Any]:
        return {name: value for name, value in vars(make_parser().parse_args(arguments)).items() if name != "config"}

    found = read_options(variables, **given())
    expected = {"port": 9000, "host": "::1", "allow_hosts": ("a", "b"), "strict": True, "control_token": "", "maps": {}}
    expected["allow_internet"] = False
    assert found == expected
    found = read_options(variables, **given("--port", "1", "--host", "localhost", "--allow-host", "c"))
    assert found == expected | {"port": 1, "host": "localhost", "allow_hosts": ("c",)}
    assert read_options({"OFFHOOK_STRICT": "off"}, strict=True)["strict"]


def test_api_key_comes_from_two_variables() -> None:
    assert read_api_key({}) == {}
    assert read_api_key({"OFFHOOK_API_KEY": "SK1", "OFFHOOK_API_SECRET": "s"}) == {"SK1": "s"}
    with pytest.raises(ValueError, match="set both"):
        read_api_key({"OFFHOOK_API_KEY": "SK1"})


@pytest.mark.parametrize(("name", "value"), [("OFFHOOK_PORT", "http"), ("OFFHOOK_STRICT", "maybe")])
def test_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: '{value}' is "):
        read_options({name: value})


@pytest.mark.parametrize("name", NAMES)
def test_old_name_of_a_variable_is_refused_in_words(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"SANDBOX_{name}", "1")
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert f"offhook: SANDBOX_{name} is OFFHOOK_{name} now: rename it" in capsys.readouterr().err


def test_older_aiohttp_serves_only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, is_safe in (("3.9.5", False), ("3.14.3", False), ("3.14.4", True), ("4.0.0a1", True)):
        monkeypatch.setattr("aiohttp.__version__", version)
        assert Sandbox().allow_hosts == ()
        if is_safe:
            assert Sandbox(allow_hosts=("a",)).control_token
            continue
        with pytest.raises(ValueError, match=f"^aiohttp {version} has .* only loopback.* install 3.14.4 or newer"):
            Sandbox(allow_hosts=("a",))


def test_nothing_of_conferral_nor_twilios_library_is_imported() -> None:
    use = "import sys, offhook; [getattr(offhook, name) for name in offhook.__all__]; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert not {"conferral", "twilio", "pydantic", "msgspec"} & {name.partition(".")[0] for name in ran.stdout.split()}


def test_start_waits_for_no_code_that_only_the_control_routes_need() -> None:
    use = "import sys, offhook.command_line, offhook.service; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert not {"offhook.control.handlers", "importlib.metadata"} & set(ran.stdout.split())
