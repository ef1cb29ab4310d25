"""Post-commit writes: bounded, repeated while Redis is away, left to the next holder at a stop."""

from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs.effect_codec import ExpireCalls, PostCommitWrite
from conferral.worker.consumer import dispatcher
from conferral.worker.consumer.dispatcher import PostCommitWrites

AWAY = StoreUnreachableError("away")


class Access:
    """Answers with these errors first, one for each write."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)
        self.done: list[str] = []
        self.dead: list[str] = []

    async def finish_write(self, _partition: int, write: PostCommitWrite) -> None:
        if self.errors:
            raise self.errors.pop()
        self.done.append(write.write_id)

    async def dead_letter_write(self, _partition: int, write: PostCommitWrite, _reason: str) -> str:
        self.dead.append(write.write_id)
        return ""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "REDIS_PAUSE_S", 0)


async def finished(access: Access, count: int = 1, *, stops: bool = False) -> set[str]:
    """The ids of all writes that were started."""
    started = [ExpireCalls(f"s{number}", ("CA1",)) for number in range(count)]
    context: Any = SimpleNamespace(partition_store=access, core=SimpleNamespace(metrics=Metrics(), clock=SystemClock()))
    writes = PostCommitWrites(0, context)
    writes.start(started)
    if stops:
        writes.stop()
    await writes.wait_finished()
    return {write.write_id for write in started}


async def test_write_is_done_again_after_redis_was_away() -> None:
    access = Access(AWAY, AWAY)
    assert await finished(access, 5) == set(access.done)
    assert len(access.done) == 5


async def test_write_is_left_to_the_next_holder_at_a_stop() -> None:
    access = Access(AWAY)
    await finished(access, stops=True)
    assert access.done == []


async def test_write_that_redis_refuses_for_good_is_dead_lettered_alone() -> None:
    access = Access(StoreError("refused"))
    await finished(access, 2)
    assert (access.done, access.dead) == (["expire:s1"], ["expire:s0"])
