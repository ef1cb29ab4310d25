"""Which commands each situation allows: the table that refusals and consoles show."""

import gc
from dataclasses import replace

import pytest

from conferral.statemachine import machine
from conferral.statemachine.events import Command, Remove, Transfer
from conferral.statemachine.machine import allowed_commands
from conferral.statemachine.session import Party
from tests.statemachine.command_scenarios import added, consulting_recorded, ordering, supervised
from tests.statemachine.conference_scenarios import parked, waiting
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_fallbacks import CAROL, in_voicemail, unreached
from tests.statemachine.test_queue import queued
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, outbound, talking
from tests.support.each import each

BRIDGED = "convert transfer park add remove hold mute supervise announce press record end"
CONVERTING = "convert transfer park add remove hold unhold mute unmute supervise announce press record end"
SETTLED = "convert transfer park add remove hold unhold mute unmute supervise announce press record end"
SITUATIONS = {
    "ringing": (lambda: Scenario().comes_in(), "remove end"),
    "bridged": (lambda: Scenario().answered(), BRIDGED),
    "outbound": (outbound, BRIDGED),
    "converting": (lambda: Scenario().answered().convert(), CONVERTING),
    "converting for a transfer": (
        lambda: Scenario().answered().transfer("warm"),
        "convert complete cancel add remove hold unhold mute unmute supervise announce press record end",
    ),
    "waiting for the agent": (waiting, "convert remove end"),
    "conferenced": (conferenced, SETTLED),
    "several": (added, SETTLED),
    "one is held": (
        lambda: ordering().hold("customer").confirms("customer"),
        SETTLED,
    ),
    "supervised": (supervised, SETTLED),
    "announcing": (lambda: ordering().announce(), SETTLED.replace(" announce press", "")),
    "one has left": (
        lambda: conferenced().leaves("agent"),
        "convert add remove unhold mute unmute supervise announce press record end",
    ),
    "recording asked for": (lambda: ordering().record("start"), SETTLED.replace(" record", "")),
    "parked": (parked, "convert retrieve remove record end"),
    "clearing": (
        lambda: conferenced().transfer("warm"),
        "convert complete cancel remove mute unmute supervise announce press record end",
    ),
    "target rings": (
        lambda: dialing("consult"),
        "convert complete cancel remove mute unmute supervise announce press record end",
    ),
    "consult": (
        lambda: talking("consult"),
        "convert complete cancel swap merge remove mute unmute supervise announce press record end",
    ),
    "recorded consult": (
        consulting_recorded,
        "convert complete cancel swap merge remove mute unmute supervise announce press record end",
    ),
    "warm": (lambda: talking("warm"), "convert complete cancel remove mute unmute supervise announce press record end"),
    "blind": (blind_from_bridge, "remove mute unmute record end"),
    "queued": (queued, "convert retrieve remove record end"),
    "fallback": (lambda: unreached(CAROL), "remove mute unmute record end"),
    "recall": (lambda: unreached("recall"), "remove mute unmute record end"),
    "voicemail": (lambda: in_voicemail(unreached("voicemail")), "end"),
    "ended": (lambda: conferenced().end(), ""),
    "unknown": (Scenario, ""),
}


@each("name", SITUATIONS)
def test_commands_that_are_allowed(name):
    begin, allowed = SITUATIONS[name]

    assert sorted(allowed_commands(begin().session)) == sorted(allowed.split())


def test_command_that_does_not_say_where_it_is_allowed_is_none():
    with pytest.raises(TypeError, match="Whistle doesn't say where it is allowed"):
        type("Whistle", (Command,), {"__doc__": "Whistle."}, frozen=True)
    gc.collect()  # no other test finds it among the subclasses


def test_asking_tries_nothing_twice_that_would_be_taken(monkeypatch):
    """In a conference of hundreds, all that could be asked for of everyone would stop the process for seconds."""
    taken = []

    def refusal_of(session, sample):
        refusal = usual(session, sample)
        taken.extend([sample.name] * (not refusal))
        return refusal

    usual = machine.refusal_of
    monkeypatch.setattr(machine, "refusal_of", refusal_of)
    story = added()
    crowd = {f"guest-{number}": party_of(story, number) for number in range(20)}
    crowded = replace(story.session, parties={**story.session.parties, **crowd})

    assert set(allowed_commands(crowded)) == set(SETTLED.split())
    assert len(taken) == len(set(taken))


def party_of(story: Scenario, number: int) -> Party:
    return replace(story.session.parties["agent"], name=f"guest-{number}", call_sid=f"CA{number:032x}")


def test_refusal_lists_what_is_allowed():
    story = ordering(Scenario().comes_in).add()

    assert story.reports["add-1"] == [("rejected", "no one has answered yet; allowed now: remove, end")]


@pytest.mark.parametrize("begin", [conferenced, lambda: conferenced().end()])
def test_command_that_was_refused_before_it_came_is_noted_and_changes_nothing_else(begin):
    story = begin()
    before = story.session
    refused = "to: is not on the allow-list"
    story.command(Transfer, "transfer-1", to="+441632960123", mode="warm", by="api", refused=refused)
    assert (story.last.kind, story.last.reason, story.last.effects) == ("refused", refused, ())
    story.expect_command("transfer-1", "rejected", reason=refused)
    noted = {"refused_transfer": refused, "refused_transfer_at_ms": story.now_ms}
    assert story.session == replace(before, version=story.session.version, seen=story.session.seen, **noted)


def test_refused_transfer_is_noted_until_a_later_one_is_accepted():
    story = conferenced().command(Transfer, "transfer-1", to="client:bob", mode="warm", refused="to: is unknown")
    assert story.session.refused_transfer == "to: is unknown"
    story.command(Transfer, "transfer-2", to="client:bob", mode="warm")
    assert (story.session.refused_transfer, story.session.refused_transfer_at_ms) == ("", 0)
    story.command(Transfer, "transfer-3", to="client:carol", mode="warm")
    assert story.session.refused_transfer == "another transfer is in progress"
    story.command(Remove, "remove-1", party="nobody")
    assert story.session.refused_transfer == "another transfer is in progress"
