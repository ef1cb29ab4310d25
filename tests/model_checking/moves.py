"""Every move that can be made from a place, and where it leads."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from conferral.runtime.errors import ConferralError
from conferral.statemachine.events import TIMERS, Command, Event
from conferral.statemachine.states import State
from conferral.statemachine.step import DecisionKind
from conferral.worker.executor.job import JobResult as OrderResult
from conferral.worker.executor.job import failed, unknown
from offhook.model.messages import (
    CallbackRequest,
    Input,
    PhoneAnswers,
    PhoneHangsUp,
    PhonePresses,
    PhoneRefuses,
    TwimlFetched,
)
from tests.model_checking import clock_steps
from tests.model_checking.canonical_values import NOW_MS
from tests.model_checking.configuration import CallbackInTransit, ModelInputs, Move, Place
from tests.model_checking.decision import (
    BrokenLawError,
    awaits_start,
    decided,
    head_taken,
    with_letters,
    without_idle,
)
from tests.model_checking.entry_points import Served
from tests.model_checking.invariants import check, check_holds, noted
from tests.model_checking.jobs import (
    SETTLE_MS,
    TAKE_OVER_MS,
    Job,
    JobState,
    after_lost_answer,
    after_verification,
    answered,
    may_be_late,
    result_of,
    settled_before,
    stray,
)
from tests.model_checking.takeovers import after_loss, copied, found_again
from tests.model_checking.twilio_states import WAIT_AUDIO, Fetch, Followed, Leg, Visit

TIMER = {timer.timer: timer for timer in TIMERS}
_PHONES: dict[str, Callable[[str], Input]] = {
    "answer": PhoneAnswers,
    "reject": partial(PhoneRefuses, sip_code=603),
    "busy": partial(PhoneRefuses, sip_code=486),
    "fail": partial(PhoneRefuses, sip_code=404),
}
#: How long something may be under way, at most, milliseconds.
SLOW_MS = 5_000
#: What may go wrong, each against the same count of faults.
FAULTS = ("lose", "double", "unknown", "late", "expire", "crash", "slow", "loss")


#: The forms that an error in the product, or in this model, may take.
FAULTS_OF_OURS = (
    ConferralError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip

Led = tuple[Move, Place | BrokenLawError]


class Moves:
    """The moves of one flow.

    Args:
        system: What was met so far.
        faults: Which kinds of faults there are; all by default.
    """

    def __init__(self, system: ModelInputs, faults: tuple[str, ...] = FAULTS) -> None:
        self.system = system
        self._faults = frozenset(faults)

    def of(self, place: Place) -> list[Led]:
        """All moves, and where each leads: to another place, or against a law."""
        led: list[Led] = []
        for move, make in self._open(place):
            try:
                after = make()
                if after is None:
                    continue
                after = noted(self.system, place, without_idle(self.system, after)[0])
                after = _counted(place, after)
                if after is None:
                    continue
                check(self.system, after)
                check_holds(self.system, place, after)
            except BrokenLawError as broken:
                led.append((move, broken))
            except FAULTS_OF_OURS as error:
                fault = BrokenLawError("nothing raises", f"{type(error).__name__}: {error}")
                fault.__cause__ = error
                led.append((move, fault))
            else:
                led.append((move, after))
        return led

    def early(self, place: Place, move: Move) -> list[Move]:
        """What is decided early once this move is made, since it changes nothing: moves too, if no one did so."""
        make = next(make for one, make in self._open(place) if one == move)
        try:
            after = make()
        except (BrokenLawError, *FAULTS_OF_OURS):
            return []
        return [] if after is None else without_idle(self.system, after)[1]

    def _open(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        fetches = self.system.exchanges.fetches[place.exchange]
        audio = next((fetch for fetch in fetches if fetch.purpose in WAIT_AUDIO), None)
        if audio is not None:
            # What someone who waits hears depends on nothing but the session, and nothing but that depends on it: in
            # whatever order it comes, the rest is the same. So it comes first.
            yield from self._of_fetch(place, audio)
            return
        for fetch in fetches:
            yield from self._of_fetch(place, fetch)
        works = not place.down_until_ms
        if works:
            yield from self._decisions(place)
            yield from self._orders(place)
        yield from self._late(place)
        yield from self._people(place)
        yield from self._programs(place)
        if works:
            yield from self._commands(place)
        yield from self._time(place, is_busy=bool(fetches))
        if works and place.left.faults and "crash" in self._faults and (place.line or place.asides):
            yield Move("crash"), lambda: self._crashed(place)
        yield from self._losses(place)

    # ---- callbacks and documents -------------------------------------------------------------------------------------

    def _of_fetch(self, place: Place, fetch: Fetch) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        yield Move("fetch", fetch.fetch_id), lambda: self._fetched(place, fetch)
        if place.left.faults and "lose" in self._faults:
            yield Move("lose-fetch", fetch.fetch_id), lambda: self._not_fetched(place, fetch)
        if place.left.faults and "double" in self._faults and fetch.purpose not in WAIT_AUDIO:
            yield Move("double-fetch", fetch.fetch_id), lambda: self._served_for_nothing(place, fetch)

    def _decisions(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        spends = bool(place.left.faults)
        for letter in dict.fromkeys(place.letters):
            if spends and "lose" in self._faults:
                yield Move("lose", letter.event), lambda letter=letter: self._lost(place, letter)  # type: ignore[misc]
            if letter.ahead or awaits_start(self.system, place, letter):
                continue
            yield Move("callback", letter.event), lambda letter=letter: self._reported(place, letter)  # type: ignore[misc]
            if spends and "double" in self._faults:
                yield Move("double", letter.event), lambda letter=letter: self._doubled(place, letter)  # type: ignore[misc]
        if place.stream:
            yield Move("entry", place.stream[0]), lambda: self._head_decided(place)
        session = self.system.sessions.known[place.session]
        for timer, due_ms in session.timers.items():
            if due_ms <= NOW_MS:
                yield Move("timer", timer), lambda timer=timer: self._timer_fired(place, timer)  # type: ignore[misc]

    def _fetched(self, place: Place, fetch: Fetch) -> Place:
        served = self._served(place, fetch)
        answer = served.answer
        if answer.status != 200 and fetch.purpose != "announce":  # of an announcement that is over nothing is known
            raise BrokenLawError("every document is answered", f"{fetch.url}: {answer.status}")
        came = TwimlFetched(fetch.fetch_id, answer.status, answer.content_type, answer.body, fetch.url)
        after = self._stored(place, served)
        return self.followed(after, self.system.exchanges.follow(place.exchange, came))

    def _not_fetched(self, place: Place, fetch: Fetch) -> Place:
        after = _spent(place)
        return self.followed(after, self.system.exchanges.follow(place.exchange, TwimlFetched(fetch.fetch_id)))

    def _served_for_nothing(self, place: Place, fetch: Fetch) -> Place | None:
        """The answer is lost on the way: what the handler has stored stays, and the same is asked again."""
        served = self._served(place, fetch)
        if not served.published and served.gates == place.gates:
            return None
        return self._stored(_spent(place), served)

    def _served(self, place: Place, fetch: Fetch) -> Served:
        system = self.system
        facts = system.sessions.facts(place.session)
        fields = replace(fetch, fetch_id=0)
        key = fields, system.facts_number(place.session), place.gates, place.has_lost
        found = system.served.get(key) or system.served.get((*key, place.exchange))
        if found is not None:
            return found
        _, served = system.exchanges.visit(
            place.exchange,
            lambda visit: system.way.serve(fields, facts, place.gates, visit),
        )
        system.served[(*key, place.exchange) if served.asked_twilio else key] = served
        return served

    def _stored(self, place: Place, served: Served) -> Place:
        stream = (*place.stream, *(self.system.events.number_of(event) for event in served.published))
        return place._replace(stream=stream, gates=served.gates)

    def _reported(self, place: Place, letter: CallbackInTransit) -> Place:
        after = place._replace(letters=_without(place.letters, letter))
        return decided(self.system, after, self.system.events[letter.event])[0]

    def _lost(self, place: Place, letter: CallbackInTransit) -> Place:
        return _spent(place)._replace(letters=_without(place.letters, letter))

    def _doubled(self, place: Place, letter: CallbackInTransit) -> None:
        """It comes twice: the second time must change nothing, so that no place follows from it that is not known."""
        event = self.system.events[letter.event]
        once = decided(self.system, place._replace(letters=_without(place.letters, letter)), event)[0]
        again = decided(self.system, once, event, was_taken=True)[0]
        if again != once:
            raise BrokenLawError("what comes again changes nothing", event.name)

    def _head_decided(self, place: Place) -> Place:
        after, event, was_taken = head_taken(self.system, place)
        after = after._replace(old_entries=max(0, place.old_entries - 1))
        return decided(self.system, after, event, was_taken=was_taken, is_old=place.old_entries > 0)[0]

    def _timer_fired(self, place: Place, timer: str) -> Place:
        session = self.system.sessions.known[place.session]
        event = TIMER[timer](session_id=session.id, due_ms=session.timers[timer])
        return decided(self.system, place, event)[0]

    # ---- people ------------------------------------------------------------------------------------------------------

    def _people(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        flow = self.system.flow
        for leg in self.system.exchanges.legs[place.exchange]:
            if leg.direction != "inbound" and leg.status == "ringing":
                for act in flow.phones.get(leg.to, ()):
                    yield self._person(place, leg, act, _PHONES[act](leg.sid))
            elif leg.activity == "gathering":
                for key in flow.keys:
                    yield self._person(place, leg, f"press {key}", PhonePresses(leg.sid, key))
            if place.left.hang_ups and leg.hears:
                hangs_up = place._replace(left=place.left.but_one("hang_ups"))
                yield self._person(hangs_up, leg, "hang up", PhoneHangsUp(leg.sid))

    def _programs(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        """Another program of the account gives a call other TwiML."""
        for leg in self.system.exchanges.legs[place.exchange] if place.left.hang_ups else ():
            if leg.party in self.system.flow.moved and leg.status == "in-progress" and not leg.is_foreign:
                after = place._replace(left=place.left.but_one("hang_ups"))
                yield (
                    Move("program", leg.sid, "move"),
                    lambda after=after, leg=leg: self.followed(  # type: ignore[misc]
                        after, self.system.exchanges.move(after.exchange, leg.sid)
                    ),
                )

    def _person(self, place: Place, leg: Leg, act: str, happened: Input) -> tuple[Move, Callable[[], Place]]:
        return Move("person", leg.sid, act), lambda: self.followed(
            place, self.system.exchanges.follow(place.exchange, happened)
        )

    def _commands(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        if not place.left.commands:
            return
        for name in self.system.flow.commands:
            if name not in place.given:
                yield Move("command", name), lambda name=name: self._commanded(place, name)  # type: ignore[misc]

    def _commanded(self, place: Place, name: str) -> Place | None:
        event = self.command(name)
        after = place._replace(given=tuple(sorted((*place.given, name))), left=place.left.but_one("commands"))
        after, outcome = decided(self.system, after, event)
        # A command that is refused changes nothing.
        return None if outcome is DecisionKind.REFUSED else after

    def command(self, name: str) -> Command:
        """The flow's command of that name."""
        return self.system.flow.commands[name](self.system.session_id, name)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _orders(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        for number in dict.fromkeys((*place.line[:1], *place.asides)):
            order = self.system.orders[number]
            match order.stage:
                case JobState.UNSENT:
                    yield Move("send", number), lambda order=order: self._sent(place, order)  # type: ignore[misc]
                    yield from self._mishaps(place, number, order)
                case JobState.VERIFYING if not order.was_verified or order.since_ms + SETTLE_MS <= NOW_MS:
                    yield Move("look", number), lambda order=order: self._verified(place, order)  # type: ignore[misc]
                case JobState.ANSWERED if not order.ahead:
                    yield Move("answer", number), lambda order=order: self._answer_decided(place, order)  # type: ignore[misc]
                    if number in place.line and len(place.line) > 1:
                        yield Move("note", number), lambda order=order: self._answer_stored(place, order)  # type: ignore[misc]
                case _:
                    pass

    def _mishaps(self, place: Place, number: int, order: Job) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        if not place.left.faults or settled_before(order, self.system.sessions.known[place.session]) is not None:
            return
        if "unknown" in self._faults:
            yield Move("unknown", number, "before"), lambda: self._answer_lost(place, order, happens=False)
            yield Move("unknown", number, "after"), lambda: self._answer_lost(place, order, happens=True)
        if "late" in self._faults and may_be_late(order):
            yield Move("unknown", number, "late"), lambda: self._given_up(place, number, order)
        if "expire" in self._faults and not order.effect.is_ending:
            yield Move("expire", number), lambda: self._expired(place, order)
        if "crash" in self._faults and order.is_never_repeated:
            yield Move("crash", number, "marked"), lambda: self._crashed(place, order)

    def _sent(self, place: Place, order: Job) -> Place:
        system = self.system
        outcome = settled_before(order, system.sessions.known[place.session])
        if outcome is not None:
            return self._with_order(place, order, answered(order, outcome, len(place.stream)))
        followed, outcome = self._performed(place, order)
        ahead = len(place.stream)
        sent = after_lost_answer(order, ahead) if outcome is None else answered(order, outcome, ahead)
        return self.followed(self._with_order(place, order, sent), followed)

    def _performed(self, place: Place, order: Job) -> tuple[Followed, OrderResult | None]:
        system = self.system
        key = place.exchange, order.effect, place.has_lost
        found = system.performed.get(key)
        if found is None:

            def perform(visit: Visit) -> object:
                visit.is_after_loss = place.has_lost
                return system.way.perform(order.effect, visit)

            found = system.performed[key] = system.exchanges.visit(place.exchange, perform)
        followed, result = found
        return followed, result_of(order, result)

    def _answer_lost(self, place: Place, order: Job, *, happens: bool) -> Place:
        lost = after_lost_answer(order, len(place.stream))
        if order.is_dropped and lost.stage is JobState.UNSENT:
            lost = order._replace(maybe_done=True)
        after = self._with_order(_spent(place), order, lost)
        return self.followed(after, self._performed(place, order)[0]) if happens else after

    def _given_up(self, place: Place, number: int, order: Job) -> Place:
        """There is no answer in time, twice; Twilio may carry the first request out at any time."""
        given_up = answered(order._replace(maybe_done=True), unknown(order.effect), len(place.stream))
        return self._with_order(_spent(place), order, given_up)._replace(late=(*place.late, (number, NOW_MS)))

    def _late(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        """Twilio carries out what was given up."""
        for late in place.late:
            yield Move("late", late[0]), lambda late=late: self._carried_out(place, late)  # type: ignore[misc]

    def _carried_out(self, place: Place, late: tuple[int, int]) -> Place:
        rest = tuple(one for one in place.late if one != late)
        followed = self._performed(place, self.system.orders[late[0]])[0]
        return self.followed(place._replace(late=rest), followed)

    def _expired(self, place: Place, order: Job) -> Place:
        """Its time runs out before it can be sent, or sent again: there is no free slot, or Twilio is away."""
        given_up = unknown(order.effect) if order.maybe_done else failed(order.effect, None)
        return self._with_order(_spent(place), order, answered(order, given_up, len(place.stream)))

    def _verified(self, place: Place, order: Job) -> Place | None:
        system = self.system
        since_s = (NOW_MS - order.since_ms) / 1000
        key = place.exchange, order.effect, since_s * 1000 >= SETTLE_MS, order.committed_at_ms
        if key not in system.verified:
            _, system.verified[key] = system.exchanges.visit(
                place.exchange,
                lambda visit: system.way.verify_effect(order.effect, visit, since_s, order.committed_at_ms),
            )
        after = after_verification(order, system.verified[key], system.sessions.known[place.session], len(place.stream))
        if order.is_dropped and after.stage is JobState.UNSENT:
            return self._with_order(place, order, None)
        return self._with_order(place, order, after)

    def _answer_decided(self, place: Place, order: Job) -> Place:
        assert order.outcome is not None
        after = self._with_order(place, order, None)
        return after if order.is_dropped else decided(self.system, after, order.outcome)[0]

    def _answer_stored(self, place: Place, order: Job) -> Place:
        assert order.outcome is not None
        after = self._with_order(place, order, None)
        return after._replace(stream=(*after.stream, self.system.events.number_of(order.outcome)))

    def _with_order(self, place: Place, before: Job, after: Job | None) -> Place:
        """The place with one order changed, or gone. One without a recipient hangs up the call that it has placed."""
        system = self.system
        if after is not None and after.is_dropped and after.stage is JobState.ANSWERED:
            after = stray(after)
        old = system.orders.number_of(before)
        new = () if after is None else (system.orders.number_of(after),)
        if place.line and place.line[0] == old:
            return place._replace(line=(*new, *place.line[1:]))
        asides = list(place.asides)
        asides.remove(old)
        return place._replace(asides=tuple(sorted((*asides, *new))))

    # ---- time, and the death of a worker -----------------------------------------------------------------------------

    def _time(self, place: Place, *, is_busy: bool) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        due_ms = clock_steps.next_due_ms(self.system, place)
        if due_ms is None or due_ms <= 0 or place.copy is not None:
            return  # what is lost has happened within a moment
        if not is_busy and not clock_steps.is_moving(self.system, place):
            yield Move("time", due_ms), lambda: self._passed(place, due_ms)
        elif place.left.faults and "slow" in self._faults:
            by_ms = min(due_ms, SLOW_MS)
            yield Move("slow", by_ms), lambda: self._passed(_spent(place), by_ms)

    def _passed(self, place: Place, by_ms: int) -> Place:
        followed = self.system.exchanges.later(place.exchange, by_ms)
        after = clock_steps.later(self.system, place, by_ms)
        after = self.followed(after, followed)
        return clock_steps.swept(self.system, after)

    def _crashed(self, place: Place, marked: Job | None = None) -> Place:
        """The worker dies. Its successor finds the outbox when the lease has run out."""
        return _spent(place)._replace(
            line=found_again(self.system, place.line, marked),
            asides=tuple(sorted(found_again(self.system, place.asides, marked))),
            down_until_ms=NOW_MS + TAKE_OVER_MS,
        )

    # ---- a loss of Redis ---------------------------------------------------------------------------------------------

    def _losses(self, place: Place) -> Iterator[tuple[Move, Callable[[], Place | None]]]:
        """First comes the moment from which on everything is going to be lost, then the loss."""
        if place.copy is not None:
            yield Move("loss"), lambda: after_loss(self.system, place)
        elif self._may_lose(place):
            yield Move("copy"), lambda: copied(_spent(place))

    def _may_lose(self, place: Place) -> bool:
        """Whether what follows may be lost; a session that is lost as a whole is the sweep's to find."""
        is_known = self.system.sessions.known[place.session].version > 0
        return place.left.faults > 0 and "loss" in self._faults and not place.down_until_ms and is_known

    # ---- callbacks ---------------------------------------------------------------------------------------------------

    def followed(self, place: Place, followed: Followed) -> Place:
        events = [self._event_of(callback) for callback in followed.callbacks]
        return with_letters(self.system, place._replace(exchange=followed.exchange), events)

    def _event_of(self, callback: CallbackRequest) -> Event:
        return self.system.way.event_of(callback)

    def is_over(self, place: Place) -> bool:
        """Whether the session has ended."""
        return self.system.sessions.known[place.session].state is State.ENDED


def _counted(before: Place, after: Place) -> Place | None:
    """The place with the changes counted that are going to be lost; None where it would be too many."""
    if after.copy is None or after.session == before.session:
        return after
    changes_left = after.copy.changes_left - 1
    return after._replace(copy=after.copy._replace(changes_left=changes_left)) if changes_left >= 0 else None


def _spent(place: Place) -> Place:
    return place._replace(left=place.left.but_one("faults"))


def _without(letters: tuple[CallbackInTransit, ...], letter: CallbackInTransit) -> tuple[CallbackInTransit, ...]:
    at = letters.index(letter)
    return letters[:at] + letters[at + 1 :]
