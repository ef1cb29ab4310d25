"""The program `conferral`: its commands, and their exit codes.

0: done. 1: rejected or failed, with the reason on standard error. 2: wrong usage or settings. 3: still in progress, or
unknown because Redis stopped answering.
"""

import gc
import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from conferral.check.cli import check
from conferral.cli import commands, dead, outcomes, output
from conferral.cli.desk_link import desk_link
from conferral.cli.maintenance import api_token, forget
from conferral.cli.options import App
from conferral.cli.report import report
from conferral.cli.sessions import sessions, show
from conferral.cli.setup import setup
from conferral.demo.cli import demo
from conferral.operations.errors import CommandNotDoneError
from conferral.processes.cli import console, sandbox, webhooks, worker
from conferral.runtime import tracing
from conferral.runtime.errors import ConferralError, SettingsError

app = App(name="conferral", no_args_is_help=True)
for run in (demo, webhooks, worker, sandbox, console, sessions, show):
    app.command()(run)
commands.register(app)
app.command()(report)
app.command()(check)
app.command()(setup)
dead.register(app)
outcomes.register(app)
app.command()(forget)
app.command()(api_token)
app.command()(desk_link)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.print_line(f"conferral {version('conferral')}")
        raise typer.Exit


@app.callback()
def conferral(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Move live Twilio calls from a bridge into a conference
    without dropping anyone.

    Try it without an account: conferral demo
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default of `sys.argv`; return the exit code."""
    # Make a malformed line of `.env` an error; python-dotenv only warns.
    logger = logging.getLogger("dotenv.main")
    logger.handlers, logger.propagate = [_EnvFileErrors()], False
    # Reference counting frees what requests leave behind. At the default thresholds, collecting takes a fifth of the
    # startup time and finds nothing.
    gc.set_threshold(20_000, 20, 20)
    if not tracing.is_wanted():  # where it is installed, redis-py would import it, for a tenth of a second
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]  # None makes an import fail
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a terminal that lacks some characters still shows the rest
    try:
        code = _run_typer(given, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        return _pipe_closed()
    except SettingsError as error:
        for problem in error.problems:
            output.print_error(problem, as_json=as_json)
        return 2
    except CommandNotDoneError as error:
        more: dict[str, str | int] = {"command": error.command_id, "status": error.status} if error.command_id else {}
        if error.code is not None:
            more["code"] = error.code
        # Programs compare the reason with the API's and the client's, so print the same text.
        reason = error.command_reason if as_json and error.command_reason else error.reason
        output.print_error(reason, as_json=as_json, allowed=error.allowed, **more)
        if not as_json:
            for line in error.details:
                output.print_note(f"  {line}")
        return error.exit_code
    except ConferralError as error:
        output.print_error(str(error), as_json=as_json)
        return 1
    return code


class _EnvFileErrors(logging.Handler):
    """Raises SettingsError for a malformed line of `.env`."""

    def emit(self, record: logging.LogRecord) -> None:
        numbers = ", ".join(map(str, record.args or ()))
        problem = f".env, line {numbers}: can't be parsed; write NAME=VALUE, and quote the whole value or nothing"
        raise SettingsError((problem,))


def _run_typer(arguments: list[str], *, as_json: bool) -> int:
    """Run the command line; return Conferral's exit code."""
    try:
        # With `--json`, let usage errors raise, to print them as JSON.
        code = app(arguments, prog_name="conferral", standalone_mode=not as_json)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            return _pipe_closed()
        code = ended.code
    except typer.TyperException as error:
        output.print_error(error.format_message(), as_json=True)
        return error.exit_code
    except typer.Abort:
        return 1
    # typer returns 130 for Ctrl-C; the others are Conferral's.
    return code if code in (0, 1, 2, 3) else 0 if code is None else 1


def _pipe_closed() -> int:
    """Exit quietly after the reader closed the pipe, as `head` does."""
    output.discard_rest()
    return 0
