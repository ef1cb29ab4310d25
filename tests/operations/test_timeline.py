"""A log as a time line: what each entry says, which are failures, and what came of requests."""

import json
from collections.abc import Callable

import msgspec
import pytest

from conferral.operations.explain import timeline
from conferral.statemachine.effects import EFFECTS, UpdateParticipant
from conferral.statemachine.events import (
    EVENTS,
    AccountSwept,
    Add,
    AnnouncementEnded,
    Call,
    CallProgressed,
    CallReceived,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    GateDecided,
    ParticipantChanged,
    RecordingChanged,
    Transfer,
)
from conferral.statemachine.session import Party, Session
from conferral.statemachine.step import Step
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import to_iso
from conferral.worker.partition import log_entry
from tests.conferral.cli_helpers import CALL, TARGET_CALL
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, talking
from tests.support.each import each
from tests.support.sample_logs import recorded


def logged(event: str, more: dict[str, str], **details: object) -> dict[str, str]:
    return {"event": event, "details": json.dumps(details), **more}


def last_step(story: Scenario) -> Step:
    assert story.last is not None
    return story.last


def held(outcome: str, **given: object) -> Callable[[], Scenario]:
    """A hold, with what came of the request."""

    def play() -> Scenario:
        story = ordering().joins("guest").confirms("customer", "agent").hold("customer").later(120)
        (effect,) = last_step(story).effects
        assert isinstance(effect, UpdateParticipant)
        getattr(story, outcome)(effect.kind, effect.party, effect_id=effect.effect_id, **given)
        return story

    return play


# ---- the time line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("play", "outcome", "code", "answer"),
    [
        (held("succeeds"), "succeeded", None, "done in 120 ms"),
        (held("fails", status=400, code=21220), "failed", 21220, "refused after 120 ms (code 21220)"),
        (held("fails", status=404), "failed", None, "refused after 120 ms"),
        (held("fails", status=0), "failed", None, "not done after 120 ms"),
        (held("is_unknown"), "unknown", None, "outcome unknown after 120 ms"),
    ],
)
def test_effect_result_is_shown_where_it_was_requested(
    play: Callable[[], Scenario], outcome: str, code: int | None, answer: str
) -> None:
    *_, requested, result = timeline.build_timeline(recorded(play)[0])

    (asked,) = requested.effects
    assert (asked.what, asked.outcome, asked.took_ms, asked.twilio_code) == ("hold customer", outcome, 120, code)
    assert timeline.effect_results(requested) == answer
    assert result.requested_by == requested.entry.id
    refusals = (result.what.startswith("Twilio refused"), answer.startswith("refused"), asked.is_refused)
    assert len(set(refusals)) == 1, "both entries agree, and the console"
    assert (result.gap_ms, result.is_failure) == (120, outcome != "succeeded")


@each(
    "attempts, failed_attempts, line",
    [
        (17, ("503 x2", "429 code 20429 x1"), "17 attempts: 503 x2, 429 code 20429 x1"),
        (1, ("unknown x1",), "1 attempt: unknown x1"),
    ],
)
def test_retried_request_is_shown_where_it_was_requested_and_where_it_completed(
    attempts: int, failed_attempts: tuple[str, ...], line: str
) -> None:
    log, _ = recorded(held("succeeds", attempts=attempts, failed_attempts=failed_attempts))
    *_, requested, result = timeline.build_timeline(log)

    (asked,) = requested.effects
    assert (asked.attempts, asked.attempts_note) == (attempts, line)
    assert timeline.effect_results(requested) == f"done in 120 ms ({line})"
    assert result.what == f"Twilio confirmed: update customer; {line}"


@pytest.mark.parametrize("mode", ["consult", "warm"])
def test_running_transfer_is_not_reported_done_early(mode: str) -> None:
    log, _ = recorded(lambda: talking(mode).complete().leaves("agent"))
    moments = timeline.build_timeline(log)

    reports = [report for one in moments for report in one.reports]
    assert reports[1] == "transfer: target reached"
    assert "transfer done" not in reports
    blind = timeline.build_timeline(recorded(lambda: blind_from_bridge().takes_part("target"))[0])
    assert blind[-1].reports == ("transfer done",)


