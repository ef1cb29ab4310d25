"""What a session may decide after a rollback of Redis, before it has read Twilio."""

from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import CallsRead, EffectUnknown, ParticipantLeft
from conferral.storage.partition.partition_store import Entry
from conferral.worker.consumer.first_reads import FirstReads


class Store:
    """One live session, whose requests for reads are stored."""

    def __init__(self, verified_entry_id: str = "") -> None:
        self._verified = {"s": verified_entry_id} if verified_entry_id else {}

    async def live_session_ids(self, _partition: int) -> list[str]:
        return ["s"]

    async def verified_entry_ids(self, _session_ids: list[str]) -> dict[str, str]:
        return self._verified

    async def append(self, _events: list[object]) -> None:
        pass


async def begun(store: Store) -> FirstReads:
    lease: Any = SimpleNamespace(newest_id="5-0", holder="2:me", is_verifying=lambda _clock: True)
    core = SimpleNamespace(clock=SystemClock(), metrics=Metrics())
    context: Any = SimpleNamespace(partition_store=store, core=core)
    first_reads = FirstReads(0, lease, context, lambda _session_id: None)
    await first_reads.begin()
    first_reads.stop()
    return first_reads


@pytest.mark.parametrize("verified_entry_id, is_unread", [("", True), ("4-9", True), ("5-0", True), ("5-1", False)])
async def test_only_who_has_not_read_since_the_rollback_reads_under_the_next_holder(
    verified_entry_id: str, is_unread: bool
) -> None:
    assert (await begun(Store(verified_entry_id))).is_unread("s") is is_unread


@pytest.mark.parametrize("entry_id, waits", [("4-9", True), ("5-1", False)])
async def test_entry_from_before_the_rollback_waits_although_the_session_has_read(entry_id: str, waits: bool) -> None:
    """The former holder may have died before it dropped what the read had outdated."""
    first_reads = await begun(Store("5-1"))
    left: Any = (Entry(entry_id, {}), ParticipantLeft(
        session_id="s", entry_id=entry_id, conference_sid="CF1", call_sid="CA1", source="CF1", sequence=7,
    ))  # fmt: skip
    assert (first_reads.admit([left]) == []) is waits
    assert first_reads.is_unread("s") is waits
    first_reads.release("s", has_read=True)
    assert first_reads.admit([left]) == [left]


@pytest.mark.parametrize("entry_id, is_old", [("4-9", True), ("5-0", True), ("5-1", False)])
async def test_answer_from_before_the_rollback_ends_its_read_and_shows_nothing(entry_id: str, is_old: bool) -> None:
    """Held back, it would keep the session's read open, so that no other follows."""
    first_reads = await begun(Store())
    read = {"session_id": "s", "entry_id": entry_id, "token": "e1:outcome", "effect_id": "e1"}
    answer = CallsRead(**read, read_version=3, calls=())
    ((_, event),) = first_reads.admit([(Entry(entry_id, {}), answer)])
    assert event == (EffectUnknown(**read, kind=ReadCalls.kind) if is_old else answer)
    assert not first_reads.has_waiting
