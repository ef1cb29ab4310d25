"""The story of the demo, against the whole system: what it narrates comes true."""

import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from conferral.demo import characters
from conferral.demo.environment import DIRECTORY, DemoEnvironment, add_numbers
from conferral.demo.scenario import ScenarioRunner
from conferral.demo.story import play_story
from conferral.operations.errors import CommandNotDoneError
from conferral.storage.queries.session_reader import SessionReader
from conferral.worker.process import make_policy
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import FAST, LocalSystem

#: So many times shorter are pauses and ringing, and so many times faster is everything else at the local Twilio.
PACE, SPEED = 4.0, 3.0
#: Nothing in a story waits for the end of these, so that they are long enough for a busy machine.
PATIENT = dict.fromkeys(
    ("hold_timeout_ms", "arrive_timeout_ms", "repair_timeout_ms", "confirm_ms", "leave_timeout_ms"), 10_000
)
#: How long a killed worker counts as alive.
LEASE_MS = 2_000


@asynccontextmanager
async def runner_for(redis_url, folder, *, forks_workers=False):
    """What a demo would set up, in one process; workers that a story kills have processes of their own."""
    directory = folder / "directory.toml"
    directory.write_text(DIRECTORY)
    workers = 0 if forks_workers else 1
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            LocalSystem(redis_url, workers=workers, speed=SPEED, policy=PATIENT, CONFERRAL_DIRECTORY=directory)
        )
        stage = DemoEnvironment(
            folder=Path("/"),
            redis_url=system.redis_url,
            webhooks_url=system.public_url,
            sandbox_url=system.sandbox.url,
            console_url="http://127.0.0.1:8082",
            reader=SessionReader(system.client, system.keys),
        )
        policy = asdict(replace(make_policy(system.settings), **{**FAST, **PATIENT}))
        forked = [
            stack.enter_context(ForkedWorker(system, folder, name, lease_ms=LEASE_MS, policy=policy))
            for name in ("worker-1", "worker-2") if forks_workers
        ]  # fmt: skip
        await system.eventually(system.all_held, "every partition has an owner")
        runner = ScenarioRunner(stage, system.sandbox, PACE, lambda: [worker.pid for worker in forked])
        runner.script_all_phones()
        add_numbers(system.sandbox, system.public_url)
        yield runner
        await system.settled()
        assert not system.sandbox.request_log.debugger


@pytest.mark.redis
async def test_demo_flow_runs_to_its_end_and_leaves_no_call(redis_server, capsys, tmp_path):
    async with runner_for(redis_server.url, tmp_path, forks_workers=True) as runner:
        await play_story(runner)

    # The processes' logs, which a demo keeps in files, go to the same place here.
    lines = [line for line in capsys.readouterr().out.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    # What belongs to no state, such as a recording that can be fetched, may come after the end.
    assert "calls left at the local Twilio: 0" in [line.strip() for line in lines[-3:]]
    # A long line is wrapped to the terminal's width.
    assert "[ended, customer-left]" in " ".join(" ".join(lines[-6:]).split())
    reported = " ".join(" ".join(lines).split())
    for needed in ("the worker that processes this call dies", "the other worker takes over, "):
        assert needed in reported, f"{needed} is not told"
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if "target" in line.replace("1 target)", "")]


@pytest.mark.redis
async def test_failing_demo_flow_says_what_should_have_happened(redis_server, tmp_path):
    async with runner_for(redis_server.url, tmp_path) as runner, runner.call_in() as play:
        runner.phone(characters.BOB, outcome="busy")
        with pytest.raises(CommandNotDoneError, match="transfer failed: busy"):
            await play.do("alice tries", "transfer", to=characters.BOB, mode="warm")
        await play.end("agent", "alice hangs up")
