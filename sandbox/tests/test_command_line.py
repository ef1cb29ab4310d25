"""The command `offhook`, as a shell runs it."""

import asyncio
import signal
import socket
import subprocess
import sys

import aiohttp
import pytest

from offhook.command_line import main, make_parser


async def test_command_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "offhook", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().partition(", ")[0].rpartition(" ")[2]
        account, token = [(await process.stdout.readline()).split()[1].decode() for _ in range(2)]
        login = {"Authorization": aiohttp.encode_basic_auth(account, token)}
        async with aiohttp.request("GET", f"{url}/2010-04-01/Accounts/{account}/Calls.json", headers=login) as answer:
            assert (answer.status, (await answer.json())["calls"]) == (200, [])
        process.send_signal(signal.SIGTERM)
        assert (await process.stdout.read(), await process.wait()) == (b"", 0)
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "99999"],
        ["--port", "-1"],
        ["--port", "9" * 5_000],
        ["--pot", "1"],
        ["--host", "0.0.0.0"],
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
    parser = make_parser({"SANDBOX_PORT": "9000", "SANDBOX_HOST": "::1"})
    assert vars(parser.parse_args([])) == {"port": 9000, "host": "::1"}
    assert vars(parser.parse_args(["--port", "1", "--host", "localhost"])) == {"port": 1, "host": "localhost"}


def test_nothing_of_conferral_nor_twilios_library_is_imported() -> None:
    use = "import sys, offhook; [getattr(offhook, name) for name in offhook.__all__]; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert not {"conferral", "twilio"} & {name.partition(".")[0] for name in ran.stdout.split()}


def test_start_waits_for_no_library_that_only_the_control_routes_need() -> None:
    use = "import sys, offhook.command_line, offhook.service; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert not {"pydantic", "importlib.metadata"} & set(ran.stdout.split())
