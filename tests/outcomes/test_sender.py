"""The outcome sender in virtual time: retries, order, takeover, and what stops it."""

import asyncio
import random
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from conferral.outcomes import sender as sender_module
from conferral.outcomes.outcome import json_types
from conferral.outcomes.sender import RETRY_DELAYS_S, OutcomeSender, ReceiverResponse
from conferral.storage.connection.client import CHUNK, BlockingReads
from conferral.storage.coordinator import OUTCOMES, ROUTER, SWEEP
from conferral.storage.outcome_queue import OutcomeQueue, forget_trimmed, read_problem
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.log_lines import lines_of
from tests.support.metric_values import value_of
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster

DELIVERED, REFUSED = ReceiverResponse("delivered", 204), ReceiverResponse("failed", 503, reason="HTTP 503")


class ScriptedReceiver:
    """Answers as the test says, and keeps what it got."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        #: When, and which outcome.
        self.requests: list[tuple[float, str]] = []
        self.bodies: dict[str, list[str]] = defaultdict(list)
        self.accepted: list[str] = []
        self.answer: Callable[[str], ReceiverResponse] = lambda _id: DELIVERED
        self.takes_s: Callable[[str], float] = lambda _id: 0.01
        self.running = self.running_max = 0

    async def post(self, outcome_id: str, body: str) -> ReceiverResponse:
        self.requests.append((self.loop.time(), outcome_id))
        self.bodies[outcome_id].append(body)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await asyncio.sleep(self.takes_s(outcome_id))  # a delay: virtual time
        finally:
            self.running -= 1
        answer = self.answer(outcome_id)
        if answer.result == "delivered":
            self.accepted.append(outcome_id)
        return answer

    def times_of(self, outcome_id: str) -> list[float]:
        return [at_s for at_s, one in self.requests if one == outcome_id]


class Sending:
    """Workers that send outcomes to one receiver."""

    def __init__(self, team: WorkerCluster, chance: random.Random) -> None:
        self.team = team
        self.chance = chance
        self.receiver = ScriptedReceiver(team.loop)
        self.queue = OutcomeQueue(team.client, team.keys)
        self.senders: dict[str, asyncio.Task[None]] = {}
        self._written = 0

    async def join(self, *, has_url: bool = True) -> ClusterMember:
        member = self.team.join()
        if has_url:
            core = member.core
            sender = OutcomeSender(
                OutcomeQueue(core.client, core.keys),
                partial(BlockingReads(self.team.server.client(blocking=True)).read, core.keys.outcomes, CHUNK),
                self.receiver.post,
                clock=core.clock,
                store_clock=core.store_clock,
                metrics=core.metrics,
                rng=random.Random(self.chance.random()),
                owns_outcomes=partial(member.ownership.owns, OUTCOMES),
            )
            self.senders[member.name] = member.process.start(sender.run(member.stop))
        else:
            member.core.tasks = (ROUTER, SWEEP)
        await self.team.passes(1.0)
        return member

    async def write(self, session: str, **fields: str) -> str:
        """An outcome is written; returns its id."""
        self._written += 1
        name = f"{session}:{self._written}"
        entry: dict[Any, Any] = {"id": name, "kind": "transfer", "session": session, "result": "completed"} | fields
        await self.team.client.xadd(self.team.keys.outcomes, entry)
        return name

    async def until(self, is_so: Callable[[], bool], timeout_s: float = 10.0) -> None:
        end_s = self.team.loop.time() + timeout_s
        while not is_so():
            assert self.team.loop.time() < end_s, self.receiver.requests[-20:]
            await self.team.passes(0.05)

    async def left(self) -> tuple[int, int]:
        """Sessions with unsent outcomes, and undelivered outcomes."""
        state = await self.queue.read_state()
        return state.waiting, state.undelivered

    async def owner(self) -> ClusterMember:
        (owner,) = [one for one in self.team.alive.values() if one.ownership.owns(OUTCOMES)]
        return owner


@asynccontextmanager
async def sending(loop: VirtualLoop, seed: int = 1) -> AsyncIterator[Sending]:
    async with running_cluster(loop, partitions=4) as team:
        yield Sending(team, random.Random(seed))


in_sending = in_virtual_time_with("work", sending)


@in_sending
async def test_outcomes_are_sent_once_and_only_those_from_the_first_start_on(work: Sending) -> None:
    await work.write("CA1")
    await work.join()
    await work.join()
    names = [await work.write("CA1"), await work.write("CA2", attempts="[]", hold_s="1.5")]
    await work.until(lambda: len(work.receiver.accepted) == 2)
    await work.team.passes(60)
    assert sorted(work.receiver.accepted) == names
    assert len(work.receiver.requests) == 2
    fields = {"id": names[1], "kind": "transfer", "session": "CA2", "result": "completed", "hold_s": 1.5}
    assert msgspec.json.decode(work.receiver.bodies[names[1]][0]) == {
        "type": "transfer.completed",
        "timestamp": None,
        "data": dict.fromkeys(json_types()) | fields | {"attempts": []},
    }
    assert await work.left() == (0, 0)


@in_sending
async def test_first_request_starts_at_once_and_a_worker_stops_at_once(work: Sending) -> None:
    member = await work.join()
    for number in range(10):
        await work.team.passes(0.37)
        written_s, name = work.team.loop.time(), await work.write(f"CA{number}")
        later = await work.write(f"CA{number}")
        await work.until(lambda wanted=later: wanted in work.receiver.accepted)
        assert work.receiver.times_of(name)[0] - written_s < 0.001
        assert work.receiver.times_of(later)[0] - written_s < 0.02, "after the previous one's answer"
    await work.team.passes(0.2)
    stopped_s = work.team.loop.time()
    member.stop.set()
    await work.senders[member.name]
    assert work.team.loop.time() - stopped_s < 0.001
    await work.team.leave(member)


@in_sending
async def test_outcomes_behind_another_programs_key_wait_and_are_not_skipped(work: Sending) -> None:
    client, outcomes = work.team.client, work.team.keys.outcomes
    await work.join()
    work.receiver.answer = lambda _id: REFUSED
    name = await work.write("CA1")
    await work.until(lambda: bool(work.receiver.requests))
    await client.rename(outcomes, "away")
    await client.set(outcomes, "another program's")
    work.receiver.answer = lambda _id: DELIVERED
    before = work.team.server.count
    await work.team.passes(20)
    assert work.team.server.count - before < 20 * 50
    assert len(work.receiver.requests) == 1
    await client.rename("away", outcomes)
    await work.until(lambda: work.receiver.accepted == [name])


@in_sending
async def test_failed_outcome_is_sent_again_for_three_days_then_counts_as_undelivered(
    work: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [*RETRY_DELAYS_S] == [5, 30, 120, 600, 3600, *[3600] * 72]
    delays_s = (5.0, 30.0, 120.0, 20.0, 20.0)  # days take too long
    monkeypatch.setattr(sender_module, "RETRY_DELAYS_S", delays_s)
    work.receiver.answer = lambda _id: REFUSED
    with lines_of(monkeypatch, sender_module) as lines:
        await work.join()
        name = await work.write("CA1")
        await work.until(lambda: len(work.receiver.requests) == 1 + len(delays_s), 400)
        await work.team.passes(60)
    times_s = work.receiver.times_of(name)
    for wanted_s, (before_s, after_s) in zip(delays_s, pairwise(times_s), strict=True):
        assert wanted_s <= after_s - before_s <= 1.2 * wanted_s + 1.0
    assert await work.left() == (0, 1)
    ((_, fields),) = await work.queue.read(await work.queue.undelivered(5))
    assert fields["id"] == name
    member = await work.owner()
    assert value_of(member.metrics.outcomes_undelivered) == 1
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["outcome_abandoned"]
    assert not any("+" in str(line) for line in lines)
    # After it, the session's next outcome is sent.
    work.receiver.answer = lambda _id: DELIVERED
    later = await work.write("CA1")
    await work.until(lambda: work.receiver.accepted == [later])


@in_sending
async def test_an_outcome_waits_for_the_sessions_previous_one_and_holds_up_no_other(work: Sending) -> None:
    await work.join()
    first, second = await work.write("CA1"), await work.write("CA1")
    work.receiver.answer = lambda name: REFUSED if name == first else DELIVERED
    others = [await work.write(f"CB{number}") for number in range(100)]
    await work.until(lambda: len(work.receiver.accepted) == 100, 5)
    assert sorted(work.receiver.accepted) == sorted(others)
    assert not work.receiver.times_of(second)
    work.receiver.answer = lambda _id: DELIVERED
    await work.until(lambda: len(work.receiver.accepted) == 102, 60)
    assert work.receiver.accepted[100:] == [first, second]


@in_sending
async def test_failed_outcome_is_not_due_sooner_because_its_session_writes_another(work: Sending) -> None:
    await work.join()
    work.receiver.answer = lambda _id: REFUSED
    first = await work.write("CA1")
    await work.until(lambda: len(work.receiver.times_of(first)) == 1)
    for _ in range(4):  # the first delay is at least 5 s
        await work.write("CA1")
        await work.team.passes(1.0)
    assert len(work.receiver.times_of(first)) == 1


@in_sending
async def test_failing_deliveries_are_a_problem_from_the_first_until_one_succeeds(work: Sending) -> None:
    client, keys = work.team.client, work.team.keys
    await work.join()
    await work.write("CA1")
    await work.until(lambda: len(work.receiver.accepted) == 1)
    assert await read_problem(client, keys) == ""
    work.receiver.answer = lambda _id: REFUSED
    name = await work.write("CA2")
    await work.until(lambda: bool(work.receiver.times_of(name)))
    await work.team.passes(0.5)
    first = await read_problem(client, keys)
    assert re.fullmatch(r"outcomes: none delivered since 2027-01-15T08:00:0\S+Z: HTTP 503", first)
    work.receiver.answer = lambda _id: ReceiverResponse("timeout", reason="no response within 10 s")
    await work.until(lambda: len(work.receiver.times_of(name)) == 2)
    await work.team.passes(0.5)
    assert await read_problem(client, keys) == first.replace("HTTP 503", "no response within 10 s")
    work.receiver.answer = lambda _id: DELIVERED
    await work.write("CA3")
    await work.until(lambda: len(work.receiver.accepted) == 2)
    await work.team.passes(0.5)
    assert await read_problem(client, keys) == ""


@in_sending
async def test_retry_after_is_followed_up_to_a_limit(work: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    await work.join()
    monkeypatch.setattr(sender_module, "RETRY_AFTER_MAX_S", 300.0)  # an hour takes too long
    wanted_s = {await work.write("CA1"): 90.0, await work.write("CA2"): 1e9, await work.write("CA3"): 1.0}
    work.receiver.answer = lambda name: ReceiverResponse("refused", 429, wanted_s[name])
    await work.team.passes(400)
    gaps_s = [pairwise_first(work.receiver.times_of(name)) for name in wanted_s]
    for gap_s, least_s, most_s in zip(gaps_s, (90, 300, 5), (91, 301, 7), strict=True):
        assert least_s <= gap_s <= most_s


def outcome_events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["event"].startswith("outcome")]


def pairwise_first(times_s: list[float]) -> float:
    return times_s[1] - times_s[0]


@in_sending
async def test_hung_receiver_gets_at_most_16_requests_at_once(work: Sending) -> None:
    work.receiver.takes_s = lambda _id: 10.0
    work.receiver.answer = lambda _id: ReceiverResponse("timeout")
    await work.join()
    for number in range(50):
        await work.write(f"CA{number}")
    await work.team.passes(60)
    assert work.receiver.running_max == 16
    work.receiver.takes_s, work.receiver.answer = lambda _id: 0.01, lambda _id: DELIVERED
    await work.until(lambda: len(set(work.receiver.accepted)) == 50, 300)


@in_sending
async def test_410_stops_all_until_a_resend(work: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    work.receiver.answer = lambda _id: ReceiverResponse("gone", 410)
    with lines_of(monkeypatch, sender_module) as lines:
        member = await work.join()
        name = await work.write("CA1")
        await work.until(lambda: bool(work.receiver.requests))
        await work.team.passes(1)
        later = await work.write("CA2")
        await work.team.passes(60)
    assert [one for _, one in work.receiver.requests] == [name]
    assert outcome_events(lines) == ["outcomes_stopped"]
    assert (await work.queue.read_state()).stopped_at_ms
    assert value_of(member.metrics.outcomes_stopped) == 1
    work.receiver.answer = lambda _id: DELIVERED
    await work.queue.resume()
    await work.until(lambda: sorted(work.receiver.accepted) == [name, later])
    assert value_of(member.metrics.outcomes_stopped) == 0


@in_sending
async def test_410_stops_all_until_a_restart_and_a_takeover_is_none(work: Sending) -> None:
    work.receiver.answer = lambda _id: ReceiverResponse("gone", 410)
    for _ in range(2):
        await work.join()
    name = await work.write("CA1")
    await work.until(lambda: bool(work.receiver.requests))
    await work.team.passes(1)
    work.team.kill(await work.owner())
    await work.team.passes(60)
    assert await work.owner()
    assert len(work.receiver.requests) == 1
    work.receiver.answer = lambda _id: DELIVERED
    await work.join()
    await work.until(lambda: work.receiver.accepted == [name])
    assert not (await work.queue.read_state()).stopped_at_ms


@in_sending
async def test_trimmed_entry_is_skipped(work: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    work.receiver.answer = lambda _id: REFUSED
    with lines_of(monkeypatch, sender_module) as lines:
        await work.join()
        names = [await work.write("CA1") for _ in range(3)]
        await work.until(lambda: bool(work.receiver.requests))
        await work.team.client.xtrim(work.team.keys.outcomes, maxlen=1, approximate=False)
        work.receiver.answer = lambda _id: DELIVERED
        await work.until(lambda: work.receiver.accepted == names[2:], 60)
    assert outcome_events(lines) == ["outcome_refused", "outcomes_trimmed"]
    assert await work.left() == (0, 0)


@in_sending
async def test_undelivered_outcomes_are_forgotten_with_the_stream(work: Sending) -> None:
    keys, client = work.team.keys, work.team.client
    ids = [await client.xadd(keys.outcomes, {"id": str(number)}, id=f"{number}-0") for number in (1000, 2000, 3000)]
    for one in ids:
        await client.zadd(keys.undelivered, {one: int(one.partition(b"-")[0])})
    await client.xdel(keys.outcomes, *ids[:2])
    await forget_trimmed(client, keys)
    assert await client.zrange(keys.undelivered, 0, -1) == ids[2:]
    await client.delete(keys.outcomes)
    await forget_trimmed(client, keys)
    assert await work.left() == (0, 0)


@in_sending
async def test_entries_of_other_programs_stop_nothing(work: Sending) -> None:
    await work.join()
    client, keys = work.team.client, work.team.keys
    await client.xadd(keys.outcomes, {b"\xff": b"\xff", b"id": b"one\r\ntwo", b"attempts": b"{", b"hold_s": b"nan"})
    queues = {"CA9": "not ours", "CA7": "0 12-1 not-ours", "CA6": f"{'9' * 10} 12-1"}
    await client.hset(keys.sending, mapping=queues)
    await client.zadd(keys.sending_due, dict.fromkeys((*queues, "CA8"), 0))
    name = await work.write("CA1")
    await work.until(lambda: len(work.receiver.accepted) == 2)
    assert work.receiver.accepted[1] == name
    assert "\n" not in work.receiver.accepted[0]
    await work.team.passes(1)
    assert await work.left() == (0, 0)


@in_sending
async def test_worker_without_a_url_sends_nothing_and_its_successor_misses_nothing(work: Sending) -> None:
    with_url = await work.join()
    await work.team.leave(with_url)
    without = await work.join(has_url=False)
    name = await work.write("CA1")
    await work.team.passes(60)
    assert not work.receiver.requests
    # It need not stop: the next worker takes what it can't do.
    assert without.name in work.team.alive
    await work.join()
    await work.until(lambda: work.receiver.accepted == [name])


@in_sending
async def test_clock_of_redis_that_was_set_back_delays_no_retry(work: Sending) -> None:
    work.team.set_clock(10 * 86_400)
    member = await work.join()
    work.receiver.answer = lambda _id: REFUSED
    name = await work.write("CA1")
    await work.until(lambda: bool(work.receiver.requests))
    await work.team.passes(1)
    work.team.set_clock(-10 * 86_400)
    await work.team.leave(member)
    work.receiver.answer = lambda _id: DELIVERED
    await work.join()
    await work.until(lambda: work.receiver.accepted == [name])


class UnsteadyReceiver(ScriptedReceiver):
    """Is down half of the time, in many ways; what it got before it failed, it keeps."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        super().__init__(loop)
        self._chance = chance
        self._is_down, self._until_s = False, 0.0
        self.is_over = False

    async def post(self, outcome_id: str, body: str) -> ReceiverResponse:
        now_s = self.loop.time()
        while self._until_s <= now_s:
            self._is_down, self._until_s = not self._is_down, self._until_s + self._chance.expovariate(1 / 10)
        self.bodies[outcome_id].append(body)
        self.requests.append((now_s, outcome_id))
        is_down = self._is_down and not self.is_over
        await asyncio.sleep(self._chance.expovariate(1 / 0.05))  # a delay: virtual time
        if not is_down:
            self.accepted.append(outcome_id)
            return DELIVERED
        if self._chance.random() < 0.2:  # its answer is lost
            self.accepted.append(outcome_id)
        if self._chance.random() < 0.2:
            await asyncio.sleep(10)  # a delay: virtual time
            return ReceiverResponse("timeout")
        return self._chance.choice(
            [
                ReceiverResponse("unreachable"),
                REFUSED,
                ReceiverResponse("redirected", 301),
                ReceiverResponse("refused", 429, 9),
            ]
        )


