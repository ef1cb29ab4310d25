"""People hang up, and operators send commands, at every step of the way into a conference from the start."""

from dataclasses import dataclass
from typing import Any

import pytest

from conferral.sandbox import CallHandle
from conferral.storage.commands import command_stream
from tests.flows.conference_starts import WAYS, ConferenceStart, opened
from tests.flows.flow_helpers import TARGET
from tests.flows.interruptions import Interruption, at_every_step, one_by_one, small_world
from tests.support.local_system import AGENT, LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("one_by_one")]
SESSION = "order-7"
#: Several worlds share the machine: what is waited for may be late for that alone.
PATIENT = {"hold_timeout_ms": 10_000, "ringback_timeout_ms": 10_000}
__all__ = ["one_by_one"]


@dataclass
class Scene:
    """A story that is being played; its people are found as they come."""

    system: LocalSystem
    way: str
    given: str = ""

    @property
    def id(self) -> str:
        waiter = self.waiter
        return waiter.sid if self.way == "waiting" and waiter else SESSION

    @property
    def waiter(self) -> CallHandle | None:
        """The caller, or the agent of a `call` once he was dialed."""
        called = self.system.sandbox.calls_of(AGENT) if self.way == "call" else None
        first = next(iter(self.system.sandbox.model.state.calls), None)
        if called is not None:
            return next(iter(called), None)
        return self.system.sandbox.call(first) if first else None

    @property
    def awaited(self) -> CallHandle | None:
        return next(iter(self.system.sandbox.calls_of(WAYS[self.way].phone)), None)

    async def hang_up(self, *names: str) -> None:
        for name in names:
            call = getattr(self, name)
            if call is not None and call.status == "in-progress":
                call.hang_up()
            elif call is not None and call.status == "ringing":
                call.reject()

    async def say(self, kind: str, **fields: str) -> None:
        given = {"type": kind, "session": self.id, **fields}
        self.given = await command_stream.publish(self.system.client, self.system.keys, given)


async def waiter_leaves(scene: Scene) -> None:
    await scene.hang_up("waiter")


async def awaited_leaves(scene: Scene) -> None:
    await scene.hang_up("awaited")


async def both_leave(scene: Scene) -> None:
    await scene.hang_up("waiter", "awaited")


async def is_ended(scene: Scene) -> None:
    await scene.say("end")


async def is_handed_over(scene: Scene) -> None:
    await scene.say("transfer", to=TARGET, mode="blind")


def reasons(way: str, act: Any) -> set[str]:
    """How the session may end; `over` is for one that no one ended before the story's end did."""
    waiter, awaited = WAYS[way].waiter, WAYS[way].awaited
    left = {f"{waiter}-left"}
    turned_away = {f"{awaited}-left", f"{awaited}-rejected", f"{awaited}-busy"}
    # In a `call`, the party who is to wait may decline first.
    refuses = {"agent-rejected"} if way == "call" else set()
    return {
        waiter_leaves: left | refuses | {"command"},
        awaited_leaves: turned_away | {"command"},
        both_leave: left | refuses | turned_away | {"command"},
        is_ended: {"command"},
        is_handed_over: {"command"},
    }[act]


async def play(redis_url: str, way: str, act: Any, nth: int) -> int:
    """One story with the act at that step; returns how many events it had."""
    moment = Interruption()
    system = small_world(redis_url, speed=10, policy=PATIENT)
    system.worker_options = {"checkpoint": moment.checkpoint}
    async with system:
        scene = Scene(system, way)
        system.answered_by(WAYS[way].phone, TARGET)
        moment.arm(nth, lambda: act(scene))
        fields = {"client": {"SessionID": SESSION}, "call": {"session": SESSION}}.get(way, {})
        opening = await opened(system, way, **fields)
        try:
            await _is_at_rest(system, opening)
            seen = moment.seen
            await moment.come()
            await _is_settled(system, scene, opening)
            await _ends(system, way, act, scene, opening)
        except AssertionError as error:
            error.add_note(await system.report())
            raise
    return seen


async def _is_at_rest(system: LocalSystem, opening: ConferenceStart) -> None:
    async def rests() -> bool:
        session = await opening.session()
        is_over = session.get("state") == "ended"
        return is_over or (session.get("state") == "conferenced" and session.get("phase") == "")

    await system.eventually(rests, "the two talk, or it is over")


async def _is_settled(system: LocalSystem, scene: Scene, opening: ConferenceStart) -> None:
    if scene.given:
        assert (await system.outcome_of(scene.given)).is_final
    await _is_at_rest(system, opening)


async def _ends(system: LocalSystem, way: str, act: Any, scene: Scene, opening: ConferenceStart) -> None:
    if act is is_handed_over:
        outcome = await system.outcome_of(scene.given)
        assert outcome.status in ("done", "rejected"), outcome
        assert system.dials_to(TARGET) == (outcome.status == "done")
        if outcome.status == "done":
            customer, target = await system.leg(opening.id, "customer"), system.sandbox.calls_of(TARGET)[0]
            await system.eventually(lambda: _hear_each_other(system, customer, target), "customer and target talk")
    if act in (is_handed_over, awaited_leaves, waiter_leaves, both_leave):
        # What happened may have come before anyone was there whom it could concern.
        await system.command("end", opening.id)
    ended = await system.until(opening.id, state="ended")
    assert ended["end_reason"] in reasons(way, act), ended
    await system.everyone_is_gone(opening.id, ended["end_reason"])
    assert system.dials_to(WAYS[way].phone) <= 1
    assert way != "call" or system.dials_to(AGENT) == 1
    published = [entry for entry in await system.outcomes() if entry["kind"] == "session"]
    assert [entry["reason"] for entry in published] == [ended["end_reason"]]
    called = await opening.called()
    assert called is None or called.is_final


async def _hear_each_other(system: LocalSystem, one: CallHandle, other: CallHandle) -> bool:
    hears = system.listening.hears
    return hears(one) == frozenset([other.sid]) and hears(other) == frozenset([one.sid])


ACTS = [waiter_leaves, awaited_leaves, both_leave, is_ended, is_handed_over]
#: One of each in every run.
USUAL = {("waiting", "waiter_leaves"), ("client", "awaited_leaves"), ("call", "is_ended")}


def _examples() -> list[Any]:
    return [
        pytest.param(
            way, act, id=f"{way}-{act.__name__}",
            marks=[] if (way, act.__name__) in USUAL else [pytest.mark.soak],
        )
        for way in WAYS
        for act in ACTS
    ]  # fmt: skip


@pytest.mark.parametrize("way, act", _examples())
async def test_no_one_is_left_alone_or_dialed_twice_whatever_happens_on_the_way(redis_server, way, act):
    await at_every_step(lambda nth: play(redis_server.url, way, act, nth))
