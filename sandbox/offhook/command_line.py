"""The command `offhook`: a sandbox that runs until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from offhook.command.options import read_api_key, read_options

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


_RUN = "run"  #: The first argument that runs a program, which follows `--`.


def make_parser(*, runs: bool = False) -> argparse.ArgumentParser:
    """Return the parser of the command, or of `offhook run`.

    `read_options` checks what it returns.
    """
    run_usage = "offhook run [OPTION]... -- COMMAND..."
    parser = _Parser(
        prog="offhook run" if runs else "offhook",
        usage=run_usage if runs else f"offhook [OPTION]...\n       {run_usage}",
        description="Run a program with a local Twilio: its requests to Twilio's REST API come here. For programs in "
        "Python and Node.js; in others, change the URL. The exit code is the program's."
        if runs
        else "Run a local Twilio for voice, which calls no real phones. `offhook run` runs a program with it.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="file with the account, its numbers, and phones; by default OFFHOOK_CONFIG, or offhook.toml "
        "in the working directory, if it is there",
    )
    parser.add_argument(
        "--port", metavar="PORT", help="port to listen on, 0 for a free one; by default OFFHOOK_PORT, or 8081"
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="address to listen on; by default OFFHOOK_HOST, or 127.0.0.1. "
        "One that others can reach needs --allow-host",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        help="host name that clients use, repeatable; by default OFFHOOK_ALLOW_HOST, with blanks between several. "
        "The page and the control routes then need a token: OFFHOOK_TOKEN, or one that is printed",
    )
    parser.add_argument(
        "--map",
        metavar="URL=URL",
        action="append",
        help="public base URL that your program has, and where it listens: https://my.example=http://127.0.0.1:5000. "
        "Requests are signed for the public one. Repeatable; by default OFFHOOK_MAP, with blanks between several",
    )
    parser.add_argument(
        "--allow-internet",
        action="store_true",
        help="request URLs outside of this machine and its network, too; by default OFFHOOK_ALLOW_INTERNET",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse what Twilio's documentation does not list; by default OFFHOOK_STRICT",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version, and exit"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default of `sys.argv`; return the exit code."""
    own = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if runs := own[:1] == [_RUN]:
        at = own.index("--") if "--" in own else len(own)
        own, command = own[1:at], own[at + 1 :]
    parser = make_parser(runs=runs)
    given = vars(parser.parse_args(own))
    if runs and not command:
        parser.error("there is no program to run: put it after --, as in offhook run -- python app.py")
    from offhook.account import API_KEY, NUMBER
    from offhook.command.config import read_config
    from offhook.request_log import Retention
    from offhook.service import Sandbox

    try:
        config = read_config(given.pop("config") or os.environ.get("OFFHOOK_CONFIG") or None)
        fields = dict(config.fields) | read_options(os.environ, config.options, **given)
        keys = fields.pop("api_keys", {}) | read_api_key(os.environ)
        fields["api_keys"] = keys or (dict([API_KEY]) if runs else {})
        sandbox = Sandbox(**fields, retention=Retention())  # it may run for days
        sandbox.set_up_with(config.set_up)
    except ValueError as error:
        parser.error(str(error))
    if not sandbox.model.state.own_numbers():
        sandbox.add_number(NUMBER)
    return asyncio.run(_serve(sandbox, command))


async def _serve(sandbox: "Sandbox", command: Sequence[str]) -> int:
    try:
        await sandbox.start()
        if command:
            return await _run(sandbox, command)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"offhook: a local Twilio; Ctrl-C stops it\n{sandbox.introduce()}", flush=True)
        await stop.wait()
    except OSError as error:  # asyncio's has a long message
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        print(f"offhook: can't listen on {sandbox.host}, port {sandbox.port}: {reason.lower()}", file=sys.stderr)
        return 2
    finally:
        await sandbox.stop()
    return 0


async def _run(sandbox: "Sandbox", command: Sequence[str]) -> int:
    from offhook.command.run import program_variables, run_program

    # Not among what the program prints.
    print(f"offhook: a local Twilio for {shlex.join(command)}\n{sandbox.facts()}\n", file=sys.stderr, flush=True)
    return await run_program(command, program_variables(sandbox, os.environ))
