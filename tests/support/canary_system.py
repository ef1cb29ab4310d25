"""Everything in one process, with the two numbers of the canary."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conferral.canary.findings import FlowResult
from conferral.canary.flows import FLOWS
from conferral.canary.numbers import CanaryNumbers
from conferral.canary.run import run_canary
from offhook.model.behavior import Behavior
from tests.support.local_system import LocalSystem
from tests.support.people import CANARY, CANARY_ANSWER, NUMBER

NUMBERS = CanaryNumbers(NUMBER, CANARY, CANARY_ANSWER)


def write_directory(folder: Path, agents: str = f'agents = ["{CANARY_ANSWER}"]', more: str = "") -> Path:
    path = folder / "directory.toml"
    path.write_text(f'[inbound."{CANARY}"]\n{agents}\nmode = "bridge"\nfallback = "end"\n{more}')
    return path


@asynccontextmanager
async def canary_system(
    redis_url: str, folder: Path, behavior: Behavior | None = None, *, speed: float = 20.0, **settings: Any
) -> AsyncIterator[LocalSystem]:
    """A system whose webhooks and worker know the canary's numbers."""
    settings = {"CONFERRAL_DIRECTORY": write_directory(folder)} | settings
    async with LocalSystem(redis_url, workers=0, speed=speed, behavior=behavior, **settings) as system:
        system.sandbox.add_number(
            CANARY,
            voice_url=f"{system.public_url}/voice/inbound",
            voice_fallback_url=f"{system.public_url}/voice/fallback",
            status_callback=f"{system.public_url}/voice/status",
        )
        system.sandbox.add_number(CANARY_ANSWER, voice_url=f"{system.public_url}/canary/answer")
        system.start_worker()
        await system.eventually(lambda: system.own_numbers.canary, "the account's numbers were read")
        await system.eventually(system.all_held, "the worker has all partitions")
        yield system


async def canary_results(system: LocalSystem, *flows: str) -> list[FlowResult]:
    """Run the canary on a system."""
    return await run_canary(system.settings, NUMBERS, flows or FLOWS, lambda _result: None)
