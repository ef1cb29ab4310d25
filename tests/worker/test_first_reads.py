"""What a session may decide after a rollback of Redis, before it has read Twilio."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import (
    AccountSwept,
    CallReceived,
    CallsRead,
    Complete,
    EffectFailed,
    EffectUnknown,
    Event,
    Park,
    ParticipantLeft,
    RecordingChanged,
)
from conferral.statemachine.session import Session
from conferral.statemachine.step import Outcome, Step
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import Entry
from conferral.worker.partition_parts.batch import Decision
from conferral.worker.partition_parts.first_reads import FirstReads
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.people import BOB
from tests.worker.cores import core_of
from tests.worker.worker_cluster import ClusterClock


class Store:
    """Live sessions; counts the requests for reads of each."""

    def __init__(self, verified_entry_id: str = "", live: str = "s") -> None:
        self._live = dict.fromkeys(live, verified_entry_id)
        self.asked: list[str] = []
        self.tokens: list[str] = []
        #: Whose reads overtake the others.
        self.expedited: list[str] = []
        self.is_away = False

    async def live_sessions(self, _partition: int) -> list[str]:
        return [*self._live]

    async def field_of(self, names: list[str], field: str) -> dict[str, str]:
        assert field == "verified_entry_id"
        return {name: self._live[name] for name in names}

    async def append(self, events: list[AccountSwept]) -> None:
        assert events, "never nothing"
        if self.is_away:
            raise StoreUnreachableError("away")
        self.asked += [event.session_id for event in events]
        self.tokens += [event.token for event in events]
        assert len({*self.tokens}) == len(self.tokens), "a duplicate is ignored"


async def begun(
    store: Store, clock: Clock | None = None, writes_may_be_lost: Callable[[Clock], bool] = lambda _clock: True
) -> FirstReads:
    lease: Any = SimpleNamespace(
        newest_id="5-0", claimed_at_ms=1_000, holder="2:me", writes_may_be_lost=writes_may_be_lost
    )
    core = core_of(None, Keys("test", 1), clock or SystemClock(), partition_store=store)
    executor: Any = SimpleNamespace(expedite_read=store.expedited.append)
    first_reads = FirstReads(0, lease, core, executor)
    await first_reads.load()
    return first_reads


READ = CallsRead(session_id="s", entry_id="6-9", effect_id="r", read_version=1, calls=())


def decided(event: Event, after: Session | None = None, before: Session | None = None) -> Decision:
    after = after or Session("s", version=1)
    return Decision(event, Step(after, Outcome.STAYED), before or after)


@pytest.mark.parametrize("verified_entry_id, is_unread", [("", True), ("4-9", True), ("5-0", True), ("5-1", False)])
async def test_only_who_has_not_read_since_the_rollback_reads_under_the_next_owner(
    verified_entry_id: str, is_unread: bool
) -> None:
    assert (await begun(Store(verified_entry_id))).is_unread("s") is is_unread


def left(entry_id: str, source: str = "CF1", sequence: int = 7) -> tuple[Entry, ParticipantLeft]:
    given: Any = {"session_id": "s", "entry_id": entry_id, "source": source, "sequence": sequence}
    return Entry(entry_id, {}), ParticipantLeft(**given, conference_sid=source, call_sid="CA1")


@pytest.mark.parametrize("entry_id, waits", [("4-9", True), ("5-1", False)])
async def test_entry_from_before_the_rollback_waits_although_the_session_has_read(entry_id: str, waits: bool) -> None:
    """The former owner may have died before it dropped what the read had outdated."""
    first_reads = await begun(Store("5-1"))
    late = left(entry_id)
    assert (await first_reads.admit([late]) == []) is waits
    assert first_reads.is_unread("s") is waits
    first_reads.end_waits([decided(READ)])
    assert await first_reads.admit([late]) == [late]


@pytest.mark.parametrize("entry_id, is_old", [("4-9", True), ("5-0", True), ("5-1", False)])
async def test_answer_from_before_the_rollback_ends_its_read_and_shows_nothing(entry_id: str, is_old: bool) -> None:
    """Held back, it would keep the session's read open, so that no other follows."""
    first_reads = await begun(Store())
    read = {"session_id": "s", "entry_id": entry_id, "token": "e1:outcome", "effect_id": "e1"}
    answer = CallsRead(**read, read_version=3, calls=())
    ((_, event),) = await first_reads.admit([(Entry(entry_id, {}), answer)])
    assert event == (EffectUnknown(**read, kind=ReadCalls.kind) if is_old else answer)
    assert not first_reads.has_waiting


