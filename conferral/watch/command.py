"""`watch`: a live table on a terminal, one line per change elsewhere."""

from typing import Annotated

import typer

from conferral.cli.completion import LIVE_STATES, choices
from conferral.cli.options import AsJson, Full, OptionalSessionName


def watch(
    session: OptionalSessionName = None,
    until: Annotated[
        str | None, typer.Option(metavar="ended", help="Stop when SESSION ends.", autocompletion=choices("ended"))
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help=f"Only sessions in this state: {', '.join(LIVE_STATES)}.",
            autocompletion=choices(*LIVE_STATES),
        ),
    ] = None,
    attention: Annotated[bool, typer.Option("--trouble", help="Only sessions that need attention.")] = False,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Watch sessions live. Ctrl-C stops it.

    \b
    Examples:
      conferral watch
      conferral watch --trouble
      conferral watch CA0123456789abcdef0123456789abcdef --until ended
      conferral watch --json | jq -r 'select(.to == "ended") | .session'

    On a terminal, it lists sessions, those that need attention first. j and k move, Enter opens one, ? shows all keys.
    With SESSION, it starts with the whole log. When piped, it prints one line per change; with --json, one object per
    line, each log entry as in Redis. When piped, --trouble prints one line each time a session starts or stops needing
    attention. Times are UTC.
    """
    if until not in (None, "ended"):
        raise typer.BadParameter("must be: ended", param_hint="--until")
    if until and session is None:
        raise typer.BadParameter("needs a SESSION", param_hint="--until")
    if state is not None and state not in LIVE_STATES:
        raise typer.BadParameter(f"must be one of {', '.join(LIVE_STATES)}", param_hint="--state")
    if session is not None and (state or attention):
        raise typer.BadParameter("can't be combined with SESSION", param_hint="--state" if state else "--trouble")
    try:
        from conferral.watch.loop import run

        run(session, state or "", needs_attention=attention, until_ended=until is not None, full=full, as_json=as_json)
    except KeyboardInterrupt:  # Ctrl-C before the watch installed its handler
        return