def test_command_that_came_to_nothing_is_found_where_it_did() -> None:
    def play() -> Scenario:
        return ordering().hold("customer", command_id="c1").hold("nobody", command_id="c2").end()

    moments = timeline.build_timeline(recorded(play)[0])

    reported_at = {command: moment.entry.event for moment in moments for command in moment.failed_commands}
    assert reported_at == {"c2": "hold", "c1": "end"}


def test_effect_without_outcome_is_pending_and_the_end_drops_unsent_ones() -> None:
    before, _ = recorded(lambda: ordering().hold("customer"))
    after, _ = recorded(lambda: ordering().hold("customer").end())

    assert [one.what for one in timeline.unfinished_effects(timeline.build_timeline(before))][-1] == "hold customer"
    assert "hold customer" not in [one.what for one in timeline.unfinished_effects(timeline.build_timeline(after))]


@each(
    "event, details, more, is_failure",
    [
        ("call_progressed", {"party": "target", "status": "busy"}, {}, True),
        ("call_progressed", {"party": "agent", "status": "no-answer"}, {}, True),
        ("call_progressed", {"party": "target", "status": "busy"}, {"outcome": "stale"}, False),
        ("call_progressed", {"party": "target", "status": "canceled"}, {}, False),
        ("call_progressed", {"party": "busy", "status": "ringing"}, {}, False),
        (
            "call_progressed",
            {"party": "customer", "status": "no-answer"},
            {"to": "ended", "reason": "customer-left"},
            False,
        ),
        ("dial_ended", {"status": "no-answer"}, {}, True),
        ("dial_ended", {"status": "completed"}, {}, False),
        ("gate_decided", {"decision": "no-confirmation"}, {}, True),
        ("announcement_ended", {"failed": True}, {}, True),
        ("recording_changed", {"status": "absent"}, {}, True),
        ("convert_overdue", {}, {}, True),
        ("read_overdue", {}, {}, False),
        ("calls_overdue", {}, {}, False),
        ("calls_read", {}, {"from": "bridged", "to": "ended", "reason": "agent-no-answer"}, True),
        ("calls_read", {}, {"from": "bridged", "to": "ended", "reason": "customer-left"}, False),
        ("hold", {"party": "customer"}, {"outcome": "refused", "reason": "the call is parked"}, True),
        ("participant_left", {"party": "agent"}, {"to": "ended", "reason": "alone"}, True),
        ("participant_left", {"party": "agent"}, {"to": "ended", "reason": "agent-left"}, False),
        ("participant_left", {"party": "customer"}, {"to": "ended", "reason": "customer-no-answer"}, True),
        ("pending_command_overdue", {}, {}, False),
        ("pending_command_overdue", {}, {"reports": '[{"status": "failed"}]'}, True),
        ("participant_left", {"party": "target"}, {"reports": '[{"status": "failed", "reason": "hung up"}]'}, True),
        ("participant_left", {"party": "target"}, {"reports": "[1"}, False),
        ("complete", {}, {"reports": '[{"status": "failed", "reason": "superseded by complete"}]'}, False),
    ],
)
def test_failures_are_distinguished_from_normal_events(
    event: str, details: dict[str, object], more: dict[str, str], is_failure: bool
) -> None:
    entry = logged(event, {"from": "conferenced", "to": "conferenced", "outcome": "stayed"} | more, **details)

    assert timeline.is_failure(LogEntry.of("1-0", entry)) == is_failure


def test_second_report_of_a_join_is_no_news() -> None:
    stays = {"from": "conferenced", "to": "conferenced", "version": "3", "at": to_iso(9)}
    entries = [
        LogEntry.of(f"{number}-0", logged("participant_joined", stays | changes, party="customer"))
        for number, changes in enumerate(({"changes": '{"party.customer.in_conference":"true"}'}, {}), start=1)
    ]

    assert [moment.is_confirmation for moment in timeline.build_timeline(entries)] == [False, True]


