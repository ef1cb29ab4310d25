"""The command `conferral demo`."""

from typing import Annotated

import typer

from conferral.processes.cli import require_sandbox


def demo(
    exit_after_story: Annotated[bool, typer.Option("--exit", help="Stop after the story.")] = False,
    pace: Annotated[
        float,
        typer.Option(metavar="FACTOR", help="Speed-up factor for pauses and ringing.", min=0.1, max=100),
    ] = 1,
) -> None:
    """Try Conferral on this machine: no Twilio account needed.

    \b
    Examples:
      conferral demo
      conferral demo --pace 10 --exit

    A call comes in, is bridged to an agent, and becomes a conference for a consult, in the middle of which a worker is
    killed. The transfer is completed, and the last party is released. Then a second call is left for you.

    Starts its own Redis, a local Twilio with phones that you control, the webhooks, two workers, and the console. The
    local Twilio is the package offhook, which conferral[sandbox] installs.
    Ignores settings from the environment. A killed worker is restarted. Ctrl-C stops everything.
    """
    require_sandbox()
    try:
        from conferral.demo.runner import DemoOptions, run

        run(DemoOptions(pace, exit_after_story))
    except KeyboardInterrupt:  # Ctrl-C before the demo installed its handler
        return
