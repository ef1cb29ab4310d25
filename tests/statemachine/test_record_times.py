"""Points in time: those that move together after Redis's clock was set back, and since when a party is as it is."""

from conferral.statemachine.parts import PendingCommand
from conferral.statemachine.record import moved_back, replace
from conferral.statemachine.session import Party, Session
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.transfer_scenarios import talking

HOUR_MS = 3_600_000


def test_all_times_of_a_session_move_back_and_nothing_else_changes() -> None:
    party = Party(name="customer", label="customer", since_ms=9_000_000, answered_at_ms=8_000_000)
    command = PendingCommand(command_id="c1", name="hold", due_ms=9_500_000)
    session = Session(
        id="s1", version=3, created_at_ms=7_000_000, updated_at_ms=9_400_000, parties={"customer": party},
        pending_commands=(command,), name_numbers={"agent": 2}, timers={"lone": 9_600_000},
    )  # fmt: skip
    moved = moved_back(session, HOUR_MS)
    assert moved == replace(
        session, created_at_ms=3_400_000, updated_at_ms=5_800_000,
        parties={"customer": replace(party, since_ms=5_400_000, answered_at_ms=4_400_000)},
        pending_commands=(replace(command, due_ms=5_900_000),),
    )  # fmt: skip
    assert moved.ended_at_ms == 0, "never"


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
