"""How long a tick counts while Redis is slow: a worker must stop before another begins."""

import pytest

from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.local_system import settings_for
from tests.worker.worker_cluster import ClusterClock


@pytest.mark.parametrize(
    "url, lifetime_s",
    [("redis://h/0", 4.5), ("redis+sentinel://h/main/0", 2.0), ("redis://h/?cluster=true", 2.0)],
)
@in_virtual_time
async def test_slow_redis_lengthens_the_time_to_send_only_where_no_other_primary_may_be_named(
    loop: VirtualLoop, url: str, lifetime_s: float
) -> None:
    """Workers of another primary wait only for as long as was replicated to it: two seconds."""
    settings = settings_for(url, None, "https://example.com").model_copy(update={"prefix": "{c}"})
    held = Worker(settings, environment=Environment(clock=ClusterClock(loop, 0.0))).ownership.held
    held.note_round_trip(1.5)
    assert held.lifetime_s == lifetime_s
    held.note_round_trip(0.1)
    assert held.lifetime_s == 2.0
