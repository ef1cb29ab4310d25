"""Any error at any point of a sweep: the part at fault is skipped, and the next sweep reports everything."""

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime import containment
from conferral.runtime.errors import ConferralError
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.account_lists import AccountSnapshot
from tests.support.strange_errors import ANY_ERRORS
from tests.worker.sweep.sweep_harness import SweepHarness

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True)
def all_lines(monkeypatch):
    """Each error has a line, as if it were the place's first within a minute."""
    monkeypatch.setattr(containment, "UNEXPECTED_LOG_EVERY_S", 0)


async def swept(sea: SweepHarness, fail: Any, patch: pytest.MonkeyPatch) -> tuple[int, list[Any]]:
    """Lets a sweeper, all of whose calls are given to `fail` first, sweep until a sweep went well; counts its calls."""
    stop, asked = asyncio.Event(), 0

    def around(owner: Any, name: str) -> None:
        ask = getattr(owner, name)

        async def asks(*arguments: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            fail(asked)
            return await ask(*arguments, **options)

        patch.setattr(owner, name, asks)

    sweeper = sea.sweeper()
    for owner in (SessionReader, sea.account):
        for name in dir(owner):
            if not name.startswith("_") and asyncio.iscoroutinefunction(getattr(owner, name)):
                around(owner, name)
    before = sea.sweeps()
    with capture_logs() as lines:
        running = asyncio.create_task(sweeper.run(stop))
        await sea.until(lambda: sea.sweeps() >= before + 2 or running.done())
        stop.set()
        await running
    return asked, lines


async def test_sweep_recovers_from_any_error_at_any_point(sea: SweepHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await sea.store(sea.session("s1", "CA1"), sea.ended("over", "CA2", conference="CF2"))
    sea.account.account = AccountSnapshot(calls={"CA2"}, conferences={"CF3": "CA" + "0" * 32})
    sea.account.participants = {"CF3": []}
    errors: Iterator[tuple[str, Any]] = cycle(ANY_ERRORS.items())
    places = 0
    for place in range(1, 1_000):
        name, make = next(errors)

        def fail(asked: int, place: int = place, make: Any = make) -> None:
            if asked == place:
                raise make()

        with monkeypatch.context() as patch:
            asked, lines = await swept(sea, fail, patch)
        if place > asked // 2:
            break
        places += 1
        reported = [line for line in lines if line["event"] == "unexpected_error"]
        assert len(reported) == (0 if isinstance(make(), ConferralError) and not reported else 1), (place, name)
        assert all(line["where"] == "sweep" for line in reported)
        assert ("call-missing", "s1", "CA1", "") in await sea.reported(), (place, name)
        await sea.decide_all()
    assert places >= 5