async def play(loop: VirtualLoop, seed: int, outcomes: int) -> None:
    """A receiver that is down half of the time, and workers that die."""
    chance = random.Random(seed)
    async with sending(loop, seed) as work:
        work.receiver = receiver = UnsteadyReceiver(loop, chance)
        for _ in range(2):
            await work.join()
        written: dict[str, list[str]] = defaultdict(list)
        for number in range(outcomes):
            session = f"CA{chance.randrange(number // 4 + 1)}"
            written[session].append(await work.write(session))
            if chance.random() < 0.2:
                await work.team.passes(chance.expovariate(1))
            if chance.random() < 20 / outcomes:
                work.team.kill(await owner_in_time(work))
                await work.join()
        receiver.is_over = True
        expected = {name for names in written.values() for name in names}
        await work.until(lambda: expected <= {*receiver.accepted}, 5 * 3600)
        # One that was accepted, but whose answer was lost, is sent again after its delay, up to hours.
        end_s = loop.time() + 5 * 3600
        while await work.left() != (0, 0):
            assert loop.time() < end_s, await work.left()
            await work.team.passes(1)
        assert {*receiver.accepted} == expected
        first = {name: place for place, name in reversed([*enumerate(name for _, name in receiver.requests)])}
        for names in written.values():
            assert names == sorted(names, key=first.__getitem__)
        assert all(len({*bodies}) == 1 for bodies in receiver.bodies.values())
        assert len(receiver.requests) > outcomes, "some had to be repeated"


async def owner_in_time(work: Sending) -> ClusterMember:
    await work.until(lambda: any(one.ownership.owns(OUTCOMES) for one in work.team.alive.values()))
    return await work.owner()


@pytest.mark.parametrize("outcomes", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_nothing_is_lost_or_reordered_while_the_receiver_is_down_half_of_the_time(
    outcomes: int, chance: random.Random
) -> None:
    seed = chance.randrange(2**32)
    sys.stderr.write(f"seed {seed}\n")  # shown if it fails

    @in_virtual_time
    async def played(loop: VirtualLoop) -> None:
        await play(loop, seed, outcomes)

    played()


@in_virtual_time
async def test_session_whose_outcome_is_under_way_hides_no_other(loop: VirtualLoop) -> None:
    async with sending(loop) as on:
        await on.queue.begin()
        for session in ("s1", "s2"):
            await on.write(session)
        await on.queue.take(await on.team.client.xrange(on.team.keys.outcomes), "0-0", 1)
        (head,) = await on.queue.due(10**15, 1, besides={"s1"})
        assert head.session == "s2"
