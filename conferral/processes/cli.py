"""The commands that start one process."""

from importlib.util import find_spec
from typing import Annotated

import typer

from conferral.operations.errors import CommandNotDoneError

CommandLine = Annotated[
    str, typer.Option(metavar="TEXT", help="What the copyable commands on the page call this program.")
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")]


def webhooks(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.", min=1, max=65535)] = 8080,
) -> None:
    """Run the webhooks: callbacks, TwiML, HTTP API.

    \b
    Examples:
      conferral webhooks
      conferral webhooks --host 0.0.0.0 --port 80

    Answers calls even while Redis is unreachable. Stop it with Ctrl-C or SIGTERM.
    """
    from conferral.processes.services import serve_webhooks

    raise typer.Exit(serve_webhooks(host, port))


def worker(
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Port for /healthz, /readyz, and /metrics; none by default.",
            min=1,
            max=65535,
        ),
    ] = None,
    host: Host = "127.0.0.1",
) -> None:
    """Run a worker, which processes calls. Run at least two.

    \b
    Examples:
      conferral worker
      conferral worker --port 9100

    Stop it with Ctrl-C or SIGTERM: it finishes work in progress first.
    """
    from conferral.processes.services import run_worker

    raise typer.Exit(run_worker(host, port))


def sandbox(
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Port to listen on, by default 8081; 0 picks a free one.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on, by default 127.0.0.1; one that others can reach needs --allow-host.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Host name that clients use; repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what Twilio's documentation doesn't list.")] = False,
    allow_internet: Annotated[
        bool, typer.Option("--allow-internet", help="Request URLs outside of this machine and its network, too.")
    ] = False,
) -> None:
    """Run the sandbox: a local Twilio that calls no real phones.

    \b
    Examples:
      conferral sandbox
      TWILIO_API_URL=http://127.0.0.1:8081 conferral webhooks

    It serves the REST API and TwiML, signs its callbacks, and has a page with phones that you control. It is the
    package offhook, which conferral[sandbox] installs. OFFHOOK_HOST, OFFHOOK_PORT, OFFHOOK_STRICT,
    OFFHOOK_ALLOW_INTERNET, and OFFHOOK_ALLOW_HOST (with blanks between several names) replace its options. With
    --allow-host, the page and the control routes need a token: OFFHOOK_TOKEN, or one that it prints.

    Uses TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, and TWILIO_API_KEY with TWILIO_API_SECRET if they are set, and
    TWILIO_NUMBER with CONFERRAL_PUBLIC_URL for incoming calls. With a TWILIO_AUTH_TOKEN other than the sandbox's
    own, TWILIO_API_URL must be the sandbox's own URL: it never signs with the token of a real account.
    """
    require_sandbox()
    from conferral.processes.sandbox import run_sandbox

    raise typer.Exit(
        run_sandbox(port=port, host=host, allow_host=allow_host, strict=strict, allow_internet=allow_internet)
    )


def console(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.", min=1, max=65535)] = 8082,
    read_only: Annotated[bool, typer.Option("--read-only", help="Read-only: refuse every change.")] = (False),
    command_line: CommandLine = "conferral",
    token_in_lines: Annotated[
        bool,
        typer.Option(
            "--token-in-lines",
            help="Show the token in the commands that the page offers to copy; not with --read-only.",
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Host name of a proxy in front of the console; repeatable.")
    ] = None,
) -> None:
    """Run the web console.

    \b
    Examples:
      conferral console
      conferral console --read-only --port 9082
      conferral console --allow-host console.example.com

    On loopback, it accepts requests only for localhost, loopback addresses, and names given with --allow-host.

    Needs CONFERRAL_API_TOKEN or CONFERRAL_TOKENS; also reads REDIS_URL and CONFERRAL_PREFIX. On a terminal, it prints a
    sign-in link with CONFERRAL_API_TOKEN; otherwise, the page asks for a token. SIGHUP reloads CONFERRAL_TOKENS. It
    stores nothing. Stop it with Ctrl-C or SIGTERM.
    """
    from conferral.console.app import ConsoleOptions
    from conferral.processes.console import run_console
    from conferral.runtime.web.pages import host_name

    if read_only and token_in_lines:
        raise typer.BadParameter("can't be used with --read-only", param_hint="--token-in-lines")
    for name in allow_host or ():
        # A URL is rejected: its scheme would be taken for the host name, and the console would refuse the real host.
        if "/" in name or not host_name(name):
            raise typer.BadParameter("must be a name, such as console.example.com", param_hint="--allow-host")
    options = ConsoleOptions(
        read_only=read_only, command_line=command_line, show_token=token_in_lines, allowed_hosts=tuple(allow_host or ())
    )
    raise typer.Exit(run_console(host, port, options))


def require_sandbox() -> None:
    """Raise CommandNotDoneError without the package of the local Twilio."""
    if find_spec("offhook") is None:
        raise CommandNotDoneError(
            "install offhook first: `pip install 'conferral[sandbox]'`, or in a checkout `pip install ./sandbox`"
        )
