"""Inbound calls through the real webhooks, worker, Redis and a local Twilio: what is asked, heard, and left behind."""

import msgspec
import pytest

from offhook.model.behavior import Behavior
from tests.support.local_system import CUSTOMER, NUMBER

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("leaver", ["customer", "agent"])
async def test_party_left_alone_in_the_conference_is_hung_up(system, leaver):
    """The conference does not end by itself when one leaves: Twilio does not take the flag for that."""
    system.end_calls_in_test()
    customer, agent = await system.converted()
    await system.ended_by_hang_up({"customer": customer, "agent": agent}[leaver], customer.sid, f"{leaver}-left")
    assert "conferral_lone_conferences_cleaned_total 1.0" in system.workers[0].metrics.exposition().decode()


@pytest.mark.parametrize("leaver", ["customer", "agent"])
async def test_settled_conference_of_two_ends_at_once_when_one_leaves(system, leaver):
    customer, agent = await system.converted()
    await system.until(customer.sid, **{"party.customer.end_on_exit": "true", "party.agent.end_on_exit": "true"})
    await system.ended_by_hang_up({"customer": customer, "agent": agent}[leaver], customer.sid, f"{leaver}-left")
    assert "conferral_lone_conferences_cleaned_total 1.0" not in system.workers[0].metrics.exposition().decode()


@pytest.mark.parametrize("leaver", ["customer", "agent"])
async def test_either_party_hanging_up_a_bridged_call_ends_it(system, leaver):
    customer, agent = await system.talking()
    await system.ended_by_hang_up({"customer": customer, "agent": agent}[leaver], customer.sid, f"{leaver}-left")


async def test_bridge_that_twilio_ends_at_its_time_limit_says_so(system):
    customer, agent = await system.talking()
    system.sandbox.skip(14_400)
    await system.everyone_is_gone(customer.sid, "time-limit")
    assert customer.status == agent.status == "completed"


@pytest.mark.parametrize("outcome, reason", [
    ("busy",      "agent-busy"),
    ("reject",    "agent-rejected"),
    ("no-answer", "agent-no-answer"),
    ("fail",      "agent-failed"),
])  # fmt: skip
@pytest.mark.system(speed=20, CONFERRAL_RING_TIMEOUT=5)
async def test_caller_hears_why_no_one_answers(system, outcome, reason):
    system.agent_phone.script(outcome=outcome)
    customer = await system.customer_calls()
    await system.everyone_is_gone(customer.sid, reason)
    # A sentence, and then the end: never silence for longer than a document takes.
    assert str(customer.sounds_heard[-1].sound) == "speech", customer.sounds_heard
    assert system.longest_gap_s(customer) < 0.25


def ends_reported(final_callback, abandoned_child, **status_callback):
    """Twilio reports the ends of both calls, but doesn't request the action of a caller who is gone."""
    behavior = Behavior(final_callback=final_callback, abandoned_child=abandoned_child, action_after_hang_up=False)
    return pytest.param(status_callback, marks=pytest.mark.system(behavior=behavior))


@pytest.mark.parametrize("status_callback", [
    ends_reported("last", "canceled"),
    ends_reported("last", "no-answer"),
    ends_reported("first", "canceled"),
    ends_reported("last", "canceled", status_callback=""),
    ends_reported("first", "no-answer", status_callback=""),
])  # fmt: skip
async def test_caller_who_gives_up_while_it_rings_stops_the_agents_phone(system, status_callback):
    urls = {"voice_url": f"{system.public_url}/voice/inbound", "status_callback": f"{system.public_url}/voice/status"}
    system.sandbox.add_number(NUMBER, **urls | status_callback)
    system.agent_phone.script(answer_after_s=None)
    customer = await system.customer_calls()
    await system.until(customer.sid, **{"party.agent.status": "ringing"})
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
    (outcome,) = await system.outcomes()
    (attempt,) = msgspec.json.decode(outcome["attempts"])
    assert (outcome["landed_on"], attempt["result"]) == ("", "cancelled")


async def test_refused_redirect_leaves_the_two_talking(system):
    customer, agent = await system.talking()
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", status=401)
    outcome = await system.command("convert", customer.sid)
    assert outcome.status == "failed"
    assert "401" in outcome.reason
    session = await system.session(customer.sid)
    assert (session["state"], session["phase"]) == ("bridged", "connected")
    await system.done("convert", customer.sid)
    await system.ended_by_command(customer.sid)


async def test_customer_who_never_arrives_is_moved_once_and_the_call_continues(system):
    """None of our URLs answers Twilio, so the action can't move the caller; a redirect does while Twilio retries."""
    customer, _ = await system.talking()
    system.sandbox.faults.fail_fetches("/voice/", status=0, count=8)
    await system.done("convert", customer.sid)
    assert system.redirects_of(customer) == 1
    system.sandbox.faults.clear()
    await system.ended_by_command(customer.sid, debugger=frozenset({11205}))


async def test_repaired_conversion_goes_on_although_no_join_is_reported(system):
    """The two talk in a conference that no callback reports: what reads show counts, and no timer."""
    customer, agent = await system.talking()
    for event in ("participant-*", "conference-*"):
        system.sandbox.faults.lose_callbacks(event, count=10_000)
    system.sandbox.faults.fail_fetches("/voice/", status=0, count=8)
    await system.done("convert", customer.sid)
    await system.until_talk(customer, agent)
    session = await system.until(customer.sid, state="conferenced")
    assert session["party.customer.in_conference"] == session["party.agent.in_conference"] == "true"
    system.sandbox.faults.clear()
    await system.ended_by_command(customer.sid, debugger=frozenset({11205}))


async def test_number_and_names_of_people_are_in_no_key_and_no_conference_name(system):
    customer, _ = await system.converted()
    for key in await system.client.keys("*"):
        assert CUSTOMER[1:].encode() not in key
        assert NUMBER[1:].encode() not in key
        # An agent's own keys are listed by identity; docs/reference/redis.md says so.
        assert b"alice" not in key or key.startswith(b"conferral:agent:alice:")
    for delivery in system.sandbox.request_log.deliveries:
        assert CUSTOMER not in delivery.get("FriendlyName")
        assert CUSTOMER[1:] not in delivery.url
    await system.ended_by_command(customer.sid)


@pytest.mark.soak
@pytest.mark.system(CONFERRAL_CONVERT_TIMEOUT=1)
async def test_twilio_that_answers_nothing_leaves_the_two_talking(system):
    """No one could be moved in time. To hang up two people who talk would be the worst answer of all."""
    customer, agent = await system.talking()
    system.sandbox.faults.rate_500_before = 1.0
    await system.failed("Twilio did not move the parties in time", "convert", customer.sid, timeout_s=30)
    session = await system.session(customer.sid)
    assert (session["state"], session["phase"]) == ("bridged", "connected")
    assert customer.status == agent.status == "in-progress"
    system.sandbox.faults.clear()
    await system.done("convert", customer.sid)
    assert system.redirects_of(agent) == 1
    await system.ended_by_command(customer.sid)


@pytest.mark.system(behavior=Behavior(sorted_queries=True))
async def test_call_whose_callbacks_arrive_with_sorted_queries_is_served_in_full(system):
    """Twilio signs the order that it was given; some accounts get another one."""
    system.answered_by("client:bob")
    customer, _agent = await system.converted()
    await system.done("transfer", customer.sid, to="client:bob", mode="consult", brief="Hello")
    await system.done("complete", customer.sid)
    await system.ended_by_command(customer.sid)
    statuses = {delivery.status for delivery in system.sandbox.request_log.deliveries}
    assert statuses <= {200, 204}, statuses