def test_entries_that_only_confirm_are_marked_and_those_with_consequences_are_not() -> None:
    log, _ = recorded(lambda: talking("consult"))
    moments = timeline.build_timeline(log)

    confirmations = [one for one in moments if one.is_confirmation]
    assert {one.entry.event for one in confirmations} >= {"effect_succeeded"}
    assert not any(one.effects or one.reports or one.is_failure for one in confirmations)
    assert not any(one.entry.state_before != one.entry.state_after for one in confirmations)
    assert not {"transfer", "participant_joined"} & {one.entry.event for one in confirmations}


# ---- words ---------------------------------------------------------------------------------------------------------


def what(one: LogEntry) -> str:
    """What happened, in words."""
    return timeline.build_timeline([one], full=True)[0].what


def consequence(one: LogEntry) -> str:
    return timeline.build_timeline([one], full=True)[0].consequence


def in_json(value):
    return msgspec.json.encode(value).decode()


def entry(event, details=None, **more):
    """A log's entry; lists among its fields are as a worker writes them."""
    fields = {"event": event, "from": "transferring", "to": "transferring", **more}
    written = {name: value if isinstance(value, str) else in_json(value) for name, value in fields.items()}
    return LogEntry.of("1-0", written | {"details": in_json(details or {})})


CALLED = {"session_id": CALL, "call_sid": TARGET_CALL, "dial": "d1"}
CHANGED = {"session_id": CALL, "conference_sid": "CF1", "call_sid": TARGET_CALL, "label": "target-2"}
SESSION = Session(CALL, parties={"target": Party("target", "target-2", TARGET_CALL)})
EFFECT = {"session_id": CALL, "effect_id": "e1", "party": "target"}
UPDATE = EFFECT | {"kind": "update_participant"}
RECORDING = {"session_id": CALL, "effect_id": "e1", "kind": "change_recording"}
CONFERENCE = {"session_id": CALL, "conference_sid": "CF1"}
RECORDED = {"session_id": CALL, "recording_sid": "RE" + "1" * 32}


