"""An outage of Redis logs few lines, and each error is counted. In virtual time."""

import asyncio
from typing import Any

from structlog.testing import capture_logs

from conferral.runtime.log import count_outages, log_unreachable
from conferral.runtime.metrics import Metrics
from tests.simulation.virtual_loop import in_virtual_time
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import WorkerCluster, cluster_of_one


def shown(lines: list[Any]) -> list[tuple[str, int]]:
    return [(line["event"], line["count"]) for line in lines if line["event"].startswith("store_")]


async def fails(times: int, every_s: float) -> None:
    for _ in range(times):
        log_unreachable(TimeoutError(), task="leases")
        await asyncio.sleep(every_s)  # a delay: virtual time


@in_virtual_time
async def test_outage_has_a_line_when_it_begins_and_one_a_minute() -> None:
    metrics = Metrics()
    count_outages(metrics)
    with capture_logs() as lines:
        await fails(520, 0.25)
    assert shown(lines) == [("store_unreachable", 1), ("store_unreachable", 240), ("store_unreachable", 240)]
    assert lines[0]["reason"] == "TimeoutError"
    assert lines[0]["task"] == "leases"
    assert metrics.registry.get_sample_value("conferral_store_failures_total") == 520


@in_virtual_time_with("team, member", cluster_of_one)
async def test_worker_whose_redis_is_away_for_two_minutes_logs_three_lines(team: WorkerCluster) -> None:
    with capture_logs() as lines:
        team.server.stop()
        await team.passes(125.0)
        team.server.start()
        await team.passes(30.0)
    events = [event for event, _ in shown(lines)]
    assert events == ["store_unreachable"] * 3
    others = {line["event"] for line in lines if line["log_level"] != "info"} - {*events}
    assert not others, "it has restarted, and lost nothing"
