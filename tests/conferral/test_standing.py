"""How a session stands: who talks to whom, and how its transfer goes."""

import pytest

from conferral import standing, words
from tests.conferral.kit import CREATED_MS


def parties(**statuses):
    """A record in which parties have statuses; `held` and `waits` say more of one who is connected."""
    fields = {}
    for name, status in statuses.items():
        party = name.replace("_", "-")
        fields[f"party.{party}.status"] = "connected" if status in ("held", "waits") else status
        fields[f"party.{party}.address"] = ""
        if status in ("held", "waits"):
            fields[f"party.{party}.{status}"] = "true"
    return fields


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (parties(customer="connected", agent="connected"), "customer and agent talk"),
        (parties(customer="connected", agent="ringing"), "customer waits; agent rings"),
        (parties(customer="held", agent="connected", target="connected"), "agent and target talk; customer is held"),
        (parties(customer="connected", agent="connected", target="held"), "customer and agent talk; target is held"),
        (parties(customer="connected", agent="connected", target="connected"), "customer, agent and target talk"),
        (
            parties(customer="held", agent="connected", target="dialing"),
            "agent waits; customer is held; target is being called",
        ),
        (parties(customer="waits", agent="left", target="confirming"), "customer waits; target is asked to press 1"),
        (parties(customer="connected", agent="connected", agent_1="left"), "customer and agent talk"),
        (parties(customer="connected", agent="left"), "customer is alone"),
        (parties(customer="left", agent="left"), ""),
        ({}, ""),
    ],
)
def test_who_talks_to_whom_is_told_in_words(fields, told):
    assert standing.company(fields) == told


def test_addresses_are_cut_unless_they_are_wanted_whole():
    fields = parties(customer="connected", agent="connected")
    fields |= {"party.customer.address": "+14155550123", "party.agent.address": "client:alice"}

    assert standing.company(fields) == "customer +…23 and agent client:alice talk"
    assert standing.company(fields, full=True) == "customer +14155550123 and agent client:alice talk"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"transfer.to": "+14155550145"}, "warm to +…45 ringing"),
        ({"transfer.to": "+14155550145,+14155550146,client:bob"}, "warm to +…45, +…46, client:bob ringing"),
        ({"transfer.status": "failed", "transfer.reason": "no-answer"}, "warm to client:bob failed (no-answer)"),
    ],
)
def test_a_transfer_is_told_with_mode_target_status_and_reason(more, told):
    fields = {"transfer.mode": "warm", "transfer.to": "client:bob", "transfer.status": "ringing", **more}

    assert standing.transfer(fields) == told


def test_without_a_transfer_nothing_is_told_of_one():
    assert standing.transfer({}) == ""
    assert standing.attempts({}, CREATED_MS) == []


@pytest.mark.parametrize("broken", ["{", "7", "[7]", "[[]]", '{"party": 1}'])
def test_attempts_that_can_not_be_understood_are_passed_over(broken):
    assert standing.attempts({"transfer.attempts": broken}, CREATED_MS) == []


def test_parties_stand_in_the_order_in_which_they_matter():
    names = ("agent-10", "agent-2", "target-1", "supervisor", "target", "agent", "customer", "target-²")

    told = words.parties({f"party.{name}.status": "left" for name in names})

    assert told == ["customer", "agent", "target", "target-²", "target-1", "agent-2", "agent-10", "supervisor"]
