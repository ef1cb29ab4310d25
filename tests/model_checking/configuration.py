"""Where a run stands: one plain value, made of numbers of what was met before. Equal places are equal values."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from conferral.statemachine.events import Event
from conferral.worker.executor.verification import Verification
from offhook.model.numbers import Number
from tests.model_checking.canonical_values import digest, flat
from tests.model_checking.entry_points import ACCOUNT_SID, NUMBER, Gates, Served, ServicePath
from tests.model_checking.flows import Flow
from tests.model_checking.idle_reduction import IdleReduction, NoReduction
from tests.model_checking.jobs import Job
from tests.model_checking.session_states import SessionStates
from tests.model_checking.twilio_states import TwilioStates
from tests.support.people import AGENT
from tests.support.service_settings import settings_with

_H = TypeVar("_H", bound=Hashable)


class Table(Generic[_H]):
    """Values by number, each once."""

    def __init__(self) -> None:
        self.values: list[_H] = []
        self._numbers: dict[_H, int] = {}

    def number_of(self, value: _H) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def __getitem__(self, number: int) -> _H:
        return self.values[number]

    def __len__(self) -> int:
        return len(self.values)


class Left(NamedTuple):
    """What may still go wrong, and what people may still do, in a run (counts)."""

    faults: int = 0
    #: Commands that an operator may give.
    commands: int = 0
    #: People who may hang up.
    hang_ups: int = 0
    #: How many of all these together.
    together: int = 0

    def but_one(self, what: str) -> "Left":
        """What is left when one of it has happened; where nothing may happen any more, all counts are the same."""
        if self.together <= 1:
            return _NOTHING
        left = self._replace(together=self.together - 1, **{what: getattr(self, what) - 1})
        return left._replace(together=min(left.together, left.faults + left.commands + left.hang_ups))


_NOTHING = Left()


def left_of(faults: int, commands: int, hang_ups: int, together: int) -> Left:
    """What may happen in a run, with no more together than there are."""
    return Left(faults, commands, hang_ups, min(together, faults + commands + hang_ups)) if together else _NOTHING


class Move(NamedTuple):
    """One thing that can happen."""

    kind: str
    #: Number of the event or the order, or of the document; the call; the name of a timer or a command.
    what: int | str = ""
    how: str = ""


class CallbackInTransit(NamedTuple):
    """A callback on its way to us."""

    #: Number of the event.
    event: int
    #: How many entries of the stream come before it: those that were stored before Twilio sent it (count).
    ahead: int = 0


class AloneParty(NamedTuple):
    """A leg that hears no one, or music for no reason, since a moment."""

    sid: str
    since_ms: int


class Copy(NamedTuple):
    """What Redis held at a moment from which on it may lose everything."""

    session: int
    line: tuple[int, ...]
    asides: tuple[int, ...]
    stream: tuple[int, ...]
    taken: tuple[str, ...]
    gates: Gates
    reported: tuple[tuple[str, str], ...]
    #: How many changes of the session may still be lost (count).
    changes_left: int


class Place(NamedTuple):
    """Where a run stands."""

    exchange: int
    session: int
    #: Numbers of the orders that are carried out one after the other, and of those next to them.
    line: tuple[int, ...] = ()
    asides: tuple[int, ...] = ()
    #: Callbacks on their way, sorted.
    letters: tuple[CallbackInTransit, ...] = ()
    #: Numbers of the events that are stored and undecided, oldest first.
    stream: tuple[int, ...] = ()
    #: Tokens of what handlers have stored and what is decided, as far as it may come again.
    taken: tuple[str, ...] = ()
    gates: Gates = ()
    #: Until when no one decides, because a worker has died; 0 while one works.
    down_until_ms: int = 0
    left: Left = _NOTHING
    #: How far each command has come, sorted.
    reported: tuple[tuple[str, str], ...] = ()
    #: Names of the commands that were given, sorted.
    given: tuple[str, ...] = ()
    lonely: tuple[AloneParty, ...] = ()
    #: Updates that got no answer, by number, and that Twilio may still carry out; and since when.
    late: tuple[tuple[int, int], ...] = ()
    #: Since when the sweep would find something; 0 for never.
    differs_since_ms: int = 0
    #: An earlier moment from which on Redis is going to lose everything; None for none.
    copy: Copy | None = None
    #: Whether it was, and how many entries of the stream are from before: what they lead to may have been sent (count).
    has_lost: bool = False
    old_entries: int = 0


class ModelInputs:
    """Everything that was met in the exploration of one flow, by number."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        url = "https://service.example"
        settings = settings_with(**{"CONFERRAL_AGENT": AGENT, "CONFERRAL_PUBLIC_URL": url} | flow.settings)
        number = Number(
            NUMBER,
            voice_url=f"{url}{flow.voice_path}",
            voice_fallback_url=f"{url}/voice/fallback",
            status_callback=f"{url}/voice/status",
            application_sid="AP" + "0" * 32 if flow.begins == "client" else "",
        )
        self.way = ServicePath(
            settings, flow.agents, flow.desks, comes_back=flow.comes_back, others_wait=flow.others_wait
        )
        self.exchanges = TwilioStates(ACCOUNT_SID, (number,), flow.behavior)
        self.sessions = SessionStates(flow.policy)
        self.idle = IdleReduction(self.sessions)
        self.events: Table[Event] = Table()
        self.orders: Table[Job] = Table()
        self.session_id = ""
        self.served: dict[tuple[object, ...], Served] = {}
        self.performed: dict[tuple[object, ...], Any] = {}
        self.verified: dict[tuple[object, ...], Verification] = {}
        self._facts: dict[int, int] = {}
        self._facts_known: dict[bytes, int] = {}

    def facts_number(self, session: int) -> int:
        """What webhooks read of a session, as a number: many sessions are the same to them."""
        if session not in self._facts:
            key = digest(flat(self.sessions.facts(session)))
            self._facts[session] = self._facts_known.setdefault(key, len(self._facts_known))
        return self._facts[session]

    def begin_again(self) -> None:
        """Forgets which callbacks were decided early, but not where that was wrong."""
        self.idle = IdleReduction(self.sessions, self.idle.excluded | self.idle.learnt)

    @contextmanager
    def step_by_step(self) -> Iterator[None]:
        """Meanwhile nothing is decided early: each callback is a move of its own."""
        before, self.idle = self.idle, NoReduction(self.sessions)
        try:
            yield
        finally:
            self.idle = before

    def close(self) -> None:
        """Closes what it has opened."""
        self.way.close()
