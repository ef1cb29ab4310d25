"""What the demo prints when its story is told: where everything is, and how to go on by hand."""

import shlex
import textwrap

from conferral.demo import cast, programs, stories
from conferral.demo.stage import API_TOKEN, PREFIX, Stage

_WIDTH = 110


def lines(stage: Stage, session_id: str) -> list[str]:
    """The invitation.

    Args:
        stage: Where everything is.
        session_id: Of the call that stays up.
    """
    return [
        "",
        f"A second call stays up, bridged: {session_id}",
        "",
        *_places(stage),
        "",
        *_by_hand(),
        "",
        f"Other stories, instead of this one: {programs.own_command()} demo --story NAME",
        *textwrap.wrap(", ".join(stories.STORIES), _WIDTH, initial_indent="  ", subsequent_indent="  "),
        "",
        "In another terminal, in this folder, for the call that stays up:",
        "",
        *(f"  {command}" for command in _commands(stage, session_id)),
        "",
        "Ctrl-C stops everything.",
    ]


def _places(stage: Stage) -> list[str]:
    return [
        f"  console   {stage.console_signed_in}  (calls as they change)",
        f"  phones    {stage.sandbox_url}/  (you play everybody)",
        f"  webhooks  {stage.webhooks_url}/healthz  {stage.webhooks_url}/metrics",
        f"  logs      {stage.folder}",
    ]


def _by_hand() -> list[str]:
    answering = " and ".join(cast.name(address) for address in cast.ANSWERING_LATER)
    return [
        "Hand it over by hand, with these two pages side by side:",
        f"  1. console:  open the call and press Transfer: to {cast.DAVE}, consult. The customer hears music",
        "  2. phones:   dave's phone rings: pick it up within 30 s. Alice and dave talk",
        "  3. console:  press Complete. The customer and dave talk; hang up on either phone",
        "To begin again, press Call on the customer's phone, and pick alice's up.",
        f"{answering} answer by themselves after a second, and press 1 where a key is asked for; every other phone",
        "rings until you pick it up or its time is up.",
    ]


def _commands(stage: Stage, session_id: str) -> list[str]:
    conferral = programs.command_line(stage.redis_url)
    commands = [
        f"{conferral} convert {session_id}",
        f"{conferral} transfer {session_id} --to {cast.BOB} --mode consult",
        f"{conferral} swap {session_id}",
        f"{conferral} complete {session_id}",
        f"curl -H 'Authorization: Bearer {API_TOKEN}' {stage.webhooks_url}/sessions/{session_id}",
        f"{conferral} explain {session_id}",
        f"{conferral} end {session_id} --yes",
    ]
    redis_cli = programs.find_redis_cli()
    if redis_cli is None:
        commands.insert(4, f"{conferral} show {session_id}")
    else:
        order = f"XADD {PREFIX}:commands '*' type transfer session {session_id} to {cast.CAROL} mode blind"
        commands.insert(4, f"{programs.shell_path(redis_cli)} -s {shlex.quote(str(stage.redis_socket))} {order}")
    return commands
