"""The command `conferral demo`."""

from typing import Annotated

import typer

from conferral.cli.options import choices
from conferral.processes.cli import require_sandbox


def _complete_stories(incomplete: str) -> list[str]:
    """Complete the names of the demo's stories."""
    from conferral.demo.stories import STORIES

    return choices(*STORIES)(incomplete)


def demo(
    story: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Play this story instead of the tour; see above.", autocompletion=_complete_stories
        ),
    ] = None,
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
      conferral demo --story blind
      conferral demo --story several --exit
      conferral demo --story supervise

    The tour is one incoming call: bridged to an agent, converted into a conference, and transferred after a consult.
    When a blind transfer fails, the agent is called back. Stories: warm, blind, outbound, several, hold, park,
    supervise, handoff, voicemail, queue, killed.

    Starts its own Redis, a local Twilio with phones that you control, the webhooks, two workers, and the console. The
    local Twilio is the package offhook, which conferral[sandbox] installs.
    Ignores settings from the environment. A killed worker is restarted. Ctrl-C stops everything.
    """
    require_sandbox()
    try:
        from conferral.demo.runner import DemoOptions, run
        from conferral.demo.stories import STORIES, TOUR

        if story is not None and story not in STORIES:
            raise typer.BadParameter(f"unknown story; one of: {', '.join(STORIES)}", param_hint="--story")
        run(DemoOptions(STORIES[story] if story else TOUR, pace, exit_after_story))
    except KeyboardInterrupt:  # Ctrl-C before the demo installed its handler
        return
