"""What may never happen twice is marked before it is sent: dials to the gate, and announcements."""

import asyncio
from typing import Any

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectUnknown
from conferral.worker.executor.outbox import DialStatus
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    FIRST_CALL_MS,
    START_MS,
    TWILIO_AHEAD_MS,
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
async def test_effect_counts_as_marked_once_redis_has_acknowledged_it(
    monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    marks: list[dict[str, bool]] = []

    async def checkpoint(_point: str, _effect: Effect) -> None:
        marks.append(system.executor.marks(0))

    system = ExecutorHarness(checkpoint=checkpoint)
    mark_sent = system.records.mark_sent

    async def mark(effect: Effect, sent_at_ms: int) -> bool:
        marks.append(system.executor.marks(0))
        return await mark_sent(effect, sent_at_ms)

    monkeypatch.setattr(system.records, "mark_sent", mark)
    await system.run(effect)
    assert marks == [{"e": False}, {"e": True}, {"e": True}]
    assert (system.executor.marks(1), system.executor.marks(0)) == ({}, {})


@each_kind
async def test_effect_is_not_sent_if_the_partition_was_lost_while_it_was_marked(
    monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    """Redis was slow, and another worker has the partition by now: it verifies, or leaves it."""
    system = ExecutorHarness()
    mark_sent = system.records.mark_sent

    async def mark_slowly(effect: Effect, sent_at_ms: int) -> bool:
        is_first = await mark_sent(effect, sent_at_ms)
        system.lost.add(0)
        return is_first

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
    (DIAL, {"sent_until_ms": START_MS, "sent_at_ms": START_MS - 60_000}),
    (DIAL, {"sent_until_ms": START_MS, "sent_at_ms": START_MS - 60_000, "mark_may_be_lost": True}),
    (ANNOUNCEMENT, {"sent_until_ms": START_MS, "sent_at_ms": START_MS - 60_000}),
    (ANNOUNCEMENT, {"sent_until_ms": START_MS, "mark_may_be_lost": True}),
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


LOST: dict[str, Any] = {"sent_until_ms": START_MS, "mark_may_be_lost": True}


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("known, since_ms", [
    ({"sent_since_ms": 0}, FIRST_CALL_MS),
    ({"sent_since_ms": START_MS - 9_000}, START_MS - 9_000 + TWILIO_AHEAD_MS),
    ({}, START_MS + TWILIO_AHEAD_MS),
], ids=["opened-again", "requested", "restored"])  # fmt: skip
async def test_dial_of_a_lost_history_is_found_or_sent(
    system: ExecutorHarness, known: dict[str, Any], since_ms: int, found: bool
) -> None:
    system.calls.gone_calls = ("CA7",) if found else ()
    system.records.standings["e"] = DialStatus(is_wanted=True, first_call="CA1")

    assert await system.run(DIAL, **LOST, **known) == succeeded(DIAL, "CA7" if found else "CA-e")

    assert (system.calls.gone_since_ms, system.calls.gone_until_ms) == ([since_ms], [START_MS + TWILIO_AHEAD_MS])
    assert system.calls.asked.count("e") == (not found)


async def test_dial_of_a_lost_history_is_unknown_if_twilio_can_not_say(system: ExecutorHarness) -> None:
    system = ExecutorHarness(fetch_twilio_now_ms=_raises)

    assert isinstance(await system.run(DIAL, **LOST), EffectUnknown)

    assert "e" not in system.calls.asked


async def _raises() -> int:
    raise AWAY


@each_kind
async def test_effect_taken_over_that_was_not_marked_is_sent(system: ExecutorHarness, effect: Effect) -> None:
    assert await system.run(effect, sent_until_ms=START_MS) == SENT[effect.kind]


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
