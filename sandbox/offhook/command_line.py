"""The command `offhook`: a sandbox that runs until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

PORT_MAX = 65_535


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage."""
        self.exit(2, f"offhook: {message}; see offhook --help\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> NoReturn:
        from importlib.metadata import version  # slow to import

        parser.exit(0, f"offhook {version('offhook')}\n")


def make_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser; the environment has defaults, for containers."""
    parser = _Parser(prog="offhook", description="Run a local Twilio for voice, which calls no real phones.")
    parser.add_argument(
        "--port",
        metavar="PORT",
        type=_port,
        default=environment.get("SANDBOX_PORT") or "8081",
        help="port to listen on, 0 for a free one; by default SANDBOX_PORT, or 8081",
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default=environment.get("SANDBOX_HOST") or "127.0.0.1",
        help="address to listen on, of this machine alone; by default SANDBOX_HOST, or 127.0.0.1",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    return parser


def _port(text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text) <= PORT_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; choose one from 1 to {PORT_MAX}, or 0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default of `sys.argv`; return the exit code."""
    given = make_parser(os.environ).parse_args(arguments)
    return asyncio.run(_serve(given.host, given.port))


async def _serve(host: str, port: int) -> int:
    from offhook.request_log import Retention
    from offhook.service import Sandbox

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sandbox = Sandbox(host=host, port=port, retention=Retention())  # it may run for days
    try:
        await sandbox.start()
        print(f"offhook: a local Twilio at {sandbox.url}, with a page of its phones; Ctrl-C stops it")
        print(f"account: {sandbox.account_sid}\ntoken:   {sandbox.auth_token}", flush=True)
        await stop.wait()
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        print(f"offhook: can't listen on {host}, port {port}: {reason}", file=sys.stderr)
        return 2
    finally:
        await sandbox.stop()
    return 0
