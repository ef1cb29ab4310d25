"""The demo's closing message: where everything is, and what to try next."""

import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from conferral.cli.command_line import CALLED_AS
from conferral.cli.output import DEFAULT_WIDTH
from conferral.demo import characters
from conferral.demo.environment import API_TOKEN, PREFIX, DemoEnvironment
from conferral.processes.redis_server import find_programs

#: File in the demo's folder for `source`: variables, and a path to `PROGRAM`.
ENV_FILE = "env"
#: A script, so that other programs can run it, such as `nice`. Its folder ends with the demo, and the path then leads
#: to nothing.
PROGRAM = "bin/conferral"


def lines(stage: DemoEnvironment, pids: Sequence[int], desks: Mapping[str, str]) -> list[str]:
    """Return the closing message, folded to a standard terminal's width.

    Links to `desks`, by agent, are longer.
    """
    others = " or ".join(map(str, pids[1:]))
    answering = " and ".join(characters.name(address) for address in characters.AUTOMATIC_PHONES)
    automatic = (
        f"From now on, {answering} answer after a second and press 1 when they are asked to. Every other phone rings "
        "until you answer it or its time is up."
    )
    return [
        "",
        "A second call stays up: the customer talks to alice.",
        "",
        f"  console   {stage.console_sign_in_url}",
        f"  phones    {stage.sandbox_url}/  (you play everyone)",
        f"  webhooks  {stage.webhooks_url}/healthz  {stage.webhooks_url}/metrics",
        f"  logs      {stage.folder}",
        "",
        "Desks of two agents; the links sign in until the demo ends, also in one browser:",
        *(f"  {name:<8}  {url}" for name, url in desks.items()),
        "Press Go ready on both. Hang up the customer's phone, and press Call on it:",
        "alice's desk rings. Answer, and transfer the customer to dave, whose desk rings.",
        "",
        "Try a transfer yourself, with these two pages side by side:",
        f"  1. console:  open the call, press Transfer…, to {characters.DAVE}, consult.",
        "               The customer hears music",
        "  2. phones:   dave's phone rings: pick it up within 30 s. Alice and dave talk",
        "  3. console:  press Complete. The customer and dave talk; hang up either phone",
        "To start over, press Call on the customer's phone, and answer alice's phone.",
        *textwrap.wrap(automatic, DEFAULT_WIDTH),
        "",
        "Two workers share the calls. Kill one: the other takes over within seconds,",
        f"and a new one starts:  kill -9 {pids[0]}  (or {others})",
        "",
        "In another terminal, for the call that stays up ($CALL):",
        "",
        *(f"  {command}" for command in commands(stage)),
        "",
        "Ctrl-C stops everything.",
    ]


def commands(stage: DemoEnvironment) -> list[str]:
    """Return commands to try, in this order."""
    publish = [
        f"redis_cli XADD {PREFIX}:commands '*' type transfer \\",
        f"    session $CALL to {characters.CAROL} mode blind",
    ]
    return [
        f". {shlex.quote(str(stage.folder / ENV_FILE))}",
        "conferral convert $CALL",
        f"conferral transfer $CALL --to {characters.BOB} --mode consult",
        "conferral swap $CALL",
        "conferral complete $CALL",
        *(publish if find_programs("redis-cli") else ["conferral show $CALL"]),
        'curl -H "Authorization: Bearer $CONFERRAL_API_TOKEN" $API/sessions/$CALL',
        "conferral show $CALL",
        "conferral end $CALL --yes",
    ]


def write_env_file(stage: DemoEnvironment, session_id: str) -> None:
    """Write `ENV_FILE` and `PROGRAM`.

    The settings apply to the program only, so that they don't stay behind in the shell.
    """
    called = Path(sys.argv[0]).absolute()
    # -P keeps the working directory out of Python's path.
    program = [sys.executable, "-P", "-m", "conferral"] if called.name == "__main__.py" else [str(called)]
    hidden = {CALLED_AS: "conferral", **stage.settings}
    given = [f"{name}={value}" for name, value in hidden.items() if value]
    script = stage.folder / PROGRAM
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec env {shlex.join([*given, *program])} "$@"\n')
    script.chmod(0o700)
    exported = {
        "REDIS_URL": stage.redis_url, "API": stage.webhooks_url, "SANDBOX": stage.sandbox_url,
        "CONFERRAL_API_TOKEN": API_TOKEN, "CALL": session_id,
    }  # fmt: skip
    redis_cli = [str(path) for path in find_programs("redis-cli")[:1]]
    env = [
        *(f"export {name}={shlex.quote(value)}" for name, value in exported.items()),
        f'export PATH={shlex.quote(str(script.parent))}:"$PATH"',
        # Without a dash, which some shells forbid in a function's name.
        *(f'redis_cli() {{ {shlex.quote(one)} -s {shlex.quote(stage.redis_url.removeprefix("unix://"))} "$@"; }}'
          for one in redis_cli),
        "",
    ]  # fmt: skip
    (stage.folder / ENV_FILE).write_text("\n".join(env))
