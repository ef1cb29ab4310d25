"""Any error while a partition is read, decided and written: the entry at fault is dead-lettered, all else is decided.

In virtual time, on a Redis in memory. What a partition asks of Redis is counted, not listed.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from inspect import iscoroutinefunction
from itertools import cycle
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime import containment
from conferral.statemachine.events import CallProgressed
from conferral.storage.codecs import event_codec
from conferral.worker.partition import partition as module
from tests.support.strange_errors import ANY_ERRORS
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, cluster_of_one

#: How long a partition may take to be held again after an error: its lease runs out, and the next is taken.
AGAIN_S = 8.0


of_one = in_virtual_time_with("team, member", partial(cluster_of_one, partitions=2))


@pytest.fixture(autouse=True)
def all_lines(monkeypatch):
    """Each error has a line, as if it were the place's first within a minute."""
    monkeypatch.setattr(containment, "UNEXPECTED_LOG_EVERY_S", 0)


async def publish(team: WorkerCluster, session_id: str, token: str = "good") -> None:
    event = CallProgressed(session_id=session_id, token=token, party="agent", call_sid="CA1", status="completed")
    stream = team.keys.events(team.keys.partition_of(session_id))
    await team.client.xadd(stream, event_codec.encode(event))  # type: ignore[arg-type]


async def undecided(team: WorkerCluster) -> int:
    return sum([await team.client.xlen(team.keys.events(number)) for number in range(team.keys.partitions)])


@of_one
async def test_any_error_in_a_decision_costs_its_entry_alone(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster, member: ClusterMember
) -> None:
    """The batch's other entries are decided, and those of its session before and after it."""
    decide, decided = module.decide, Counter[str]()

    def stumbles(events: list[Any], *rest: Any) -> Any:
        for event in events:
            if event.token == "bad":
                error = ANY_ERRORS[event.session_id]()
                raise error
        decided.update(event.session_id for event in events)
        return decide(events, *rest)

    monkeypatch.setattr(module, "decide", stumbles)
    with capture_logs() as lines:
        for session_id in ANY_ERRORS:
            await publish(team, session_id)
            await publish(team, session_id, "bad")
            await publish(team, session_id)
        await team.passes(1.0)
    assert await undecided(team) == 0
    assert decided == dict.fromkeys(ANY_ERRORS, 2)
    letters = [letter for _, letter in await team.client.xrange(team.keys.dead)]
    assert {letter[b"session"].decode() for letter in letters} == ANY_ERRORS.keys()
    assert {letter[b"dead_reason"] for letter in letters} == {b"processing failed"}
    logged = [line for line in lines if line["event"] == "unexpected_error"]
    assert {(line["where"], line["session_id"]) for line in logged} == {("decision", name) for name in ANY_ERRORS}
    assert len(logged) == len(letters) == len(ANY_ERRORS)
    assert [line for line in lines if line["event"] == "lease_lost"] == []


class Stumbling:
    """Fails once at each place from which a partition asks something of Redis, each time with another error."""

    def __init__(self) -> None:
        self.errors: Iterator[Any] = cycle(ANY_ERRORS.values())
        self.places: set[str] = set()
        self.is_on = False

    def around(self, owner: Any, name: str) -> None:
        ask = getattr(owner, name)

        async def asked(*arguments: Any, **options: Any) -> Any:
            if self.is_on and name not in self.places:
                self.places.add(name)
                error = next(self.errors)()
                raise error
            return await ask(*arguments, **options)

        setattr(owner, name, asked)


@of_one
async def test_any_error_around_a_decision_costs_no_entry(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster, member: ClusterMember
) -> None:
    stumbling = Stumbling()
    around = member.core
    for owner in (around.partition_store, around.commit_store):
        for name in dir(owner):
            if not name.startswith("_") and iscoroutinefunction(getattr(owner, name)):
                stumbling.around(owner, name)
    stumbling.is_on = True
    with capture_logs() as lines:
        for number in range(40):
            if number == 20:  # from now on, Redis may lack something
                for partition in range(team.keys.partitions):
                    await team.client.hset(team.keys.lease(partition), "server", "0" * 40)
            await publish(team, f"s-{number}")
            await team.passes(AGAIN_S)
        await team.passes(2 * AGAIN_S)
    assert await undecided(team) == 0
    assert {"read", "load", "commit", "outbox", "fire_timers"} <= stumbling.places
    found = [line for line in lines if line["event"] == "unexpected_error"]
    assert {line["where"] for line in found} <= {"decision", "timer", "task"}
    assert len(found) >= 5


@in_virtual_time_with("team, member", partial(cluster_of_one, partitions=1))
async def test_partition_is_not_handed_on_as_if_all_were_well_after_an_error(
    team: WorkerCluster, member: ClusterMember
) -> None:
    """The next owner must verify effects, so the lease expires instead of being released."""
    before = member.ownership.partitions[0]
    stumbling = Stumbling()
    stumbling.around(member.core.partition_store, "read")
    stumbling.is_on = True
    await publish(team, "s")
    await team.passes(AGAIN_S)
    after = member.ownership.partitions[0]
    assert after is not before
    assert after.lease.last_holder
