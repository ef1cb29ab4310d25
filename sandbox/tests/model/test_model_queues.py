"""Queues: what a caller hears there, how they leave, who takes them, and what the actions learn."""

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


# ---- <Dial><Queue> -------------------------------------------------------------------------------------------------

SERVE = "<Response><Dial action='/served'><Queue>support</Queue></Dial></Response>"
SERVE_WITH_NOTICE = SERVE.replace("<Queue>", "<Queue url='/notice'>")
NOTICE = "<Response><Say>You are next</Say></Response>"


def serve(story: ModelScenario, twiml: str = SERVE) -> str:
    return story.call_in(twiml, from_="+14155550199")


def served(story: ModelScenario) -> tuple[str, str]:
    """A caller and an agent who talk, after 7 s in the queue."""
    caller = enqueue(story)
    story.serve("/wait", WAIT)
    story.passes(7.0)
    agent = serve(story)
    assert story.hears(caller) == {agent}
    assert story.hears(agent) == {caller}
    story.passes(5.0)
    return caller, agent


def test_dialed_queue_connects_the_one_who_waits_longest(story: ModelScenario) -> None:
    first, second = enqueue(story), enqueue(story, from_="+14155550124")
    agent = serve(story)
    assert (story.hears(agent), story.hears(first)) == ({first}, {agent})
    assert (story.call(first).activity, story.call(agent).shown_activity) == ("bridged", "bridged")
    assert story.status(first) == "in-progress"  # it rang before
    assert story.asked_paths().count("/left") == 0
    other = serve(story)
    assert story.hears(other) == {second}


def test_agent_who_hangs_up_gives_the_caller_back_to_the_action(story: ModelScenario) -> None:
    caller, agent = served(story)
    story.hangs_up(agent)
    sent = queue_parameters(story, "/left")
    assert (sent.pop("QueueSid")[:2], sent) == ("QU", {"QueueResult": "bridged", "QueueTime": "7"})
    assert story.sent_to("/left")["CallSid"] == caller
    assert story.sent_to("/served")["CallStatus"] == "completed"
    story.serve("/left", "<Response><Say>How was it?</Say></Response>")
    assert story.said(caller) == "How was it?"


def test_caller_who_hangs_up_ends_the_agents_dial(story: ModelScenario) -> None:
    caller, agent = served(story)
    story.hangs_up(caller)
    sent = story.sent_to("/served")
    assert (sent["CallSid"], sent["DialCallSid"]) == (agent, caller)
    assert (sent["DialCallStatus"], sent["DialCallDuration"], sent["DialBridged"]) == ("completed", "5", "true")
    assert (story.sent_to("/left")["QueueResult"], story.sent_to("/left")["CallStatus"]) == ("bridged", "completed")


def test_request_that_moves_a_served_caller_frees_the_agent(story: ModelScenario) -> None:
    caller, agent = served(story)
    story.rest("POST", f"/Calls/{caller}.json", ("Url", f"{APP}/moved"))
    assert story.sent_to("/left")["QueueResult"] == "redirected-from-bridged"
    assert story.sent_to("/served")["DialCallStatus"] == "completed"
    story.serve("/left", "<Response><Hangup/></Response>")
    story.serve("/moved", "<Response><Say>Moved</Say></Response>")
    assert (story.said(caller), story.status(agent)) == ("Moved", "in-progress")


def test_request_that_moves_the_agent_gives_the_caller_back(story: ModelScenario) -> None:
    caller, agent = served(story)
    story.redirect(agent, "<Response><Say>Moved</Say></Response>")
    assert queue_parameters(story, "/left")["QueueResult"] == "bridged"
    story.passes(0.7)
    assert (story.said(agent), story.status(caller)) == ("Moved", "in-progress")


def test_star_ends_the_dial_and_the_caller_goes_on(story: ModelScenario) -> None:
    caller = enqueue(story)
    agent = serve(story, SERVE.replace("<Dial ", "<Dial hangupOnStar='true' "))
    story.presses(agent, "*")
    assert story.sent_to("/left")["QueueResult"] == "bridged"
    assert story.sent_to("/served")["DialCallStatus"] == "completed"
    assert story.status(caller) == "in-progress"


