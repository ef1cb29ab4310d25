"""Guards on what is unsettled: they yield names.

A name begins with the party's if it is about one.
"""

from collections.abc import Iterable, Iterator

from conferral.statemachine.events import CallsRead
from conferral.statemachine.guards.waiting_party import is_alone, park_is_over, presence_is_uncertain, waiting_party
from conferral.statemachine.session import Session
from conferral.statemachine.states import Opening, State, UnsettledName
from conferral.statemachine.step import Draft

#: What a name begins with if it is about no party in particular.
ANYONE = "anyone"


def read_is_open(draft: Draft) -> bool:
    """Whether a read has no answer yet, and is not taken as lost."""
    session = draft.session
    is_recent = draft.now_ms - session.open_read_since_ms < read_timeout_ms(draft)
    return bool(session.open_read_id) and is_recent


def read_timeout_ms(draft: Draft) -> int:
    """Return how long a read may go unanswered before it counts as lost."""
    policy = draft.policy
    return policy.background_read_timeout_ms if only_loss_is_unsettled(draft.session) else policy.read_timeout_ms


def only_loss_is_unsettled(session: Session) -> bool:
    """Whether no one waits for a read: only a loss of Redis made it due."""
    loss, transfer = UnsettledName.LOSS.key(""), session.running_transfer
    waits = bool(session.pending_commands) or (transfer is not None and not transfer.attempts)
    return (
        bool(session.unsettled_since_ms)
        and not waits
        and all(one.startswith(loss) for one in session.unsettled_since_ms)
    )


def has_asked(session: Session, read: CallsRead) -> bool:
    """Whether a read could show each leg of which something is unsettled."""
    about = {key.split(" ")[1] for key in session.unsettled_since_ms}
    return not any(name in about or ANYONE in about for name in _overtaken(session, read))


def _overtaken(session: Session, read: CallsRead) -> set[str]:
    """Return the parties that a read could not show: newer facts are known."""
    return {party.name for party in session.present.values() if party.overtakes(read)}


def suspicions(draft: Draft) -> Iterator[str]:
    """Yield the parties who may not be where the session has them."""
    return _noted(draft.session, UnsettledName.SUSPICION)


def losses(draft: Draft) -> Iterator[str]:
    """Yield the parties of whom Redis may have lost what had been decided."""
    return _noted(draft.session, UnsettledName.LOSS)


def _noted(session: Session, kind: UnsettledName) -> Iterator[str]:
    # A suspicion and a loss have no other place than this mapping.
    return (name for name in (*session.present, ANYONE) if kind.key(name) in session.unsettled_since_ms)


def is_suspected(session: Session, name: str) -> bool:
    """Whether a party may not be where the session has them."""
    return len(without_suspicions(session, [name])) < len(session.unsettled_since_ms)


def without_suspicions(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Return what is unsettled without the suspicions and losses of parties."""
    keys = {kind.key(name) for name in names for kind in (UnsettledName.SUSPICION, UnsettledName.LOSS)}
    return {key: since_ms for key, since_ms in session.unsettled_since_ms.items() if key not in keys}


def unsettled_after(session: Session, read: CallsRead) -> dict[str, int]:
    """Return what is unsettled after a read.

    It clears the suspicions about the legs that it can show.
    """
    return without_suspicions(session, {ANYONE, *session.present} - _overtaken(session, read))


def calls_left_out(draft: Draft) -> Iterator[str]:
    """Yield the calls that the last read had no room for."""
    yield from draft.session.unread_calls[:1]


def session_too_old(draft: Draft) -> Iterator[str]:
    """Yield whether the session is older than a day."""
    if draft.now_ms - draft.session.created_at_ms >= draft.policy.age_max_ms:
        yield "session"


def open_updates(draft: Draft) -> Iterator[str]:
    """Yield the updates of participants that Twilio has not confirmed."""
    for party in draft.session.participants:
        if party.pending_update:
            yield f"{party.name} {party.pending_update}"


def undone_holds(draft: Draft) -> Iterator[str]:
    """Yield who is to be on hold, and may be taken off it by a late request."""
    for party in draft.session.participants:
        age_ms = draft.now_ms - party.late_unhold_ms
        if party.desired_hold and party.late_unhold_ms and age_ms < draft.policy.late_unhold_read_ms:
            yield party.name


def unproven_answers(draft: Draft) -> Iterator[str]:
    """Yield the participants whose answer no callback has reported."""
    return (party.name for party in draft.session.participants if party.dial_id and not party.answered)


def unseen_arrivals(draft: Draft) -> Iterator[str]:
    """Yield who may have started the conference, though no callback says so."""
    return (party.name for party in draft.session.present.values() if party.may_be_inside)


def ringing_dials(draft: Draft) -> Iterator[str]:
    """Yield the dialed parties that may still ring."""
    for party in draft.session.parties.values():
        is_over = party.is_gone or party.is_leaving or party.answered or party.dial_check
        if party.dial_id and party.call_sid and not (is_over or party.in_conference):
            yield party.name


def absent_party(draft: Draft) -> Iterator[str]:
    """Yield who is to wait, or is transferred, and has not joined."""
    session, party = draft.session, waiting_party(draft)
    if draft.state is State.TRANSFERRING and not session.is_in_voicemail:
        party = session.customer
    if party is not None and not (party.in_conference or party.is_gone or session.opening is Opening.CALLING):
        yield f"{party.name} {'redirected' if session.repair_attempted else ''}".strip()


def lingering_parties(draft: Draft) -> Iterator[str]:
    """Yield the parties that are being hung up, and not known to be gone."""
    for party in draft.session.present.values():
        if party.is_leaving and party.hang_up_requested:
            yield f"{party.name} {'' if party.hang_up_effect_id else 'answered'}".strip()


def message_to_come(draft: Draft) -> Iterator[str]:
    """Yield whether the customer is in the voicemail."""
    if draft.session.is_in_voicemail:
        yield "message"


def uncertain_loneliness(draft: Draft) -> Iterator[str]:
    """Yield whether a party's loneliness decides, and a callback is missing."""
    if (is_alone(draft) or park_is_over(draft)) and presence_is_uncertain(draft):
        yield ANYONE


# ---- a conversion: the child is moved first, and the action of its parent's `<Dial>` follows ------------------------


def legs_outside(draft: Draft) -> Iterator[str]:
    """Yield the parties of a bridge that have not joined the conference."""
    for leg in (draft.session.child, draft.session.parent):
        if not (leg.in_conference or leg.is_gone):
            yield f"{leg.name} {'repaired' if leg.repair_moved_at_ms else ''}".strip()


def parent_without_child(draft: Draft) -> Iterator[str]:
    """Yield the parent, if it has not joined, and the child is gone."""
    parent = draft.session.parent
    if draft.session.child.is_gone and not (parent.is_gone or parent.in_conference):
        yield parent.name
