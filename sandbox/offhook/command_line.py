"""The command `offhook`: a sandbox that runs until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from offhook.service import Sandbox

PORT_MAX = 65_535


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage."""
        self.exit(2, f"offhook: {message}; see offhook --help\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> NoReturn:
        from importlib.metadata import version  # slow to import

        print(f"offhook {version('offhook')}")
        parser.exit()


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
        help="address to listen on; by default SANDBOX_HOST, or 127.0.0.1. "
        "One that others can reach needs --allow-host",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        help="host name that clients use, repeatable; by default SANDBOX_ALLOW_HOST, with blanks between several. "
        "The page and the control routes then need a token: SANDBOX_TOKEN, or one that is printed",
    )
    parser.add_argument(
        "--strict",
        type=_flag,
        nargs="?",
        const=True,
        metavar="BOOLEAN",
        default=environment.get("SANDBOX_STRICT") or "false",
        help="refuse what Twilio's documentation does not list; by default SANDBOX_STRICT",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version, and exit"
    )
    return parser


def _port(text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text) <= PORT_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; choose one from 1 to {PORT_MAX}, or 0")


def _flag(text: str) -> bool:
    if text.lower() in {"true", "1", "false", "0"}:
        return text.lower() in {"true", "1"}
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default of `sys.argv`; return the exit code."""
    parser = make_parser(os.environ)
    given = parser.parse_args(arguments)
    from offhook import NUMBER, Retention, Sandbox

    try:
        sandbox = Sandbox(
            host=given.host,
            port=given.port,
            strict=given.strict,
            allow_hosts=tuple(given.allow_host or os.environ.get("SANDBOX_ALLOW_HOST", "").split()),
            control_token=os.environ.get("SANDBOX_TOKEN", ""),
            retention=Retention(),  # it may run for days
        )
    except ValueError as error:
        parser.error(str(error))
    sandbox.add_number(NUMBER)
    return asyncio.run(_serve(sandbox))


async def _serve(sandbox: "Sandbox") -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await sandbox.start()
        print(f"offhook: a local Twilio; Ctrl-C stops it\n{sandbox.introduce()}", flush=True)
        await stop.wait()
    except OSError as error:  # asyncio's has a long message
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        print(f"offhook: can't listen on {sandbox.host}, port {sandbox.port}: {reason.lower()}", file=sys.stderr)
        return 2
    finally:
        await sandbox.stop()
    return 0
