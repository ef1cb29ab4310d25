"""What the dispatcher passes to the executor about a new effect."""

import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import CallsRead, Event, Park, StageOverdue, Transfer
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import State, TransferMode
from conferral.statemachine.transfer import TransferState
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.session_store import Batch, SessionChange
from conferral.worker.consumer.batch import DecidedBatch, DecidedEffect
from conferral.worker.consumer.dispatcher import Dispatcher
from conferral.worker.executor.job import Job
from tests.worker.executor_harness import START_MS, FakeTime, find, gated

#: How long lost entries may be redelivered, milliseconds.
REDELIVERY_WINDOW_MS = 10_000
#: An entry that was added long after a rollback.
NEW: dict[str, Any] = {"session_id": "S1", "entry_id": f"{START_MS + 35_000}-0", "token": "t"}


@pytest.mark.parametrize(
    ("verifies", "added_ms", "may_be_lost"),
    [
        (True, START_MS - 1, True),
        (True, START_MS + REDELIVERY_WINDOW_MS, True),
        (True, START_MS + REDELIVERY_WINDOW_MS + 1, False),
        (False, START_MS, False),
    ],
)
async def test_dial_of_an_entry_added_soon_after_a_rollback_may_be_a_repeat(
    verifies: bool, added_ms: int, may_be_lost: bool
) -> None:
    """Commands are routed again and timers fire again then; an entry added later is new."""
    lease = Lease("lease", "7:worker", 0, math.inf, expired_at_ms=0, acquired_at_ms=START_MS, requested_at_s=0.0)
    event = Transfer(session_id="S1", entry_id=f"{added_ms}-0", token="t", to="client:bob", mode="warm")

    job = dispatched(lease, event, verifies=verifies)

    assert job.sent_since_ms == added_ms + 5_000
    assert (job.mark_may_be_lost, job.may_have_been_sent) == (may_be_lost, verifies)


@pytest.mark.parametrize(
    ("event", "may_be_lost"),
    [
        (StageOverdue(**NEW, due_ms=START_MS + 5_000 + REDELIVERY_WINDOW_MS), True),
        (StageOverdue(**NEW, due_ms=START_MS + 5_001 + REDELIVERY_WINDOW_MS), False),
        (Park(**NEW, occurred_at_ms=START_MS + REDELIVERY_WINDOW_MS), True),
        (Park(**NEW, occurred_at_ms=START_MS + REDELIVERY_WINDOW_MS + 1), False),
        (CallsRead(**NEW, effect_id="r", read_version=1, calls=()), True),
    ],
    ids=["old timer", "new timer", "old command", "new command", "result"],
)
async def test_dial_of_a_later_holder_is_no_repeat_if_its_cause_is_younger_than_the_rollback(
    event: Event, may_be_lost: bool
) -> None:
    lease = later_lease()

    assert dispatched(lease, event, verifies=True).mark_may_be_lost is may_be_lost


@pytest.mark.parametrize(
    ("started_at_ms", "may_be_lost"),
    [
        (START_MS + 5_001 + 2 * REDELIVERY_WINDOW_MS, False),
        (START_MS + 5_000 + 2 * REDELIVERY_WINDOW_MS, True),
    ],
)
async def test_dial_of_a_transfer_begun_long_after_the_rollback_is_no_repeat(
    started_at_ms: int, may_be_lost: bool
) -> None:
    lease = later_lease()
    transfer = TransferState(number=1, mode=TransferMode.CONSULT, to="client:bob", started_at_ms=started_at_ms)
    event = CallsRead(**NEW, effect_id="r", read_version=1, calls=())
    session = Session(id="S1", state=State.TRANSFERRING, transfer=transfer)

    assert dispatched(lease, event, verifies=True, session=session).mark_may_be_lost is may_be_lost


@pytest.mark.parametrize("ahead_ms", [5_000, -5_000])
@pytest.mark.parametrize(("is_new", "transfers"), [(False, True), (False, False), (True, True)])
async def test_gated_dial_that_may_be_a_repeat_is_searched_for_since_its_transfer_began(
    is_new: bool, transfers: bool, ahead_ms: int
) -> None:
    began_ms = START_MS + 2_000
    transfer = TransferState(number=1, mode=TransferMode.BLIND, to="client:bob", started_at_ms=began_ms)
    session = Session(id="S1", created_at_ms=START_MS, transfer=transfer if transfers else None)
    due_ms = START_MS + (60_000 if is_new else 5_000)

    event = StageOverdue(**NEW, due_ms=due_ms)
    job = dispatched(later_lease(), event, verifies=True, session=session, ahead_ms=ahead_ms)

    assert job.lost_since_ms == (None if is_new else (began_ms if transfers else START_MS))


