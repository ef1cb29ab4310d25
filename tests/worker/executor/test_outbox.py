"""Records of effects in the outbox: written once, before their outcomes, even if Redis comes and goes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import LeaseLostError, StoreUnreachableError
from conferral.statemachine.effects import Effect, HangUpCall
from conferral.statemachine.events import EffectSucceeded, EffectUnknown
from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, State
from conferral.storage import coordinator as leases
from conferral.storage.codecs import effect_codec, session_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import MarkResult
from conferral.worker.executor.job import JobObsoleteError
from conferral.worker.executor.outbox import DialStatus, OutboxWriter
from conferral.worker.held_partitions import HeldPartitions, PartitionStatus
from tests.support.entries import event_in
from tests.support.redis_clients import AnyServer, client_of
from tests.support.stores import commit_store_of, partition_store_of
from tests.worker.executor_harness import announcement, find, gated, read, straight

pytestmark = pytest.mark.redis


@dataclass
class Held:
    lease: Lease
    sessions: dict[str, Session] = field(default_factory=dict)
    status: PartitionStatus = PartitionStatus.SERVING


class Flaky:
    """Redis carries each of these out, and the answer is lost the first time."""

    def __init__(self, real: Any, *names: str) -> None:
        self._real = real
        self._left = set(names)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._left:
            return found

        async def lost(*args: Any, **named: Any) -> Any:
            answer = await found(*args, **named)
            if name not in self._left:
                return answer
            self._left.discard(name)
            raise StoreUnreachableError("the answer was lost")

        return lost


#: Twilio's time of a dial, Unix milliseconds.
SENT_MS = 7_000


class Desk:
    """A recorder on a real Redis, with session S1 in partition 0."""

    def __init__(self, client: Any, held: Held) -> None:
        self.client = client
        self.keys = Keys("test", 1)
        self.held: HeldPartitions[Any] = HeldPartitions(SystemClock(), 2.0)
        self.held.partitions[0] = held
        self.access = partition_store_of(client, self.keys)

    def recorder(self, *flaky: str) -> OutboxWriter:
        access: Any = Flaky(self.access, *flaky)
        sessions: Any = Flaky(commit_store_of(self.client, self.keys), *flaky)
        return OutboxWriter(access, sessions, self.keys, self.held, lambda: 7_000)

    async def order(self, effect: Effect) -> None:
        await self.client.hset(self.keys.outbox(0), effect.effect_id, effect_codec.encode(OutboxEntry(effect, 1_000)))

    async def outbox(self) -> dict[str, OutboxEntry]:
        return {name: effect_codec.decode(body) for name, body in (await self.access.outbox(0)).items()}

    async def is_in_state(self, state: str) -> None:
        await self.client.hset(self.keys.session("S1"), "state", state)

    async def stored(self) -> list[dict[bytes, bytes]]:
        return [fields for _, fields in await self.client.xrange(self.keys.events(0))]


@pytest.fixture
async def desk(any_redis: AnyServer) -> AsyncIterator[Desk]:
    client = client_of(any_redis)
    lease = await leases.claim_partition(client, Keys("test", 1), 0, "1:one")
    yield Desk(client, Held(lease))
    await client.aclose()


def outcome(effect: Effect, call_sid: str = "CA7") -> EffectSucceeded:
    return EffectSucceeded(session_id="S1", effect_id=effect.effect_id, kind=effect.kind, call_sid=call_sid)


# ---- outcomes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flaky", [(), ("finish_effect",)], ids=["clear", "unknown"])
async def test_outcome_is_written_once_also_when_the_first_answer_is_lost(desk: Desk, flaky: tuple[str, ...]) -> None:
    await desk.is_in_state("transferring")
    await desk.order(straight("d"))

    assert await desk.recorder(*flaky).finish(straight("d"), outcome(straight("d"))) is None

    (entry,) = await desk.stored()
    assert (entry[b"type"], event_in(entry).call_sid) == (b"effect_succeeded", "CA7")
    assert await desk.outbox() == {}


@pytest.mark.parametrize("dial", [straight("d"), gated("d"), find("d")], ids=lambda dial: dial.kind)
async def test_call_of_a_session_that_has_ended_is_hung_up_also_by_a_successor(desk: Desk, dial: Effect) -> None:
    await desk.is_in_state("ended")

    stray = await desk.recorder().finish(dial, outcome(dial))

    assert isinstance(stray, HangUpCall)
    assert (stray.session_id, stray.party, stray.call_sid) == ("S1", "target", "CA7")
    assert await desk.outbox() == {stray.effect_id: OutboxEntry(stray, 7_000)}
    assert await desk.stored() == []
    # When it is done, it leaves the outbox as everything else does.
    assert await desk.recorder().finish(stray, outcome(stray, "")) is None
    assert len(await desk.stored()) == 1


@pytest.mark.parametrize("state", ["transferring", None], ids=["goes-on", "lost"])
@pytest.mark.parametrize("dial", [straight("d"), gated("d"), find("d")], ids=lambda dial: dial.kind)
async def test_call_of_a_session_that_goes_on_or_that_redis_lost_keeps_ringing(
    desk: Desk, dial: Effect, state: str | None
) -> None:
    """Its outcome is processed already, or its callbacks recover the session: a hang-up would take the agent away."""
    if state is not None:
        await desk.is_in_state(state)

    assert await desk.recorder().finish(dial, outcome(dial)) is None

    assert await desk.outbox() == {}


async def test_nothing_is_hung_up_where_no_call_is_known(desk: Desk) -> None:
    await desk.is_in_state("ended")
    unknown = EffectUnknown(session_id="S1", effect_id="d", kind="create_call")

    assert await desk.recorder().finish(gated("d"), unknown) is None
    assert await desk.recorder().finish(find("f"), outcome(find("f"), "")) is None
    assert await desk.recorder().finish(read("r"), outcome(read("r"))) is None

    assert await desk.outbox() == {}


# ---- marks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [gated("d"), announcement("d")], ids=lambda effect: effect.kind)
async def test_mark_says_whether_it_is_the_first(desk: Desk, effect: Effect) -> None:
    await desk.order(effect)

    assert await desk.recorder().mark_sent(effect, SENT_MS) is MarkResult.MARKED
    assert await desk.recorder().mark_sent(effect, SENT_MS) is MarkResult.ALREADY_MARKED

    assert await desk.outbox() == {"d": OutboxEntry(effect, 1_000, sent_at_ms=SENT_MS)}


async def test_mark_whose_answer_was_lost_is_our_own(desk: Desk) -> None:
    await desk.order(gated("d"))

    assert await desk.recorder("mark_sent").mark_sent(gated("d"), SENT_MS) is MarkResult.MARKED


async def test_effect_of_a_partition_held_by_another_worker_is_not_sent(desk: Desk) -> None:
    await desk.order(gated("d"))
    await desk.client.hset(desk.keys.lease(0), "holder", "2:two")
    with pytest.raises(JobObsoleteError):
        await desk.recorder().mark_sent(gated("d"), SENT_MS)

    desk.held.partitions.clear()
    with pytest.raises(LeaseLostError):
        await desk.recorder().mark_sent(gated("d"), SENT_MS)
    assert await desk.outbox() == {"d": OutboxEntry(gated("d"), 1_000)}


# ---- calls -----------------------------------------------------------------------------------------------------------


async def test_call_is_noted_for_its_session(desk: Desk) -> None:
    assert await desk.recorder("claim_call").claim_call("S1", "CA7")
    assert not await desk.recorder().claim_call("S2", "CA7")

    assert await desk.client.get(desk.keys.call("CA7")) == b"S1"


async def test_foreign_key_does_not_block_an_outcome(desk: Desk) -> None:
    await desk.client.sadd(desk.keys.call("CA7"), "?")

    assert await desk.recorder().claim_call("S1", "CA7")


# ---- what a session knows --------------------------------------------------------------------------------------------

AGENT = Party("agent", label="agent-1", call_sid="CA1")
TARGET = Party("target", label="target-2", dial_id="d")
TRANSFERRING = Session("S1", version=1, state=State.TRANSFERRING, parties={"agent": AGENT, "target": TARGET})


@pytest.mark.parametrize("state, target, status", [
    (State.TRANSFERRING, TARGET,                                   DialStatus(is_wanted=True)),
    (State.TRANSFERRING, replace(TARGET, call_sid="CA2"),          DialStatus(is_wanted=True, call_sid="CA2")),
    (State.TRANSFERRING, replace(TARGET, status=PartyStatus.LEFT), DialStatus(is_wanted=False)),
    (State.TRANSFERRING, replace(TARGET, is_leaving=True),         DialStatus(is_wanted=False)),
    (State.TRANSFERRING, replace(TARGET, dial_id="d2"),            DialStatus(is_wanted=False)),
    (State.ENDED,        TARGET,                                   DialStatus(is_wanted=False)),
])  # fmt: skip
def test_dial_is_wanted_while_its_party_is_on_the_way(state: State, target: Party, status: DialStatus) -> None:
    session = replace(TRANSFERRING, state=state, parties={"agent": AGENT, "target": target})
    assert DialStatus.of(session, "d") == status


def test_dial_status_includes_the_calls_known_to_the_session() -> None:
    session = replace(TRANSFERRING, former_calls=("CA2", "CA3"))
    assert DialStatus.of(session, "d").known_calls == {"CA1", "CA2", "CA3"}


async def test_status_of_a_dial_is_read_from_its_session(desk: Desk) -> None:
    await desk.client.hset(desk.keys.session("S1"), mapping=session_codec.encode(TRANSFERRING))
    assert await desk.recorder("load").dial_status(gated("d")) == DialStatus(is_wanted=True)

    desk.held.partitions[0].sessions["S1"] = replace(TRANSFERRING, parties={"agent": AGENT})
    assert await desk.recorder().dial_status(gated("d")) == DialStatus(is_wanted=False), "the owner's is the newest"


@pytest.mark.parametrize("damage", [{"version": "?"}, {}])
async def test_nothing_is_sent_for_a_session_that_cant_be_read_or_is_lost(desk: Desk, damage: dict[str, str]) -> None:
    if damage:
        await desk.client.hset(desk.keys.session("S1"), mapping=session_codec.encode(TRANSFERRING) | damage)

    assert await desk.recorder().dial_status(gated("d")) == DialStatus(is_wanted=False)
    assert not await desk.recorder().session_awaits(announcement("a"))


# ---- Redis that stays away -------------------------------------------------------------------------------------------


async def test_worker_that_stops_leaves_what_it_can_not_write_to_the_successor(desk: Desk) -> None:
    await desk.order(straight("d"))
    desk.held.partitions[0].status = PartitionStatus.STOPPING
    recorder = desk.recorder("finish_effect", "claim_call", "load", "mark_sent")

    with pytest.raises(LeaseLostError):
        await recorder.claim_call("S1", "CA7")
    with pytest.raises(LeaseLostError):
        await recorder.dial_status(straight("d"))
    with pytest.raises(LeaseLostError):
        await recorder.mark_sent(gated("d"), SENT_MS)
    with pytest.raises(LeaseLostError):
        await recorder.finish(straight("d"), outcome(straight("d")))
