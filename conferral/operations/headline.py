"""A session in a sentence for each group of people."""

from typing import NamedTuple

from conferral.operations import catalog
from conferral.operations.session_summary import (
    activity_note,
    is_in_voicemail,
    is_ringing_caller,
    next_dialed_party,
    party_since_ms,
    person,
)
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus
from conferral.storage.codecs.text_codec import to_iso


class Clause(NamedTuple):
    """A sentence without its end, such as `+…23 has been on hold`."""

    text: str
    #: Since when, ISO 8601; empty if that says nothing.
    since: str = ""


def headline(session: Session, *, full: bool = False) -> list[Clause]:
    """Return who talks, then what each of the others does or waits for."""
    if session.is_ended:
        return [Clause(f"The call has ended: {catalog.reason_text(session.end_reason)}")]
    talking, others = [], []
    for name, party in session.present.items():
        who, note = person(party, full=full), activity_note(session, party)
        if name == next_dialed_party(session):
            others.append(Clause(f"{who} will be dialed next"))
        elif note:
            since_ms = doing_since_ms(session, party)
            text = note.replace("is ", "has been ", 1) if since_ms else note
            others.append(Clause(f"{who} {text}", to_iso(since_ms) if since_ms else ""))
        else:
            talking.append(who)
    if len(talking) > 1:
        others.insert(0, Clause(f"{catalog.join_names(talking)} are talking"))
    elif talking:
        is_awaiting = any(not party.is_connected for party in session.present.values())
        doing = "alone" if not others else "waiting" if is_awaiting else "on the call"
        others.insert(0, Clause(f"{talking[0]} is {doing}"))
    shown = others[: catalog.LISTED_MAX]
    more = len(others) - len(shown)
    return [Clause(text[:1].upper() + text[1:], since) for text, since in shown] + (
        [Clause(f"{more} more are on the call")] if more else []
    )


def doing_since_ms(session: Session, party: Party) -> int:
    """Return since when a party waits, is held, or rings, Unix ms; or 0."""
    if party.held:
        return party.since_ms
    if is_ringing_caller(session, party):
        return session.created_at_ms
    if party.status == PartyStatus.RINGING:
        return party_since_ms(session, party)
    if party.waits_for_start and not is_in_voicemail(session, party):
        return session.state_since_ms
    return 0
