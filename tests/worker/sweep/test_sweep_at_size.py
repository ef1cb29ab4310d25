"""The sweep among 10,000 live calls: how long someone is alone, and what it costs in requests."""

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.flows.test_sweep import lose_everything, waits_for_nothing
from tests.support.foreign_calls import add_foreign_calls
from tests.support.local_system import LocalSystem
from tests.support.metric_values import value_of
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.soak, pytest.mark.timeout(180)]
INTERVAL_S = 10
#: Calls of others in the same account: the lists show them all.
FOREIGN = 10_000
#: What one sweep may ask for: ten pages of calls and one more for ours, a page for each other status, one of
#: conferences; then a read of the one session that differs.
PAGES_MAX, READ_MAX = 16, 8


async def test_lost_leave_among_ten_thousand_calls_costs_one_interval_and_few_requests(
    redis_server: RedisServer, report_figure: Callable[[str], None]
) -> None:
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as system:
        system.end_calls_in_test()
        add_foreign_calls(system.sandbox, FOREIGN, age_s=600)
        customer, agent = await system.converted()
        lose_everything(system)
        await waits_for_nothing(system, customer.sid)
        done = partial(value_of, system.workers[0].metrics.sweeps.labels("done"))
        await next_sweep(system, done)

        sweeps_before, before = done(), len(system.sandbox.request_log.rest)
        agent.hang_up()
        began_s = time.monotonic()
        await system.eventually(lambda: has_ended(system, customer.sid), "the session has ended", 4 * INTERVAL_S)
        alone_s = time.monotonic() - began_s

        await next_sweep(system, done)
        sweeps = int(done() - sweeps_before)
        asked = system.sandbox.request_log.rest[before:]
        pages = [entry for entry in asked if entry.path in ("/Calls.json", "/Conferences.json") and entry.get("Status")]
        others = len(asked) - len(pages)
        report_figure(
            f"alone for {alone_s:.1f} s at an interval of {INTERVAL_S} s, {len(pages)} pages in {sweeps} sweeps and "
            f"{others} other requests among {FOREIGN:,} calls"
        )
        # One interval, and what a sweep itself takes on a busy machine.
        assert sweeps <= 3
        assert len(pages) <= PAGES_MAX * (sweeps + 1)
        assert alone_s > 1, "something else than the sweep has found it"
        assert others <= READ_MAX
        await system.settled()
        assert customer.status == "completed"
        assert sum(not call.is_final for call in system.sandbox.model.state.calls.values()) == FOREIGN


async def next_sweep(system: LocalSystem, done: Callable[[], float]) -> None:
    """Waits for the end of a sweep: the longest that someone may be alone begins right behind it."""
    before = done()

    async def has_been() -> bool:
        return done() > before

    await system.eventually(has_been, "a sweep", 3 * INTERVAL_S)


async def has_ended(system: LocalSystem, session_id: str) -> bool:
    return (await system.session(session_id)).get("state") == "ended"
