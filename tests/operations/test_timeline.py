"""A log as a time line, and the explanation of where a session stands."""

import json
import re
from collections.abc import Callable

import pytest

from conferral.operations import timeline
from conferral.operations.explanation import Explanation, Suggestion, explain
from conferral.runtime.redaction import EXAMPLE
from conferral.statemachine.effects import UpdateParticipant
from conferral.statemachine.events import Transfer
from conferral.statemachine.step import Step
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.codecs.text_codec import to_iso
from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking
from tests.support.each import each
from tests.support.sample_logs import recorded, stored


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
        (held("succeeds"), "succeeded", 0, "done in 120 ms"),
        (held("fails", status=400, code=21220), "failed", 21220, "refused after 120 ms (code 21220)"),
        (held("fails", status=404), "failed", 0, "refused after 120 ms"),
        (held("fails", status=0), "failed", 0, "not done after 120 ms"),
        (held("is_unknown"), "unknown", 0, "outcome unknown after 120 ms"),
    ],
)
def test_effect_result_is_shown_where_it_was_requested(
    play: Callable[[], Scenario], outcome: str, code: int, answer: str
) -> None:
    *_, requested, result = timeline.build_timeline(recorded(play)[0])

    (asked,) = requested.effects
    assert (asked.text, asked.outcome, asked.took_ms, asked.twilio_code) == ("hold customer", outcome, 120, code)
    assert timeline.effect_results(requested) == answer
    assert result.requested_by == requested.entry_id
    refusals = (result.text.startswith("Twilio refused"), answer.startswith("refused"), asked.is_refused)
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
    assert result.text == f"Twilio confirmed: update customer; {line}"


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

    reported_at = {command: moment.event for moment in moments for command in moment.failed_commands}
    assert reported_at == {"c2": "hold", "c1": "end"}


def test_effect_without_outcome_is_pending_and_the_end_drops_unsent_ones() -> None:
    before, _ = recorded(lambda: ordering().hold("customer"))
    after, _ = recorded(lambda: ordering().hold("customer").end())

    assert [one.text for one in timeline.unfinished_effects(timeline.build_timeline(before))][-1] == "hold customer"
    assert "hold customer" not in [one.text for one in timeline.unfinished_effects(timeline.build_timeline(after))]


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
        ("confirm_overdue", {}, {}, False),
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


def test_refusal_shows_the_example_number_of_its_text_and_masks_others() -> None:
    """The example is what the operator should type; it belongs to no one."""

    def play() -> Scenario:
        refused = f"to: must be a number with + and country code (such as {EXAMPLE}), not +14155550123"
        return conferenced().command(Transfer, "transfer-1", to="", mode="warm", refused=refused)

    shown = "to: must be a number with + and country code (such as +12025550145), not +…23"
    assert timeline.build_timeline(recorded(play)[0])[-1].reason == shown
    failure = explained(play).first_failure
    assert failure is not None
    assert failure.guard == shown


# ---- explained -----------------------------------------------------------------------------------------------------


def explained(play: Callable[[], Scenario], later_ms: int = 0, *, full: bool = False) -> Explanation:
    log, sessions = recorded(play)
    now_ms = sessions[-1].updated_at_ms + later_ms
    return explain(stored(sessions[-1]), log, now_ms, full=full)


def test_a_command_under_way_and_a_request_of_a_recording_are_waited_for_since_they_were_given() -> None:
    def play() -> Scenario:
        story = ordering().hold("customer").later(560_000).mute("agent").later(8_000)
        return story.record("start").later(1_000)

    log, sessions = recorded(play)
    found = explain(stored(sessions[-1]), log, sessions[-1].updated_at_ms)

    since = {wait.for_: sessions[-1].updated_at_ms - wait.since_ms for wait in found.waits if wait.by == "twilio"}
    assert since["the command 'hold customer' to finish"] == 568_000
    assert since["the command 'mute agent' to finish"] == 8_000
    assert since["Twilio's answer: start the recording"] == 0


