"""Bridged calls: what becomes of both legs when one of them is redirected, completed or hung up."""

import pytest

from model_scenario import APP, BUSINESS, CUSTOMER, EVENTS, ModelScenario, bridge_twiml, conference_twiml
from offhook.model.messages import PhoneRefuses, PhoneRings


def action(story: ModelScenario) -> dict[str, str]:
    return story.sent_to("/action")


def test_without_answer_on_bridge_the_caller_is_answered_at_once(story: ModelScenario) -> None:
    parent = story.call_in(bridge_twiml(attributes=""))

    assert (story.status(parent), story.hears(parent)) == ("in-progress", "ringback")


def test_redirect_after_the_dial_of_a_moved_parent_is_requested_in_vain(story: ModelScenario) -> None:
    parent = story.call_in(bridge_twiml(attributes="").replace("</Dial>", "</Dial><Redirect>/next</Redirect>"))
    story.answers(story.rings[-1].call_sid)

    story.redirect(parent, conference_twiml())
    story.passes(1.0)
    story.serve("/next", "<Response><Hangup/></Response>")

    assert (story.status(parent), story.call(parent).activity) == ("in-progress", "conference")


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


def test_sequential_nouns_ring_one_after_the_other(story: ModelScenario) -> None:
    nouns = "<Client>ann</Client><Client>bob</Client><Client>carol</Client>"
    caller = story.call_in(f"<Response><Dial sequential='true' timeout='10' action='/action'>{nouns}</Dial></Response>")

    def dialed() -> list[tuple[str, str]]:
        return [(it.to, it.status) for it in story.model.state.calls.values() if it.parent_sid == caller]

    ann = next(it.sid for it in story.model.state.calls.values() if it.to == "client:ann")
    assert [to for to, _ in dialed()] == ["client:ann"]
    story.happens(PhoneRefuses(ann, 603))
    assert dialed() == [("client:ann", "busy"), ("client:bob", "queued")]
    bob = next(it.sid for it in story.model.state.calls.values() if it.to == "client:bob")
    story.answers(bob)
    assert story.hears(caller) == frozenset({bob})
    story.hangs_up(bob)
    assert [to for to, _ in dialed()] == ["client:ann", "client:bob"]
    assert story.sent_to("/action")["DialCallStatus"] == "completed"
    assert story.errors == []


def test_dial_of_sequential_nouns_ends_with_the_status_of_the_last(story: ModelScenario) -> None:
    nouns = "<Number>nonsense</Number><Client>ann</Client><Client>bob</Client>"
    story.call_in(f"<Response><Dial sequential='true' timeout='10' action='/action'>{nouns}</Dial></Response>")
    for name in ("ann", "bob"):
        (sid,) = (it.sid for it in story.model.state.calls.values() if it.to == f"client:{name}")
        story.happens(PhoneRefuses(sid, 603))
    assert story.sent_to("/action")["DialCallStatus"] == "busy"
