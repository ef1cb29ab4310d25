"""Bridged calls without a session: ours get sessions, everyone else's are left alone."""

from dataclasses import replace

import pytest

from conferral.telephony.account_lists import AccountSnapshot, ChildCall, OwnCall
from conferral.telephony.directory import InboundRoute
from conferral.worker.sweep.diff import find_unknown_bridges, route_of_own_bridge
from tests.support.people import AGENT, CUSTOMER, NUMBER, SALES

PARENT, CHILD, OTHER = "CA" + "1" * 32, "CA" + "2" * 32, "CA" + "3" * 32
CALL, DIALED = OwnCall(CUSTOMER, came_in=True, called=SALES), ChildCall(CHILD, AGENT, CUSTOMER)
BRIDGED = AccountSnapshot({PARENT, CHILD}, {PARENT, CHILD}, own_calls={PARENT: CALL}, children={PARENT: (DIALED,)})
PHONE = "+14155550124"
ROUTE = InboundRoute(agents=(AGENT, PHONE))
ROUTE_OF = route_of_own_bridge(lambda _called: ROUTE, NUMBER)


def found(account: AccountSnapshot) -> list[str]:
    return [one.call_sid for one in find_unknown_bridges(account, account.calls, ROUTE_OF)]


@pytest.mark.parametrize(
    ("agent", "caller_id", "is_ours"),
    [
        (AGENT, CUSTOMER, True),
        (AGENT, SALES, False),
        (AGENT, NUMBER, False),
        (PHONE, CUSTOMER, True),
        (PHONE, SALES, True),
        (PHONE, NUMBER, True),
    ],
)
def test_call_to_our_number_that_talks_to_our_agent_is_ours_if_it_shows_what_we_would(agent, caller_id, is_ours):
    child = replace(DIALED, address=agent, caller_id=caller_id)
    assert found(replace(BRIDGED, children={PARENT: (child,)})) == [PARENT] * is_ours


def test_session_of_a_found_call_has_all_that_its_number_sets():
    (bridge,) = find_unknown_bridges(BRIDGED, BRIDGED.calls, ROUTE_OF)
    received, progressed = bridge.events(PARENT)
    assert (received.agent_address, received.other_agents, received.called_number) == (AGENT, (PHONE,), SALES)
    assert (received.attributes, received.has_caller_id) == (ROUTE.attributes, True)
    assert (progressed.call_sid, progressed.status) == (CHILD, "in-progress")


@pytest.mark.parametrize(
    "changes",
    [
        {"own_calls": {}},
        {"own_calls": {PARENT: replace(CALL, came_in=False)}},
        {"children": {}},
        {"children": {PARENT: (DIALED, ChildCall(OTHER, AGENT, CUSTOMER))}},
        {"children": {PARENT: (replace(DIALED, address="client:someone"),)}},
        {"children": {PARENT: (replace(DIALED, caller_id="+14155550199"),)}},
        {"answered": {PARENT}},
        {"conferences": {"CF1": PARENT}},
        {"conferences": {"CF1": f"{PARENT}-2"}},
    ],
    ids=[
        "another-number",
        "placed",
        "no-child",
        "two-children",
        "another-agent",
        "another-caller-id",
        "ringing",
        "conference",
        "later-conference",
    ],
)
def test_any_other_call_is_left_alone(changes):
    assert found(replace(BRIDGED, **changes)) == []


def test_call_with_a_session_is_left_to_it():
    assert find_unknown_bridges(BRIDGED, {CHILD}, ROUTE_OF) == []