def test_held_parties_are_waited_for_since_the_first_hold() -> None:
    def play() -> Scenario:
        story = added().later(60_000).hold("lawyer").later(100).confirms("lawyer").later(7_000)
        return story.hold("customer", command_id="second").confirms("customer").later(2_000).unhold("nobody")

    log, sessions = recorded(play)
    fields, now_ms = session_codec.encode(sessions[-1]), sessions[-1].updated_at_ms

    def since(entries: list[LogEntry]) -> int:
        (wait,) = (
            one
            for one in explain(stored_session(fields), entries, now_ms).waits
            if one.for_.endswith(" off hold (unhold)")
        )
        return wait.since_ms

    assert since(log) == now_ms - 9_000
    assert since(log[-3:]) == 0  # it does not reach back to the first hold


def lines(found: Explanation) -> list[str]:
    return [one.arguments.partition(" CA")[0] for one in found.suggestions]


def busy() -> Scenario:
    return dialing("consult").swap("too early").later(2_000).call("target", "busy").confirms("customer", "agent")


def test_first_failure_is_never_a_refused_command() -> None:
    found = explained(busy)

    assert (found.first_failure.text, found.first_failure.guard) == ("target was busy", "")
    assert "Recovered. Transfer failed: target was busy." in found.summary
    assert lines(found) == ["transfer", "end", "replay"]


def test_last_refused_command_is_reported_when_nothing_else_failed() -> None:
    found = explained(lambda: talking("warm").transfer("warm", command_id="second").swap("no consult"))

    assert (found.first_failure.text, found.first_failure.is_refusal) == ("swap was refused", True)
    assert found.first_failure.guard == "no consult is in progress: all parties are talking"


@pytest.mark.parametrize(
    "wrong",
    [
        logged("hold", {"outcome": "refused", "reason": "no +14155550123 is there"}, party="sip:14155550123@pbx"),
        {
            "event": "conference_ended",
            "reports": '[{"command": "c", "status": "failed", "reason": "not +14155550123"}]',
        },
    ],
)
def test_no_number_is_whole_in_what_failed_or_was_refused_unless_it_is_wanted(wrong: dict[str, str]) -> None:
    log = [LogEntry.of("1-0", {"version": "1", "at": to_iso(1), **wrong})]

    cut, whole = (explain(stored_session({"id": "CA1"}), log, 5, full=full).first_failure for full in (False, True))

    assert "4155550123" not in f"{cut.text} {cut.guard}"
    assert "4155550123" in f"{whole.text} {whole.guard}"


def left_in_consult() -> Scenario:
    """A second transfer, in which the customer hangs up."""
    story = busy().later(60_000).transfer("consult", command_id="second").confirms("agent").confirms("customer")
    return story.takes_part("target").later(5_000).leaves("customer")


def test_a_customer_who_leaves_in_a_consult_has_made_that_transfer_fail() -> None:
    log, _ = recorded(left_in_consult)
    found = explained(left_in_consult).first_failure

    assert (found.text, found.guard) == (
        "customer left the conference (participant hung up)",
        "the customer hung up",
    )
    assert (found.entry_id, found.is_earlier) == (log[-1].id, False)
    assert timeline.build_timeline(log)[-1].is_failure


def test_last_failed_transfer_is_shown_if_nothing_failed_since() -> None:
    def play() -> Scenario:
        story = busy().later(60_000).transfer("consult", command_id="second").confirms("agent").confirms("customer")
        story.call("target", "no-answer").confirms("customer", "agent")
        return story.later(60_000).transfer("warm", command_id="third").confirms("agent")

    found = explained(play).first_failure

    assert (found.text, found.is_earlier) == ("target did not answer", True)


def test_a_code_of_twilios_leads_to_what_twilio_says_of_it() -> None:
    found = explained(held("fails", status=400, code=21220)).first_failure

    assert (found.twilio_code, found.link) == (21220, "https://www.twilio.com/docs/api/errors/21220")


