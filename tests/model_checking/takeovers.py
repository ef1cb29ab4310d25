"""What the next owner of a partition finds: after a death of the last one, and after a loss of Redis."""

from conferral.statemachine.events import AccountSwept
from conferral.worker.partition.effects import WRITES_LOST
from tests.model_checking.canonical_values import NOW_MS
from tests.model_checking.configuration import Copy, ModelInputs, Place
from tests.model_checking.decision import decided
from tests.model_checking.jobs import TAKE_OVER_MS, Job, taken_over

#: How many changes of the session a loss may cost (count).
LOST_MAX = 4


def found_again(
    system: ModelInputs, numbers: tuple[int, ...], marked: Job | None = None, *, is_after_loss: bool = False
) -> tuple[int, ...]:
    """Orders as the next owner finds them in the outbox; where marks may be lost, each counts as marked."""
    orders = (system.orders[number] for number in numbers)
    kept = (one for one in orders if not one.is_dropped)
    return tuple([
        system.orders.number_of(taken_over(one, was_marked=one is marked, is_after_loss=is_after_loss)) for one in kept
    ])  # fmt: skip


def copied(place: Place) -> Place:
    """The place with a copy of what Redis holds: everything from now on will be lost."""
    copy = Copy(
        place.session, place.line, place.asides, place.stream, place.taken, place.gates, place.reported, LOST_MAX
    )
    return place._replace(copy=copy)


def after_loss(system: ModelInputs, place: Place) -> Place:
    """Another worker holds the partition with what Redis still has; first, the session notes the loss."""
    copy = place.copy
    assert copy is not None
    session = system.sessions.earlier(copy.session, place.session)
    system.idle.follows(place.session, session)
    check = AccountSwept(session_id=system.session_id, finding=WRITES_LOST)
    ahead = len(copy.stream)
    after = place._replace(
        session=session,
        line=found_again(system, copy.line, is_after_loss=True),
        asides=tuple(sorted(found_again(system, copy.asides, is_after_loss=True))),
        stream=copy.stream,
        taken=copy.taken,
        gates=copy.gates,
        reported=copy.reported,
        letters=tuple(sorted(letter._replace(ahead=ahead) for letter in place.letters)),
        down_until_ms=NOW_MS + TAKE_OVER_MS,
        copy=None,
        has_lost=True,
        old_entries=ahead,
    )
    return decided(system, after, check)[0]
