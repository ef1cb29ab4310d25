"""The command `offhook`: a sandbox that runs until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from offhook.options import read_api_key, read_options

if TYPE_CHECKING:
    from offhook.service import Sandbox


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage."""
        self.exit(2, f"offhook: {message}; see offhook --help\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> NoReturn:
        from importlib.metadata import version  # slow to import

        print(f"offhook {version('offhook')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; `read_options` checks what it returns."""
    parser = _Parser(prog="offhook", description="Run a local Twilio for voice, which calls no real phones.")
    parser.add_argument(
        "--port", metavar="PORT", help="port to listen on, 0 for a free one; by default SANDBOX_PORT, or 8081"
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
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
        action="store_true",
        help="refuse what Twilio's documentation does not list; by default SANDBOX_STRICT",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version, and exit"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default of `sys.argv`; return the exit code."""
    parser = make_parser()
    given = vars(parser.parse_args(arguments))
    from offhook import NUMBER, Retention, Sandbox

    try:
        # It may run for days.
        options, api_key = read_options(os.environ, **given), read_api_key(os.environ)
        sandbox = Sandbox(**options, api_key=api_key, retention=Retention())
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
