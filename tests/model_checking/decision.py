"""One event is decided and committed: what `worker.deciding` and `worker.held` do, on plain values."""

from collections.abc import Iterable
from dataclasses import replace

from conferral.statemachine.effects import Dial, ReadCalls
from conferral.statemachine.events import CallProgressed, CallsRead, ConferenceStarted, Event, ParticipantJoined
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandStatus, DecisionKind
from conferral.worker.executor.outbox import DialStatus
from tests.model_checking.canonical_values import OLD
from tests.model_checking.configuration import CallbackInTransit, ModelInputs, Move, Place
from tests.model_checking.jobs import Job, JobState, answered, new, settled_before, stray
from tests.model_checking.twilio_states import WAIT_AUDIO

_FINAL = frozenset({CommandStatus.DONE, CommandStatus.REJECTED, CommandStatus.FAILED})


class BrokenLawError(Exception):
    """Something has happened that must never happen.

    Attributes:
        law: Which law it is, in a few words.
        reason: What has happened.
    """

    def __init__(self, law: str, reason: str) -> None:
        super().__init__(f"{law}: {reason}")
        self.law = law
        self.reason = reason


def decided(
    system: ModelInputs, place: Place, event: Event, *, was_taken: bool = False, is_old: bool = False
) -> tuple[Place, DecisionKind]:
    """The place after an event was decided, which is on no list of the place any more.

    An old one may have been decided before, in what Redis has lost.
    """
    orders = [system.orders[number] for number in (*place.line, *place.asides)]
    used = frozenset(
        (
            *(order.effect.effect_id for order in orders),
            *(getattr(system.events[number], "effect_id", "") for number in place.stream),
        )
    )
    decision = system.sessions.decide(place.session, event, was_taken=was_taken, used=used)
    system.idle.follows(place.session, decision.session)
    line = [system.orders[number] for number in place.line]
    asides = [system.orders[number] for number in place.asides]
    stream = place.stream
    if decision.replaces_reads:  # an unsent one is dropped, and no one gets the answer of a sent one
        asides = [order for order in asides if not isinstance(order.effect, ReadCalls)]
        stream = tuple(_with_old_read(system, number) for number in stream)
    if decision.ends:
        targets = {effect.target for effect in decision.effects if effect.is_ending}
        line, asides = _after_the_end(line, asides, targets)
    for effect in decision.effects:
        order = new(effect, may_be_sent=is_old, ahead=len(stream))
        if order.stands_in_line:
            line.append(order._replace(to_be_asked=order.to_be_asked or bool(line)))
        else:
            asides.append(order)
    line, asides = _reviewed(line, asides, system.sessions.known[decision.session], len(stream))
    after = place._replace(
        session=decision.session,
        line=tuple([system.orders.number_of(order) for order in line]),
        asides=tuple(sorted([system.orders.number_of(order) for order in asides])),
        stream=stream,
        reported=_reported(place, ((report.command_id, report.status) for report in decision.reports)),
    )
    return after, decision.outcome


def _with_old_read(system: ModelInputs, number: int) -> int:
    event = system.events[number]
    if not isinstance(event, CallsRead) or event.read_version == OLD:
        return number
    return system.events.number_of(replace(event, read_version=OLD))


def _after_the_end(line: list[Job], asides: list[Job], targets: set[str]) -> tuple[list[Job], list[Job]]:
    """What the end of a session leaves of what was ordered before: what is under way, and endings of other things."""
    kept: list[Job] = []
    under_way = line[:1] + asides
    for order in under_way:
        if order.effect.is_ending:
            kept.append(order._replace(is_dropped=order.is_dropped or order.effect.target in targets))
        elif order.stage is JobState.ANSWERED:
            hang_up = stray(order)
            if hang_up is not None:
                kept.append(hang_up)
        elif order.stage is JobState.VERIFYING and order.stands_in_line:
            kept.append(order._replace(is_dropped=True))
    return [], kept


def _reviewed(line: list[Job], asides: list[Job], session: Session, ahead: int) -> tuple[list[Job], list[Job]]:
    """Dials that stand in line and that no one wants any more are taken back, and reported at once."""
    kept, back = line[:1], []
    for order in line[1:]:
        effect = order.effect
        if isinstance(effect, Dial) and not DialStatus.of(session, effect.effect_id).is_wanted:
            outcome = settled_before(order, session, is_withdrawn=True)
            assert outcome is not None
            back.append(answered(order, outcome, ahead))
        else:
            kept.append(order)
    return kept, asides + back


