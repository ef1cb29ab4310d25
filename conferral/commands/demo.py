"""`demo`: the whole of it on one machine."""

from typing import Annotated

import typer


def demo(
    exit_after_story: Annotated[bool, typer.Option("--exit", help="Stop when the story is told.")] = False,
) -> None:
    """See it all work, on this machine alone.

    \b
    Examples:
      conferral demo
      conferral demo --exit

    A call comes in, is bridged to an agent, converted into a conference, and cleaned up when the agent hangs up.

    Starts a Redis of its own, a local Twilio, the webhooks and a worker, and takes no settings from the environment.
    Ctrl-C stops all of it.
    """
    try:
        from conferral.demo.run import run

        run(exit_after_story=exit_after_story)
    except KeyboardInterrupt:  # before the demo was ready to take it as its usual end
        return


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)