@pytest.mark.parametrize(
    "status, of_voicemail, waits",
    [("in-progress", True, False), ("completed", True, True), ("in-progress", False, True)],
)
async def test_beginning_of_a_message_does_not_wait_for_the_read(status: str, of_voicemail: bool, waits: bool) -> None:
    """The read may end the session: the caller has left a message, and hung up."""
    first_reads = await begun(Store())
    event = RecordingChanged(session_id="s", recording_sid="RE1", status=status, of_voicemail=of_voicemail)
    assert (await first_reads.admit([(Entry("5-1", {}), event)]) == []) is waits


@pytest.mark.parametrize(
    ("event", "session", "goes_on"),
    [
        (READ, Session("s", version=3), True), (Park(session_id="s"), Session("s"), True),
        (Park(session_id="s"), Session("s", version=3, ended_at_ms=1), True),
        (Park(session_id="s"), Session("s", version=3), False), (READ, Session("other", version=3), False),
    ],
)  # fmt: skip
async def test_session_goes_on_once_it_has_read_or_need_not(event: Event, session: Session, goes_on: bool) -> None:
    first_reads = await begun(Store())
    await first_reads.admit([left("6-1"), left("6-2", sequence=8), left("4-1")])
    outdated = first_reads.end_waits([decided(event, session)])
    assert first_reads.is_unread("s") is not goes_on
    assert [entry.entry_id for entry in outdated] == (["4-1"] if event is READ and goes_on else [])
    assert [entry.entry_id for entry in first_reads.ready(9)] == (["6-1", "6-2", "4-1"] if goes_on else [])


async def test_session_goes_on_without_a_read_once_the_time_for_it_is_over() -> None:
    verifying = ["still"]
    first_reads = await begun(Store(), writes_may_be_lost=lambda _clock: bool(verifying))
    await first_reads.admit([left("6-1")])
    assert first_reads.ready(9) == []
    verifying.clear()
    assert [entry.entry_id for entry in first_reads.ready(9)] == ["6-1"]
    assert not first_reads.is_unread("s")


async def test_entry_that_waited_is_kept_until_it_is_decided_and_never_twice() -> None:
    first_reads = await begun(Store())
    for _ in range(2):  # after an error, it is read again
        await first_reads.admit([left("6-1"), left("6-2", sequence=8)])
    first_reads.end_waits([decided(READ)])
    for count, ids in [(1, ["6-1"]), (9, ["6-1", "6-2"])]:
        assert [entry.entry_id for entry in first_reads.ready(count)] == ids
    first_reads.forget(["6-1"])
    assert [entry.entry_id for entry in first_reads.ready(9)] == ["6-2"]
    assert first_reads.has_waiting


async def test_read_outdates_old_callbacks_that_a_newer_one_of_their_source_follows() -> None:
    first_reads = await begun(Store())
    callbacks = [("4-1", "CF1", 7), ("4-2", "CF1", 8), ("4-3", "CF2", 1), ("5-1", "CF1", 6), ("5-2", "CF1", 9)]
    assert await first_reads.admit([left(*one) for one in callbacks]) == []
    outdated = [entry.entry_id for entry in first_reads.end_waits([decided(READ)])]
    assert outdated == ["4-1", "4-2"]
    first_reads.forget(outdated)
    assert [entry.entry_id for entry in first_reads.ready(9)] == ["4-3", "5-1", "5-2"]


