"""What the dispatcher passes to the executor about a new effect, and what it writes after a commit."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from conferral.runtime.clock import StoreClock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallsRead, Event, Park, Transfer
from conferral.statemachine.parts import Change, History, PendingCommand, TransferState
from conferral.statemachine.session import Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.step import Outcome, OutcomeRecord, Step
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import ExpireCalls, OutboxEntry, PostCommitWrite, PublishOutcome
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys
from conferral.storage.partition.session_store import Batch, SessionChange
from conferral.worker.consumer.batch import DecidedBatch, Decision
from conferral.worker.consumer.dispatcher import REFUSED_PAUSE_S, WRITES_PER_PIPELINE, Dispatcher, PostCommitWrites
from conferral.worker.consumer.late_outcomes import WAIT_MAX_S, LateOutcomes
from conferral.worker.consumer.quarantine import Quarantine
from conferral.worker.executor.job import Job
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.metric_values import value_of
from tests.worker.cores import core_of
from tests.worker.executor_harness import START_MS, FakeTime, gated, update, voicemail

NEW: dict[str, Any] = {"session_id": "S1", "entry_id": f"{START_MS + 35_000}-0", "token": "t"}
READ = CallsRead(**NEW, effect_id="r", read_version=1, calls=())
#: How far this worker's time is ahead of Redis's clock, which someone has set back.
AHEAD_MS = 5_000


#: A command that was published when the rollback was noticed, and one that was published later.
LOST, NEW_SINCE = START_MS, START_MS + 1


def requested(of_call_ms: int, *, of_transfer_ms: int | None = None, of_add_ms: int | None = None) -> Session:
    """A session whose call began then, and whose commands were published then."""
    transfer = TransferState(1, TransferMode.WARM, "", requested_at_ms=of_transfer_ms or 0)
    added = PendingCommand("c1", "add", party="target", requested_at_ms=of_add_ms or 0)
    return Session(
        "S1",
        created_at_ms=START_MS,
        began_at_ms=of_call_ms,
        transfer=None if of_transfer_ms is None else transfer,
        pending_commands=() if of_add_ms is None else (added,),
    )


@pytest.mark.parametrize(
    ("event", "session", "requested_at_ms"),
    [
        (Park(**NEW, occurred_at_ms=LOST), requested(NEW_SINCE), LOST),
        (Park(**NEW, occurred_at_ms=NEW_SINCE), requested(LOST), NEW_SINCE),
        (READ, requested(LOST), LOST),
        (READ, requested(NEW_SINCE), NEW_SINCE),
        (READ, requested(0), 0),
        (READ, requested(LOST, of_transfer_ms=NEW_SINCE), NEW_SINCE),
        (READ, requested(LOST, of_transfer_ms=LOST), LOST),
        (READ, requested(NEW_SINCE, of_transfer_ms=0), NEW_SINCE),
        (READ, requested(LOST, of_add_ms=NEW_SINCE), NEW_SINCE),
        (READ, requested(LOST, of_transfer_ms=NEW_SINCE, of_add_ms=LOST), LOST),
    ],
)
async def test_dial_after_a_rollback_is_no_repeat_if_it_was_requested_since(
    event: Event, session: Session, requested_at_ms: int
) -> None:
    job = dispatched(event, verifies=True, session=session)
    may_repeat = requested_at_ms <= START_MS
    assert job.mark_may_be_lost is may_repeat
    assert job.sent_until_ms == (START_MS + AHEAD_MS if may_repeat else None)
    assert job.sent_since_ms == (requested_at_ms and requested_at_ms + AHEAD_MS)
    assert dispatched(event, verifies=False, session=session).sent_until_ms is None


async def test_move_to_the_voicemail_after_a_rollback_is_sent() -> None:
    """The read before it has shown that the caller was not there."""
    assert not dispatched(READ, verifies=True, effect=voicemail("d")).mark_may_be_lost


@pytest.mark.parametrize(
    ("event", "published_at_ms"),
    [
        (Transfer(**NEW, to="client:bob", mode="warm", occurred_at_ms=START_MS), START_MS + AHEAD_MS),
        (Transfer(**NEW, to="client:bob", mode="warm"), None),
        (READ, None),
    ],
)
async def test_effect_of_a_command_is_timed_from_its_publication(event: Event, published_at_ms: int | None) -> None:
    assert dispatched(event, verifies=False).command_published_at_ms == published_at_ms


@pytest.mark.parametrize("verifies", [True, False])
async def test_restored_effects_are_verified_and_those_of_unread_sessions_wait(verifies: bool) -> None:
    jobs = list[Job]()
    one = dispatcher(jobs, verifies=verifies)
    effects = (gated("d"), update("e"))
    outbox = {effect.effect_id: effect_codec.encode(OutboxEntry(effect, START_MS, 7, (1, 0))) for effect in effects}
    await one.restore(outbox, lambda _session_id: verifies)
    assert len(jobs) == (0 if verifies else 2)
    one.submit_withheld(effects[0].session_id)
    one.submit_withheld(effects[0].session_id)
    assert {job.effect.effect_id for job in jobs} == {"d", "e"}
    for job in jobs:
        assert (job.mark_may_be_lost, job.sent_at_ms) == (verifies, 7)
        assert job.sent_until_ms == START_MS + AHEAD_MS


async def test_effect_with_an_outcome_is_no_longer_open() -> None:
    one, session = dispatcher([], verifies=False), Session("S1", created_at_ms=START_MS)
    decision = Decision(READ, Step(session, Outcome.MOVED, effects=(gated("d"), gated("e"))), session)
    one.dispatch(DecidedBatch([decision], Batch(sessions=[SessionChange(session)], outbox_set={"d": b"", "e": b""})))
    assert one.open_effects_of("S1").keys() == {"d", "e"}
    one.dispatch(DecidedBatch([], Batch(outbox_remove=["d"])))
    assert one.open_effects_of("S1").keys() == {"e"}


def dispatched(event: Event, *, verifies: bool, session: Session | None = None, effect: Effect | None = None) -> Job:
    """The job of an effect that the event caused, by default a dial."""
    jobs = list[Job]()
    session = session or Session("S1", created_at_ms=START_MS)
    decision = Decision(event, Step(session, Outcome.MOVED, effects=(effect or gated("d"),)), session)
    changed = Batch(sessions=[SessionChange(session)], outbox_set={"d": b""})
    dispatcher(jobs, verifies=verifies).dispatch(DecidedBatch([decision], changed))
    (job,) = jobs
    return job


def dispatcher(jobs: list[Job], *, verifies: bool) -> Dispatcher:
    time = FakeTime()
    executor = SimpleNamespace(submit=jobs.append, cancel_unwanted_dials=lambda _sessions: None)

    async def submit_all(found: list[Job], _bodies: Any) -> None:
        jobs.extend(found)

    context: Any = SimpleNamespace(
        executor=executor, partition_store=None, outcome_wait_s=1.0, on_committed=lambda _decisions: None,
        core=core_of(None, Keys("test", 1), time, store_clock=StoreClock(time)),
    )  # fmt: skip
    for reading_ms in (START_MS + AHEAD_MS, START_MS):  # Redis's clock was set back
        context.core.store_clock.observe(reading_ms)
    until_s = time.monotonic_s() + 60.0 if verifies else 0.0
    lease = Lease("7:worker", 0, START_MS, last_holder="", verify_until_s=until_s, rolled_back_at_ms=START_MS)
    none: Any = None
    quarantine: Any = SimpleNamespace(submit_all=submit_all, decode=Quarantine(0, context).decode)
    return Dispatcher(0, lease, context, none, quarantine)


# ---- after the commit -----------------------------------------------------------------------------------------------

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
async def test_write_is_done_again_after_redis_was_away(monkeypatch: pytest.MonkeyPatch, all_fail: bool) -> None:
    monkeypatch.setattr("conferral.worker.consumer.dispatcher.REDIS_PAUSE_S", 0)
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


# ---- outcomes that wait for late callbacks ---------------------------------------------------------------------------


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


def test_an_outcome_is_published_though_its_timer_fires_early() -> None:
    async def all_are_published() -> None:
        waiting = [Published() for _ in range(20)]
        for one in waiting:
            one.late.add(outcome(1), UNREPORTED, waited_s=WAIT_MAX_S - 0.0044)
        async with asyncio.timeout(10):
            while not all(one.found for one in waiting):
                await asyncio.sleep(0.01)  # a delay: between two looks

    # uvloop rounds a wait to whole milliseconds: 4.4 ms end after 4 ms.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_are_published())


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