def test_start_of_state_and_timers_is_read_from_the_log() -> None:
    found = explained(lambda: Scenario().answered().later(3_000).convert().later(1_000).joins("agent"), later_ms=500)

    assert found.summary[0] == "Converting for 1 s (since 00:16:43 UTC)."
    (timer,) = [wait for wait in found.waits if wait.by == "timer"]
    assert timer.comes_at_ms - timer.since_ms == 5_000
    assert any("in 3 s: Conferral moves the missing party" in sentence for sentence in found.upcoming)


def test_overdue_timer_says_so_and_suggests_check() -> None:
    found = explained(lambda: Scenario().answered().convert(), later_ms=60_000)

    assert "Overdue by 55 s: Conferral moves the missing party into the conference again." in found.upcoming
    assert found.suggestions[0].arguments == "check"


def test_suggestions_are_commands_the_session_would_accept() -> None:
    assert lines(explained(parked)) == ["retrieve", "end", "replay"]
    assert lines(explained(lambda: talking("consult")))[:4] == ["complete", "merge", "swap", "cancel"]
    assert lines(explained(lambda: conferenced().leaves("agent")))[0] == "add"
    on_hold = explained(lambda: ordering().hold("customer").confirms("customer")).suggestions[0].arguments
    assert re.fullmatch(r"unhold CA\w+ --party customer", on_hold)


def test_returned_call_says_nothing_that_only_looks_like_a_cause() -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": "returned"}
    more = {"from": "conferenced", "to": "ended", "reason": "returned", "version": "4", "at": to_iso(9)}
    last = logged("call_progressed", more, party="agent", status="busy")

    found = explain(stored_session(fields), [LogEntry.of("1-0", last)], 0)

    assert len(found.summary) == 1
    assert found.summary[0].endswith("no one took the call, and the customer continues with your app.")
    assert found.first_failure is not None
    assert (found.first_failure.text, found.first_failure.guard) == ("agent was busy", "")


def test_second_report_of_a_join_is_no_news() -> None:
    stays = {"from": "conferenced", "to": "conferenced", "version": "3", "at": to_iso(9)}
    entries = [
        LogEntry.of(f"{number}-0", logged("participant_joined", stays | changes, party="customer"))
        for number, changes in enumerate(({"changes": '{"party.customer.in_conference":"true"}'}, {}), start=1)
    ]

    assert [moment.is_confirmation for moment in timeline.build_timeline(entries)] == [False, True]


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [
        ("customer-left", ""),
        ("agent-left", "Ended by: agent left the conference"),
        ("command", "Ended by: agent left the conference"),
    ],
)
def test_end_summary_says_who_left_first(reason: str, recorded: str) -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": reason}
    states = {"from": "conferenced", "to": "ended"}
    last = logged("participant_left", states, party="agent", left_reason="moderator_ended")

    found = explain(stored_session(fields), [LogEntry.of("1-0", last | {"version": "4", "at": to_iso(9)})], 0)

    assert found.summary[1:] == ((f"{recorded} (moderator ended).",) if recorded else ())


def test_explanation_of_an_ended_session_says_why_it_ended() -> None:
    found = explained(lambda: conferenced().later(61_000).end())

    assert found.summary[0].endswith("UTC after 1 min 01 s: an operator ended it.")
    assert found.summary[1] == "Ended by: end requested."
    assert found.first_failure is None
    assert [wait.by for wait in found.waits] == ["twilio"] * len(found.waits)


def test_call_back_suggestion_is_shell_quoted_and_omits_numbers() -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": "alone", "party.customer.status": "left",
              "party.customer.address": "+14155550123", "party.agent.status": "left",
              "party.agent.address": "client:a;reboot"}  # fmt: skip

    def call_back(*, full: bool) -> Suggestion:
        return next(
            one for one in explain(stored_session(fields), [], 0, full=full).suggestions if one.command == "call"
        )

    assert call_back(full=False).arguments == "call --agent 'client:a;reboot' --customer ADDRESS"
    assert call_back(full=True).arguments.endswith("--customer +14155550123")
