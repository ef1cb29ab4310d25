"""Time passes: what is due next, what has moved by then, and the sweep, which compares when a difference has lasted."""

from conferral.statemachine.effects import FindCall
from conferral.statemachine.record import replace
from conferral.statemachine.states import State
from conferral.worker.sweep.diff import AccountDiff, Finding
from tests.model_checking.canonical_values import LONG_AGO_MS, NOW_MS, earlier
from tests.model_checking.configuration import AloneParty, CallbackInTransit, ModelInputs, Place
from tests.model_checking.idle_reduction import later as event_later
from tests.model_checking.jobs import SETTLE_MS, Job, JobState
from tests.model_checking.jobs import later as order_later

#: Between two sweeps (`CONFERRAL_SWEEP_INTERVAL`), and how long a session must have been quiet, milliseconds.
SWEEP_MS = 10_000
QUIET_MS = 5_000
#: For how long an update that was given up may still be carried out before someone talks in private, milliseconds.
LATE_MS = 10_000


def next_due_ms(system: ModelInputs, place: Place) -> int | None:
    """How long until something happens by itself, milliseconds; None when nothing ever does."""
    session = system.sessions.known[place.session]
    due = [system.exchanges.due_ms[place.exchange]]
    if place.down_until_ms:
        due.append(place.down_until_ms - NOW_MS)
    else:
        due += [at_ms - NOW_MS for name, at_ms in session.timers.items() if name != "age" and at_ms > NOW_MS]
        due += [
            order.since_ms + SETTLE_MS - NOW_MS
            for order in map(system.orders.__getitem__, (*place.line[:1], *place.asides))
            if order.stage is JobState.VERIFYING and order.was_verified and order.since_ms + SETTLE_MS > NOW_MS
        ]
    if place.differs_since_ms:
        due.append(max(1, place.differs_since_ms + SWEEP_MS - NOW_MS))
    return min((at_ms for at_ms in due if at_ms is not None), default=None)


def is_moving(system: ModelInputs, place: Place) -> bool:
    """Whether something can be done at this moment that does not depend on people: then no time passes by itself."""
    if place.down_until_ms:
        return False
    if place.letters or place.stream:
        return True
    session = system.sessions.known[place.session]
    if any(due_ms <= NOW_MS for due_ms in session.timers.values()):
        return True
    orders = map(system.orders.__getitem__, (*place.line[:1], *place.asides))
    return any(order.stage is not JobState.VERIFYING or _can_be_verified(order) for order in orders)


def _can_be_verified(order: Job) -> bool:
    return not order.was_verified or order.since_ms + SETTLE_MS <= NOW_MS


def later(system: ModelInputs, place: Place, by_ms: int) -> Place:
    """The place after so many milliseconds; what the exchange has done meanwhile is not in it."""

    def moved(number: int) -> int:
        order = system.orders[number]
        effect = earlier(order.effect, by_ms) if isinstance(order.effect, FindCall) else order.effect
        return system.orders.number_of(order_later(order, effect, by_ms))

    down_until_ms = place.down_until_ms - by_ms
    session = system.sessions.later(place.session, by_ms)
    system.idle.follows(place.session, session, by_ms)
    return place._replace(
        session=session,
        line=tuple(map(moved, place.line)),
        asides=tuple(sorted(map(moved, place.asides))),
        letters=tuple(sorted(_letter_later(system, letter, by_ms) for letter in place.letters)),
        down_until_ms=down_until_ms if down_until_ms > NOW_MS else 0,
        lonely=tuple(AloneParty(sid, max(since_ms - by_ms, LONG_AGO_MS)) for sid, since_ms in place.lonely),
        late=tuple((number, at_ms - by_ms) for number, at_ms in place.late if at_ms - by_ms > NOW_MS - LATE_MS),
        differs_since_ms=place.differs_since_ms and place.differs_since_ms - by_ms,
    )


def _letter_later(system: ModelInputs, letter: CallbackInTransit, by_ms: int) -> CallbackInTransit:
    event = system.events[letter.event]
    moved = event_later(event, by_ms)
    return letter if moved is event else letter._replace(event=system.events.number_of(moved))


# ---- the sweep ---------------------------------------------------------------------------------------------------


def difference(system: ModelInputs, place: Place, quiet_before_ms: int) -> list[Finding]:
    """What the sweep would report, or suspects."""
    session = system.sessions.known[place.session]
    if not session.version:
        return []
    account = system.exchanges.accounts[place.exchange]
    comparison = AccountDiff(account, quiet_before_ms)
    if session.state is not State.ENDED:
        comparison.compare_live(session)
        return comparison.findings
    ended = replace(session, ended_at_ms=NOW_MS - 60_000)
    known = {party.call_sid for party in session.parties.values()} | set(session.former_calls)
    for call_sid in sorted(comparison.unmatched_calls & known):
        comparison.compare_ended(ended, call_sid=call_sid)
    for conference_sid in sorted(comparison.unmatched_conferences):
        comparison.compare_ended(ended, conference_sid=conference_sid)
    return comparison.findings


def swept(system: ModelInputs, place: Place) -> Place:
    """The sweep's turn, if a difference has lasted for long enough: what it finds is put onto the stream."""
    if not place.differs_since_ms or place.differs_since_ms + SWEEP_MS > NOW_MS:
        return place
    findings = difference(system, place, NOW_MS - QUIET_MS)
    events = [replace(finding.event(0), token="") for finding in findings]
    numbers = tuple(system.events.number_of(event) for event in events)
    return place._replace(stream=(*place.stream, *numbers), differs_since_ms=NOW_MS)
