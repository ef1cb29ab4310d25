"""What a partition passes to the executor about an effect, and when."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.runtime.clock import StoreClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import AccountSwept, CallsRead, Event, Park, Transfer
from conferral.statemachine.session import Session
from conferral.statemachine.step import DecisionKind, Step
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import Commit, SessionChange
from conferral.worker.executor.job import Job
from conferral.worker.partition.batch import Batch, Decision
from conferral.worker.partition.effects import UNREADABLE_REASON, WRITES_LOST, OpenEffects
from tests.support.each import each
from tests.worker.cores import core_of
from tests.worker.executor_harness import START_MS, FakeTime, gated, hang_up, read, update, voicemail
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import Work, WorkerCluster, running_cluster

NEW: dict[str, Any] = {"session_id": "S1", "entry_id": f"{START_MS + 35_000}-0", "token": "t"}
READ = CallsRead(**NEW, effect_id="r", read_version=1, calls=())
#: The newest entry at the claim; one from before it, and one from after it.
NEWEST = f"{START_MS}-5"
OLD_READ = CallsRead(**(NEW | {"entry_id": NEWEST}), effect_id="r", read_version=1, calls=())
SWEPT = AccountSwept(**NEW, finding=WRITES_LOST)


@pytest.mark.parametrize(
    ("event", "came_before"),
    [
        (Park(**NEW, occurred_at_ms=START_MS), True),  # the router has appended it again
        (Park(**NEW, occurred_at_ms=START_MS + 1), False),
        (OLD_READ, True),
        (READ, False),
    ],
)
async def test_effect_may_be_a_repetition_if_its_cause_came_before_the_loss(event: Event, came_before: bool) -> None:
    job = dispatched(event, verifies=True)
    assert job.mark_may_be_lost is came_before
    assert job.maybe_sent_until_s == (0.0 if came_before else None)
    assert dispatched(event, verifies=False).maybe_sent_until_s is None


async def test_move_to_the_voicemail_after_a_loss_is_sent() -> None:
    """The read before it has shown that the caller was not there."""
    assert not dispatched(OLD_READ, verifies=True, effect=voicemail("d")).mark_may_be_lost


@each("unsettled, is_expedited", [
    ({"loss agent": START_MS, "loss anyone": START_MS}, False),
    ({"loss agent": START_MS, "open-update agent hold": START_MS}, True),
    ({"loss agent": START_MS, "suspicion anyone": START_MS}, True),
    ({}, True),
])  # fmt: skip
async def test_read_after_a_loss_is_expedited_once_its_session_waits_for_more(
    unsettled: dict[str, int], is_expedited: bool
) -> None:
    expedited, session = list[str](), Session("S1", lost_at_ms=START_MS, unsettled_since_ms=unsettled)
    open_effects([], verifies=False, expedited=expedited).start(Batch([], Commit(sessions=[SessionChange(session)])))
    assert expedited == ["S1"] * is_expedited


@pytest.mark.parametrize("is_background", [True, False])
async def test_read_says_whether_anyone_waits_for_it(is_background: bool) -> None:
    effect = replace(read("r"), is_background=is_background)
    assert dispatched(SWEPT, verifies=True, effect=effect).is_background is is_background


@pytest.mark.parametrize(
    ("event", "published_at_ms"),
    [
        (Transfer(**NEW, to=("client:bob",), mode="warm", occurred_at_ms=START_MS), START_MS),
        (Transfer(**NEW, to=("client:bob",), mode="warm"), None),
        (READ, None),
    ],
)
async def test_effect_of_a_command_is_timed_from_its_publication(event: Event, published_at_ms: int | None) -> None:
    assert dispatched(event, verifies=False).command_published_at_ms == published_at_ms


@pytest.mark.parametrize("verifies", [True, False])
async def test_restored_effects_are_verified(verifies: bool) -> None:
    jobs = list[Job]()
    effects = (gated("d"), update("e"), replace(read("r"), is_background=verifies))
    outbox = {effect.effect_id: effect_codec.encode(OutboxEntry(effect, START_MS, 7, (1, 0))) for effect in effects}
    await open_effects(jobs, verifies=verifies).restore(outbox)
    assert {job.effect.effect_id for job in jobs} == {"d", "e", "r"}
    for job in jobs:
        assert (job.mark_may_be_lost, job.sent_at_ms) == (verifies, 7)
        assert job.maybe_sent_until_s == 0.0
        assert job.is_background is (verifies and job.effect.effect_id == "r")


async def test_effect_that_the_outbox_no_longer_has_is_withdrawn() -> None:
    """Also one whose outcome is known: its job has ended."""
    withdrawn = list[Effect]()
    one, session = open_effects([], verifies=False, withdrawn=withdrawn), Session("S1", created_at_ms=START_MS)
    decision = Decision(READ, Step(session, DecisionKind.MOVED, effects=(gated("d"), gated("e"))), session)
    effects = {name: (gated(name), READ) for name in "de"}
    one.start(Batch([decision], Commit(sessions=[SessionChange(session)]), effects=effects))
    assert one.by_id.keys() == {"d", "e"}
    one.start(Batch([], Commit(outbox_remove=["d", "of-another"])))
    assert (one.by_id.keys(), withdrawn) == ({"e"}, [gated("d")])


def dispatched(event: Event, *, verifies: bool, effect: Effect | None = None) -> Job:
    """The job of an effect that the event caused, by default a dial."""
    jobs, session = list[Job](), Session("S1", created_at_ms=START_MS)
    decision = Decision(event, Step(session, DecisionKind.MOVED, effects=(effect or gated("d"),)), session)
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
    client: Any = None,
    expedited: list[str] | None = None,
    withdrawn: list[Effect] | None = None,
) -> OpenEffects:
    """Those of a lease that was claimed after a loss, if `verifies`."""
    time = FakeTime()
    executor: Any = SimpleNamespace(
        submit=jobs.append,
        withdraw=([] if withdrawn is None else withdrawn).append,
        cancel_unwanted_dials=lambda _sessions: None,
        expedite_read=([] if expedited is None else expedited).append,
    )

    core = core_of(client, Keys("test", 1), time, store_clock=StoreClock(time))
    lease = Lease("7:worker", 0, 0, START_MS, NEWEST, last_holder="", is_after_loss=verifies)
    return OpenEffects(0, lease, core, executor)


# ---- entries of the outbox that can't be read ------------------------------------------------------------------------


def broken(**given: Any) -> bytes:
    """An effect that lacks what its kind needs."""
    return msgspec.json.encode({"committed_at_ms": 1, "kind": "hang_up_call", "effect": {}} | given)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[]",
        b'{"committed_at_ms": 1, "kind": "hang_up_call"}',
        broken(kind=["hang_up_call"]),
        broken(kind="ring_the_moon"),
        broken(committed_at_ms="soon"),
        broken(effect={"session_id": "CA" + "1" * 32}),
    ],
)
@in_virtual_time_with("team", partial(running_cluster, partitions=1))
async def test_unreadable_entry_becomes_a_dead_letter_and_leaves_the_outbox(body: bytes, team: WorkerCluster) -> None:
    outbox, submitted = team.keys.outbox(0), list[str]()
    good = OutboxEntry(hang_up("e2", "s1"), 1)
    await team.client.hset(outbox, mapping={"e1": body, "e2": effect_codec.encode(good)})
    work: Any = Work()
    work.submit = lambda job: submitted.append(job.effect.effect_id)
    member = team.join(work=work)
    await team.passes(8.0)
    assert submitted == ["e2"]
    assert set(await team.client.hkeys(outbox)) == {b"e2"}
    (letter,) = await DeadLetters(team.client, team.keys).newest(2)
    assert (letter.type, letter.reason, letter.entry_id) == ("effect", UNREADABLE_REASON, "e1")
    registry = member.metrics.registry
    assert registry.get_sample_value("conferral_dead_letters_total", {"reason": UNREADABLE_REASON}) == 1


async def test_unreadable_entry_stays_for_the_next_owner_while_dead_letters_are_out_of_reach() -> None:
    async def unreachable(*_entry: object) -> str:
        raise StoreUnreachableError("no answer")

    client: Any = SimpleNamespace(execute_command=unreachable)
    jobs, good = list[Job](), OutboxEntry(hang_up("e2", "s1"), 1)
    outbox = {"e1": b"[]", "e2": effect_codec.encode(good)}
    await open_effects(jobs, verifies=False, client=client).restore(outbox)
    assert [job.effect for job in jobs] == [good.effect]
