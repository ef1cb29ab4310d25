"""Whatever happens, in whatever order: the exchange never breaks, and its world stays consistent."""

from random import Random

import pytest
from exchange_story import APP, BUSINESS, Story, bridge_twiml, room_twiml

from sandbox.exchange import FINAL, Exchange, PhoneAnswers, PhoneBusy, PhoneHangsUp, PhoneRejects, PhoneRings, Rules
from sandbox.exchange.hearing import heard_by

DOCUMENTS = (
    bridge_twiml(),
    bridge_twiml("<Client url='/whisper'>alice</Client><Client>bob</Client>", "action='/action' timeLimit='9'"),
    room_twiml(),
    room_twiml("endConferenceOnExit='true'"),
    room_twiml(f"startConferenceOnEnter='false' waitUrl='{APP}/wait'"),
    room_twiml("participantLabel='agent' muted='true'", dial="hangupOnStar='true'"),
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
)
ENTERING = (
    (),
    (("EarlyMedia", "false"),),
    (("EndConferenceOnExit", "true"), ("Timeout", "10")),
    (("StartConferenceOnEnter", "false"), ("WaitUrl", f"{APP}/wait")),
)


def check(exchange: Exchange) -> None:
    state = exchange.state
    assert set(state.live) == {call.sid for call in state.calls.values() if call.status not in FINAL}
    for call in state.calls.values():
        if call.activity == "conference":
            assert state.conferences[call.conference_sid].participants[call.sid].is_in
        if call.activity == "bridged":
            parent = state.calls[call.parent_sid]
            assert parent.dial is not None
            assert parent.dial.winner_sid == call.sid
        if call.is_final:
            assert (call.dial, call.conference_sid, call.activity) == (None, "", "idle")
            assert exchange.hearing.now(call.sid) is None
        assert exchange.hearing.now(call.sid) == heard_by(state, call.sid)
    for room in state.conferences.values():
        assert (room.status == "completed") == (room.sid not in state.rooms.values())
        assert room.status != "completed" or not room.participants
        for sid in room.participants:
            assert state.calls[sid].conference_sid == room.sid
    for sid, name in state.timers:
        assert sid in state.live or sid in state.conferences or name == "old-action"


def one_step(story: Story, random: Random) -> None:
    calls = list(story.exchange.state.calls)
    sid = random.choice(calls) if calls else "CA0"
    rooms = list(story.exchange.state.conferences) or ["room"]
    members = [
        (room.sid, member) for room in story.exchange.state.conferences.values() for member in room.participants
    ] or [("room", sid)]
    room_sid, member_sid = random.choice(members)
    participant = f"/Conferences/{room_sid}/Participants/{member_sid}.json"
    match random.randrange(16):
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
        case 6:
            story.happens(random.choice((PhoneRings, PhoneBusy, PhoneRejects))(sid))
        case 7:
            story.happens(PhoneHangsUp(sid))
        case 8:
            story.presses(sid, random.choice("1*#"))
        case 9:
            story.redirect(sid, random.choice(DOCUMENTS))
        case 10:
            story.rest("POST", f"/Calls/{sid}.json", ("Status", random.choice(("completed", "canceled"))))
        case 11:
            form = (("To", "client:carol"), ("From", BUSINESS), ("Label", random.choice(("agent", "target", ""))))
            story.rest("POST", "/Conferences/room/Participants.json", *form, *random.choice(ENTERING))
        case 15:
            gate = (("Url", f"{APP}/gate"), ("SendDigits", random.choice(("", "w1", "1"))), ("Timeout", "20"))
            story.rest("POST", "/Calls.json", ("To", "client:dan"), ("From", BUSINESS), *gate)
        case 12 | 14:
            method = random.choice(("POST", "POST", "DELETE"))
            story.rest(method, participant, *random.choice(UPDATES))
        case 13 if random.random() < 0.2:
            story.rest("POST", f"/Conferences/{random.choice(rooms)}.json", ("Status", "completed"))
        case _:
            story.passes(random.choice((0.1, 0.4, 3.0, 40.0)))


@pytest.mark.parametrize("seed", range(40))
def test_no_order_of_events_breaks_it(seed: int) -> None:
    random = Random(seed)
    story = Story(
        Rules(
            old_action_on_redirect=random.random() < 0.5,
            old_action_on_conference_redirect=random.random() < 0.5,
            early_media_counts_as_join=random.random() < 0.5,
            late_answer=random.choice(("hang-up", "new-room")),
            calls_per_second=random.choice((0.0, 1.0)),
        )
    )
    for _ in range(150):
        one_step(story, random)
        check(story.exchange)


@pytest.mark.parametrize("seed", range(5))
def test_everything_ends_once_all_have_hung_up(seed: int) -> None:
    random = Random(seed)
    story = Story()
    for _ in range(100):
        one_step(story, random)

    for sid in list(story.exchange.state.calls):
        story.hangs_up(sid)
    story.passes(10.0)

    assert story.exchange.live_calls() == []
    assert all(room.status == "completed" for room in story.exchange.state.conferences.values())
    assert story.exchange.next_due_s() is None
