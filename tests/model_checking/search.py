"""Breadth first through all places of a flow, the usual things first.

First come the runs in which whatever is under way arrives and is done in the usual order, and phones are answered or
not at any moment. Then those with one unusual thing at any moment: something goes wrong, someone hangs up, a command
is given, or one move comes out of the usual order. Then those with two, until no place is left. So what is found first
has a simple story, and a search that is cut has seen all runs with less than so many unusual things, to their ends.
"""

import struct
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from conferral.statemachine.ids import visit_id
from conferral.statemachine.session import Session
from offhook.model.formats import make_sid
from offhook.model.messages import InboundCall, PhoneAnswers
from tests.model_checking.configuration import Left, ModelInputs, Move, Place, Table
from tests.model_checking.decision import BrokenLawError, decided
from tests.model_checking.entry_points import NUMBER
from tests.model_checking.flows import BROWSER, Flow
from tests.model_checking.moves import FAULTS, Led, Moves
from tests.support.people import CUSTOMER

#: What happens first where nothing is out of the ordinary.
_USUAL = {kind: at for at, kind in enumerate(("fetch", "entry", "callback", "send", "look", "answer", "timer", "time"))}
#: What follows from a fault that was counted.
_AFTERMATH = ("loss", "late")
#: The part of the time in which it is only learnt which callbacks must not come early, at most: see `idle`.
_TO_LEARN = 0.25
#: Places searched between two reads of the clock (count).
_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is explored."""

    #: What may happen in one run.
    left: Left = field(default_factory=lambda: Left(1, 1, 1, 2))
    #: Which kinds of faults.
    faults: tuple[str, ...] = FAULTS
    #: Places (count) and seconds of the processor's time after which it is left.
    places_max: int = 20_000_000
    seconds_max: float = 60.0
    #: Places that are searched however long that takes (count).
    places_min: int = 0
    #: Broken laws of different kinds after which it is left (count).
    findings_max: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """A law that was broken, and the moves that led to it."""

    broken: BrokenLawError
    moves: tuple[Move, ...]


@dataclass(slots=True)
class Explored:
    """What an exploration has seen."""

    flow: str
    places: int = 0
    moves: int = 0
    #: How many unusual things there are in the runs that are being searched (count): all runs with fewer were seen.
    unusual: int = 0
    #: Whether there is no place within the bounds of a run that it has not seen.
    is_exhausted: bool = False
    #: Whether it was left because time or places ran out, else because of what it found.
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    #: Decisions, inputs of Twilio's model and kinds of news that were worked out afresh (counts).
    sessions: int = 0
    exchanges: int = 0


class Exploration:
    """One flow, from its beginning."""

    def __init__(self, flow: Flow, bounds: Bounds | None = None) -> None:
        self.flow = flow
        self.bounds = bounds or Bounds()
        self.system = ModelInputs(flow)
        self.moves = Moves(self.system, self.bounds.faults)
        self.start = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.system.close()

    # ---- before ------------------------------------------------------------------------------------------------------

    def _start(self) -> Place:
        flow, system = self.flow, self.system
        first = system.exchanges.first
        if flow.call is not None:
            system.session_id = "outbound"
            place = Place(first, system.sessions.number_of(Session(system.session_id)))
            place, _ = decided(system, place, flow.call(system.session_id, "call"))
        else:
            system.session_id = visit_id(make_sid("CA", "0", 0), 2 if flow.comes_back else 1)
            caller, custom = (BROWSER, (("To", CUSTOMER),)) if flow.begins == "client" else (CUSTOMER, ())
            followed = system.exchanges.follow(first, InboundCall(caller, NUMBER, custom))
            place = Place(followed.exchange, system.sessions.number_of(Session(system.session_id)))
        for act in flow.before:
            place = self._acted(self.settled(place), act)
        if flow.before:
            place = self.settled(place)._replace(reported=(), taken=place.taken)
        if flow.first:
            place, _ = decided(system, place, self.moves.command(flow.first))
            place = place._replace(given=tuple(sorted((*place.given, flow.first))))
        return place._replace(left=self.bounds.left)

    def _acted(self, place: Place, act: str) -> Place:
        """What someone has done before it begins."""
        what, _, whom = act.partition(" ")
        if what == "answer":
            legs = self.system.exchanges.legs[place.exchange]
            sid = next(leg.sid for leg in legs if leg.to == whom and leg.status == "ringing")
            return self.moves.followed(place, self.system.exchanges.follow(place.exchange, PhoneAnswers(sid)))
        after, _ = decided(self.system, place, self.moves.command(act))
        return after._replace(given=tuple(sorted((*after.given, act))))

    def settled(self, place: Place) -> Place:
        """The place once all has come that is under way, in the usual order; no time passes."""
        for _ in range(300):
            led = self.moves.of(place)
            usual = usual_of(led)
            if usual is None or usual.kind == "time":
                return place
            after = dict(led)[usual]
            if isinstance(after, BrokenLawError):
                raise after
            place = after
        raise AssertionError("no end of what follows")

    # ---- the search --------------------------------------------------------------------------------------------------

    def explore(self) -> Explored:
        """Goes through all places, or as many as the bounds allow."""
        began_s = time.process_time()
        seconds_max = self.bounds.seconds_max
        until_s = seconds_max * _TO_LEARN
        while True:
            explored = self._explore(began_s, until_s)
            if explored.findings or not self.system.idle.was_wrong or explored.seconds > seconds_max:
                return explored
            self.system.begin_again()
            self.start = self._start()
            until_s = seconds_max

    def _explore(self, began_s: float, until_s: float) -> Explored:
        seen = _Seen()
        seen.add(self.start, 0, Move("start"), is_usual=True)
        explored, bounds = Explored(self.flow.name), self.bounds
        laws: set[tuple[str, str]] = set()
        count = 0
        while (at := seen.next()) is not None:
            if count % _AT_A_TIME == 0:
                explored.seconds = time.process_time() - began_s
                is_late = explored.seconds > until_s and len(seen) > bounds.places_min
                if is_late or len(seen) > bounds.places_max:
                    break
            count += 1
            led = self.moves.of(seen.place(at))
            usual = usual_of(led)
            for move, after in led:
                explored.moves += 1
                if not isinstance(after, BrokenLawError):
                    seen.add(after, at, move, is_usual=move == usual or is_answer(move) or move.kind in _AFTERMATH)
                elif (after.law, after.reason) not in laws:
                    laws.add((after.law, after.reason))
                    explored.findings.append(Finding(after, (*seen.way_to(at), move)))
            if len(explored.findings) >= bounds.findings_max:
                break
        explored.is_exhausted = at is None and not self.system.idle.was_wrong
        explored.unusual = seen.level
        explored.places = len(seen)
        explored.seconds = time.process_time() - began_s
        explored.sessions, explored.exchanges = len(self.system.sessions.known), len(self.system.exchanges.legs)
        return explored

    def full(self, moves: tuple[Move, ...]) -> tuple[Move, ...]:
        """A story with all that was decided early in it: what follows from it is the same with and without that."""
        place = self.start
        all_: list[Move] = []
        for move in moves:
            after = dict(self.moves.of(place))[move]
            all_ += [move, *self.moves.early(place, move)]
            if not isinstance(after, BrokenLawError):
                place = after
        return tuple(all_)

    def follow(self, moves: tuple[Move, ...]) -> tuple[list[Place], BrokenLawError | None]:
        """Plays a full story, each step by itself.

        Returns:
            The places that it comes through, in order, and the law that it breaks, if it does; what comes then is left.

        Raises:
            LookupError: a move can't be made where the story stands.
        """
        places = [self.start]
        with self.system.step_by_step():
            for move in moves:
                after = dict(self.moves.of(places[-1])).get(move)
                if after is None:
                    raise LookupError(f"no such move here: {move}")
                if isinstance(after, BrokenLawError):
                    return places, after
                places.append(after)
        return places, None


def is_answer(move: Move) -> bool:
    """Whether someone does with a phone that rings or asks what may be done with it: nothing is unusual in that."""
    return move.kind == "person" and move.how != "hang up"


def usual_of(led: list[Led]) -> Move | None:
    """What happens next where nothing is out of the ordinary; None where nothing happens by itself."""
    usual = (move for move, _ in led if move.kind in _USUAL)
    return min(usual, key=lambda move: _USUAL[move.kind], default=None)


class _Seen:
    """Places by number, packed; each knows from where it was reached, and how, in the most usual way.

    Those with the fewest unusual things on the way come first, and among them the first that were found.
    """

    _PACKED = struct.Struct("<7I")

    def __init__(self) -> None:
        self.level = 0
        self._numbers: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._from = array("I")
        self._by = array("I")
        self._levels = array("H")
        self._is_done = bytearray()
        self._now: deque[int] = deque()
        self._then: deque[int] = deque()
        self._moves: Table[Move] = Table()
        self._tuples: Table[tuple[object, ...]] = Table()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, place: Place, reached_from: int, by: Move, *, is_usual: bool) -> None:
        """Takes a place on; one that is known stays as it is, unless this way there is a more usual one."""
        number_of = self._tuples.number_of
        key = self._PACKED.pack(
            place[0], place[1], number_of(place[2]), number_of(place[3]), number_of(place[4]), number_of(place[5]),
            number_of(place[6:]),
        )  # fmt: skip
        new, level = len(self._keys), self.level if is_usual else self.level + 1
        number = self._numbers.setdefault(key, new)
        if number == new:
            self._keys.append(key)
            self._from.append(reached_from)
            self._by.append(self._moves.number_of(by))
            self._levels.append(level)
            self._is_done.append(0)
        elif self._is_done[number] or self._levels[number] <= level:
            return
        else:
            self._levels[number] = level
            self._from[number], self._by[number] = reached_from, self._moves.number_of(by)
        (self._now if is_usual else self._then).append(number)

    def next(self) -> int | None:
        """The next place to search; None when all were."""
        while True:
            if not self._now:
                if not self._then:
                    return None
                self._now, self._then = self._then, self._now
                self.level += 1
            number = self._now.popleft()
            if not self._is_done[number]:
                self._is_done[number] = 1
                return number

    def place(self, number: int) -> Place:
        """The place of that number."""
        exchange, session, *parts, rest = self._PACKED.unpack(self._keys[number])
        return Place(exchange, session, *(self._tuples[part] for part in parts), *self._tuples[rest])  # type: ignore[arg-type]

    def way_to(self, number: int) -> tuple[Move, ...]:
        """The moves that have led there."""
        moves: list[Move] = []
        while number:
            moves.append(self._moves[self._by[number]])
            number = self._from[number]
        return tuple(reversed(moves))
