"""Who hears whom by the record. Whether that is so in truth is asked in every scene of the drawn flows."""

from collections.abc import Callable

import pytest

from conferral.operations.audibility import audibility
from conferral.storage.codecs import session_codec
from tests.statemachine.command_scenarios import added, ordering, supervised
from tests.statemachine.conference_scenarios import parked, waiting
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialling, talking

SITUATIONS: dict[str, tuple[Callable[[], Scenario], list[str]]] = {
    "ringing": (
        lambda: Scenario().comes_in().call("agent", "ringing"),
        ["customer hears agent's phone ring", "agent's phone rings"],
    ),
    "bridged": (lambda: Scenario().answered(), ["customer hears agent", "agent hears customer"]),
    # Asked for is not done: until a callback tells otherwise they talk in the bridge.
    "converting": (lambda: Scenario().answered().convert(), ["customer hears agent", "agent hears customer"]),
    "half converted": (
        lambda: Scenario().answered().convert().joins("agent"),
        ["customer is on the way into the conference and hears nobody", "agent hears nobody"],
    ),
    "waiting": (
        waiting,
        ["customer waits and hears music", "agent is being called and hears nobody yet"],
    ),
    "hold is asked for": (
        lambda: ordering().hold("customer"),
        ["customer hears agent", "agent hears customer"],
    ),
    "held": (
        lambda: ordering().hold("customer").confirms("customer"),
        ["customer is on hold and hears music", "agent hears nobody"],
    ),
    "muted": (
        lambda: added().mute("agent").confirms("agent"),
        [
            "customer hears lawyer",
            "agent hears customer and lawyer; nobody hears agent",
            "lawyer hears customer",
        ],
    ),
    "monitored": (
        lambda: supervised("monitor"),
        [
            "customer hears agent",
            "agent hears customer",
            "supervisor hears customer and agent; nobody hears supervisor",
        ],
    ),
    "target rings": (
        lambda: dialling("consult").call("target", "ringing"),
        ["customer is on hold and hears music", "agent hears target's phone ring", "target's phone rings"],
    ),
    "consult": (
        lambda: talking("consult"),
        ["customer is on hold and hears music", "agent hears target", "target hears agent"],
    ),
    "blind": (
        blind_from_bridge,
        ["customer waits and hears ringing", "target is being called and hears nobody yet"],
    ),
    "parked": (parked, ["customer is on hold and hears music"]),
    "one is left": (lambda: conferenced().leaves("agent"), ["customer hears nobody"]),
    "ended": (lambda: conferenced().end(), []),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_who_hears_whom(name: str) -> None:
    begin, told = SITUATIONS[name]

    assert [one.text for one in audibility(session_codec.encode(begin().session))] == told


def test_a_supervisor_who_whispers_is_heard_by_the_agent_alone() -> None:
    fields = session_codec.encode(supervised("monitor").session)
    fields |= {"party.supervisor.muted": "false", "party.supervisor.coaches": fields["party.agent.call_sid"]}

    heard = {one.party: one for one in audibility(fields)}

    assert heard["agent"].hears == ("customer", "supervisor")
    assert heard["customer"].hears == ("agent",)
    assert heard["supervisor"].text == "supervisor hears customer and agent; only agent hears supervisor"


@pytest.mark.parametrize("fields", [{}, {"state": "bridged"}, {"state": "flying", "party.customer.status": "flying"}])
def test_a_record_that_makes_no_sense_does_not_stand_in_the_way(fields: dict[str, str]) -> None:
    assert all(not one.hears for one in audibility(fields))
