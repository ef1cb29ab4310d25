"""All workers share one budget of requests to Twilio."""

import pytest

from tests.support.world import World

pytestmark = pytest.mark.redis


async def test_many_workers_together_stay_within_the_budget_of_requests(redis_server) -> None:
    async with World(redis_server.url, workers=10) as world:

        async def all_have_their_share() -> bool:
            slots = [worker.executor.allowance.ordinary_slots for worker in world.workers]
            assert sum(worker.executor.allowance.slots for worker in world.workers) <= 32
            return sorted(slots) == [2] * 6 + [3] * 4

        await world.eventually(all_have_their_share, "each worker has its share")
        first, *others = world.workers
        for index in range(1, 10):
            await world.stop_worker(index)

        async def first_has_everything() -> bool:
            return first.executor.allowance.slots == 32

        await world.eventually(first_has_everything, "the last worker has the whole budget")
        assert all(worker.executor.allowance.slots == 0 for worker in others)
