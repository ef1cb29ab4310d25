"""Batches that can't be decided or committed together."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, patch

from conferral.runtime.clock import StoreClock, SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import CallReceived
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.storage.codecs import event_codec
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import Entry
from conferral.storage.partition.session_store import Batch, CommitConflictError, CommitResult
from conferral.worker.consumer import batch, batch_processor
from conferral.worker.consumer.batch_processor import BatchProcessor
from conferral.worker.consumer.first_reads import FirstReads
from conferral.worker.core import no_checkpoint


def received(number: int) -> CallReceived:
    name = f"CA{number:032x}"
    return CallReceived(
        session_id=name, entry_id=f"{number}-0", token="t", call_sid=name, customer_address="+14155550123",
        agent_address="client:alice",
    )  # fmt: skip


class Store:
    """Commits everything, except for the first commit of one entry."""

    def __init__(self, conflicting: str) -> None:
        self.commits: list[list[str]] = []
        self._conflicting = conflicting

    async def load(self, session_ids: list[str]) -> dict[str, Session]:
        return {name: Session(name) for name in session_ids}

    async def commit(self, _partition: int, _lease: object, one: Batch) -> CommitResult:
        self.commits.append(one.entry_ids)
        if self._conflicting in one.entry_ids:
            self._conflicting = ""
            raise CommitConflictError((one.sessions[0].after.id,))
        return CommitResult.OK


async def process(store: Store, *events: CallReceived) -> tuple[list[str], list[str]]:
    """Process events of one batch; return the entries that were decided, and those that were dead-lettered."""
    dispatched: list[str] = []
    core: Any = SimpleNamespace(
        client=None, keys=Keys("test", 1), metrics=Metrics(), clock=SystemClock(), store_clock=StoreClock(SystemClock())
    )
    context: Any = SimpleNamespace(
        core=core, session_store=store, policy=Policy, checkpoint=no_checkpoint,
        partition_store=None, twilio_now_ms=lambda: None,
    )  # fmt: skip
    dispatcher: Any = SimpleNamespace(
        open_effects_of=lambda _: {},
        dispatch=lambda one: dispatched.extend(decision.event.entry_id for decision in one.decisions),
    )
    lease: Any = SimpleNamespace(newest_id="0-0")
    first_reads = FirstReads(0, lease, context, lambda _: None)
    processor = BatchProcessor(0, lease, context, dispatcher, first_reads)
    with patch.object(batch_processor, "dead_letter", AsyncMock()) as dead_letter:
        await processor.process([
            Entry(event.entry_id, {name.encode(): text.encode() for name, text in event_codec.encode(event).items()})
            for event in events
        ])  # fmt: skip
    return dispatched, [call.args[2].entry_id for call in dead_letter.await_args_list]


async def test_entry_that_can_not_be_decided_costs_no_other_entry_of_its_session(monkeypatch):
    def decide(events, *given):
        if any(event.entry_id == "2-0" for event in events):
            raise ZeroDivisionError
        return batch.decide(events, *given)

    monkeypatch.setattr(batch_processor, "decide", decide)
    events = [replace(received(1), entry_id=entry_id) for entry_id in ("1-0", "2-0", "3-0")]
    store = Store("")
    assert await process(store, *events) == (["1-0", "3-0"], ["2-0"])
    assert store.commits == [["1-0"], ["2-0"], ["3-0"]]


async def test_conflict_of_one_session_costs_no_other():
    store = Store("2-0")
    assert await process(store, *map(received, (1, 2, 3))) == (["1-0", "2-0", "3-0"], [])
    assert store.commits == [["1-0", "2-0", "3-0"], ["1-0"], ["2-0"], ["3-0"]]
