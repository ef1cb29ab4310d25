"""What others observed on real calls: each is modeled, or is a choice of `Behavior`."""

from __future__ import annotations

import pytest

from model_scenario import APP, BUSINESS, ModelScenario, bridge_twiml
from offhook.model.behavior import Behavior
from offhook.model.messages import InboundCall, PhoneRefuses, PhoneRings
from offhook.model.numbers import Number

CALLBACKS = (("StatusCallback", f"{APP}/dial"), *(("StatusCallbackEvent", it) for it in ("ringing", "completed")))
RELAY = "<Response><Connect><ConversationRelay url='wss://bot.example'/></Connect></Response>"


# ---- conferences -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "starts"),
    [
        ((("EarlyMedia", "true"),), True),
        ((("EarlyMedia", "false"),), False),
        ((("StartConferenceOnEnter", "false"),), False),
    ],
    ids=["early media", "none", "no starter"],
)
def test_participant_who_rings_may_start_the_conference(form: tuple[tuple[str, str], ...], starts: bool) -> None:
    story = ModelScenario(Behavior(early_media_starts=True))
    customer = story.member("startConferenceOnEnter='false'")
    target = story.participant("client:carol", *form)

    story.happens(PhoneRings(target))

    assert story.events() == ["participant-join", *(["conference-start"] if starts else [])]
    assert story.hears(customer) == ("ringback" if starts else "music")
    story.answers(target)
    assert story.events().count("participant-join") == 2
    assert story.events().count("conference-start") == (0 if form == (("StartConferenceOnEnter", "false"),) else 1)


def test_conference_that_ringing_started_goes_on_after_a_refusal() -> None:
    story = ModelScenario(Behavior(early_media_starts=True))
    story.member()
    target = story.participant()
    story.happens(PhoneRings(target))
    story.happens(PhoneRefuses(target, 603))

    assert story.left(CallSid=target) == ("participant_add_failed", "busy")
    assert story.rest("GET", f"/Conferences/{story.conference()}.json")[1]["status"] == "in-progress"


@pytest.mark.parametrize("order", ["first", "last"])
def test_caller_whose_exit_ends_the_conference_leaves_before_or_after_the_other(order: str) -> None:
    story = ModelScenario(Behavior(ending_leave=order))  # type: ignore[arg-type]
    customer = story.member("endConferenceOnExit='true'")
    agent = story.member()
    story.hangs_up(customer)

    leaves = [dict(it.params) for it in story.callbacks if it.event == "participant-leave"]
    sids = [it["CallSid"] for it in sorted(leaves, key=lambda it: int(it["SequenceNumber"]))]
    assert sids == ([customer, agent] if order == "first" else [agent, customer])
    assert story.events()[-1] == "conference-end"
    assert story.event("conference-end")["CallSidEndingConference"] == customer
    assert story.left(CallSid=agent)[0] == "moderator_ended_conference"
    assert story.left(CallSid=customer) == ("participant_hung_up", "completed")


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_of_a_conference_recording_depend_on_the_account(channels: int) -> None:
    story = ModelScenario(Behavior(conference_recording_channels=channels))  # type: ignore[arg-type]
    story.member("record='record-from-start'")
    story.member()

    path = f"/Conferences/{story.conference()}/Recordings.json"
    assert [it["channels"] for it in story.rest("GET", path)[1]["recordings"]] == [channels]


def test_keys_are_pressed_to_one_participant_by_an_announcement(story: ModelScenario) -> None:
    customer, agent = story.member(), story.member()
    story.update(agent, ("AnnounceUrl", f"{APP}/keys"))
    story.serve("/keys", "<Response><Play digits='ww12#'/></Response>")
    assert "announcement-end" not in story.events()
    story.passes(1.75)

    assert (story.call(agent).digits_sent, story.call(customer).digits_sent) == ("ww12#", "")
    assert story.event("announcement-end")["CallSid"] == agent


@pytest.mark.parametrize(
    "form",
    [
        (("Hold", "true"), ("AnnounceUrl", f"{APP}/words")),
        (("Hold", "false"), ("Coaching", "false")),
        (("Coaching", "false"), ("AnnounceUrl", f"{APP}/words")),
    ],
)
def test_hold_coach_and_announce_are_refused_in_one_update(
    story: ModelScenario, form: tuple[tuple[str, str], ...]
) -> None:
    story.member()
    agent = story.member()

    assert story.refused("POST", story.participants(agent), *form) == (400, 20001)
    assert story.asked_paths() == []


