"""Every story of the demo, against the whole system: what it narrates comes true."""

import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conferral.demo import characters
from conferral.demo.environment import DemoEnvironment
from conferral.demo.scenario import ScenarioRunner
from conferral.demo.stories import STORIES
from conferral.operations.errors import CommandNotDoneError
from conferral.operations.session_queries import SessionQueries
from tests.support.local_system import LocalSystem

#: So many times shorter are pauses and ringing, and so many times faster is everything else at the local Twilio.
PACE, SPEED = 4.0, 3.0
#: Nothing in a story waits for the end of these, so that they are long enough for a busy machine.
PATIENT = dict.fromkeys(
    ("hold_timeout_ms", "arrive_timeout_ms", "repair_timeout_ms", "confirm_ms", "leave_timeout_ms"), 10_000
)
#: The stories in which the agent leaves at last; in all others it is the customer.
AGENT_LEAVES = {"convert", "outbound", "hold"}
#: One of each kind; the others are in the long run.
USUAL = ("warm", "blind")
#: What a story is about and must mention.
NARRATED = {"supervise": ["dave is heard only by alice", "everyone hears dave"]}


@asynccontextmanager
async def runner_for(redis_url):
    """What a demo would set up, in one process."""
    async with LocalSystem(redis_url, speed=SPEED, policy=PATIENT) as system:
        stage = DemoEnvironment(
            folder=Path("/"),
            redis_url=system.redis_url,
            webhooks_url=system.public_url,
            sandbox_url=system.sandbox.url,
            console_url="http://127.0.0.1:8082",
            reader=SessionQueries(system.client, system.keys),
        )
        runner = ScenarioRunner(stage, system.sandbox, PACE)
        runner.script_all_phones()
        voice_url = f"{system.public_url}/voice/inbound"
        status_url = f"{system.public_url}/voice/status"
        system.sandbox.add_number(characters.BUSINESS, name="alice", voice_url=voice_url, status_callback=status_url)
        yield runner
        await system.settled()
        assert not system.sandbox.request_log.debugger


@pytest.mark.redis
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in USUAL else [pytest.mark.soak]) for name in STORIES]
)
async def test_demo_flow_runs_to_its_end_and_leaves_no_call(redis_server, capsys, name):
    async with runner_for(redis_server.url) as runner:
        await STORIES[name].play(runner)

    # The processes' logs, which a demo keeps in files, go to the same place here.
    lines = [line for line in capsys.readouterr().out.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    # What belongs to no state, such as a recording that can be fetched, may come after the end.
    assert "calls left at the local Twilio: 0" in [line.strip() for line in lines[-3:]]
    # A long line is wrapped to the terminal's width.
    last_line = f"[ended, {'agent' if name in AGENT_LEAVES else 'customer'}-left]"
    assert last_line in " ".join(" ".join(lines[-6:]).split())
    reported = " ".join(" ".join(lines).split())
    for needed in NARRATED.get(name, ()):
        assert needed in reported, f"{needed} is not told"
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if "target" in line.replace("1 target)", "").replace("2 targets)", "")]


@pytest.mark.redis
async def test_failing_demo_flow_says_what_should_have_happened(redis_server):
    async with runner_for(redis_server.url) as runner, runner.call_in() as play:
        runner.phone(characters.BOB, outcome="busy")
        with pytest.raises(CommandNotDoneError, match="transfer failed: busy"):
            await play.do("alice tries", "transfer", to=characters.BOB, mode="warm")
        await play.end("agent", "alice hangs up")
