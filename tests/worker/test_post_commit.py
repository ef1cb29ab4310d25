"""Post-commit writes: bounded, repeated while Redis is away, left to the next holder at a stop."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.codecs.effect_codec import ExpireCalls, PostCommitWrite, PublishOutcome
from conferral.worker.consumer import dispatcher
from conferral.worker.consumer.dispatcher import REFUSED_PAUSE_S, WRITES_PER_PIPELINE, PostCommitWrites
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.metric_values import value_of

AWAY = StoreUnreachableError("away")


class Access:
    """Answers with these errors first: one for all writes, or one for every second write."""

    def __init__(self, *errors: StoreError, all_fail: bool = True) -> None:
        self.errors = list(errors)
        self.all_fail = all_fail
        self.done: list[str] = []
        self.dropped: list[str] = []

    async def finish_writes(self, _partition: int, writes: list[PostCommitWrite]) -> dict[str, StoreError]:
        assert len(writes) <= WRITES_PER_PIPELINE
        failed: dict[str, StoreError] = {}
        if self.errors:
            error = self.errors.pop()
            if self.all_fail:
                raise error
            failed = {write.write_id: error for write in writes[::2]}
        self.done += [write.write_id for write in writes if write.write_id not in failed]
        return failed

    async def remove_from_outbox(self, _partition: int, write_id: str) -> None:
        self.dropped.append(write_id)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "REDIS_PAUSE_S", 0)


async def finished(access: Access, count: int = 1, *, stops: bool = False) -> set[str]:
    """The ids of all writes that were started."""
    started = [ExpireCalls(f"s{number}", ("CA1",)) for number in range(count)]
    context: Any = SimpleNamespace(partition_store=access, core=SimpleNamespace(metrics=Metrics()))
    writes = PostCommitWrites(0, context)
    writes.start(started)
    if stops:
        writes.stop()
    await writes.wait_finished()
    return {write.write_id for write in started}


@pytest.mark.parametrize("all_fail", [True, False])
async def test_write_is_done_again_after_redis_was_away(all_fail: bool) -> None:
    access = Access(AWAY, AWAY, all_fail=all_fail)
    assert await finished(access, 5) == set(access.done)
    assert len(access.done) == 5


async def test_write_is_left_to_the_next_holder_at_a_stop() -> None:
    access = Access(AWAY)
    await finished(access, stops=True)
    assert access.done == []


async def test_write_that_redis_refuses_for_good_is_dropped_alone() -> None:
    access = Access(StoreError("refused"), all_fail=False)
    await finished(access, 2)
    assert (access.done, access.dropped) == (["expire:s1"], ["expire:s0"])


@in_virtual_time
async def test_outcomes_that_redis_refuses_wait_together_for_the_next_attempt(loop: VirtualLoop) -> None:
    access, metrics = Access(*[StoreError("refused")] * 3, all_fail=False), Metrics()
    context: Any = SimpleNamespace(partition_store=access, core=SimpleNamespace(metrics=metrics))
    outcomes = [PublishOutcome(OutcomeRecord(f"o{number}", "session", "s", "ended")) for number in range(4)]
    ids = [one.write_id for one in outcomes]
    writes = PostCommitWrites(0, context)
    with capture_logs() as lines:
        writes.start(outcomes[:3])
        await asyncio.sleep(REFUSED_PAUSE_S - 1)  # a delay: virtual time
        writes.start(outcomes[3:])
        await asyncio.sleep(0)
        assert access.done == [ids[1]]
        await asyncio.sleep(2)  # a delay: virtual time
        assert access.done == [ids[1], ids[2]], "of the first, the third, and the fourth"
        await asyncio.sleep(REFUSED_PAUSE_S)  # a delay: virtual time
    assert sorted(access.done) == sorted(ids)
    assert access.dropped == []
    assert [(line["event"], line["count"]) for line in lines] == [("outcomes_refused", 3), ("outcomes_refused", 2)]
    assert value_of(metrics.writes_refused.labels("outcomes")) == 5


async def test_many_writes_are_done_in_several_pipelines() -> None:
    access = Access()
    assert await finished(access, 500) == set(access.done)
