"""Who heard whom, over time."""

from conferral.sandbox.model.audibility import Sound
from conferral.sandbox.model.inputs import PhoneAnswers, PhoneRings
from tests.sandbox.model_scenario import APP, ModelScenario, bridge_twiml, conference_twiml


def test_seconds_of_silence_are_reported_for_any_period(story: ModelScenario) -> None:
    began_s = story.now_s
    parent = story.call_in()
    story.passes(0.4)
    story.serve("/voice", bridge_twiml())
    child = story.rings[-1].call_sid
    story.happens(PhoneRings(child))
    story.happens(PhoneAnswers(child), 5.0)
    story.redirect(child, conference_twiml("waitUrl=''"))
    story.passes(0.5)
    story.serve("/action", conference_twiml("waitUrl=''"))
    story.passes(2.0)

    hearing = story.exchange.audibility
    assert round(hearing.silence_s(parent, began_s, story.now_s), 3) == 0.9
    assert round(hearing.longest_silence_s(parent, began_s, story.now_s), 3) == 0.5
    assert round(hearing.silence_s(child, began_s, story.now_s), 3) == 0.5
    assert round(hearing.seconds(parent, "ringback", began_s, story.now_s), 3) == 5.0
    assert round(hearing.silence_s(parent, began_s, began_s + 0.1), 3) == 0.1


def test_ringback_file_is_reported_as_ringback() -> None:
    assert str(Sound("music", content="http://127.0.0.1:8080/media/ringback.wav")) == "ringback"
    assert str(Sound("music", content="http://127.0.0.1:8080/ringback/music.wav")) == "music"
    assert str(Sound("music")) == "music"


def test_it_is_remembered_whether_one_ever_heard_the_other(story: ModelScenario) -> None:
    customer, agent = story.member(), story.member()
    consulted_s = story.now_s
    story.passes(1.0)
    story.update(customer, ("Hold", "true"))
    target = story.participant()
    story.answers(target)
    story.passes(1.0)

    hearing = story.exchange.audibility
    assert hearing.has_heard(customer, agent)
    assert not hearing.has_heard(customer, agent, since_s=consulted_s + 1.0)
    assert not hearing.has_heard(customer, target)
    assert hearing.has_heard(agent, target)


def test_sounds_heard_are_kept_after_the_call(story: ModelScenario) -> None:
    parent, child = story.bridged()
    bridged_s = story.now_s
    story.passes(2.0)
    story.hangs_up(parent)

    hearing = story.exchange.audibility
    last = hearing.intervals(parent)[-1]
    assert (last.since_s, last.until_s, last.sound.parties) == (bridged_s, story.now_s, {child})
    assert (hearing.current(parent), hearing.current(child)) == (None, None)


def test_leg_that_was_not_answered_heard_nothing(story: ModelScenario) -> None:
    story.call_in(bridge_twiml())

    assert story.exchange.audibility.intervals(story.rings[-1].call_sid) == ()


def test_sounds_due_in_one_step_are_heard_at_their_own_times(story: ModelScenario) -> None:
    began_s = story.now_s
    sid = story.call_in("<Response><Pause length='2'/><Play>tune.mp3</Play><Pause length='3'/></Response>")

    story.passes(60.0)

    spans = [(it.since_s - began_s, str(it.sound)) for it in story.exchange.audibility.intervals(sid)]
    assert spans == [(0.0, "silence"), (2.0, "music"), (7.0, "silence")]
    assert story.call(sid).ended_at_s == began_s + 10.0


def test_audio_and_speech_being_heard_are_reported(story: ModelScenario) -> None:
    caller = story.call_in("<Response><Say>Hello</Say><Play>/tune.mp3</Play><Hangup/></Response>")

    assert story.said(caller) == "Hello"
    story.passes(1.0)
    assert story.said(caller).endswith("/tune.mp3")

    held, _other = story.member(), story.member()
    path = story.participants(held)
    story.rest("POST", path, ("Hold", "true"), ("HoldUrl", f"{APP}/hold"))
    story.serve("/hold", "<Response><Play loop='0'>/ringback.wav</Play></Response>")
    assert story.hears(held) == "music"
    assert story.said(held).endswith("/ringback.wav")


def test_ringing_is_heard_beside_those_who_talk(story: ModelScenario) -> None:
    customer, agent = story.member(), story.member()

    target = story.participant()
    story.happens(PhoneRings(target))
    heard = story.exchange.audibility.current(agent)
    assert heard is not None
    assert (heard.parties, heard.ringing) == ({customer}, True)
    story.happens(PhoneAnswers(target))

    heard = story.exchange.audibility.current(agent)
    assert heard is not None
    assert (heard.parties, heard.ringing) == ({customer, target}, False)


def test_zero_length_sound_does_not_split_a_silence(story: ModelScenario) -> None:
    began_s = story.now_s
    caller = story.call_in()
    story.passes(1.0)
    story.serve("/voice", "<Response><Play>tune.mp3</Play></Response>")
    story.redirect(caller, "<Response><Pause length='2'/></Response>")
    story.passes(2.0)

    assert story.exchange.audibility.longest_silence_s(caller, began_s, story.now_s) == 3.0
