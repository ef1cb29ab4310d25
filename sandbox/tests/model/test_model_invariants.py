"""Whatever happens, in whatever order: the model never breaks, and its world stays consistent."""

from functools import partial
from random import Random

import pytest

from model_scenario import APP, BUSINESS, ModelScenario, bridge_twiml, conference_twiml
from offhook.model.audibility import sound_heard_by
from offhook.model.behavior import Behavior
from offhook.model.messages import (
    PhoneAnswers,
    PhoneFallsSilent,
    PhoneHangsUp,
    PhoneRefuses,
    PhoneRings,
    PhoneSpeaks,
)
from offhook.model.state import FINAL
from offhook.model.twilio_model import TwilioModel

DOCUMENTS = (
    bridge_twiml(),
    bridge_twiml("<Client url='/whisper'>alice</Client><Client>bob</Client>", "action='/action' timeLimit='9'"),
    conference_twiml(),
    conference_twiml("endConferenceOnExit='true'"),
    conference_twiml(f"record='record-from-start' recordingStatusCallback='{APP}/recording'"),
    "<Response><Say>We close soon</Say><Redirect>/announce</Redirect></Response>",
    conference_twiml(f"startConferenceOnEnter='false' waitUrl='{APP}/wait'"),
    conference_twiml("participantLabel='agent' muted='true'", dial="hangupOnStar='true'"),
    "<Response><Enqueue action='/action' waitUrl='/wait'>support</Enqueue><Say>Closed</Say></Response>",
    "<Response><Enqueue>support</Enqueue><Redirect>/next</Redirect></Response>",
    "<Response><Dial action='/action' hangupOnStar='true'><Queue url='/whisper'>support</Queue></Dial></Response>",
    "<Response><Dial timeout='5' timeLimit='9'><Queue>support</Queue></Dial><Say>Bye</Say></Response>",
    "<Response><Leave/></Response>",
    "<Response><Record timeout='3' maxLength='20' action='/key'/><Say>Bye</Say></Response>",
    "<Response><Connect action='/key'><ConversationRelay/></Connect><Say>Bye</Say></Response>",
    "<Response><Gather numDigits='1' action='/key'><Say>Press</Say></Gather><Redirect>/next</Redirect></Response>",
    "<Response><Say>Hello</Say><Pause length='2'/></Response>",
    "<Response><Reject/></Response>",
    "<Response><Play loop='0'>tune.mp3</Play></Response>",
    "<nonsense",
)
UPDATES = (
    (("Hold", "true"),),
    (("Hold", "false"),),
    (("Hold", "true"), ("HoldUrl", f"{APP}/hold")),
    (("Muted", "true"),),
    (("EndConferenceOnExit", "true"),),
    (("AnnounceUrl", f"{APP}/announce"),),
    (("Coaching", "false"),),
)
BUSY, DECLINES = (partial(PhoneRefuses, sip_code=code) for code in (486, 603))
PHONE_ACTS = (PhoneRings, BUSY, DECLINES, PhoneHangsUp, PhoneHangsUp, PhoneSpeaks, PhoneFallsSilent)
RECORD = (("RecordingStatusCallback", f"{APP}/recording"), ("RecordingStatusCallbackEvent", "completed"))
ENTERING = (
    (),
    (("EarlyMedia", "false"),),
    (("EndConferenceOnExit", "true"), ("Timeout", "10")),
    (("StartConferenceOnEnter", "false"), ("WaitUrl", f"{APP}/wait")),
)


def check(model: TwilioModel) -> None:
    state = model.state
    assert set(state.live_calls) == {call.sid for call in state.calls.values() if call.status not in FINAL}
    for call in state.calls.values():
        if call.activity == "conference":
            assert state.conferences[call.conference_sid].participants[call.sid].is_in
        if call.activity == "bridged":
            parent = state.calls[call.dialer_sid]
            assert parent.dial is not None
            assert parent.dial.winner_sid == call.sid
        if call.is_final:
            assert (call.dial, call.conference_sid, call.activity) == (None, "", "idle")
            assert model.audibility.current(call.sid) is None
        assert model.audibility.current(call.sid) == sound_heard_by(state, call.sid)
        if call.queue_stay is not None:
            assert (call.sid in state.queues[call.queue_stay.queue_sid].members) != bool(call.queue_stay.dialer_sid)
    for queue in state.queues.values():
        assert all(state.calls[sid].queue_stay is not None for sid in queue.members)
    for conference in state.conferences.values():
        assert (conference.status == "completed") == (conference.sid not in state.conference_sids.values())
        assert conference.status != "completed" or not conference.participants
        for sid in conference.participants:
            assert state.calls[sid].conference_sid == conference.sid
    for sid, name in state.timers:
        assert sid in state.live_calls or sid in state.conferences or name in {"old-action", "processed"}
    for recording in state.recordings.values():
        owner, has_ended = recording.owner_sid, recording.ended_at_s is not None
        assert has_ended or owner in state.live_calls or state.conferences[owner].status != "completed"
        assert all(span.until_s is None or span.until_s > span.since_s for span in recording.spans)