@each(
    "event, expected",
    [
        (ParticipantChanged(**CHANGED, kind="participant-hold", held=True), "target is on hold"),
        (ParticipantChanged(**CHANGED, kind="participant-modify"), "the conference keeps running when target leaves"),
        (
            ParticipantChanged(**CHANGED, kind="participant-modify", end_on_exit=True),
            "the conference ends when target leaves",
        ),
        (ParticipantChanged(**CHANGED, kind="participant-hummed", muted=True), "target participant-hummed (muted)"),
        (
            GateDecided(**CALLED, decision="taken"),
            "target answered after someone else had taken the call",
        ),
        (EffectSucceeded(**EFFECT, kind="create_participant"), "Twilio confirmed: dial target into the conference"),
        (EffectFailed(**EFFECT, kind="create_call"), "not done: dial target"),  # nothing was sent that Twilio refused
        (EffectFailed(**UPDATE, http_status=404, code=20404), "Twilio refused: update target (HTTP 404 code 20404)"),
        (
            EffectFailed(**UPDATE, detail="whisper", http_status=400, code=16027),
            "Twilio refused: switch target to whisper (HTTP 400 code 16027)",
        ),
        (EffectUnknown(**RECORDING, detail="+14155550123"), "outcome unknown: change the recording"),
        (Transfer(session_id=CALL, to=("client:a", "client:b"), mode="warm"), "warm transfer requested (2 targets)"),
        (
            Call(session_id=CALL, agent="client:a", customer="client:b"),
            "call requested: the agent first, then the customer",
        ),
        (AnnouncementEnded(**CONFERENCE), "everyone heard the announcement"),
        (
            AnnouncementEnded(**CONFERENCE, failed=True, reason="not found"),
            "the announcement could not be played to everyone (not found)",
        ),
        (
            RecordingChanged(**RECORDED, status="in-progress", of_conference=True),
            "the conference's recording is in progress",
        ),
        (
            RecordingChanged(**RECORDED, status="completed", duration_s=61),
            "the call's recording is available (61 s)",
        ),
        (RecordingChanged(**RECORDED, status="hummed"), "the call's recording hummed"),
        (
            RecordingChanged(**RECORDED, status="completed", of_voicemail=True, duration_s=7),
            "the customer's message is available (7 s)",
        ),
        (
            CallReceived(
                session_id=CALL, call_sid=CALL, customer_address="x", agent_address="client:a", handed_off=True
            ),
            "call handed over",
        ),
        (
            ParticipantChanged(**CHANGED, kind="participant-modify", coaches=TARGET_CALL),
            "target is heard only by target",
        ),
        (
            CallProgressed(**CALLED, party="target", status="ringing", agent_number=1),
            "target is ringing (agent number 2)",
        ),
        (
            CallReceived(
                session_id=CALL, call_sid=CALL, customer_address="x", agent_address="client:a", mode="conference",
                other_agents=("client:b",),
            ),
            "incoming call (conference, 2 agents)",
        ),
        (
            EffectFailed(**RECORDING, http_status=404, code=20404),
            "Twilio refused: change the recording (HTTP 404 code 20404)",
        ),
        (
            EffectSucceeded(**RECORDING, recording_sid="RE" + "1" * 32),
            f"Twilio confirmed: change the recording (RE{'1' * 32})",
        ),
        (
            AccountSwept(session_id=CALL, finding="call-live", call_sid=CALL),
            "sweep: Twilio still lists a call, although the session has ended",
        ),
        (Add(session_id=CALL, to="client:c", party="expert"), "add requested (expert)"),
    ],
)  # fmt: skip
def test_events_are_described_in_words(event, expected):
    assert what(entry(event.name, log_entry.details(event, SESSION))) == expected


@each(
    "ordered, shown",
    [
        ([("create_call", "agent")], "due: call the agent back"),
        ([("hang_up_call", "agent"), ("create_participant", "target")], "due: dial target"),
        ([("create_call", "target-1"), ("create_call", "target-2")], "due: dial target-1 and target-2"),
        ([("update_participant", "customer")], "a step of the transfer timed out"),
        ([("read_calls", "")], "due: check on the calls"),
        ([("hang_up_call", "agent"), ("read_calls", "")], "due: check on the calls"),
    ],
)
def test_overdue_stage_is_described_by_its_effects(ordered, shown):
    effects = [{"kind": kind, "party": party} for kind, party in ordered]

    assert what(entry("stage_overdue", effects=effects)) == shown