@in_virtual_time
async def test_sessions_read_eight_at_a_time_and_again_after_ten_seconds(loop: VirtualLoop) -> None:
    store = Store(live="abcdefghijkl")
    first_reads = await begun(store, ClusterClock(loop, 0.0))
    requesting = asyncio.create_task(first_reads.request_all())
    await first_reads.admit([(Entry("6-1", {}), Complete(session_id="l"))])
    await asyncio.sleep(9.5)  # a delay: virtual time
    assert "".join(store.asked) == "labcdefg"
    for name in "ab":
        first_reads.end_waits([decided(READ, Session(name, version=1))])
    await asyncio.sleep(0.3)  # a delay: virtual time
    assert "".join(store.asked[8:]) == "hi"
    await asyncio.sleep(0.5)  # a delay: virtual time
    assert "".join(store.asked[10:]) == "ljkcde", "with the waiting one first, and those that never read before others"
    refused = EffectFailed(session_id="l", entry_id="6-2", effect_id="r", kind=ReadCalls.kind)
    assert await first_reads.admit([(Entry("6-2", {}), refused)])
    for name in "cdefghijk":
        first_reads.end_waits([decided(READ, Session(name, version=1))])
    await asyncio.sleep(0.3)  # a delay: virtual time
    assert "".join(store.asked[16:]) == "l", "its read failed"
    await first_reads.admit([(Entry("6-3", {}), Complete(session_id="a"))])
    assert "".join(store.asked[17:]) == "", "one has read, the other was asked"
    requesting.cancel()


@in_virtual_time
async def test_many_sessions_read_within_the_time_for_it_and_each_once(loop: VirtualLoop) -> None:
    """Twilio answers each after one to two seconds."""
    names = [chr(0x4E00 + number) for number in range(200)]
    store = Store(live="".join(names))
    first_reads = await begun(store, ClusterClock(loop, 0.0))
    requesting = asyncio.create_task(first_reads.request_all())
    for second in range(59):
        asked = [*store.asked]
        await asyncio.sleep(second + 1.1 - loop.time())  # a delay: virtual time
        for name in filter(first_reads.is_unread, asked):
            first_reads.end_waits([decided(READ, Session(name, version=1))])
    assert store.asked == names
    requesting.cancel()


async def test_read_is_expedited_when_an_entry_begins_to_wait_for_it() -> None:
    first_reads = await begun(store := Store())
    assert first_reads.is_background("s")
    await first_reads.admit([left("6-1"), left("6-2", sequence=8)])
    assert store.expedited == ["s"]
    assert not first_reads.is_background("s")
    first_reads.end_waits([decided(READ)])
    assert not first_reads.is_background("s"), "a later one is like any other"


@in_virtual_time
async def test_read_that_could_not_be_requested_is_requested_again_with_the_others(loop: VirtualLoop) -> None:
    store = Store(live="abc")
    store.is_away = True
    first_reads = await begun(store, ClusterClock(loop, 0.0))
    requesting = asyncio.create_task(first_reads.request_all())
    await asyncio.sleep(0.5)  # a delay: virtual time
    store.is_away = False
    await asyncio.sleep(10.0)  # a delay: virtual time
    assert "".join(store.asked) == "abc"
    requesting.cancel()


@in_virtual_time
async def test_read_of_a_session_that_redis_had_lost_is_requested_again_too(loop: VirtualLoop) -> None:
    store = Store(live="")
    first_reads = await begun(store, ClusterClock(loop, 0.0))
    requesting = asyncio.create_task(first_reads.request_all())
    await asyncio.sleep(0.5)  # a delay: virtual time
    store.is_away = True
    opened = CallReceived(session_id="s", call_sid="CA1", customer_address="anonymous", agent_address=BOB)
    await first_reads.admit([(Entry("4-1", {}), opened), left("4-2")])
    store.is_away = False
    await asyncio.sleep(12.0)  # a delay: virtual time
    assert store.asked == ["s"]
    requesting.cancel()
