"""`offhook run`: programs that know nothing of Offhook."""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from test_ordinary_node_program import has_twilio

from offhook import ACCOUNT_SID, NUMBER

HERE = Path(__file__).parent
NODE = shutil.which("node")
PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
HTTPX = "class Request:\n    def __init__(self, method, url):\n        self.url = url\n"


async def run(*arguments: str, **variables: str) -> tuple[int | None, str, str]:
    """Return the command's exit code, and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "offhook", "run", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | variables,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, out.decode(), err.decode()


async def test_python_program_runs_unmodified(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text(HTTPX)
    program = [sys.executable, str(HERE / "redirected_program.py")]
    others = ["https://verify.twilio.com/v2", "https://api.twilio.com.example/", "https://example.com/api.twilio.com"]

    code, out, err = await run("--", *program, *others, **PROXY, PYTHONPATH=str(tmp_path))

    assert code == 7, err
    assert json.loads(out) == {
        "twilio": 1,
        "key": 0,
        "aiohttp": [200, 200, 200],
        "http.client": [200, "api.twilio.com"],
        "httpx": f"here/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json?PageSize=1",
        "requests": 200,
        "urllib": 200,
        "urllib3": 200,
        "others": others,
    }
    assert "phones:  http://127.0.0.1:" in err
    assert f"numbers: {NUMBER}" in err


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
async def test_node_program_runs_unmodified() -> None:
    arguments = ["with-twilio"] if has_twilio() else []
    code, out, err = await run(
        *("--", str(NODE), str(HERE / "redirected_program.js"), *arguments), **PROXY, NODE_OPTIONS="--no-deprecation"
    )
    assert code == 7, err
    expected = dict.fromkeys(("fetch", "request", "get", "url", "options", "module"), 200)
    others = {"https://127.0.0.1:9/": "ECONNREFUSED", "https://127.0.0.1:9/api.twilio.com": "ECONNREFUSED"}
    assert json.loads(out) == expected | others | ({"twilio": 1} if arguments else {})


async def test_programs_own_sitecustomize_runs_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.OWN = __name__")
    program = "import sys, http.client; print(OWN, sys.path[1], http.client.HTTPSConnection.connect.__module__)"
    code, out, err = await run("--", sys.executable, "-c", program, PYTHONPATH=str(tmp_path))
    assert (code, out) == (0, f"sitecustomize {tmp_path} sitecustomize\n"), err


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 3"], 3, ""),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM, ""),
        (["no-such-program"], 127, "offhook: can't run no-such-program: no such file or directory"),
        ([str(HERE)], 126, "permission denied"),
        ([], 2, "there is no program to run: put it after --"),
    ],
)
async def test_exit_status_is_the_programs(command: list[str], code: int, said: str) -> None:
    ended, out, err = await run("--", *command)
    assert (ended, out, said in err) == (code, "", True), err


async def test_program_ends_itself_when_it_is_asked_to() -> None:
    program = "trap 'echo ending; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "offhook", "run", "--port", "0", "--", "sh", "-c", program),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGTERM)
            assert (await process.communicate(), process.returncode) == ((b"ending\n", None), 4)
    finally:
        if process.returncode is None:
            process.kill()
