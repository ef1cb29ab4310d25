"""Batches whose commits are split: the parts, and what happens when a later part fails."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.clock import StoreClock, SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import CallReceived
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import Outcome, Step
from conferral.storage.codecs import event_codec
from conferral.storage.partition.partition_store import Entry
from conferral.storage.partition.session_store import Batch, CommitConflictError, CommitResult
from conferral.worker.consumer import batch, batch_processor
from conferral.worker.consumer.batch_processor import BatchProcessor
from conferral.worker.executor.executor import no_checkpoint


def received(number: int) -> CallReceived:
    name = f"CA{number:032x}"
    return CallReceived(
        session_id=name, entry_id=f"{number}-0", token="t", call_sid=name, customer_address="+14155550123",
        agent_address="client:alice",
    )  # fmt: skip


def decided(count: int) -> list[batch.Decision]:
    events = [received(number) for number in range(1, count + 1)]
    return batch.decide(events, {event.session_id: Session(event.session_id) for event in events}, 1_000, Policy())


def test_commits_of_much_weight_are_split_in_order():
    decisions = decided(80)
    parts = list(batch.split_into_commits(decisions))
    assert len(parts) > 1
    assert list(itertools.chain.from_iterable(parts)) == decisions
    assert all(sum(one.weight for one in part) <= batch.WEIGHT_MAX for part in parts)


def test_decision_of_too_much_weight_is_committed_alone(monkeypatch):
    monkeypatch.setattr(batch, "WEIGHT_MAX", 1)
    assert [len(part) for part in batch.split_into_commits(decided(3))] == [1, 1, 1]


def test_weight_is_about_what_a_commit_stores():
    """A new call stores its whole hash; a callback that changes nothing stores its log entry and the packed session."""
    (opened,) = decided(1)
    again = received(1)
    (repeated,) = batch.decide([again], {again.session_id: opened.step.session}, 2_000, Policy())
    assert opened.weight > 1.5 * repeated.weight
    assert repeated.weight == 72, "its log entry and the session's own values, and the time of the change"


def test_commit_is_filled_up_to_its_weight(monkeypatch):
    one, *_ = decisions = decided(5)
    for most, parts in ((2 * one.weight - 1, [1] * 5), (2 * one.weight, [2, 2, 1]), (5 * one.weight, [5])):
        monkeypatch.setattr(batch, "WEIGHT_MAX", most)
        assert [len(part) for part in batch.split_into_commits(decisions)] == parts


def test_end_of_a_session_weighs_more_and_each_effect_counts_twice():
    before = Session("s", version=1)
    after = replace(before, version=2)
    ended = replace(after, state=State.ENDED)
    effect = HangUpCall(effect_id="e", session_id="s", call_sid="CA1")
    steps = [Step(after, Outcome.STAYED), Step(after, Outcome.STAYED, effects=(effect,)), Step(ended, Outcome.MOVED)]
    (nothing, with_effect, end) = (batch.Decision(received(1), step, before) for step in steps)
    assert with_effect.weight == nothing.weight + 2
    assert end.weight == nothing.weight + 45 + 2 * (len(end.changes.readable) - len(nothing.changes.readable))


class Store:
    """Commits everything, except for the first commit of one entry."""

    def __init__(self, conflicting: str) -> None:
        #: The entries, and whether they were taken for the oldest.
        self.commits: list[tuple[list[str], bool]] = []
        self._conflicting = conflicting

    async def load(self, session_ids: list[str]) -> dict[str, Session]:
        return {name: Session(name) for name in session_ids}

    async def commit(self, _partition: int, _lease: object, one: Batch) -> CommitResult:
        self.commits.append((one.entry_ids, one.has_oldest))
        if self._conflicting in one.entry_ids:
            self._conflicting = ""
            raise CommitConflictError((one.sessions[0].after.id,))
        return CommitResult.OK


async def process(store: Store, *events: CallReceived) -> tuple[list[str], list[str]]:
    """Process events of one batch; return the entries that were decided, and those that were dead-lettered."""
    dispatched: list[str] = []
    dead_letter = AsyncMock()
    context: Any = SimpleNamespace(
        session_store=store, metrics=Metrics(), policy=Policy, checkpoint=no_checkpoint, sessions_max=10,
        partition_store=SimpleNamespace(dead_letter=dead_letter), twilio_now_ms=lambda: None,
    )  # fmt: skip
    dispatcher: Any = SimpleNamespace(
        open_effects_of=lambda _: {},
        lost_since_ms=lambda *_: None,
        dispatch=lambda one: dispatched.extend(decision.event.entry_id for decision in one.decisions),
    )
    lease: Any = None
    processor = BatchProcessor(0, lease, context, StoreClock(SystemClock()), dispatcher)
    await processor.process([
        Entry(event.entry_id, {name.encode(): text.encode() for name, text in event_codec.encode(event).items()})
        for event in events
    ])  # fmt: skip
    return dispatched, [call.args[1].entry_id for call in dead_letter.await_args_list]


async def test_entry_that_can_not_be_decided_costs_no_other_entry_of_its_session(monkeypatch):
    def decide(events, *given):
        if any(event.entry_id == "2-0" for event in events):
            raise ZeroDivisionError
        return batch.decide(events, *given)

    monkeypatch.setattr(batch_processor, "decide", decide)
    events = [replace(received(1), entry_id=entry_id) for entry_id in ("1-0", "2-0", "3-0")]
    store = Store("")
    assert await process(store, *events) == (["1-0", "3-0"], ["2-0"])
    assert store.commits == [(["1-0"], False), (["2-0"], False), (["3-0"], False)]


@pytest.mark.parametrize("conflicting", ["1-0", "2-0", "3-0"])
async def test_committed_parts_are_not_decided_again_when_a_later_one_fails(monkeypatch, conflicting):
    monkeypatch.setattr(batch, "WEIGHT_MAX", 1)
    store = Store(conflicting)
    assert await process(store, *map(received, (1, 2, 3))) == (["1-0", "2-0", "3-0"], [])
    done = ["1-0", "2-0", "3-0"]
    at = done.index(conflicting)
    together = [([one], True) for one in done[: at + 1]]
    assert store.commits == [*together, *(([one], False) for one in done[at:])]
