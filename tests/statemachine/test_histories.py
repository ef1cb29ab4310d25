"""What the state machine decides in recorded histories stays the same; `histories.py` says how they were recorded."""

from msgspec.structs import fields

from conferral.statemachine.session import Party, Session
from tests.statemachine.histories import line_of, load
from tests.statemachine.transfer_scenarios import talking
from tests.support.each import each

RECORDED = {history.session_id: (history, expected) for history, expected in load()}


@each("session_id", RECORDED)
def test_recorded_history_is_decided_as_before(session_id: str) -> None:
    history, expected = RECORDED[session_id]
    found = list(history.lines())
    for number, pair in enumerate(zip(expected, found, strict=True), start=1):
        assert pair[1] == pair[0], f"decision {number} of {history.session_id}"


def test_what_is_the_default_shows_in_no_line() -> None:
    """Otherwise, a new field or another default would change all histories."""
    for event, before, taken, now_ms in talking("consult").complete().leaves("agent").steps:
        line = line_of(event, taken, before, now_ms)
        shown = {part.partition("=")[0] for part in line.split(" | ") if not part.endswith("=None")}

        assert not shown & {*at_default(taken.session, "")}
        for party in taken.session.parties.values():
            assert not shown & {*at_default(party, f"{party.name}.")}


def at_default(record: Session | Party, prefix: str) -> list[str]:
    return [prefix + one.name for one in fields(record) if getattr(record, one.name) == one.default]
