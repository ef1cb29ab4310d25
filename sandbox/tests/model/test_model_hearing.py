"""Who heard whom, over time."""

from model_scenario import ModelScenario, bridge_twiml, conference_twiml
from offhook.model.messages import PhoneAnswers, PhoneRings
from offhook.model.state import Sound


def test_silence_and_ringing_last_as_long_as_with_twilio(story: ModelScenario) -> None:
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

    def seconds(sid: str, kind: str) -> float:
        heard = [it for it in story.model.audibility.intervals(sid) if it.sound.kind == kind]
        return round(sum((it.until_s or story.now_s) - max(it.since_s, began_s) for it in heard), 3)

    assert (seconds(parent, "silence"), seconds(child, "silence"), seconds(parent, "ringback")) == (0.9, 0.5, 5.0)


def test_ringback_file_is_reported_as_ringback() -> None:
    assert str(Sound("music", content="http://127.0.0.1:8080/media/ringback.wav")) == "ringback"
    assert str(Sound("music", content="http://127.0.0.1:8080/ringback/music.wav")) == "music"
    assert str(Sound("music")) == "music"


def test_sounds_due_in_one_step_are_heard_at_their_own_times(story: ModelScenario) -> None:
    began_s = story.now_s
    sid = story.call_in("<Response><Pause length='2'/><Play>tune.mp3</Play><Pause length='3'/></Response>")

    story.passes(60.0)

    spans = [(it.since_s - began_s, str(it.sound)) for it in story.model.audibility.intervals(sid)]
    assert spans == [(0.0, "silence"), (2.0, "music"), (7.0, "silence")]
    assert story.call(sid).ended_at_s == began_s + 10.0