def test_notice_plays_to_the_caller_before_both_are_connected(story: ModelScenario) -> None:
    caller = enqueue(story)
    story.serve("/wait", WAIT)
    story.passes(7.0)
    agent = serve(story, SERVE_WITH_NOTICE)
    sent = story.sent_to("/notice")
    assert (sent["CallSid"], sent["DequeingCallSid"], sent["QueueTime"]) == (caller, agent, "7")
    assert sent["QueueSid"].startswith("QU")
    story.serve("/notice", NOTICE)
    assert (story.said(caller), story.hears(agent)) == ("You are next", "ringback")
    story.passes(2.0)
    assert (story.hears(caller), story.hears(agent)) == ({agent}, {caller})


@pytest.mark.parametrize("notice", ["<Response><Gather/></Response>", "<nonsense"])
def test_invalid_notice_is_an_error_for_the_caller(story: ModelScenario, notice: str) -> None:
    enqueue(story)
    serve(story, SERVE_WITH_NOTICE)
    story.serve("/notice", notice)
    assert story.sent_to("/left")["QueueResult"] == "error"
    assert story.sent_to("/served")["DialBridged"] == "false"


def test_caller_who_hangs_up_during_the_notice_was_not_connected(story: ModelScenario) -> None:
    caller = enqueue(story)
    serve(story, SERVE_WITH_NOTICE)
    story.serve("/notice", NOTICE)
    story.hangs_up(caller)
    assert story.sent_to("/served")["DialBridged"] == "false"


def test_dial_waits_for_the_next_caller_until_its_timeout(story: ModelScenario) -> None:
    story.hangs_up(enqueue(story))
    agent = serve(story)
    story.passes(10.0)
    caller = enqueue(story)
    assert story.hears(agent) == {caller}
    story.passes(40.0)
    assert story.hears(agent) == {caller}

    serve(story, SERVE.replace("<Dial ", "<Dial timeout='20' "))
    story.passes(20.0)
    assert story.sent_to("/served")["DialCallStatus"] == "no-answer"


def test_unknown_queue_fails_the_dial(story: ModelScenario) -> None:
    serve(story)
    assert story.sent_to("/served")["DialCallStatus"] == "failed"


# ---- Queues and Members by REST ------------------------------------------------------------------------------------


def queue_path(story: ModelScenario, key: str = "", name: str = "support") -> str:
    """The path of a queue's members, or of one of them."""
    (sid,) = [it["sid"] for it in story.rest("GET", "/Queues.json")[1]["queues"] if it["friendly_name"] == name]
    return f"/Queues/{sid}/Members{key and '/'}{key}.json"


def test_queues_are_listed_and_read(story: ModelScenario) -> None:
    enqueue(story)
    story.passes(10.0)
    enqueue(story, from_="+14155550124")
    enqueue(story, "<Enqueue workflowSid='WW1'/>", from_="+14155550125")

    queues = story.rest("GET", "/Queues.json")[1]["queues"]
    assert [(it["friendly_name"], it["current_size"]) for it in queues] == [("WW1", 1), ("support", 2)]
    status, shown = story.rest("GET", f"/Queues/{queues[1]['sid']}.json")
    assert (status, shown) == (200, queues[1])
    assert set(shown) >= {"account_sid", "date_created", "date_updated", "uri"}
    assert (shown["average_wait_time"], shown["max_size"]) == (5, 1000)
    assert story.refused("GET", f"/Queues/QU{'0' * 32}.json") == (404, 20404)


def test_queue_created_by_rest_takes_as_many_callers_as_it_has_places(story: ModelScenario) -> None:
    status, queue = story.rest("POST", "/Queues.json", ("FriendlyName", "support"), ("MaxSize", "1"))
    assert (status, queue["friendly_name"], queue["max_size"], queue["current_size"]) == (201, "support", 1, 0)
    path = f"/Queues/{queue['sid']}.json"

    enqueue(story)
    assert queue_parameters(story, "/wait")["MaxQueueSize"] == "1"
    enqueue(story, from_="+14155550124")
    assert queue_parameters(story, "/left") == {
        "QueueResult": "queue-full",
        "QueueSid": queue["sid"],
        "QueueTime": "0",
    }
    assert story.rest("POST", path, ("MaxSize", "2"))[1]["max_size"] == 2
    enqueue(story, "<Enqueue>support</Enqueue>", from_="+14155550125")
    assert story.rest("GET", path)[1]["current_size"] == 2


