"""Durations from a log; the simulated worlds compare them with what the model of Twilio saw."""

from typing import Any

import msgspec

from conferral.outcomes.durations import Timeline, durations_of, timeline_of
from conferral.outcomes.outcome import encode_outcome
from conferral.statemachine.record import replace
from conferral.storage.codecs.log_codec import LogEntry
from conferral.worker.partition.log_entry import log_entry
from tests.statemachine.command_scenarios import added, ordering, supervised
from tests.statemachine.scenario import ALICE, BOB, CAROL, Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking
from tests.support.each import each


def log_of(story: Scenario) -> list[LogEntry]:
    return [log_entry(event, step, before, now_ms) for event, before, step, now_ms in story.steps]


def seconds(story: Scenario, kind: str = "session") -> dict[str, float]:
    """What the newest outcome of a kind reports, without what is empty."""
    record = next(one for one in reversed(story.conclusions) if one.kind == kind)
    return {name: ms / 1000 for name, ms in durations_of(record, timeline_of(log_of(story))).items() if "-" not in name}


def agents(story: Scenario, log: list[LogEntry] | None = None) -> list[tuple[str, float, int]]:
    """The agents of the session's outcome, with seconds of talk, and holds."""
    addresses = {party.label: party.address for party in story.session.parties.values()}
    entry = encode_outcome(story.conclusions[-1], timeline_of(log or log_of(story)), addresses)
    return [(one["address"], one["talk_s"], one["holds"]) for one in msgspec.json.decode(entry["agents"])]


def test_bridge_lasts_from_the_answer_to_the_end_of_the_last_call():
    story = Scenario().comes_in().later(5_000).call("agent", "in-progress").later(60_000)
    story.dial_ends("completed").call("agent", "completed").call("customer", "completed")
    assert seconds(story) == {"answer": 5.0, "bridged": 60.0}
    assert agents(story) == [(ALICE, 60.0, 0)]


def test_conference_lasts_from_the_first_join_and_counts_each_leg():
    story = ordering(conferenced).later(10_000).hold("customer").confirms("customer").later(20_000)
    story.unhold("customer").confirms("customer").later(5_000).end()
    found = seconds(story)
    assert (found["conference"], found["participant"], found["held"]) == (35.0, 70.0, 20.0)
    assert agents(story) == [(ALICE, 15.0, 1)], "without the hold"


def test_transfer_counts_its_hold_and_its_consult():
    story = talking("consult").later(30_000).complete().confirms("customer").leaves("agent").later(7_000).end()
    assert seconds(story, "transfer") == {"answer": 0.0, "hold": 30.0, "consult": 30.0}
    assert agents(story) == [(ALICE, 0.0, 1), (BOB, 7.0, 0)]


def test_party_with_a_supervisor_only_is_alone():
    story = supervised().later(1_000).leaves("customer").later(1_000).end()
    found = seconds(story)
    assert (found["alone"], found["participant"]) == (1.0, 5.0)


def test_agent_who_is_called_back_counts_once():
    story = talking("warm").later(10_000).leaves("target").confirms("agent").later(1_000).end()
    assert agents(story) == [(ALICE, 11.0, 0)]


def test_agent_who_took_the_call_over_and_is_called_back_counts_once():
    story = talking("consult").complete().confirms("customer").leaves("agent")
    story.legs["agent"] = story.legs.pop("target")
    story.confirms("customer").later(5_000).transfer("blind", CAROL, command_id="transfer-2").confirms("agent")
    story.confirms("customer").leaves("agent").placed("target").call("target", "busy")
    story.placed("agent").answers("agent").joins("agent").confirms("customer").later(2_000).end()
    assert agents(story) == [(ALICE, 0.0, 1), (BOB, 7.0, 0)]


def test_call_that_no_agent_took_has_none():
    story = Scenario().comes_in().later(5_000).call("agent", "busy").dial_ends("busy")
    assert agents(story) == []
    assert seconds(story) == {}


def test_callback_counts_from_the_time_that_it_carries_although_it_comes_late():
    story = added().later(10_000)
    left_ms = story.now_ms - 4_500
    story.leaves("lawyer", occurred_at_ms=left_ms).later(1_000).leaves("agent").later(1_000).end()
    # Of three legs: the first left 4 s ago, in the middle of Twilio's second.
    assert seconds(story)["participant"] == 6.0 + 11.0 + 12.0


def test_hold_that_is_reported_after_its_leg_had_left_lasts_no_time():
    story = ordering(conferenced).later(10_000).hold("customer").confirms("customer").later(100)
    story.leaves("customer", occurred_at_ms=story.now_ms - 2_000).later(3_000).end()
    found = seconds(story)
    assert "held" not in found
    assert found["participant"] == 8.6 + 13.1


def _without(log: list[LogEntry]) -> list[LogEntry]:
    return log[1:]


def _cut(log: list[LogEntry]) -> list[LogEntry]:
    return []


def _damaged(log: list[LogEntry]) -> list[LogEntry]:
    return [replace(log[0], at_ms=0), *log[1:]]


@each("harm", [_without, _cut, _damaged])
def test_what_needs_entries_that_a_log_lacks_is_empty(harm: Any):
    story = ordering(conferenced).later(10_000).end()
    entry = encode_outcome(story.conclusions[-1], timeline_of(harm(log_of(story))))
    assert entry["answer_s"] == "0.0", "the session itself has it"
    lacking = ("bridged_s", "conference_s", "participant_s", "held_s", "alone_s", "agents")
    assert {entry[name] for name in lacking} == {""}


def test_agent_whose_leg_the_session_no_longer_has_counts_without_an_address():
    story = ordering(conferenced).later(3_000).end()
    timeline = timeline_of(log_of(story))
    (agent,) = msgspec.json.decode(encode_outcome(story.conclusions[-1], timeline)["agents"])
    assert agent == {"address": "", "talk_s": 3.0, "holds": 0}


def test_recording_counts_from_when_its_sid_is_known():
    """A new one has none yet, and the session no longer has the former one."""
    story = ordering(Scenario().answered).record("start").recorded().record("stop").recorded().record("start", "again")
    story.end()
    (sid,) = msgspec.json.decode(encode_outcome(story.conclusions[-1], timeline_of(log_of(story)))["recordings"])
    assert sid.startswith("RE")


def test_conference_lasts_to_the_end_of_the_last_leg_not_to_the_entry_that_ends_the_session():
    """The callbacks of the ends are late: they say when the legs have left."""
    story = conferenced().later(10_000)
    ended_s = story.now_ms // 1000
    story.later(4_000).call("agent", "completed", ended_s=ended_s, occurred_at_ms=ended_s * 1000)
    story.call("customer", "completed", ended_s=ended_s, occurred_at_ms=ended_s * 1000)
    assert seconds(story)["conference"] == 10.5, "a whole second of Twilio's counts by its middle"


def test_agent_who_was_rung_again_twice_has_the_address_of_the_last_leg():
    timeline = Timeline(holds={"agent-1": 1}, rung_again={"agent-1": "agent-2", "agent-2": "agent-3"})
    entry = encode_outcome(ordering(conferenced).end().conclusions[-1], timeline, {"agent-3": ALICE})
    assert [(one["address"], one["holds"]) for one in msgspec.json.decode(entry["agents"])] == [(ALICE, 1)]
