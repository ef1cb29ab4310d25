"""Points in time that move together after Redis's clock was set back."""

from conferral.statemachine.parts import PendingCommand
from conferral.statemachine.record import moved_back, replace
from conferral.statemachine.session import Party, Session

HOUR_MS = 3_600_000


def test_all_times_of_a_session_move_back_and_nothing_else_changes() -> None:
    party = Party(name="customer", label="customer", held_since_ms=9_000_000, answered_at_ms=8_000_000)
    command = PendingCommand(command_id="c1", name="hold", due_ms=9_500_000)
    session = Session(
        id="s1", version=3, created_at_ms=7_000_000, updated_at_ms=9_400_000, parties={"customer": party},
        pending_commands=(command,), name_numbers={"agent": 2}, timers={"lone": 9_600_000},
    )  # fmt: skip
    moved = moved_back(session, HOUR_MS)
    assert moved == replace(
        session, created_at_ms=3_400_000, updated_at_ms=5_800_000,
        parties={"customer": replace(party, held_since_ms=5_400_000, answered_at_ms=4_400_000)},
        pending_commands=(replace(command, due_ms=5_900_000),),
    )  # fmt: skip
    assert moved.ended_at_ms == 0, "never"