@pytest.mark.parametrize(
    ("event", "published_at_ms"),
    [
        (Park(**NEW, occurred_at_ms=START_MS), START_MS + 5_000),
        (Park(**NEW), None),
        (StageOverdue(**NEW, due_ms=START_MS, occurred_at_ms=START_MS), None),
    ],
)
async def test_effect_of_a_command_is_timed_from_its_publication(event: Event, published_at_ms: int | None) -> None:
    assert dispatched(later_lease(), event, verifies=False).command_published_at_ms == published_at_ms


@pytest.mark.parametrize(
    ("verifies", "expired_at_ms", "is_read"), [(True, 0, True), (True, 1, True), (False, 1, True), (False, 0, False)]
)
async def test_entries_from_before_a_takeover_are_known_unless_it_was_clean(
    verifies: bool, expired_at_ms: int, is_read: bool
) -> None:
    lease = Lease("lease", "7:worker", 0, math.inf, expired_at_ms, acquired_at_ms=START_MS, requested_at_s=0.0)
    taken_over = dispatcher(lease, [], verifies=verifies)
    store: Any = SimpleNamespace(newest_id=AsyncMock(return_value=(7, 1)), outbox=AsyncMock(return_value={}))
    taken_over._context.partition_store = store  # type: ignore[misc]
    assert await taken_over.read_outbox() == {}
    assert taken_over._newest_at_takeover == ((7, 1) if is_read else (0, 0))
    assert taken_over._predates_takeover(Park(session_id="S1", entry_id="7-1")) is is_read
    assert not taken_over._predates_takeover(Park(session_id="S1", entry_id="7-2"))
    assert taken_over._may_have_been_sent(Park(session_id="S1", entry_id="7-1")) is is_read
    assert taken_over._may_have_been_sent(Park(session_id="S1", entry_id="7-2")) is verifies


@pytest.mark.parametrize(
    ("redis", "redis_before", "has_all_commits", "verifies"),
    [
        ("a", "a", False, False),
        ("b", "a", False, True),
        ("a", "", False, True),
        ("", "", False, True),
        ("a", f"-{START_MS}:a", False, True),
        ("a", f"={START_MS}:a:3", True, False),
    ],
    ids=[
        "same server", "another server", "server not stored", "server unknown", "soon after a rollback",
        "sessions not checked since a rollback",
    ],
)  # fmt: skip
async def test_entry_on_the_stream_of_a_dead_holder_was_not_acted_on_if_its_server_is_still_there(
    redis: str, redis_before: str, has_all_commits: bool, verifies: bool
) -> None:
    """A commit removes its entry before anything is sent, and only another server can lack that commit."""
    lease = Lease(
        "lease", "8:worker", 3, math.inf, expired_at_ms=1, acquired_at_ms=START_MS, requested_at_s=0.0, redis=redis,
        redis_before=redis_before, has_all_commits=has_all_commits,
    )  # fmt: skip
    taken_over = dispatcher(lease, [])
    store: Any = SimpleNamespace(newest_id=AsyncMock(return_value=(7, 1)), outbox=AsyncMock(return_value={}))
    taken_over._context.partition_store = store  # type: ignore[misc]
    await taken_over.read_outbox()
    assert taken_over._may_have_been_sent(Park(session_id="S1", entry_id="7-1")) is verifies
    assert taken_over._restored_job(gated("d"), OutboxEntry(gated("d"), START_MS)).may_have_been_sent


@pytest.mark.parametrize("has_all_commits", [True, False])
@pytest.mark.parametrize("after_ms", [0, 1])
def test_mark_of_an_effect_committed_before_the_rollback_may_be_lost_although_no_commit_is(
    has_all_commits: bool, after_ms: int
) -> None:
    lease = later_lease(has_all_commits=has_all_commits)
    entry = OutboxEntry(gated("d"), START_MS + 5_000 + CLOCK_JUMP_MS + after_ms)

    job = dispatcher(lease, [])._restored_job(gated("d"), entry)

    assert job.may_have_been_sent
    assert job.mark_may_be_lost is (has_all_commits and not after_ms)


@pytest.mark.parametrize(
    ("noted_ms", "after_ms", "sent_at_ms", "lost_since_ms", "may_be_lost"),
    [
        (0, 1, None, None, False),
        (START_MS, 1, None, START_MS, True),
        (None, 1, None, None, True),
        (0, 0, None, None, True),
        (START_MS, 0, None, None, True),
        (START_MS, 1, START_MS, None, True),
    ],
    ids=[
        "known as new", "may be a repeat", "nothing is noted", "new then, but its mark may be lost",
        "a repeat then, and its mark may be lost", "marked",
    ],
)  # fmt: skip
def test_restored_dial_is_doubted_as_it_was_when_it_was_committed_after_the_rollback(
    noted_ms: int | None, after_ms: int, sent_at_ms: int | None, lost_since_ms: int | None, may_be_lost: bool
) -> None:
    """A mark set on this server is there, so only the history that was lost may have sent it, before the rollback."""
    lease = later_lease()
    committed_ms = START_MS + 5_000 + CLOCK_JUMP_MS + after_ms
    entry = OutboxEntry(gated("d"), committed_ms, sent_at_ms, lost_since_ms=noted_ms)

    job = dispatcher(lease, [], verifies=True)._restored_job(gated("d"), entry)

    assert (job.lost_since_ms, job.mark_may_be_lost) == (lost_since_ms, may_be_lost)
    assert job.sent_until_ms == (START_MS if lost_since_ms else lease.sent_until_ms)
    calm = dispatcher(lease, [])._restored_job(gated("d"), entry)
    assert (calm.lost_since_ms, calm.mark_may_be_lost) == (lost_since_ms, False)


