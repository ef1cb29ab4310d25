"""What a partition passes to the executor about an effect, and when."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.clock import StoreClock
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallsRead, Event, Park, Transfer
from conferral.statemachine.parts import PendingCommand, TransferState
from conferral.statemachine.session import Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.step import Outcome, Step
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import Commit, SessionChange
from conferral.worker.executor.job import Job
from conferral.worker.partition_parts.batch import Batch, Decision
from conferral.worker.partition_parts.effects import OpenEffects
from conferral.worker.partition_parts.quarantine import Quarantine
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
    unread = {"S1"} if verifies else set()
    one = open_effects(jobs, verifies=verifies, unread=unread)
    effects = (gated("d"), update("e"))
    outbox = {effect.effect_id: effect_codec.encode(OutboxEntry(effect, START_MS, 7, (1, 0))) for effect in effects}
    await one.restore(outbox)
    await one.start_withheld()
    assert len(jobs) == (0 if verifies else 2)
    unread.clear()
    await one.start_withheld()
    await one.start_withheld()
    assert {job.effect.effect_id for job in jobs} == {"d", "e"}
    for job in jobs:
        assert (job.mark_may_be_lost, job.sent_at_ms) == (verifies, 7)
        assert job.sent_until_ms == START_MS + AHEAD_MS


@pytest.mark.parametrize(
    ("marked_there", "running", "withheld", "has_all"),
    [
        (False, {"d": False, "e": True}, False, True),
        (True, {"d": True}, False, True),
        (True, {"d": False}, False, True),  # the answer to the mark is on its way, or lost
        (False, {"d": True}, False, False),  # its mark is lost
        (False, {}, False, False),  # its result is lost
        (True, {}, True, True),
    ],
)
async def test_redis_has_all_if_what_it_lacks_a_result_of_runs_and_is_marked(
    marked_there: bool, running: dict[str, bool], withheld: bool, has_all: bool
) -> None:
    outbox = {"d": effect_codec.encode(OutboxEntry(gated("d"), START_MS, 7 if marked_there else None, (1, 0)))}
    one = open_effects([], verifies=withheld, unread=["S1"] if withheld else (), running=running, outbox=outbox)
    if withheld:
        await one.restore(outbox)
    assert await one.has_all() is has_all


async def test_effect_with_an_outcome_is_no_longer_open() -> None:
    one, session = open_effects([], verifies=False), Session("S1", created_at_ms=START_MS)
    decision = Decision(READ, Step(session, Outcome.MOVED, effects=(gated("d"), gated("e"))), session)
    effects = {name: (gated(name), READ) for name in "de"}
    one.start(Batch([decision], Commit(sessions=[SessionChange(session)]), effects=effects))
    assert one.by_id.keys() == {"d", "e"}
    one.start(Batch([], Commit(outbox_remove=["d"])))
    assert one.by_id.keys() == {"e"}


def dispatched(event: Event, *, verifies: bool, session: Session | None = None, effect: Effect | None = None) -> Job:
    """The job of an effect that the event caused, by default a dial."""
    jobs = list[Job]()
    session = session or Session("S1", created_at_ms=START_MS)
    decision = Decision(event, Step(session, Outcome.MOVED, effects=(effect or gated("d"),)), session)
    effects = {one.effect_id: (one, event) for one in decision.step.effects}
    open_effects(jobs, verifies=verifies).start(
        Batch([decision], Commit(sessions=[SessionChange(session)]), effects=effects)
    )
    (job,) = jobs
    return job


def open_effects(
    jobs: list[Job],
    *,
    verifies: bool,
    unread: Collection[str] = (),
    running: dict[str, bool] | None = None,
    outbox: dict[str, bytes] | None = None,
) -> OpenEffects:
    time = FakeTime()
    executor: Any = SimpleNamespace(
        submit=jobs.append, cancel_unwanted_dials=lambda _sessions: None, marks=lambda _partition: running
    )

    async def stored(_partition: int) -> dict[str, bytes] | None:
        return outbox

    async def keep(_partition: int, _deaths: Any) -> None: ...

    store: Any = SimpleNamespace(outbox=stored, set_deaths=keep)
    core = core_of(None, Keys("test", 1), time, store_clock=StoreClock(time), partition_store=store)
    for reading_ms in (START_MS + AHEAD_MS, START_MS):  # Redis's clock was set back
        core.store_clock.observe(reading_ms)
    until_s = time.monotonic_s() + 60.0 if verifies else 0.0
    lease = Lease("7:worker", 0, START_MS, last_holder="", verify_until_s=until_s, rolled_back_at_ms=START_MS)
    first_reads: Any = SimpleNamespace(is_unread=lambda name: name in unread, is_background=lambda _name: False)
    return OpenEffects(0, lease, core, executor, Quarantine(0, core), first_reads)
