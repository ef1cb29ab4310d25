"""A session in a sentence or two: who talks, who waits, and since when."""

from collections.abc import Callable

from conferral.operations.headline import headline
from conferral.statemachine.events import Hold
from tests.statemachine.command_scenarios import supervised
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import conferenced, dialing, talking
from tests.support.each import each
from tests.support.sample_logs import stored


def held() -> Scenario:
    """The customer is on hold; the agent is there, and waits for no one."""
    return conferenced().command(Hold, "hold-1", party="customer").confirms("customer")


#: Each sentence, and whether it says for how long.
SITUATIONS: dict[str, tuple[Callable[[], Scenario], list[tuple[str, bool]]]] = {
    "ringing": (
        lambda: Scenario().comes_in().call("agent", "ringing"),
        [("+…23 has been waiting for an answer", True), ("Alice has been ringing", True)],
    ),
    "bridged": (lambda: Scenario().answered(), [("+…23 and alice are talking", False)]),
    "consult": (
        lambda: talking("consult"),
        [("Alice and bob are talking", False), ("+…23 has been on hold", True)],
    ),
    "on hold": (
        held,
        [("Alice is on the call", False), ("+…23 has been on hold", True)],
    ),
    "target is ringing": (
        lambda: dialing("consult").call("target", "ringing"),
        [("Alice is waiting", False), ("+…23 has been on hold", True), ("Bob has been ringing", True)],
    ),
    "monitored": (
        lambda: supervised("monitor"),
        [("+…23 and alice are talking", False), ("Chief is monitoring", False)],
    ),
    "parked": (parked, [("+…23 has been parked", True)]),
    "one is left": (lambda: conferenced().leaves("agent"), [("+…23 is alone", False)]),
    "ended": (lambda: conferenced().end(), [("The call has ended: an operator ended it", False)]),
}


@each("name", SITUATIONS)
def test_people_have_names_and_those_who_wait_have_a_time(name: str) -> None:
    begin, expected = SITUATIONS[name]
    assert [(text, bool(since)) for text, since in headline(stored(begin()))] == expected
