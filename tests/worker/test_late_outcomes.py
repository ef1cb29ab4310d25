"""An outcome waits for late callbacks: not at all if none is missing, never for long, and in its session's order."""

import asyncio
from collections.abc import Sequence

from conferral.runtime.metrics import Metrics
from conferral.statemachine.parts import Change, History
from conferral.statemachine.session import Session
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.codecs.effect_codec import PostCommitWrite, PublishOutcome
from conferral.worker.consumer.late_outcomes import WAIT_MAX_S, LateOutcomes
from tests.simulation.virtual_loop import in_virtual_time

JOINED = Change(1_000, "in CA1", "customer", is_reported=True)
#: The customer was hung up at 5 s, by what the session knows, and at 3 s, by the callback.
UNREPORTED = Session("S", version=7, history=History(changes=(JOINED, Change(5_000, "in CA1", is_over=True))))
REPORTED = Session(
    "S", version=8, history=History(changes=(JOINED, Change(3_000, "in CA1", is_over=True, is_reported=True)))
)


def outcome(number: int, ended_at_ms: int = 6_000) -> PublishOutcome:
    return PublishOutcome(OutcomeRecord(f"S:{number}", "session", "S", "ended", ended_at_ms=ended_at_ms))


class Published:
    """What was published, with its `participant_s` in milliseconds."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []
        self.late = LateOutcomes(self._publish, Metrics(), WAIT_MAX_S)

    def _publish(self, writes: Sequence[PostCommitWrite]) -> None:
        for write in writes:
            assert isinstance(write, PublishOutcome)
            self.found.append((write.outcome_record.id, write.outcome_record.durations["participant"]))


@in_virtual_time
async def test_an_outcome_that_lacks_nothing_is_published_at_once(loop) -> None:
    published = Published()
    published.late.add(outcome(1), REPORTED)
    assert published.found == [("S:1", 2_000)]


@in_virtual_time
async def test_the_missing_callback_corrects_and_releases_outcomes_in_order(loop) -> None:
    published = Published()
    published.late.add(outcome(1), UNREPORTED)
    published.late.add(outcome(2, ended_at_ms=4_000), UNREPORTED)  # would lack nothing by itself
    published.late.correct(Session("another"))
    assert published.found == []
    published.late.correct(REPORTED)
    assert published.found == [("S:1", 2_000), ("S:2", 2_000)]
    await asyncio.sleep(WAIT_MAX_S + 1)  # a delay: in virtual time
    assert len(published.found) == 2


@in_virtual_time
async def test_each_outcome_waits_for_so_long_at_most(loop) -> None:
    published = Published()
    published.late.add(outcome(1), UNREPORTED)
    await asyncio.sleep(WAIT_MAX_S - 1)  # a delay: in virtual time
    published.late.add(outcome(2), UNREPORTED)
    await asyncio.sleep(1.5)  # a delay: in virtual time
    assert published.found == [("S:1", 4_000)]
    await asyncio.sleep(WAIT_MAX_S)  # a delay: in virtual time
    assert published.found == [("S:1", 4_000), ("S:2", 4_000)]


@in_virtual_time
async def test_after_a_stop_the_next_holder_publishes_them(loop) -> None:
    published = Published()
    published.late.add(outcome(1), UNREPORTED)
    published.late.stop()
    published.late.correct(REPORTED)
    await asyncio.sleep(WAIT_MAX_S + 1)  # a delay: in virtual time
    assert published.found == []
    successor = Published()
    successor.late.add(outcome(1), REPORTED, waited_s=WAIT_MAX_S)
    assert successor.found == [("S:1", 2_000)]
