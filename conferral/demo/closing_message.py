"""The demo's closing message: where everything is, and what to try next."""

import shlex
import textwrap
from collections.abc import Sequence

from conferral.demo import characters, programs
from conferral.demo.environment import PREFIX, DemoEnvironment
from conferral.demo.scenarios import calls
from conferral.output import WIDTH_MIN

#: File in the demo's folder with shell functions that shorten commands.
VARIABLES = "env"


def lines(stage: DemoEnvironment, pids: Sequence[int]) -> list[str]:
    """Return the closing message, folded to a standard terminal's width."""
    others = " or ".join(map(str, pids[1:]))
    return [
        "",
        "A second call stays up: the customer talks to alice.",
        "",
        f"  console   {stage.console_signed_in}",
        f"  phones    {stage.sandbox_url}/  (you play everyone)",
        f"  webhooks  {stage.webhooks_url}/healthz  {stage.webhooks_url}/metrics",
        f"  logs      {stage.folder}",
        "",
        *_manual_phone_lines(),
        "",
        "Two workers share the calls. Kill one: the other takes over within seconds,",
        f"and a new one starts:  kill -9 {pids[0]}  (or {others})",
        "",
        f"Other stories:  {programs.called_as() or programs.own_command()} demo --story NAME",
        *textwrap.wrap(
            ", ".join(calls.STORIES), WIDTH_MIN, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        ),
        "",
        "In another terminal, for the call that stays up ($CALL):",
        "",
        *(f"  {command}" for command in commands(stage)),
        "",
        "Ctrl-C stops everything.",
    ]


def _manual_phone_lines() -> list[str]:
    answering = " and ".join(characters.name(address) for address in characters.ANSWERING_LATER)
    return [
        "Try a transfer yourself, with these two pages side by side:",
        f"  1. console:  open the call, press Transfer: to {characters.DAVE}, consult.",
        "               The customer hears music",
        "  2. phones:   dave's phone rings: pick it up within 30 s. Alice and dave talk",
        "  3. console:  press Complete. The customer and dave talk; hang up either phone",
        "To start over, press Call on the customer's phone, and answer alice's phone.",
        *textwrap.wrap(
            f"{answering} answer after a second and press 1 when they are asked to. Every other phone rings until "
            "you answer it or its time is up.",
            WIDTH_MIN,
        ),
    ]


def commands(stage: DemoEnvironment) -> list[str]:
    """Return commands to try, in this order."""
    order = [
        f"redis_cli XADD {PREFIX}:commands '*' type transfer \\",
        f"    session $CALL to {characters.CAROL} mode blind",
    ]
    return [
        f". {shlex.quote(str(stage.folder / VARIABLES))}",
        "conferral convert $CALL",
        f"conferral transfer $CALL --to {characters.BOB} --mode consult",
        "conferral swap $CALL",
        "conferral complete $CALL",
        *(["conferral show $CALL"] if programs.find_redis_cli() is None else order),
        'curl -H "Authorization: Bearer $CONFERRAL_API_TOKEN" $API/sessions/$CALL',
        "conferral explain $CALL",
        "conferral end $CALL --yes",
    ]
