"""Questions about a conference that was found, of whose session nothing is known."""

import re

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, ConferenceFound, ParticipantFound, ParticipantSeen
from conferral.statemachine.guards.calls import opens_session
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, SUPERVISOR, TARGET, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES

#: A participant label of ours: the party's name and a number that no other leg of the session has had.
_LABEL = re.compile(r"(?P<name>[a-z][A-Za-z0-9_-]{0,50})-(?P<number>[1-9][0-9]{0,5})", re.ASCII)

#: A phone number in a name: names stand in logs.
_PHONE_NUMBER = re.compile(r"[0-9](?:[_-]?[0-9]){6}")


def found_transfer(draft: Draft, event: ConferenceFound) -> bool:
    """Whether customer, agent and one target are in it: a transfer was running, and waits for the agent."""
    return opens_session(draft, event) and _is_transfer(assign_names(event))


def _is_transfer(names: dict[str, ParticipantFound]) -> bool:
    three = {CUSTOMER, AGENT, TARGET}
    if not three <= names.keys() or any(names[name].is_ringing for name in three):
        return False
    # With guests there it may be one or not; where somebody is held, it is taken for one: he is not to hear the others.
    return names[CUSTOMER].held or names[TARGET].held or names.keys() - {SUPERVISOR} == three


def shows_conversation_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether the customer of a bridge talks to somebody in a conference: Redis has forgotten how he came there.

    An agent who goes on elsewhere is none of it: then a leg is on its way, and is waited for.
    """
    inside = {seen.call_sid for seen in event.participants}
    customer, agent = draft.session.parties.get(CUSTOMER), draft.session.parties.get(AGENT)
    if customer is None or agent is None or customer.call_sid not in inside or len(inside) < 2:
        return False
    is_over = agent.is_gone or not agent.call_sid or event.status_of(agent.call_sid) in FINAL_CALL_STATUSES
    return is_over or agent.call_sid in inside


def shows_transfer_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether a transfer was running there that Redis has forgotten."""
    return shows_conversation_in_conference(draft, event) and _is_transfer(
        assign_names(conference_found_by_read(draft, event))
    )


def conference_found_by_read(draft: Draft, event: CallsRead) -> ConferenceFound:
    """What a look at the session's own conference shows, as a sweep would tell it."""
    session = draft.session
    addresses = {call.call_sid: call.to for call in event.calls} | {
        party.call_sid: party.address for party in session.parties.values() if party.address
    }
    came_in = session.parent.call_sid if session.direction == INBOUND else ""
    participants = tuple(
        ParticipantFound(
            call_sid=seen.call_sid,
            label=seen.label,
            address=addresses.get(seen.call_sid, ""),
            came_in=seen.call_sid == came_in,
            held=seen.held,
            muted=seen.muted,
            end_on_exit=seen.end_on_exit,
            coaches=seen.coaches,
            is_ringing=seen.is_ringing,
            start_on_enter=seen.start_on_enter,
        )
        for seen in event.participants
    )
    return ConferenceFound(session_id=session.id, conference_sid=event.conference_sid, participants=participants)


def label_number(one: ParticipantFound | ParticipantSeen) -> int:
    """The number in a participant's label, 0 for none of ours."""
    label = _LABEL.fullmatch(one.label)
    return int(label["number"]) if label else 0


def assign_names(event: ConferenceFound) -> dict[str, ParticipantFound]:
    """Those who are there, by the names that they have from now on.

    Of several legs of one name the newest has it. Whoever has no label of ours, or one that is taken, is a guest. Of
    those whom a transfer has dialled one is the target, or the agent where there is none: the transfer is forgotten.
    """
    names: dict[str, ParticipantFound] = {}
    others: list[ParticipantFound] = []
    for one in sorted(event.participants, key=label_number, reverse=True):
        name = name_from_label(one)
        if name and name not in names:
            names[name] = one
        else:
            others.append(one)
    if TARGET in names and AGENT not in names:
        names[AGENT] = names.pop(TARGET)
    return names | {f"guest-{number}": one for number, one in enumerate(others, start=1)}


def recovered_dial_id(call_sid: str) -> str:
    """Stands for the id of the dial that placed a call, which is forgotten; its callbacks are told by the call."""
    return f"found:{call_sid}"


def name_from_label(one: ParticipantFound | ParticipantSeen | Party) -> str:
    """The party's name by its label, empty for a label that is none of ours; all targets are `target`."""
    label = _LABEL.fullmatch(one.label)
    if label is None or _PHONE_NUMBER.search(label["name"]):
        return ""
    name = label["name"]
    return TARGET if name.startswith(f"{TARGET}-") else name
