"""Bridged calls that no session knows. Pure.

A call that came in, or came back, while Redis was away is bridged without a session; if its callbacks are lost, too,
only the lists show it. It is ours only if it came in to one of our numbers, and its only live child was dialed to one
of that number's agents with the caller ID that we would have shown. Other programs' calls are left alone.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from conferral.statemachine.events import CallProgressed
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import CallStatus
from conferral.telephony.account_lists import AccountSnapshot, ChildCall, OwnCall
from conferral.telephony.addresses import is_caller_id
from conferral.telephony.directory.model import InboundRoute

#: Whether a `<Dial>` of ours may have made a child of a call.
IsOwnDial = Callable[[OwnCall, ChildCall], bool]


class UnknownBridge(NamedTuple):
    """A call that came in, and its child."""

    call_sid: str
    call: OwnCall
    child: ChildCall

    def event(self, session_id: str) -> CallProgressed:
        """Return the lost callback of the agent's answer."""
        return CallProgressed(
            session_id=session_id,
            token=f"sweep:{self.child.call_sid}",
            party=AGENT,
            call_sid=self.child.call_sid,
            status=CallStatus.IN_PROGRESS.value,
            address=self.child.address,
            customer_address=self.call.address,
        )


def is_own_dial(route_of: Callable[[str], InboundRoute], own_number: str) -> IsOwnDial:
    """Return the check by the directory's route of a called number."""

    def check(call: OwnCall, child: ChildCall) -> bool:
        # Agents' phones see our own number if the called one came in a SIP address.
        shown = {own_number, call.called, *([call.address] if is_caller_id(call.address) else [])}
        return child.address in route_of(call.called).agents and child.caller_id in shown

    return check


def find_unknown_bridges(
    account: AccountSnapshot, unmatched: Collection[str], is_ours: IsOwnDial
) -> list[UnknownBridge]:
    """Return the calls without a session that talk to one of our agents."""
    # A call that was moved into its session's conference is recovered with that.
    moved = {call_of_visit(name) for name in account.conferences.values()}
    found = []
    for call_sid in sorted(account.own_calls.keys() & unmatched & account.answered - moved):
        call, children = account.own_calls[call_sid], account.children.get(call_sid, ())
        if call.came_in and len(children) == 1 and children[0].call_sid in account.answered:
            bridge = UnknownBridge(call_sid, call, children[0])
            if is_ours(call, bridge.child):
                found.append(bridge)
    return found
