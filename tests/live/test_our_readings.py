"""What no page of Twilio's says, and Offhook does as seems most likely: sandbox/docs/fidelity.md calls it our reading.

Where `Behavior` has a choice, a failure says which other one the real service shows.
"""

from typing import Any

from twilio.rest.api.v2010.account.conference import ConferenceContext

from tests.live.conftest import RINGS, TALKS, Twilio

#: Rings for a while, then answers, and hangs up.
LATE = "<Response><Pause length='6'/><Say>Hello.</Say><Pause length='9'/></Response>"


def conference_of(twilio: Twilio, *calls: str) -> ConferenceContext:
    """The conference that these calls have joined."""
    for sid in calls:
        joined = twilio.program.expect("/conference", StatusCallbackEvent="participant-join", CallSid=sid)
    return twilio.client.conferences(joined.fields["ConferenceSid"])


def leave_of(twilio: Twilio, sid: str) -> dict[str, str]:
    return twilio.program.expect("/conference", StatusCallbackEvent="participant-leave", CallSid=sid).fields


def is_before(twilio: Twilio, first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether one callback arrived before another."""
    fields = [one.fields for one in twilio.program.requests]
    return fields.index(first) < fields.index(second)


def in_conference(twilio: Twilio, attributes: str = "") -> tuple[str, str, ConferenceContext]:
    """Two calls in a conference, of which the second one has these attributes."""
    first, second = (str(twilio.call(twilio.conference(one)).sid) for one in ("", attributes))
    return first, second, conference_of(twilio, first, second)


# ---- calls ----------------------------------------------------------------------------------------------------------


def test_call_that_rest_completes_before_its_answer_is_canceled(twilio: Twilio) -> None:
    sid = str(twilio.call(TALKS, RINGS).sid)
    twilio.status(sid, "ringing")
    twilio.client.calls(sid).update(status="completed")
    assert twilio.status(sid, "canceled", "completed", "no-answer", "failed") == "canceled"


def test_rejected_call_is_not_answered_or_busy(twilio: Twilio) -> None:
    for reject, status in (("<Reject/>", "no-answer"), ("<Reject reason='busy'/>", "busy")):
        twilio.program.requests.clear()
        twilio.call(TALKS, f"<Response>{reject}</Response>")
        sid = twilio.program.expect("/answer").fields["CallSid"]
        assert twilio.status(sid, "no-answer", "busy", "completed", "failed", "canceled") == status


def test_unanswered_callee_of_a_caller_who_hangs_up(twilio: Twilio) -> None:
    sid = str(twilio.call(twilio.dial(), TALKS, RINGS).sid)
    child = twilio.program.expect("/child", CallStatus="ringing").fields["CallSid"]
    twilio.client.calls(sid).update(status="completed")
    ended = twilio.status(child, "canceled", "no-answer", "completed", "busy", "failed")
    assert ended == twilio.readings.abandoned_child


def test_response_of_an_old_action_is_ignored_after_a_move(twilio: Twilio) -> None:
    after = f"action='{twilio.program.url}/after'"
    twilio.program.documents["/after"] = [f"<Response><Redirect>{twilio.program.url}/old</Redirect></Response>"]
    sid = str(twilio.call(twilio.dial(after), TALKS, TALKS).sid)
    twilio.program.expect("/child", CallStatus="in-progress")
    twilio.client.calls(sid).update(url=f"{twilio.program.url}/moved", method="POST")
    twilio.program.expect("/moved")
    twilio.status(sid, "completed")
    assert twilio.program.seen("/old") == []


def test_recording_of_a_bridged_callee(twilio: Twilio) -> None:
    sid = str(twilio.call(twilio.dial(), TALKS, TALKS).sid)
    child = twilio.program.expect("/child", CallStatus="in-progress").fields["CallSid"]
    recording = twilio.client.calls(child).recordings.create()
    try:
        owner = {sid: "parents", child: "own"}.get(str(recording.call_sid))
        assert owner == twilio.readings.recording_of_a_child
    finally:
        twilio.hang_up_all()
        twilio.status(sid, "completed")
        twilio.client.recordings(str(recording.sid)).delete()


def test_recording_that_is_stopped_says_so(twilio: Twilio) -> None:
    sid = str(twilio.call(TALKS).sid)
    twilio.status(sid, "in-progress")
    recordings = twilio.client.calls(sid).recordings
    recording = str(recordings.create().sid)
    stopped = recordings(recording).update(status="stopped")
    twilio.hang_up_all()
    twilio.status(sid, "completed")
    twilio.client.recordings(recording).delete()
    assert stopped.status == "stopped"


def test_keys_that_a_document_plays_reach_the_other_numbers_gather(twilio: Twilio) -> None:
    gather = f"<Gather action='{twilio.program.url}/keys' numDigits='1' timeout='8' actionOnEmptyResult='true'/>"
    twilio.call(f"<Response>{gather}</Response>", "<Response><Play digits='wwww1'/><Pause length='20'/></Response>")
    assert twilio.program.expect("/keys").fields.get("Digits") == "1"


def test_dial_of_an_unknown_queue_fails(twilio: Twilio) -> None:
    dial = f"<Dial action='{twilio.program.url}/after'><Queue>{twilio.name}</Queue></Dial>"
    twilio.call(f"<Response>{dial}</Response>")
    assert twilio.program.expect("/after").fields["DialCallStatus"] == "failed"


def test_query_of_a_webhook_keeps_its_order(twilio: Twilio) -> None:
    twilio.call(f"<Response><Redirect>{twilio.program.url}/query?b=2&amp;a=1</Redirect></Response>")
    assert (twilio.program.expect("/query").query == "a=1&b=2") == twilio.readings.sorted_queries


# ---- conferences ----------------------------------------------------------------------------------------------------


def test_update_without_a_change_has_no_callback(twilio: Twilio) -> None:
    sid, _, conference = in_conference(twilio)
    for muted in (True, True, False):
        conference.participants(sid).update(muted=muted)
    twilio.program.expect("/conference", StatusCallbackEvent="participant-unmute", CallSid=sid)
    assert len(twilio.program.seen("/conference", StatusCallbackEvent="participant-mute", CallSid=sid)) == 1


def test_changes_of_one_update_have_a_callback_each_in_order(twilio: Twilio) -> None:
    sid, _, conference = in_conference(twilio)
    conference.participants(sid).update(hold=True, muted=True)
    events = ["participant-mute", "participant-hold"]
    sent = [twilio.program.expect("/conference", StatusCallbackEvent=one, CallSid=sid) for one in events]
    assert [one for one in twilio.program.requests if one in sent] == sent


def test_participant_whose_wait_document_fails_is_removed(twilio: Twilio) -> None:
    twilio.expect_alerts(12100)
    twilio.program.documents["/wait"] = ["no TwiML"]
    sid = str(twilio.call(twilio.conference(f"waitUrl='{twilio.program.url}/wait'")).sid)
    reasons = {"participant_add_failed": "add-failed", "participant_hung_up": "hung-up"}
    assert reasons.get(leave_of(twilio, sid)["ReasonParticipantLeft"]) == twilio.readings.failed_wait


def test_hold_and_announcement_in_one_update_are_refused(twilio: Twilio) -> None:
    sid, _, conference = in_conference(twilio)
    both: dict[str, Any] = {"hold": True, "announce_url": f"{twilio.program.url}/announcement"}
    assert twilio.refused(conference.participants(sid).update, **both) == 20001


def test_conference_that_has_not_started_in_the_list_of_those(twilio: Twilio) -> None:
    call = twilio.call(twilio.conference("startConferenceOnEnter='false'"))
    conference_of(twilio, str(call.sid))
    shown = twilio.client.conferences.list(friendly_name=twilio.name, status="init")
    assert ("all" if shown else "nothing") == twilio.readings.init_conference_list


def test_why_a_participant_left_whose_call_rest_completes_and_when_that_call_ends(twilio: Twilio) -> None:
    sid, _, _ = in_conference(twilio)
    twilio.client.calls(sid).update(status="completed")
    leave = leave_of(twilio, sid)
    reasons = {"participant_hung_up": "hung-up", "participant_updated_via_api": "updated"}
    assert reasons.get(leave["ReasonParticipantLeft"]) == twilio.readings.completed_participant
    completed = twilio.program.expect("/call", CallStatus="completed", CallSid=sid).fields
    assert is_before(twilio, completed, leave) == (twilio.readings.final_callback == "first")


def test_when_the_participant_leaves_whose_exit_ends_the_conference(twilio: Twilio) -> None:
    sid, other, _ = in_conference(twilio, "endConferenceOnExit='true'")
    twilio.client.calls(other).update(status="completed")
    of_the_other, of_the_first = leave_of(twilio, other), leave_of(twilio, sid)
    assert is_before(twilio, of_the_other, of_the_first) == (twilio.readings.ending_leave == "first")


def test_participant_who_answers_after_the_end_of_the_conference(twilio: Twilio) -> None:
    sid, other, _ = in_conference(twilio)
    twilio.program.documents["/answer"] = [LATE]
    # By its name, which is free again once the conference is over.
    added = twilio.client.conferences(twilio.name).participants.create(
        to=twilio.answering,
        from_=twilio.caller,
        time_limit=60,
        conference_status_callback=f"{twilio.program.url}/conference",
        conference_status_callback_event=["start", "end", "join", "leave"],
    )
    late = str(added.call_sid)
    twilio.calls.append(late)
    twilio.status(late, "ringing")
    for one in (sid, other):
        twilio.client.calls(one).update(status="completed")
    twilio.program.expect("/conference", StatusCallbackEvent="conference-end")
    twilio.status(late, "completed", "canceled", "no-answer")
    joined = twilio.program.seen("/conference", StatusCallbackEvent="participant-join", CallSid=late)
    assert bool(joined) == (twilio.readings.late_answer == "new-conference")