# ---- calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rings", [True, False])
def test_busy_phone_may_ring_first(rings: bool) -> None:
    story = ModelScenario(Behavior(busy_rings=rings))
    target = story.rest("POST", "/Calls.json", ("To", "client:bob"), ("From", BUSINESS), ("Twiml", "<Response/>"),
                        *CALLBACKS)[1]["sid"]  # fmt: skip
    story.happens(PhoneRefuses(target, 486))

    sent = [dict(it.params) for it in story.callbacks if it.call_sid == target]
    assert [it["CallStatus"] for it in sent] == [*(["ringing"] if rings else []), "busy"]
    assert (sent[-1]["SequenceNumber"], sent[-1]["SipResponseCode"]) == (str(int(rings)), "486")


@pytest.mark.parametrize(("to", "code"), [("client:bob", "600"), (BUSINESS.replace("0100", "0199"), "603")])
def test_browser_declines_with_a_code_of_its_own(story: ModelScenario, to: str, code: str) -> None:
    sid = story.rest("POST", "/Calls.json", ("To", to), ("From", BUSINESS), ("Twiml", "<Response/>"), *CALLBACKS)[1][
        "sid"
    ]
    story.happens(PhoneRefuses(sid, 603))

    assert story.event("completed", CallSid=sid)["SipResponseCode"] == code


def test_mailbox_that_presses_nothing_in_the_whisper_was_not_bridged(story: ModelScenario) -> None:
    _, child = story.bridging(to="<Number url='/whisper'>+14155550199</Number>", attributes="action='/action'")
    story.answers(child)
    story.serve("/whisper", "<Response><Gather timeout='5'/><Hangup/></Response>")
    story.passes(5.0)

    action = story.sent_to("/action")
    assert (action["DialCallStatus"], action["DialBridged"]) == ("completed", "false")


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        ("added", {"From": ["client:alice", "client:boss"], "CallStatus": ["ringing", "busy"], "Order": ["7"]}),
        ("override", {"From": ["client:boss"], "CallStatus": ["ringing"], "Order": ["7"]}),
    ],
)
def test_browsers_parameters_may_override_to_and_from_alone(parameters: str, sent: dict[str, list[str]]) -> None:
    story = ModelScenario(Behavior(browser_parameters=parameters))  # type: ignore[arg-type]
    story.model.add_number(Number("AP1", f"{APP}/client", application_sid="AP1"))
    custom = (("To", "client:bob"), ("From", "client:boss"), ("CallStatus", "busy"), ("Order", "7"))
    story.happens(InboundCall("client:alice", "AP1", custom))

    form = story.asked("/client").params
    assert {name: [value for key, value in form if key == name] for name in sent} == sent
    assert [value for key, value in form if key == "To"] == ["client:bob"]


# ---- recordings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["same", "another"])
def test_second_request_to_record_a_call_succeeds(second: str) -> None:
    story = ModelScenario(Behavior(second_recording=second))  # type: ignore[arg-type]
    sid = story.dial()
    story.answers(sid)
    answers = [story.rest("POST", f"/Calls/{sid}/Recordings.json") for _ in range(2)]

    assert [status for status, _ in answers] == [201, 201]
    assert len({body["sid"] for _, body in answers}) == (1 if second == "same" else 2)


def test_call_with_a_bot_cannot_be_recorded_by_request(story: ModelScenario) -> None:
    sid = story.call_in(RELAY)

    assert story.refused("POST", f"/Calls/{sid}/Recordings.json") == (400, 21220)


def test_dialed_call_is_recorded_from_its_answer_if_the_request_says_so(story: ModelScenario) -> None:
    form = (("To", "client:bob"), ("From", BUSINESS), ("Twiml", bridge_twiml()), ("Record", "true"))
    callback = (("RecordingStatusCallback", f"{APP}/recording"), ("RecordingStatusCallbackEvent", "completed"))
    sid = story.rest("POST", "/Calls.json", *form, *callback)[1]["sid"]
    assert not story.model.state.recordings
    story.passes(3.0)
    story.answers(sid)
    story.passes(4.0)
    story.hangs_up(sid)

    sent = story.event("recording-completed")
    assert (sent["CallSid"], sent["RecordingSource"], sent["RecordingChannels"]) == (sid, "OutboundAPI", "1")
    assert sent["RecordingDuration"] == "4"
