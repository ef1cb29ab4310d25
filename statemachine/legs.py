"""What is known of a leg, and the one place that writes it.

Callbacks, the actions of a `<Dial>`, results, and reads come in any order, and each shows a part. For each leg:

- What is final wins. A call that is over stays over; a SID, an answer, a desk, or a passed gate is never taken back.
- Of one source, the higher number wins. Each conference numbers its own callbacks (`relevance`).
- Of different sources, the one that began later wins. A callback begins when it is applied, and beats all reads before
  it; `relevance` drops one that is older than a request of ours. A read begins when it is requested, so it
  shows nothing of a leg that has joined, left, changed, or been moved since, or whose move or update has been requested
  or answered since (`Party.overtakes`). For such a leg, `when.with_newer_facts` has it show what is known. It still
  shows all others.
- A read proves that a leg is absent only in our live conference, some time after anyone was moved into it.
- Not being held or muted proves nothing while an update of ours has no result, unless Twilio reports just that.

Decisions about a leg, such as `is_leaving`, are no facts: they are written where they are made.
"""

from typing import Any

from conferral.statemachine.events import CallsRead
from conferral.statemachine.session import Party
from conferral.statemachine.states import PartyStatus
from conferral.statemachine.step import Draft

#: What is known of a leg's place in the conference.
_PLACE = ("in_conference", "held", "muted", "end_on_exit", "coaches", "conference_sequence")
#: What is never taken back.
_KEPT = {"call_sid", "answered", "answered_at_ms", "has_passed_gate", "has_desk"}
#: What may still become known of a call that is over, or has left for good.
_AFTER_END = ("call_sid", "conference_sequence")


def note_facts(draft: Draft, party: Party, **facts: Any) -> None:
    """Write what the event shows of a leg, as far as nothing better is known.

    The event shows nothing of an attribute that is None.
    """
    party = draft.session.parties[party.name]
    is_final = party.is_gone and not facts.get("in_conference")
    facts = {name: value for name, value in facts.items() if value is not None and (name in _AFTER_END or not is_final)}
    for name in _KEPT & facts.keys():
        facts[name] = getattr(party, name) or facts[name]
    has_moved = any(facts.get(name, getattr(party, name)) != getattr(party, name) for name in _PLACE)
    if has_moved or facts.get("status") is PartyStatus.LEFT:
        began = draft.event.read_version if isinstance(draft.event, CallsRead) else draft.session.version + 1
        facts["known_version"] = max(party.known_version, began)
    draft.change_party(party, **facts)


def overtake_reads(draft: Draft, *parties: Party) -> None:
    """Let no earlier read count for these legs: a request is to change them."""
    for party in parties:
        draft.change_party(party, known_version=draft.session.version + 1)
