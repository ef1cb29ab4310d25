"""Sessions whose ids someone chose: an id may be the name of a stranger's live conference in the same account."""

import pytest

from tests.flows.conference_starts import opened
from tests.support.foreign_calls import add_foreign_conference
from tests.support.local_system import AGENT, CUSTOMER

pytestmark = [pytest.mark.redis, pytest.mark.system(answered_by=[CUSTOMER, AGENT])]
NAME = "lunch"


def strangers(system, name):
    """Two strangers in a live conference of that name; returns what shows that nothing has happened to them."""
    sid = add_foreign_conference(system.sandbox, name, participant_count=2, age_s=60)
    members = sorted(system.sandbox.model.state.conferences[sid].participants)

    def are_untouched():
        conference = system.sandbox.model.state.conferences[sid]
        changes = [entry.path for entry in system.sandbox.request_log.requests("POST") if sid in entry.path]
        return (conference.status, sorted(conference.participants), changes) == ("in-progress", members, [])

    assert are_untouched()
    return are_untouched


@pytest.mark.parametrize(
    "way, params", [("client", {"SessionID": NAME}), ("call", {"session": NAME})], ids=["browser", "command"]
)
@pytest.mark.parametrize("leaver", ["agent", "customer"])
async def test_id_that_is_the_name_of_a_strangers_conference_leads_to_a_conference_of_our_own(
    system, way, params, leaver
):
    are_untouched = strangers(system, NAME)
    opening = await opened(system, way, **params)
    customer = await opening.talks()
    session = await opening.session()
    conference = system.sandbox.model.state.conferences[session["conference_sid"]]
    assert session["id"] == NAME
    assert conference.name == session["conference_name"] != NAME
    await opening.ended_by_hang_up({"agent": opening.waiter, "customer": customer}[leaver], f"{leaver}-left")
    assert are_untouched()


@pytest.mark.parametrize("session", [NAME])
async def test_bridged_call_with_a_chosen_id_is_converted_into_a_conference_of_our_own(system, session):
    are_untouched = strangers(system, session)
    given = await system.done("call", session, agent=AGENT, customer=CUSTOMER)
    assert given.session == session
    await system.done("convert", session)
    agent, customer = await system.leg(session, "agent"), await system.leg(session, "customer")
    await system.until_hears(customer, [agent])
    await system.ended_by_hang_up(agent, session, "agent-left")
    assert are_untouched()
