"""Post-commit writes: bounded, repeated while Redis is away, left to the next holder at a stop."""

import asyncio

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs.effect_codec import ExpireCalls, PostCommitWrite
from conferral.worker.consumer.post_commit import PostCommitWrites


class Access:
    """Fails with errors first, then counts the finished writes."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)
        self.done = 0

    async def finish_writes(self, _partition, writes) -> list[PostCommitWrite]:
        """Leaves one in two, as if Redis had refused it."""
        if self.errors and isinstance(self.errors[-1], StoreUnreachableError):
            raise self.errors.pop()
        self.done += len(writes) // 2
        return writes[len(writes) // 2 :]

    async def finish_write(self, _partition, _write, *, session_ttl_s: int) -> None:
        assert session_ttl_s == 60
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop()
        self.done += 1


def writes_of(access: Access) -> PostCommitWrites:
    return PostCommitWrites(0, access, Metrics(), session_ttl_s=60)


async def test_write_is_done_again_after_redis_was_away(monkeypatch):
    monkeypatch.setattr("conferral.worker.consumer.post_commit.PAUSE_S", 0)
    access = Access(StoreUnreachableError("away"), StoreUnreachableError("away"))
    writes = writes_of(access)
    writes.start([ExpireCalls("s", ("CA1",))])
    await writes.wait_finished()
    assert access.done == 1


async def test_write_is_left_to_the_next_holder_at_a_stop():
    access = Access(StoreUnreachableError("away"))
    writes = writes_of(access)
    writes.start([ExpireCalls("s", ("CA1",))])
    writes.stop()
    await writes.wait_finished()
    assert access.done == 0


async def test_write_that_redis_refuses_for_good_is_given_up():
    access = Access(StoreError("refused"))
    writes = writes_of(access)
    writes.start([ExpireCalls("s", ("CA1",))])
    await writes.wait_finished()
    assert access.done == 0
    assert not access.errors


async def test_writes_that_were_left_are_done_one_by_one():
    access = Access()
    writes = writes_of(access)
    writes.start([ExpireCalls(f"s{number}", ("CA1",)) for number in range(500)])
    await writes.wait_finished()
    assert access.done == 500
