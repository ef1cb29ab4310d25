"""`offhook run`: a program whose requests to Twilio's REST API come here."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from offhook.account import API_KEY
from offhook.runtime import SandboxRuntime

_FOLDER = Path(__file__).parent / "redirect"
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128  #: Exit codes as a shell's; a signal's number is added to the last.
#: Loopback, and what is redirected to it, in each library's spelling.
_NO_PROXY = "localhost,127.0.0.1,::1,api.twilio.com"


def program_variables(sandbox: SandboxRuntime, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the program's environment: credentials, and what redirects it.

    Variables that the program reads from a file are usually those that aren't set yet, so these win.
    """
    key, secret = next(iter(sandbox.api_keys.items()), API_KEY)
    no_proxy = ",".join(filter(None, (inherited.get("no_proxy") or inherited.get("NO_PROXY"), _NO_PROXY)))
    return {
        **inherited,
        "OFFHOOK_URL": _local_url(sandbox),
        **({"OFFHOOK_TOKEN": sandbox.control_token} if sandbox.control_token else {}),
        "TWILIO_ACCOUNT_SID": sandbox.account_sid,
        "TWILIO_AUTH_TOKEN": sandbox.auth_token,
        **dict.fromkeys(("TWILIO_API_KEY", "TWILIO_API_KEY_SID"), key),
        **dict.fromkeys(("TWILIO_API_SECRET", "TWILIO_API_KEY_SECRET"), secret),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_FOLDER), inherited.get("PYTHONPATH")))),
        "NODE_OPTIONS": " ".join(filter(None, (inherited.get("NODE_OPTIONS"), _node_option()))),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), no_proxy),
    }


def _local_url(sandbox: SandboxRuntime) -> str:
    """Return its URL on this machine, which may not know its name."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(sandbox.host)  # noqa: S104  it is compared
    return f"http://{host}:{sandbox.port}" if host else sandbox.url


def _node_option() -> str:
    path = str(_FOLDER / "preload.cjs").replace("\\", "\\\\").replace('"', '\\"')
    return f'--require "{path}"'


async def run_program(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run it to its end; return its exit code, as a shell does.

    Ctrl-C is for the program: a terminal sends it to both, and the program decides.
    """
    process: asyncio.subprocess.Process | None = None
    asked: list[int] = []

    def pass_on(number: int) -> None:
        if number == signal.SIGINT and sys.stdin and sys.stdin.isatty():
            return
        asked.append(number)
        if process is not None and process.returncode is None:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, pass_on, number)
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        print(f"offhook: can't run {command[0]}: {reason}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    for one in asked:  # while it started
        process.send_signal(one)
    code = await process.wait()
    return KILLED - code if code < 0 else code
