"""Twilio's callbacks about conferences and recordings: parsed if possible, else kept in the session's log."""

import json

import pytest

from tests.support.foreign_calls import send_odd_callback
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


async def log_entries(system: LocalSystem, session: str, event: str, count: int = 1) -> list[dict[str, str]]:
    """The entries of an event in the session's log, once there are so many."""

    async def found() -> list[dict[str, str]]:
        return [entry for entry in await system.log(session) if entry["event"] == event]

    async def are_there() -> bool:
        return len(await found()) >= count

    await system.eventually(are_there, f"{count} times {event} in the log")
    return await found()


def subscribed(system: LocalSystem) -> set[str]:
    """The events that Twilio was asked for, by each leg that came in by TwiML or by REST."""
    (conference,) = system.sandbox.model.state.conferences.values()
    orders = [participant.settings for participant in conference.participants.values()]
    words = {frozenset(order.subscription.events) for order in orders if order.subscription is not None}
    assert len(words) == 1, words
    return set(words.pop())


async def test_every_event_of_a_whole_conference_is_understood_and_shown(system):
    customer, agent = await system.converted()
    await system.done("mute", customer.sid, party="agent")
    await system.done("unmute", customer.sid, party="agent")
    await system.done("hold", customer.sid, party="customer")
    await system.done("unhold", customer.sid, party="customer")
    await system.done("announce", customer.sid, say="One moment.")
    await system.ended_by_hang_up(agent, customer.sid, "agent-left")
    log = await system.log(customer.sid)
    events = {entry["event"] for entry in log}
    assert events >= {
        "conference_started", "participant_joined", "participant_changed", "participant_left", "announcement_ended",
        "conference_ended",
    }  # fmt: skip
    kinds = {json.loads(entry["details"])["kind"] for entry in log if entry["event"] == "participant_changed"}
    assert kinds >= {"participant-mute", "participant-unmute", "participant-hold", "participant-unhold"}
    assert not [entry for entry in log if entry["outcome"] == "unexpected" or entry.get("other")]


async def test_unknown_event_is_logged_and_changes_nothing(system):
    customer, _ = await system.converted()
    before = await system.session(customer.sid)
    send_odd_callback(system.sandbox, before["conference_sid"], "participant-waves", {"CallSid": customer.sid})
    (entry,) = await log_entries(system, customer.sid, "conference_event_ignored")
    assert json.loads(entry["details"]) == {"party": "customer", "kind": "participant-waves"}
    assert json.loads(entry["effects"]) == []
    after = await system.session(customer.sid)
    for name in ("state", "phase", "party.customer.status", "party.agent.status", "end_reason"):
        assert after.get(name) == before.get(name)
    await system.ended_by_command(customer.sid)
    assert await system.client.xlen(system.keys.dead) == 0
