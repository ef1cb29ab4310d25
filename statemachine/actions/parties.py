"""What is noted about a party whose call is over."""

from statemachine.events import CallProgressed
from statemachine.scratch import Scratch
from statemachine.session import Party
from statemachine.states import PartyStatus

#: SIP answers that mean "I don't want to", not "I am busy". Source: RFC 3261, sections 21.6.2 and 21.6.4.
_REFUSALS = frozenset({603, 607})


def note_over(scratch: Scratch, party: Party, event: CallProgressed) -> None:
    """A party's call is over, by its own callback."""
    refused = event.sip_response_code in _REFUSALS
    if not party.call_sid:
        scratch.change_party(party, call_sid=event.call_sid)
    note_gone(scratch, party.name, "rejected" if refused else event.status)


def note_gone(scratch: Scratch, name: str, reason: str) -> None:
    """A party has left, for good as far as is known; who was first is remembered."""
    party = scratch.session.parties[name]
    if party.is_gone:
        return
    scratch.change_party(party, status=PartyStatus.LEFT, in_room=False, left_reason=reason)
    if not scratch.session.first_left:
        scratch.change(first_left=name)
