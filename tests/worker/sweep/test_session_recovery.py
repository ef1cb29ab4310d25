"""Sessions that no one knows are searched for at Twilio as soon as something arrives for them; in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import OutcomeUnknownError, ProviderError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import (
    CallProgressed,
    ConferenceEnded,
    ConferenceFound,
    Convert,
    Event,
    ParticipantFound,
    ParticipantLeft,
)
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from conferral.storage.keys import Keys
from conferral.telephony.account_lists import LostConference
from conferral.worker.partition_parts.batch import Decision
from conferral.worker.sweep.session_recovery import SessionRecovery
from tests.simulation.virtual_loop import VirtualLoop
from tests.support.each import each
from tests.worker.cores import core_of
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterClock

SETTLE_S, PAUSE_S, WAITING_MAX = 2.0, 0.2, 1_000
LOST, AGENT_CALL, CONFERENCE = "CA" + "1" * 32, "CA" + "2" * 32, "CF" + "3" * 32
CUSTOMER = ParticipantFound(LOST, "customer-1", address="+14155550123", came_in=True)
AGENT = ParticipantFound(AGENT_CALL, "agent-1", address="client:alice")
BOTH = LostConference(CONFERENCE, LOST, True, (CUSTOMER, AGENT))
LEFT = ParticipantLeft(session_id=LOST, token="1", conference_sid=CONFERENCE, call_sid=LOST)
COMPLETED = CallProgressed(session_id=LOST, token="2", party="agent", call_sid=AGENT_CALL, status="completed")


@dataclass
class World:
    """Twilio with one conference, and a Redis that knows these sessions."""

    loop: VirtualLoop
    found: LostConference | None = BOTH

    def __post_init__(self) -> None:
        self.known: set[str] = set()
        self.asked: list[tuple[float, str]] = []
        self.adopted: list[ConferenceFound] = []
        self.errors: list[ProviderError | StoreUnreachableError] = []
        self.metrics = Metrics()
        self.lost = SessionRecovery(
            core_of(None, Keys("test", 4), ClusterClock(self.loop, 0.0), metrics=self.metrics),
            finder=self, reader=self, adopt=self.adopt, session_of={"shop-4a": "shop"}.get,  # type: ignore[arg-type]
        )  # fmt: skip

    async def lost_conference(self, conference_sid: str) -> LostConference | None:
        return self._answer(conference_sid)

    async def lost_conference_named(self, name: str) -> LostConference | None:
        return self._answer(name)

    def _answer(self, asked: str) -> LostConference | None:
        self.asked.append((self.loop.time(), asked))
        if self.errors:
            raise self.errors.pop()
        return self.found

    async def read_sessions(self, session_ids: list[str]) -> dict[str, Session]:
        return {name: Session(name) for name in session_ids if name in self.known}

    async def adopt(self, found: ConferenceFound) -> None:
        self.adopted.append(found)

    def arrives(self, *events: Event) -> None:
        """Events are decided of sessions of which nothing is known."""
        for event in events:
            unknown = Session(event.session_id)
            self.lost.queue_searches([Decision(event, step(unknown, event, 1), unknown)])


@asynccontextmanager
async def searching_world(loop: VirtualLoop) -> AsyncIterator[World]:
    system, stop = World(loop), asyncio.Event()
    running = asyncio.ensure_future(system.lost.run(stop))
    yield system
    stop.set()
    await running


with_world = in_virtual_time_with("system", searching_world)


async def passes(seconds: float) -> None:
    await asyncio.sleep(seconds)  # a delay: virtual time


@with_world
async def test_conference_that_a_callback_names_is_adopted_once(system: World) -> None:
    system.arrives(LEFT, COMPLETED)
    await passes(10.0)
    (found,) = system.adopted
    assert (found.session_id, found.conference_sid, found.conference_name) == (LOST, CONFERENCE, LOST)
    assert found.participants == (CUSTOMER, AGENT)
    ((at_s, asked),) = system.asked
    assert asked == CONFERENCE
    assert SETTLE_S <= at_s <= SETTLE_S + 2 * PAUSE_S


@with_world
async def test_callback_that_names_no_conference_leads_to_the_one_of_the_name(system: World) -> None:
    """Also if only a browser agent is left in it, with a call of none of our numbers."""
    system.found = replace(BOTH, participants=(AGENT,))
    system.arrives(COMPLETED)
    await passes(10.0)
    assert [asked for _, asked in system.asked] == [LOST]
    assert [one.session_id for one in system.adopted] == [LOST]


@each(
    "event, found",
    [
        (LEFT, replace(BOTH, name="CA" + "9" * 32)),
        (LEFT, replace(BOTH, participants=(replace(AGENT, label="Boss"),))),
        (LEFT, None),
        # The name alone proves nothing.
        (COMPLETED, replace(BOTH, participants=(replace(AGENT, label=""),))),
        (replace(COMPLETED, session_id="shop"), BOTH),
        # The caller's music opens the session, and dials the agent again.
        (LEFT, replace(BOTH, has_started=False, participants=(CUSTOMER,))),
    ],
)
@with_world
async def test_everything_else_is_left_alone(system: World, event: Event, found: LostConference | None) -> None:
    system.found = found
    system.arrives(event)
    await passes(20.0)
    assert system.adopted == []
    assert len(system.asked) <= 1


@with_world
async def test_conference_with_the_name_of_a_chosen_id_is_adopted(system: World) -> None:
    system.found = replace(BOTH, name="shop-4a")
    system.arrives(replace(LEFT, session_id="shop"))
    await passes(10.0)
    assert [one.conference_name for one in system.adopted] == ["shop-4a"]


@each(
    "has_started, participants",
    [
        (False, (AGENT,)),
        (False, (replace(CUSTOMER, came_in=False),)),
        (True, (CUSTOMER,)),
        (False, (CUSTOMER, AGENT)),
    ],
)
@with_world
async def test_anyone_who_does_not_wait_for_the_first_agent_is_adopted(
    system: World, has_started: bool, participants: tuple[ParticipantFound, ...]
) -> None:
    system.found = replace(BOTH, has_started=has_started, participants=participants)
    system.arrives(LEFT)
    await passes(10.0)
    assert [one.participants for one in system.adopted] == [participants]


@with_world
async def test_session_that_was_only_late_is_not_searched_for(system: World) -> None:
    system.arrives(LEFT)
    system.known.add(LOST)
    await passes(10.0)
    assert system.asked == []


@with_world
async def test_commands_and_what_is_over_say_nothing_of_a_live_conference(system: World) -> None:
    system.arrives(Convert(session_id=LOST), ConferenceEnded(session_id=LOST, token="3", conference_sid=CONFERENCE))
    await passes(10.0)
    assert system.asked == []


@pytest.mark.parametrize("error, logged", [
    (OutcomeUnknownError(), "session_not_found"), (StoreUnreachableError("away"), "store_unreachable"),
])  # fmt: skip
@with_world
async def test_search_that_fails_is_left_to_the_sweep_and_the_next_event(
    system: World, error: ProviderError | StoreUnreachableError, logged: str
) -> None:
    system.errors = [error]
    system.arrives(LEFT)
    with capture_logs() as lines:
        await passes(60.0)
    assert [line["event"] for line in lines] == [logged]
    assert (len(system.asked), len(system.adopted)) == (1, 0)
    system.arrives(LEFT)
    await passes(60.0)
    assert (len(system.asked), len(system.adopted)) == (2, 1)


@with_world
async def test_many_are_searched_for_one_after_the_other(system: World) -> None:
    for number in range(WAITING_MAX + 5):
        system.arrives(replace(LEFT, session_id=f"CA{number:032x}"))
    await passes(SETTLE_S + 100 * PAUSE_S)
    assert 90 <= len(system.asked) <= 101
    await passes(WAITING_MAX * PAUSE_S * 1.1)
    assert len(system.asked) == WAITING_MAX