def test_only_an_empty_queue_is_deleted_and_names_are_given_once(story: ModelScenario) -> None:
    first = enqueue(story)
    (queue,) = story.rest("GET", "/Queues.json")[1]["queues"]
    path = f"/Queues/{queue['sid']}.json"

    assert story.refused("POST", "/Queues.json", ("FriendlyName", "support")) == (400, 20001)
    assert story.refused("POST", "/Queues.json") == (400, 20001)
    assert story.refused("POST", path, ("MaxSize", "5001")) == (400, 20001)
    assert story.refused("DELETE", path) == (400, 20001)
    story.hangs_up(first)
    assert story.rest("DELETE", path)[0] == 204
    assert story.refused("GET", path) == (404, 20404)


def test_call_from_a_queue_that_was_deleted_meanwhile_goes_on(story: ModelScenario) -> None:
    waiting = enqueue(story)
    agent = story.call_in("<Response><Dial><Queue>support</Queue></Dial></Response>", from_="+14155550124")
    (queue,) = story.rest("GET", "/Queues.json")[1]["queues"]
    assert story.hears(waiting) == frozenset({agent})
    assert story.rest("DELETE", f"/Queues/{queue['sid']}.json")[0] == 204
    story.hangs_up(agent)
    assert queue_parameters(story, "/left")["QueueResult"] == "bridged"


def test_members_are_listed_in_order_and_read_by_sid_or_as_the_front(story: ModelScenario) -> None:
    sids = [enqueue(story), enqueue(story, from_="+14155550124")]
    story.passes(3.0)
    members = story.rest("GET", queue_path(story))[1]["queue_members"]
    assert [(it["call_sid"], it["position"], it["wait_time"]) for it in members] == [(sids[0], 1, 3), (sids[1], 2, 3)]
    assert set(members[0]) == {"call_sid", "date_enqueued", "position", "queue_sid", "uri", "wait_time"}
    assert story.rest("GET", queue_path(story, "Front")) == (200, members[0])
    assert story.rest("GET", queue_path(story, sids[1])) == (200, members[1])
    assert story.refused("GET", queue_path(story, "CA" + "0" * 32)) == (404, 20404)


@pytest.mark.parametrize("has_action", [True, False])
def test_dequeued_member_runs_the_new_document(story: ModelScenario, *, has_action: bool) -> None:
    sid = enqueue(story, QUEUE if has_action else QUEUE.replace("action='/left'", ""))
    story.serve("/wait", WAIT)
    path = queue_path(story, sid)
    status, shown = story.rest("POST", path, ("Url", f"{APP}/moved"), ("Method", "GET"))
    assert (status, shown["call_sid"], shown["position"]) == (200, sid, 1)
    assert story.asked("/moved").method == "GET"
    if has_action:
        assert queue_parameters(story, "/left")["QueueResult"] == "redirected"
        story.serve("/left", "<Response><Hangup/></Response>")
    story.serve("/moved", "<Response><Say>Moved</Say></Response>")
    assert story.said(sid) == "Moved"
    assert story.refused("POST", path, ("Url", f"{APP}/moved")) == (404, 20404)  # a second time, it has left
    assert story.rest("GET", queue_path(story))[1]["queue_members"] == []


def test_front_twice_takes_two_callers(story: ModelScenario) -> None:
    sids = [enqueue(story), enqueue(story, from_="+14155550124")]
    front = queue_path(story, "Front")
    assert [story.rest("POST", front, ("Url", f"{APP}/moved"))[1]["call_sid"] for _ in range(2)] == sids
    assert story.refused("POST", front, ("Url", f"{APP}/moved")) == (404, 20404)


@pytest.mark.parametrize("url", [(), (("Url", "nonsense"),)])
def test_dequeuing_needs_a_url(story: ModelScenario, url: tuple[tuple[str, str], ...]) -> None:
    sid = enqueue(story)
    assert story.refused("POST", queue_path(story, sid), *url) == (400, 21205)
    assert story.rest("GET", queue_path(story, sid))[0] == 200