def call_step(story: ModelScenario, random: Random, sid: str) -> None:
    match random.randrange(4):
        case 3:
            queue_sid = next(iter(story.model.state.queues), "QU0")
            story.rest("POST", f"/Queues/{queue_sid}/Members/Front.json", ("Url", f"{APP}/announce"))
        case 0:
            digits = random.choice((("SendDigits", "w1"), ("SendDigits", "1"), ("MachineDetection", "Enable")))
            gate = (("Url", f"{APP}/gate"), digits, ("Timeout", "20"))
            story.rest("POST", "/Calls.json", ("To", "+15550133"), ("From", BUSINESS), *gate)
        case 1:
            story.rest("POST", f"/Calls/{sid}/Recordings.json", *RECORD)
        case _:
            status = random.choice(("paused", "in-progress", "stopped"))
            story.rest("POST", f"/Calls/{sid}/Recordings/Twilio.CURRENT.json", ("Status", status))


def one_step(story: ModelScenario, random: Random) -> None:
    calls = list(story.model.state.calls)
    sid = random.choice(calls) if calls else "CA0"
    names = list(story.model.state.conferences) or ["room"]
    members = [
        (conference.sid, member)
        for conference in story.model.state.conferences.values()
        for member in conference.participants
    ] or [("room", sid)]
    chosen_sid, member_sid = random.choice(members)
    participant = f"/Conferences/{chosen_sid}/Participants/{member_sid}.json"
    match random.randrange(20):
        case 0:
            story.call_in()
        case 1 | 2 | 3 if story.fetches:
            fetch = random.choice(story.fetches)
            story.fetches.remove(fetch)
            story.fetches.append(fetch)
            path = fetch.url.removeprefix(APP).partition("?")[0]
            story.serve(path, random.choice(DOCUMENTS), status=random.choice((200, 200, 200, 500)))
        case 4 | 5:
            story.happens(PhoneAnswers(sid))
        case 6 | 7 | 18:
            story.happens(random.choice(PHONE_ACTS)(sid))
        case 8:
            story.presses(sid, random.choice("1*#"))
        case 9:
            story.redirect(sid, random.choice(DOCUMENTS))
        case 10:
            story.rest("POST", f"/Calls/{sid}.json", ("Status", random.choice(("completed", "canceled"))))
        case 11:
            form = (("To", "client:carol"), ("From", BUSINESS), ("Label", random.choice(("agent", "target", ""))))
            story.rest("POST", "/Conferences/room/Participants.json", *form, *random.choice(ENTERING))
        case 15 | 16 | 17:
            call_step(story, random, sid)
        case 12 | 14 | 19:
            method = random.choice(("POST", "POST", "POST", "DELETE"))
            coach = (("Coaching", "true"), ("CallSidToCoach", random.choice(members)[1]))
            story.rest(method, participant, *random.choice((*UPDATES, coach)))
        case 13:
            form = ("Status", "completed") if random.random() < 0.2 else ("AnnounceUrl", f"{APP}/announce")
            story.rest("POST", f"/Conferences/{random.choice(names)}.json", form)
        case _:
            story.passes(random.choice((0.1, 0.4, 3.0, 40.0)))


@pytest.mark.parametrize("seed", range(40))
def test_no_order_of_events_breaks_it(seed: int) -> None:
    random = Random(seed)
    story = ModelScenario(
        Behavior(
            old_action_on_redirect=random.random() < 0.5,
            early_media_counts_as_join=random.random() < 0.5,
            early_media_starts=random.random() < 0.5,
            ending_leave=random.choice(("first", "last")),
            busy_rings=random.random() < 0.5,
            second_recording=random.choice(("same", "another")),
            late_answer=random.choice(("hang-up", "new-conference")),
            calls_per_second=random.choice((0.0, 1.0)),
            orphaned_coach=random.choice(("heard", "unheard")),
            recording_processing_s=random.choice((0.0, 5.0)),
            recording_of_a_child=random.choice(("parents", "own", "refused")),
        )
    )
    for _ in range(150):
        one_step(story, random)
        check(story.model)


@pytest.mark.parametrize("seed", range(5))
def test_everything_ends_once_all_have_hung_up(seed: int) -> None:
    random = Random(seed)
    story = ModelScenario()
    for _ in range(100):
        one_step(story, random)

    for sid in list(story.model.state.calls):
        story.hangs_up(sid)
    story.passes(10.0)

    assert story.model.live_calls() == []
    assert all(conference.status == "completed" for conference in story.model.state.conferences.values())
    assert story.model.next_due_s() is None
