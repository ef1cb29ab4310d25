"""`<Enqueue>` and `<Leave>`: what a queued caller hears, how they leave, and what the action learns."""

import pytest

from model_scenario import APP, ModelScenario

QUEUE = "<Enqueue action='/left' waitUrl='/wait'>support</Enqueue>"
THEN = "<Say>Closed</Say>"
WAIT = "<Response><Play>/hold.mp3</Play></Response>"
LEAVE = "<Response><Leave/></Response>"


def enqueue(story: ModelScenario, verb: str = QUEUE, **caller: str) -> str:
    return story.call_in(f"<Response>{verb}{THEN}</Response>", **caller)


def queue_parameters(story: ModelScenario, path: str) -> dict[str, str]:
    sent = story.sent_to(path)
    assert {"CallSid", "CallStatus", "From", "To"} <= set(sent)
    return {name: sent[name] for name in sent if "Queue" in name}


def test_queued_caller_hears_the_wait_document_again_and_again(story: ModelScenario) -> None:
    sid = enqueue(story)
    assert story.sent_to("/wait")["CallStatus"] == "ringing"
    assert story.asked("/wait").method == "POST"
    first = queue_parameters(story, "/wait")
    assert first.pop("QueueSid").startswith("QU")
    assert first == {
        "QueuePosition": "1",
        "QueueTime": "0",
        "AvgQueueTime": "0",
        "CurrentQueueSize": "1",
        "MaxQueueSize": "1000",
    }
    story.serve("/wait", WAIT)
    assert (story.said(sid), story.status(sid)) == (f"{APP}/hold.mp3", "in-progress")
    story.passes(10.0)
    assert queue_parameters(story, "/wait")["QueueTime"] == "5"


def test_position_and_average_count_the_callers_of_one_queue(story: ModelScenario) -> None:
    enqueue(story)
    story.passes(10.0)
    enqueue(story, from_="+14155550124")
    second = queue_parameters(story, "/wait")
    enqueue(story, QUEUE.replace("support", "sales"), from_="+14155550125")
    other = queue_parameters(story, "/wait")

    assert (second["QueuePosition"], second["CurrentQueueSize"], second["AvgQueueTime"]) == ("2", "2", "5")
    assert (other["QueuePosition"], other["CurrentQueueSize"]) == ("1", "1")
    assert other["QueueSid"] != second["QueueSid"]


def test_empty_wait_document_does_not_loop_tightly(story: ModelScenario) -> None:
    sid = enqueue(story)
    story.serve("/wait", "<Response/>")
    assert (story.asked_paths(), story.hears(sid)) == ([], "silence")
    story.passes(1.0)
    assert story.asked_paths() == ["/wait"]


@pytest.mark.parametrize(("wait_url", "heard"), [("", "music"), ("waitUrl=''", "silence")])
def test_without_a_wait_url_the_caller_hears_music(story: ModelScenario, wait_url: str, heard: str) -> None:
    sid = enqueue(story, f"<Enqueue workflowSid='WW1' {wait_url}><Task priority='5'>{{\"a\": 1}}</Task></Enqueue>")
    story.passes(600.0)
    assert (story.hears(sid), story.asked_paths(), story.error_codes()) == (heard, [], [])


def test_leave_ends_the_stay_and_the_action_follows(story: ModelScenario) -> None:
    sid = enqueue(story)
    story.passes(7.0)
    story.serve("/wait", LEAVE)
    sent = queue_parameters(story, "/left")
    assert (sent.pop("QueueSid")[:2], sent) == ("QU", {"QueueResult": "leave", "QueueTime": "7"})
    story.serve("/left", "<Response><Say>Bye</Say></Response>")
    assert story.said(sid) == "Bye"


@pytest.mark.parametrize("has_action", [True, False])
def test_request_moves_the_caller_out_and_its_document_wins(story: ModelScenario, has_action: bool) -> None:
    sid = enqueue(story, QUEUE if has_action else QUEUE.replace("action='/left'", ""))
    story.serve("/wait", WAIT)
    story.rest("POST", f"/Calls/{sid}.json", ("Url", f"{APP}/moved"))
    assert story.asked_paths() == (["/left", "/moved"] if has_action else ["/moved"])
    if has_action:
        assert queue_parameters(story, "/left")["QueueResult"] == "redirected"
        story.serve("/left", "<Response><Hangup/></Response>")
    story.serve("/moved", "<Response><Say>Moved</Say></Response>")
    story.passes(0.1)
    assert story.said(sid) == "Moved"


def test_hang_up_in_the_queue_is_reported(story: ModelScenario) -> None:
    sid = enqueue(story)
    story.serve("/wait", WAIT)
    story.hangs_up(sid)
    assert (story.sent_to("/left")["QueueResult"], story.sent_to("/left")["CallStatus"]) == ("hangup", "completed")
    story.serve("/left", f"<Response>{QUEUE}</Response>")
    story.passes(30.0)
    assert (story.status(sid), story.asked_paths()) == ("completed", [])


def test_wait_document_with_another_verb_is_an_error(story: ModelScenario) -> None:
    enqueue(story)
    story.serve("/wait", "<Response><Dial>+14155550199</Dial></Response>")
    assert story.error_codes() == [12200]
    assert story.sent_to("/left")["QueueResult"] == "error"
