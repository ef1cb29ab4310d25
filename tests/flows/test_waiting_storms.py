"""Everything goes wrong now and then at once on the way into a conference: no one is left alone, or dialed twice."""

import pytest

from tests.flows.conference_starts import WAYS, opened
from tests.flows.interruptions import side_by_side, small_world
from tests.support.local_system import AGENT
from tests.support.phones import answers

pytestmark = pytest.mark.redis
SEEDS = range(12)


async def play(redis_url, way, seed):
    """One call; the dialed party, if reached, hangs up after a while."""
    async with small_world(
        redis_url, speed=10, policy={"ring_timeout_ms": 1_000}, CONFERRAL_SWEEP_INTERVAL=5
    ) as system:
        faults = system.sandbox.faults
        faults._random.seed(seed)
        system.sandbox.phone(WAYS[way].phone).script_in_turn(answers(hangs_up_after_s=4))
        faults.callback_loss, faults.callback_duplication, faults.callback_reordering = 0.2, 0.2, 0.2
        faults.rate_429, faults.rate_500_before, faults.rate_500_after, faults.cut_after = 0.1, 0.05, 0.05, 0.1
        opening = await opened(system, way)

        async def is_over():
            return (await opening.session()).get("state") == "ended" and not system.sandbox.live_calls()

        await system.eventually(is_over, "it is over, and every call with it", timeout_s=40)
        assert system.dials_to(WAYS[way].phone) <= 1
        assert way != "call" or system.dials_to(AGENT) <= 1
        called = await opening.called()
        assert called is None or called.is_final
        faults.clear()
        await system.settled()


@pytest.mark.soak
@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS)
async def test_storm_leaves_no_one_behind(redis_server, way):
    results = await side_by_side(play(redis_server.url, way, seed) for seed in SEEDS)
    broken = {seed: error for seed, error in enumerate(results) if error is not None}
    for error in broken.values():
        error.add_note(f"it breaks with the seeds {list(broken)}")
        raise error
