"""Bridged calls: what becomes of both legs when one of them is redirected, completed or hung up."""

from typing import Literal

import pytest

from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.messages import PhoneRefuses, PhoneRings
from tests.sandbox.model_scenario import APP, BUSINESS, CUSTOMER, EVENTS, ModelScenario, bridge_twiml, conference_twiml


def action(story: ModelScenario) -> dict[str, str]:
    return story.sent_to("/action")


def test_inbound_call_asks_its_number_for_twiml_with_all_voice_parameters(story: ModelScenario) -> None:
    sid = story.call_in()

    fetch = story.asked("/voice")
    params = dict(fetch.params)
    assert (fetch.method, params["CallSid"], params["CallStatus"]) == ("POST", sid, "ringing")
    assert params["From"] == params["Caller"] == CUSTOMER
    assert params["To"] == params["Called"] == BUSINESS
    assert (params["Direction"], params["ApiVersion"]) == ("inbound", "2010-04-01")
    assert (params["FromCountry"], params["FromCity"]) == ("US", "")
    assert params["CallToken"].startswith("%7B")
    assert [name for name, _ in fetch.params] != sorted(params)


def test_without_answer_on_bridge_the_caller_is_answered_at_once(story: ModelScenario) -> None:
    parent = story.call_in(bridge_twiml(attributes=""))

    assert (story.status(parent), story.hears(parent)) == ("in-progress", "ringback")


def test_redirected_parent_loses_its_child_and_the_new_twiml_comes_after_the_old_action(story: ModelScenario) -> None:
    parent, child = story.bridged()

    story.rest("POST", f"/Calls/{parent}.json", ("Url", f"{APP}/target"))

    assert story.status(child) == "completed"
    assert story.asked_paths() == []
    story.passes(0.32)
    assert story.asked_paths() == ["/action"]
    assert action(story)["CallStatus"] == "in-progress"
    story.passes(0.33)
    assert story.asked_paths() == ["/action", "/target"]


def test_old_action_of_a_redirected_parent_can_be_left_out() -> None:
    story = ModelScenario(Behavior(old_action_on_redirect=False))
    parent, child = story.bridged()

    story.redirect(parent, conference_twiml())

    assert (story.status(child), story.call(parent).activity) == ("completed", "conference")
    assert "/action" not in story.asked_paths()


def test_redirect_after_the_dial_of_a_moved_parent_is_requested_in_vain(story: ModelScenario) -> None:
    parent = story.call_in(bridge_twiml(attributes="").replace("</Dial>", "</Dial><Redirect>/next</Redirect>"))
    story.answers(story.rings[-1].call_sid)

    story.redirect(parent, conference_twiml())
    story.passes(1.0)
    story.serve("/next", "<Response><Hangup/></Response>")

    assert (story.status(parent), story.call(parent).activity) == ("in-progress", "conference")


@pytest.mark.parametrize(("sip_code", "status"), [(486, "busy"), (603, "busy"), (404, "failed")])
def test_unanswered_child_call_is_reported_to_the_action(
    story: ModelScenario, sip_code: Literal[404, 486, 603], status: str
) -> None:
    noun = f'<Client statusCallback="/child" statusCallbackEvent="{EVENTS}">alice</Client>'
    parent, child = story.bridging(to=noun)

    story.happens(PhoneRefuses(child, sip_code))

    assert story.event("completed")["SipResponseCode"] == str(sip_code)
    params = action(story)
    assert (params["DialCallStatus"], params["CallStatus"], params["DialBridged"]) == (status, "ringing", "false")
    assert "DialCallDuration" not in params
    assert story.status(parent) == "ringing"


def test_dial_without_action_continues_with_the_next_verb(story: ModelScenario) -> None:
    parent = story.call_in("<Response><Dial><Client>alice</Client></Dial><Say>Goodbye</Say></Response>")

    story.happens(PhoneRefuses(story.rings[-1].call_sid, 486))

    assert story.hears(parent) == "speech"
    story.passes(60.0)
    assert story.status(parent) == "completed"


