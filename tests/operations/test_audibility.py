"""Who hears whom by the record. Whether that is so in truth is asked in every scene of the drawn flows."""

from collections.abc import Callable

from conferral.operations.session_summary import audibility
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_codec import stored_session
from tests.statemachine.command_scenarios import added, ordering, supervised
from tests.statemachine.conference_scenarios import parked, waiting
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking
from tests.support.each import each

SITUATIONS: dict[str, tuple[Callable[[], Scenario], list[str]]] = {
    "ringing": (
        lambda: Scenario().comes_in().call("agent", "ringing"),
        ["customer hears ringing", "agent is ringing"],
    ),
    "bridged": (lambda: Scenario().answered(), ["customer hears agent", "agent hears customer"]),
    # Requested is not done: until a callback says otherwise they talk in the bridge.
    "converting": (lambda: Scenario().answered().convert(), ["customer hears agent", "agent hears customer"]),
    "half converted": (
        lambda: Scenario().answered().convert().joins("agent"),
        ["customer is joining the conference and hears silence", "agent hears silence"],
    ),
    "waiting": (
        waiting,
        ["customer is waiting and hears music", "agent is being dialed"],
    ),
    "hold requested": (
        lambda: ordering().hold("customer"),
        ["customer hears agent", "agent hears customer"],
    ),
    "held": (
        lambda: ordering().hold("customer").confirms("customer"),
        ["customer is on hold and hears music", "agent hears silence"],
    ),
    "muted": (
        lambda: added().mute("agent").confirms("agent"),
        [
            "customer hears lawyer",
            "agent hears customer and lawyer; no one hears agent",
            "lawyer hears customer",
        ],
    ),
    "monitored": (
        lambda: supervised("monitor"),
        [
            "customer hears agent",
            "agent hears customer",
            "supervisor hears customer and agent; no one hears supervisor",
        ],
    ),
    "target is ringing": (
        lambda: dialing("consult").call("target", "ringing"),
        ["customer is on hold and hears music", "agent hears ringing", "target is ringing"],
    ),
    "consult": (
        lambda: talking("consult"),
        ["customer is on hold and hears music", "agent hears target", "target hears agent"],
    ),
    "blind": (
        blind_from_bridge,
        ["customer is waiting and hears ringing", "target is being dialed"],
    ),
    "parked": (parked, ["customer is parked and hears music"]),
    "one is left": (lambda: conferenced().leaves("agent"), ["customer hears silence"]),
    "ended": (lambda: conferenced().end(), []),
}


@each("name", SITUATIONS)
def test_audibility_shows_who_hears_whom(name: str) -> None:
    begin, reported = SITUATIONS[name]

    assert [one.text for one in audibility(stored_session(session_codec.encode(begin().session)))] == reported


def test_a_supervisor_who_whispers_is_heard_by_the_agent_alone() -> None:
    fields = session_codec.encode(supervised("monitor").session)
    fields |= {"party.supervisor.muted": "false", "party.supervisor.coaches": fields["party.agent.call_sid"]}

    heard = {one.party: one for one in audibility(stored_session(fields))}

    assert heard["agent"].hears == ("customer", "supervisor")
    assert heard["customer"].hears == ("agent",)
    assert heard["supervisor"].text == "supervisor hears customer and agent; only agent hears supervisor"