@each(
    "event, details, text",
    [
        (
            "dial_ended",
            {"party": "agent", "dial_kind": "bridge", "status": "answered"},
            "agent's <Dial> ended (answered)",
        ),
        (
            "dial_ended",
            {"party": "agent", "dial_kind": "conference", "status": "failed"},
            "agent's conference <Dial> ended (failed)",
        ),
        (
            "dial_ended",
            {"party": "customer", "dial_kind": "bridge", "status": "failed", "code": 13224},
            "customer's <Dial> ended (failed, Twilio can't call the number)",
        ),
        (
            "dial_ended",
            {"party": "customer", "dial_kind": "bridge", "status": "failed", "code": 13999},
            "customer's <Dial> ended (failed, Twilio's error 13999)",
        ),
        (
            "calls_read",
            {"calls": {"CA1": "in-progress"}, "conference_sid": "CF1"},
            "Twilio reports: the conference is empty, CA1 is connected",
        ),
        (
            "calls_read",
            {"calls": {"agent": "completed"}, "participants": {"customer": []}},
            "Twilio reports: customer is in the conference, agent's call ended",
        ),
        (
            "calls_read",
            {"calls": {"target": "ringing"}, "participants": {"customer": ["held"], "target": []}},
            "Twilio reports: customer is in the conference, customer is on hold, target is ringing",
        ),
        (
            "calls_read",
            {"calls": {}, "participants": {"customer": [], "agent": ["ringing"]}},
            "Twilio reports: customer is in the conference, agent is ringing",
        ),
        # A former agent is not described as the agent, and a party that is not known is called that.
        ("gate_reached", {}, "the called party answered; call screening started"),
        ("call_progressed", {"party": "agent", "status": "busy", "agent": 2, "agents": 3}, "agent 2 of 3 was busy"),
        ("call_progressed", {"party": "agent", "status": "rejected"}, "agent declined the call"),
        ("account_swept", {"finding": "made-up"}, "sweep: Twilio's lists differ from the session (made-up)"),
        (
            "conference_found",
            {"conference_sid": "CF1", "participants": 2},
            "found a Conferral conference without a session, with 2 participants",
        ),
        (
            "effect_failed",
            {"kind": "create_call", "party": "agent", "reason": "dial-limit"},
            "not done: dial agent (limit of dials reached)",
        ),
    ],
)
def test_log_entries_are_described_in_words(event, details, text):
    assert what(entry(event, details)) == text


@each(
    "kind, more, doing",
    [
        ("unmute", {}, "is heard by everyone"),
        ("modify", {}, "is heard by everyone"),
        ("modify", {"muted": True}, "is monitoring"),
        ("mute", {}, "is monitoring"),
        ("unmute", {"coaches": "agent"}, "is heard only by agent"),
    ],
)
def test_supervisor_is_described_by_who_hears_them(kind, more, doing):
    details = {"party": "supervisor", "kind": f"participant-{kind}", **more}

    assert what(entry("participant_changed", details)) == f"supervisor {doing}"


def test_command_names_who_submitted_it():
    transfer = entry("transfer", {"mode": "consult", "targets": 1}, by="cli")

    assert what(transfer) == "consult transfer requested (1 target) (by cli)"
    assert what(entry("merge", by="cli")) == "merge requested (by cli)"


def test_refusal_description_omits_the_allowed_commands():
    refused = entry("swap", reason="no transfer is in progress; allowed now: convert, end", outcome="refused")

    assert consequence(refused) == "refused (no transfer is in progress)"


def test_effects_requested_from_twilio_are_listed_apart_from_the_state():
    complete = entry("complete", effects=[{"kind": "hang_up_call", "party": "agent"}], to="conferenced")

    assert consequence(complete) == "-> conferenced; asks Twilio to hang up agent's call"


def test_every_event_has_words_of_its_own():
    assert what(entry("made_up")) == "made up"
    # Conference events that change nothing are shown under Twilio's name.
    wordless = {"conference_event_ignored", "calls_read", "automatic"}
    for event in EVENTS:
        if event.name not in wordless:
            assert what(entry(event.name, {"party": "who"})) != f"{event.name.replace('_', ' ')} who"


def test_every_effect_has_words_of_its_own():
    for effect in EFFECTS:
        ordered = [{"id": "1", "kind": effect.kind, "party": "target", "target": "x"}]

        assert "_" not in consequence(entry("swap", effects=ordered))


def test_command_outcomes_are_included_in_the_description_of_a_change():
    reports = [
        {"command": "c1", "type": "add", "status": "failed", "reason": "busy"},
        {"command": "c2", "type": "end", "status": "done", "reason": ""},
        {"command": "c4", "type": "transfer", "status": "failed", "reason": "failed", "code": "21215"},
        {"command": "c3", "type": "park", "status": "rejected", "reason": "told by the entry itself"},
    ]

    assert (
        consequence(entry("call_progressed", reports=reports, reason="why"))
        == "(why); add failed: the called party was busy; end done; "
        "transfer failed: target could not be reached (Twilio error 21215: the geo permissions lack the number's "
        "country)"
    )
