"""What a session may decide after a rollback of Redis, before it has read Twilio."""

from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import CallsRead, EffectUnknown
from conferral.storage.partition.partition_store import Entry
from conferral.worker.consumer.first_reads import FirstReads


class Store:
    """One live session, whose requests for reads are stored."""

    async def live_session_ids(self, _partition: int) -> list[str]:
        return ["s"]

    async def append(self, _events: list[object]) -> None:
        pass


@pytest.mark.parametrize("entry_id, is_old", [("4-9", True), ("5-0", True), ("5-1", False)])
async def test_answer_from_before_the_rollback_ends_its_read_and_shows_nothing(entry_id: str, is_old: bool) -> None:
    """Held back, it would keep the session's read open, so that no other follows."""
    lease: Any = SimpleNamespace(newest_id="5-0", holder="2:me", is_verifying=lambda _clock: True)
    core = SimpleNamespace(clock=SystemClock(), metrics=Metrics())
    context: Any = SimpleNamespace(partition_store=Store(), core=core)
    first_reads = FirstReads(0, lease, context, lambda _session_id: None)
    await first_reads.begin()
    read = {"session_id": "s", "entry_id": entry_id, "token": "e1:outcome", "effect_id": "e1"}
    answer = CallsRead(**read, read_version=3, calls=())
    ((_, event),) = first_reads.admit([(Entry(entry_id, {}), answer)])
    first_reads.stop()
    assert event == (EffectUnknown(**read, kind=ReadCalls.kind) if is_old else answer)
    assert not first_reads.has_waiting
