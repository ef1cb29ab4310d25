"""Guards on a live conference whose session Redis has lost."""

import re

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, ConferenceFound, ParticipantFound, ParticipantSeen
from conferral.statemachine.guards.calls import opens_session
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, LABEL, SUPERVISOR, TARGET, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES

#: A phone number within a name, which must not appear in logs.
_PHONE_NUMBER = re.compile(r"[0-9](?:[_-]?[0-9]){6}")


def found_transfer(draft: Draft, event: ConferenceFound) -> bool:
    """Whether a lost conference holds customer, agent, and one target."""
    return opens_session(draft, event) and _is_transfer(assign_names(event))


def _is_transfer(by_name: dict[str, ParticipantFound]) -> bool:
    """Whether customer, agent, and target are there, all answered."""
    three = {CUSTOMER, AGENT, TARGET}
    if not three <= by_name.keys() or any(by_name[name].is_ringing for name in three):
        return False
    # With guests, it may not be a transfer; if someone is held, it is treated as one, so that they don't hear others.
    return by_name[CUSTOMER].held or by_name[TARGET].held or by_name.keys() - {SUPERVISOR} == three


def shows_conversation_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether the bridge's customer talks in an unknown conference."""
    inside = {seen.call_sid for seen in event.participants}
    customer, agent = draft.session.customer, draft.session.agent
    if customer.call_sid not in inside or len(inside) < 2:
        return False
    # If the agent's call continues elsewhere, a leg is on its way, and Conferral waits for it.
    is_over = agent.is_gone or not agent.call_sid or event.status_of(agent.call_sid) in FINAL_CALL_STATUSES
    return is_over or agent.call_sid in inside


def shows_transfer_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference shows a transfer that Redis lost."""
    return shows_conversation_in_conference(draft, event) and _is_transfer(assign_names(conference_found(draft, event)))


def conference_found(draft: Draft, event: ConferenceFound | CallsRead) -> ConferenceFound:
    """Return a sweep's event, or what a read shows in the form of one."""
    if isinstance(event, ConferenceFound):
        return event
    session = draft.session
    addresses = {call.call_sid: call.to for call in event.calls} | {
        party.call_sid: party.address for party in session.parties.values() if party.address
    }
    came_in = session.parent.call_sid if session.direction == INBOUND else ""
    participants = tuple(
        ParticipantFound.of(seen, addresses.get(seen.call_sid, ""), came_in=seen.call_sid == came_in)
        for seen in event.participants
    )
    return ConferenceFound(session_id=session.id, conference_sid=event.conference_sid, participants=participants)


def label_number(one: ParticipantFound | ParticipantSeen) -> int:
    """Return the number in Conferral's label, which counts dials; 0 if none."""
    label = LABEL.fullmatch(one.label)
    return int(label["number"]) if label else 0


def assign_names(event: ConferenceFound) -> dict[str, ParticipantFound]:
    """Return the participants by their new names; a name's newest leg gets it."""
    by_name: dict[str, ParticipantFound] = {}
    others: list[ParticipantFound] = []
    for one in sorted(event.participants, key=label_number, reverse=True):
        name = name_from_label(one)
        if name and name not in by_name:
            by_name[name] = one
        else:
            others.append(one)
    if TARGET in by_name and AGENT not in by_name:  # the transfer is lost
        by_name[AGENT] = by_name.pop(TARGET)
    return by_name | {f"guest-{number}": one for number, one in enumerate(others, start=1)}


def recovered_dial_id(call_sid: str) -> str:
    """Return a stand-in for a lost dial id; callbacks are matched by call SID."""
    return f"found:{call_sid}"


def name_from_label(one: ParticipantFound | ParticipantSeen | Party) -> str:
    """Return the name in Conferral's label; `target` for any of a ring group."""
    label = LABEL.fullmatch(one.label)
    if label is None or _PHONE_NUMBER.search(label["name"]):
        return ""
    name = label["name"]
    return TARGET if name.startswith(f"{TARGET}-") else name
