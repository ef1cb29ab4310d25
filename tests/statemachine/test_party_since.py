"""Since when a party is as it is."""

from tests.statemachine.command_scenarios import ordering
from tests.statemachine.transfer_scenarios import talking


def test_a_party_is_as_it_is_since_its_hold_or_else_since_its_status_began() -> None:
    story = ordering()
    connected_ms = story.session.customer.since_ms
    assert 0 < connected_ms == story.session.customer.status_since_ms
    story.later(5_000)
    story.hold("customer").confirms("customer")
    held_ms = story.now_ms
    assert story.session.customer.since_ms == held_ms >= connected_ms + 5_000
    story.later(5_000)
    story.mute("customer").confirms("customer")
    assert story.session.customer.since_ms == held_ms, "what else changes has no time of its own"
    story.later(5_000)
    story.unhold("customer").confirms("customer")
    assert story.session.customer.since_ms == connected_ms
    story.later(5_000).leaves("customer")
    assert story.session.customer.since_ms == story.now_ms


def test_a_party_that_gets_another_name_is_as_it_is_since_the_same_time() -> None:
    story = talking("warm").later(5_000)
    target_ms = story.session.parties["target"].since_ms
    story.later(5_000).complete().leaves("agent")
    assert story.session.agent.label == "target-1"
    assert story.session.agent.since_ms == target_ms
    assert all(party.since_ms for party in story.session.parties.values())