def _reported(place: Place, reports: Iterable[tuple[str, CommandStatus]]) -> tuple[tuple[str, str], ...]:
    reported = dict(place.reported)
    for command_id, status in reports:
        before = reported.get(command_id)
        if before in _FINAL and status in _FINAL and before != status:
            raise BrokenLawError("a command has one outcome", f"{command_id} was {before}, and is {status}")
        if before not in _FINAL:
            reported[command_id] = status.value
    return tuple(sorted(reported.items()))


def head_taken(system: ModelInputs, place: Place) -> tuple[Place, Event, bool]:
    """The oldest entry leaves the stream; and whether it was decided before, so that it is a repetition."""
    event = system.events[place.stream[0]]
    after, was_taken = _without_entry(system, place, 0), event.token in place.taken
    if event.token and not was_taken and not hasattr(event, "effect_id"):
        after = after._replace(taken=tuple(sorted((*after.taken, event.token))))
    return after, event, was_taken


def _without_entry(system: ModelInputs, place: Place, at: int) -> Place:
    """One entry leaves the stream: whatever comes behind it has one entry less before it."""

    def moved_up(number: int) -> int:
        order = system.orders[number]
        return system.orders.number_of(order._replace(ahead=order.ahead - 1)) if order.ahead > at else number

    return place._replace(
        stream=place.stream[:at] + place.stream[at + 1 :],
        letters=tuple(sorted([_moved_up(letter, at) for letter in place.letters])),
        line=tuple(map(moved_up, place.line)),
        asides=tuple(sorted(map(moved_up, place.asides))),
    )


def _moved_up(letter: CallbackInTransit, at: int) -> CallbackInTransit:
    return letter._replace(ahead=letter.ahead - 1) if letter.ahead > at else letter


def without_idle(system: ModelInputs, place: Place) -> tuple[Place, list[Move]]:
    """The place once everything is decided that changes nothing, and by which moves: see `idle`."""
    moves: list[Move] = []
    if place.down_until_ms or any(fetch.purpose in WAIT_AUDIO for fetch in system.exchanges.fetches[place.exchange]):
        return place, moves  # nothing can be decided now
    takes, session, events = system.idle.takes, place.session, system.events
    while place.stream and takes(session, events[place.stream[0]]):
        moves.append(Move("entry", place.stream[0]))
        place = head_taken(system, place)[0]
    open_ = [one for one in place.letters if not (one.ahead or awaits_start(system, place, one))]
    early = [one for one in open_ if takes(session, events[one.event])]
    if early:
        moves += [Move("callback", one.event) for one in early]
        place = place._replace(letters=tuple([one for one in place.letters if one not in early]))
    if place.asides and not place.left.faults:
        # With no worker left to die, nothing depends on when an answer is noted that changes nothing.
        noted = [number for number in place.asides if _is_idle(system, session, system.orders[number])]
        if noted:
            moves += [Move("answer", number) for number in noted]
            place = place._replace(asides=tuple([number for number in place.asides if number not in noted]))
    return place, moves


def awaits_start(system: ModelInputs, place: Place, letter: CallbackInTransit) -> bool:
    """Whether the callback says who has started a conference, and that of the start is on its way, and comes first."""
    events = system.events
    if not system.flow.start_first:
        return False
    if not any(isinstance(events[other.event], ConferenceStarted) for other in place.letters):
        return False
    match events[letter.event]:
        case ParticipantJoined(start_on_enter=True) | CallProgressed(status="in-progress"):
            return True
    return False


def _is_idle(system: ModelInputs, session: int, order: Job) -> bool:
    if order.stage is not JobState.ANSWERED or order.ahead or order.outcome is None:
        return False
    return system.idle.takes(session, order.outcome)


def with_letters(system: ModelInputs, place: Place, events: Iterable[Event]) -> Place:
    """Callbacks are on their way: they will be stored behind what is stored already."""
    new = [CallbackInTransit(system.events.number_of(event), len(place.stream)) for event in events]
    return place._replace(letters=tuple(sorted((*place.letters, *new)))) if new else place