def test_time_limit_of_a_dial_hangs_the_child_up(story: ModelScenario) -> None:
    _, child = story.bridged(attributes='timeLimit="20" action="/action"')

    story.passes(20.0)

    assert story.status(child) == "completed"
    assert action(story)["DialCallDuration"] == "20"


def test_star_ends_a_dial_that_allows_it(story: ModelScenario) -> None:
    parent, child = story.bridged(attributes='hangupOnStar="true" action="/action"')

    story.presses(parent, "1*")

    assert (story.status(child), action(story)["CallStatus"]) == ("completed", "in-progress")


def test_callee_who_hangs_up_during_the_whisper_was_never_bridged(story: ModelScenario) -> None:
    parent, child = story.bridging(to='<Number url="/whisper">+15550111</Number>')
    story.answers(child)
    story.serve("/whisper", "<Response><Gather><Say>Press one</Say></Gather></Response>")
    story.passes(2.0)
    story.hangs_up(child)

    names = ("DialCallStatus", "DialBridged", "DialCallDuration", "CallStatus")
    assert [action(story)[name] for name in names] == ["completed", "false", "2", "ringing"]
    story.serve("/action", "<Response><Say>No one is available</Say></Response>")
    assert (story.said(parent), story.call(parent).dial) == ("No one is available", None)


def test_dial_in_a_whisper_is_an_error_that_hangs_up_the_callee(story: ModelScenario) -> None:
    _, child = story.bridging(to='<Number url="/whisper">+15550111</Number>')
    story.answers(child)
    story.serve("/whisper", bridge_twiml())

    assert (story.error_codes(), story.status(child), len(story.rings)) == ([13201], "completed", 1)
    assert action(story)["DialBridged"] == "false"


def test_child_callbacks_count_from_zero_and_name_the_parent(story: ModelScenario) -> None:
    noun = f'<Client statusCallback="/child" statusCallbackEvent="{EVENTS}">alice</Client>'
    parent, child = story.bridged(to=noun)
    story.passes(61.0)

    story.hangs_up(child)

    assert story.events("call") == ["initiated", "ringing", "answered", "completed"]
    fields = [dict(callback.params) for callback in story.callbacks]
    assert [it["CallStatus"] for it in fields] == ["initiated", "ringing", "in-progress", "completed"]
    assert [it["SequenceNumber"] for it in fields] == ["0", "1", "2", "3"]
    assert {it["ParentCallSid"] for it in fields} == {parent}
    assert {it["Direction"] for it in fields} == {"outbound-dial"}
    assert (fields[3]["CallDuration"], fields[3]["Duration"], fields[3]["SipResponseCode"]) == ("61", "2", "200")
    assert fields[3]["CallbackSource"] == "call-progress-events"
    assert fields[0]["Timestamp"] == "Thu, 01 Jan 1970 00:16:40 +0000"
    assert "FromCountry" not in fields[0]


@pytest.mark.parametrize(("shown", "codes"), [(CUSTOMER, []), (BUSINESS, []), ("+14155550188", [13214])])
def test_dial_shows_the_caller_the_called_or_a_number_of_the_account(
    story: ModelScenario, shown: str, codes: list[int]
) -> None:
    story.call_in(bridge_twiml("<Number>+15550111</Number>", f'callerId="{shown}" action="/action"'))

    assert (story.error_codes(), bool(story.rings)) == (codes, not codes)


def test_failed_redirect_of_the_child_drops_it_and_leaves_the_parent_in_its_action(story: ModelScenario) -> None:
    parent, child = story.bridged()
    story.rest("POST", f"/Calls/{child}.json", ("Url", f"{APP}/child"))

    story.serve("/child", "", status=500)
    story.passes(10.0)

    assert story.status(child) == "completed"
    assert (story.status(parent), action(story)["DialCallStatus"]) == ("in-progress", "completed")


def test_redirect_of_a_ringing_call_is_refused(story: ModelScenario) -> None:
    parent, child = story.bridging()
    story.happens(PhoneRings(child))

    for sid in (parent, child):
        assert story.refused("POST", f"/Calls/{sid}.json", ("Twiml", conference_twiml())) == (400, 21220)