async def test_entry_that_a_lost_history_may_have_decided_was_last_sent_before_the_rollback() -> None:
    """Holders of this server remove an entry before they send. So each takeover adds nothing to the doubt."""
    lease = later_lease()
    event = CallsRead(**NEW, effect_id="r", read_version=1, calls=())

    job = dispatched(lease, event, verifies=True)

    assert (job.may_have_been_sent, job.mark_may_be_lost) == (True, True)
    assert (job.sent_until_ms, lease.sent_until_ms) == (START_MS, START_MS + 30_000)


@pytest.mark.parametrize("offset_ms", [0, 60_000, -60_000])
async def test_search_for_a_lost_dial_ends_at_the_rollback(offset_ms: int) -> None:
    lease = later_lease()
    lease.clock_offset_ms = offset_ms
    job = dispatched(lease, CallsRead(**NEW, effect_id="r", read_version=1, calls=()), verifies=True)

    assert job.search_until_ms == lease.lost_until_ms
    entry = OutboxEntry(gated("d"), START_MS + 5_000 + CLOCK_JUMP_MS + 60_001, lost_since_ms=START_MS)
    restored = dispatcher(lease, [], verifies=True)._restored_job(gated("d"), entry)
    assert restored.search_until_ms == job.search_until_ms


@pytest.mark.parametrize(
    ("verifies", "is_unchecked", "due_ms", "since_ms"),
    [
        (True, True, START_MS, START_MS + 2_000),
        (True, True, START_MS + 60_000, 0),
        (False, True, START_MS, 0),
        (False, False, START_MS, None),
    ],
    ids=["may be a repeat", "new", "later", "no rollback"],
)
def test_outbox_says_since_when_a_lost_history_may_have_dialed(
    verifies: bool, is_unchecked: bool, due_ms: int, since_ms: int | None
) -> None:
    lease = later_lease()
    lease.has_unchecked_sessions = is_unchecked
    session = Session(id="S1", created_at_ms=START_MS + 2_000)
    lost_since_ms = dispatcher(lease, [], verifies=verifies).lost_since_ms

    assert lost_since_ms(gated("d"), StageOverdue(**NEW, due_ms=due_ms), session) == since_ms
    assert lost_since_ms(find("f"), StageOverdue(**NEW, due_ms=due_ms), session) == (None if since_ms else since_ms)


def later_lease(*, has_all_commits: bool = False) -> Lease:
    """The lease of a holder who took over 30 s after the rollback."""
    acquired_ms = START_MS + 30_000
    return Lease(
        "lease", "8:worker", 0, math.inf, expired_at_ms=acquired_ms, acquired_at_ms=acquired_ms, requested_at_s=0.0,
        rolled_back_at_ms=START_MS, has_all_commits=has_all_commits,
    )  # fmt: skip


def dispatched(
    lease: Lease, event: Event, *, verifies: bool, session: Session | None = None, ahead_ms: int = 5_000
) -> Job:
    """The job of a dial that the event caused."""
    jobs = list[Job]()
    one = dispatcher(lease, jobs, verifies=verifies, ahead_ms=ahead_ms)
    session = session or Session("S1", created_at_ms=START_MS)
    lost_since_ms = one.lost_since_ms(gated("d"), event, session)
    # What later events of the batch did to the session changes nothing.
    later = replace(session, transfer=TransferState(number=9, mode=TransferMode.WARM, to="", started_at_ms=10**15))
    changed = Batch(sessions=[SessionChange(session, later)])
    one.dispatch(DecidedBatch([], changed, [DecidedEffect(gated("d"), event, lost_since_ms)]))

    (job,) = jobs
    return job


def dispatcher(lease: Lease, jobs: list[Job], *, verifies: bool = False, ahead_ms: int = 5_000) -> Dispatcher:
    """A dispatcher whose partition's time is `ahead_ms` ahead of Redis's."""
    time = FakeTime()
    executor = SimpleNamespace(submit=jobs.append, cancel_unwanted_dials=lambda _sessions: None)
    context: Any = SimpleNamespace(
        executor=executor, partition_store=None, clock=time, metrics=Metrics(), session_ttl_s=60,
        on_committed=lambda _decisions: None,
    )  # fmt: skip
    none: Any = SimpleNamespace(update=lambda *_given: None)
    clock = StoreClock(time, offset_ms=ahead_ms)
    clock.observe(START_MS)
    return Dispatcher(0, lease, context, clock, none, none, none, math.inf if verifies else 0.0)
