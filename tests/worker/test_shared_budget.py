"""All workers share one budget of requests to Twilio."""

import pytest

from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


async def test_many_workers_together_stay_within_the_budget_of_requests(redis_server) -> None:
    async with LocalSystem(redis_server.url, workers=3) as system:

        async def all_have_their_share() -> bool:
            slots = [worker.executor.limiter.ordinary_slots for worker in system.workers]
            return slots == [15] * 3

        await system.eventually(all_have_their_share, "each worker has its share")
        assert sum(worker.executor.limiter.slots for worker in system.workers) <= 48
        first = system.workers[0]
        for index in range(1, 3):
            await system.stop_worker(index)

        async def first_has_everything() -> bool:
            return first.executor.limiter.slots == 48

        await system.eventually(first_has_everything, "the last worker has the whole budget")
