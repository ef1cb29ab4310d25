"""What may never happen twice is marked before it is sent: dials to the gate, and announcements."""

import asyncio
from typing import Any

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectUnknown
from conferral.storage.partition.partition_store import MarkResult
from tests.support.each import each
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    announcement,
    gated,
    same_retries,
    succeeded,
    update,
)

DIAL, ANNOUNCEMENT = gated("e"), announcement("e")
#: What becomes of each if it is sent.
SENT = {DIAL.kind: succeeded(DIAL, "CA-e"), ANNOUNCEMENT.kind: succeeded(ANNOUNCEMENT)}
each_kind = pytest.mark.parametrize("effect", [DIAL, ANNOUNCEMENT], ids=lambda effect: effect.kind)


@each_kind
async def test_effect_is_marked_before_it_is_sent(effect: Effect) -> None:
    asked: list[list[str]] = []

    async def checkpoint(point: str, _effect: Effect) -> None:
        if point == "before_request":
            asked.append([*system.records.written, *system.calls.asked])

    system = ExecutorHarness(checkpoint=checkpoint)
    system.calls.script["e"].extend([BUSY, AWAY, None])

    assert await system.run(effect) == SENT[effect.kind]

    assert asked == [["mark e"], ["mark e", "e"], ["mark e", "e", "e"]]


@each_kind
async def test_effect_is_not_sent_if_the_partition_was_lost_while_it_was_marked(
    monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    """Redis was slow, and another worker has the partition by now: it verifies, or leaves it."""
    system = ExecutorHarness()
    mark_sent = system.records.mark_sent

    async def mark_slowly(effect: Effect, sent_at_ms: int) -> MarkResult:
        result = await mark_sent(effect, sent_at_ms)
        system.lost.add(0)
        return result

    monkeypatch.setattr(system.records, "mark_sent", mark_slowly)
    await system.run_all(effect)
    assert (system.records.written, system.calls.asked, system.dropped) == (["mark e"], [], 1)


@each_kind
@pytest.mark.parametrize("error", [UNKNOWN, asyncio.Event()], ids=["5xx", "hangs"])
async def test_effect_of_unknown_outcome_is_unknown_at_once(
    effect: Effect, error: ProviderError | asyncio.Event
) -> None:
    system = ExecutorHarness(retries=same_retries(5, 0.005))
    system.calls.script["e"].append(error)

    assert isinstance(await system.run(effect), EffectUnknown)

    assert system.calls.asked == ["e"]
    assert system.time.s == 0.0


@pytest.mark.parametrize(("effect", "timeout_s"), [(DIAL, 10), (ANNOUNCEMENT, 5)], ids=[DIAL.kind, ANNOUNCEMENT.kind])
async def test_last_request_is_not_cut_short(monkeypatch: pytest.MonkeyPatch, effect: Effect, timeout_s: int) -> None:
    """Cut short, its outcome would be unknown, and it may never be sent again."""
    given: list[float | None] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda delay: given.append(delay) or timeout(delay))
    system = ExecutorHarness()
    system.calls.script["e"].append(BUSY)

    system.submit(effect)
    await system.executor.drain(60)

    assert len(given) > 3
    assert set(given) == {timeout_s, 60}


@pytest.mark.parametrize("effect, known", [
    (DIAL, {"maybe_sent_until_s": 0.0, "sent_at_ms": START_MS - 60_000}),
    (DIAL, {"maybe_sent_until_s": 0.0, "sent_at_ms": START_MS - 60_000, "mark_may_be_lost": True}),
    (ANNOUNCEMENT, {"maybe_sent_until_s": 0.0, "sent_at_ms": START_MS - 60_000}),
    (DIAL, {"maybe_sent_until_s": 0.0, "mark_may_be_lost": True}),
    (ANNOUNCEMENT, {"maybe_sent_until_s": 0.0, "mark_may_be_lost": True}),
    (DIAL, {}),
    (ANNOUNCEMENT, {}),
])  # fmt: skip
async def test_effect_that_is_or_may_be_marked_is_unknown_without_being_sent(
    system: ExecutorHarness, effect: Effect, known: dict[str, Any]
) -> None:
    if not known:
        system.records.marked.add("e")

    assert isinstance(await system.run(effect, **known), EffectUnknown)

    assert system.calls.asked == []
    assert system.counts == (0, 0, 1, 0)


@each("update_, keeps_hold, is_sent", [
    ("unhold", False, False), ("clear-end-on-exit", False, False), ("set-end-on-exit", False, False),
    ("clear-end-on-exit", True, True), ("set-end-on-exit", True, True), ("hold", False, True), ("mute", False, True),
])  # fmt: skip
async def test_only_an_update_that_can_be_late_is_sent_after_a_loss(
    update_: str, keeps_hold: bool, is_sent: bool
) -> None:
    """A late unhold would let a consult be overheard; a read decides whether it is still wanted."""
    system = ExecutorHarness()
    effect = update("e", update=update_, keeps_hold=keeps_hold)
    outcome = await system.run(effect, maybe_sent_until_s=0.0, mark_may_be_lost=True)
    assert isinstance(outcome, EffectUnknown) is not is_sent
    assert system.calls.asked == (["e"] if is_sent else [])


@each_kind
async def test_effect_taken_over_that_was_not_marked_is_sent(system: ExecutorHarness, effect: Effect) -> None:
    assert await system.run(effect, maybe_sent_until_s=0.0) == SENT[effect.kind]


@each_kind
async def test_effect_that_is_in_no_outbox_is_not_sent_and_has_no_outcome(
    system: ExecutorHarness, effect: Effect
) -> None:
    """Its session has ended."""
    system.records.gone.add("e")

    system.submit(effect)
    system.submit(update("u"))
    await system.settle()

    assert (system.calls.asked, system.finished) == (["u"], ["u"])
    assert system.counts == (1, 0, 0, 1)
