"""Orphans: conferences and bridges of ours that no session knows. Pure.

Other programs' conferences are never touched. Ours have a name in our form, are older than 10 s, and have a participant
with our label and a call of our numbers. A bridge lacks such marks, and Twilio lists a call's requests only
15 minutes after it (https://www.twilio.com/docs/voice/api/call-event-resource). So it is ours only if it came in to one
of our numbers, and its only live child was dialed to one of that number's agents with our caller ID.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from conferral.statemachine.events import CallProgressed, CallReceived, ParticipantFound
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import CallStatus
from conferral.telephony.account_lists import AccountSnapshot, ChildCall, OwnCall
from conferral.telephony.addresses import is_caller_id
from conferral.telephony.directory import InboundRoute
from conferral.telephony.parameters import is_label

#: A CallSid (with the visit's number), or `CS` and the hash of a command's id.
_NAME = re.compile(r"CA[0-9a-f]{32}(-[0-9]{1,2})?|CS[0-9a-f]{32}", re.ASCII)
#: Returns the called number's route if a `<Dial>` of ours may have made a child of a call.
RouteOfOwnDial = Callable[[OwnCall, ChildCall], InboundRoute | None]


def has_own_name(name: str) -> bool:
    """Whether the name could be the id of a session of ours."""
    return _NAME.fullmatch(name) is not None


def is_own_conference(participants: Sequence[ParticipantFound], own_calls: Mapping[str, OwnCall]) -> bool:
    """Whether its participants show that a conference is ours."""
    return any(participant.call_sid in own_calls and is_label(participant.label) for participant in participants)


def is_opened_by_wait_request(participants: Sequence[ParticipantFound], *, has_started: bool) -> bool:
    """Whether only the caller waits: their next wait request opens a session."""
    if has_started or len(participants) != 1:
        return False
    (one,) = participants
    return one.came_in and one.label.startswith(f"{CUSTOMER}-")


class UnknownBridge(NamedTuple):
    """A call that came in, and its child."""

    call_sid: str
    call: OwnCall
    child: ChildCall
    route: InboundRoute

    def events(self, session_id: str) -> tuple[CallReceived, CallProgressed]:
        """Return what was lost: the call's arrival, and the agent's answer."""
        number = self.route.agents.index(self.child.address)
        received = CallReceived(
            session_id=session_id,
            token=f"sweep:{self.call_sid}",
            call_sid=self.call_sid,
            customer_address=self.call.address,
            agent_address=self.child.address,
            has_caller_id=is_caller_id(self.call.address),
            called_number=self.route.called_number,
            other_agents=self.route.agents[number + 1 :],
            attributes=self.route.attributes,
        )
        progressed = CallProgressed(
            session_id=session_id,
            token=f"sweep:{self.child.call_sid}",
            party=AGENT,
            call_sid=self.child.call_sid,
            status=CallStatus.IN_PROGRESS.value,
            address=self.child.address,
            customer_address=self.call.address,
        )
        return received, progressed


def route_of_own_dial(route_of: Callable[[str], InboundRoute], own_number: str) -> RouteOfOwnDial:
    """Return the check by the directory's route of a called number."""

    def find(call: OwnCall, child: ChildCall) -> InboundRoute | None:
        # Agents' phones may see our own number, and do if the called one came in a SIP address.
        shown = {call.address} if is_caller_id(call.address) else set()
        if not shown or child.address.startswith("+"):
            shown |= {own_number, call.called}
        route = route_of(call.called)
        return route if child.address in route.agents and child.caller_id in shown else None

    return find


def find_unknown_bridges(
    account: AccountSnapshot, unmatched: Collection[str], route_of: RouteOfOwnDial
) -> list[UnknownBridge]:
    """Return the calls without a session that talk to one of our agents."""
    # A call that was moved into its session's conference is recovered with that.
    moved = {call_of_visit(name) for name in account.conferences.values()}
    found = []
    for call_sid in sorted(account.own_calls.keys() & unmatched & account.answered - moved):
        call, children = account.own_calls[call_sid], account.children.get(call_sid, ())
        if call.came_in and len(children) == 1 and children[0].call_sid in account.answered:
            route = route_of(call, children[0])
            if route is not None:
                found.append(UnknownBridge(call_sid, call, children[0], route))
    return found
