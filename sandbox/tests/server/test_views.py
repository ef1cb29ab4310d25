"""The page's messages, in words: what a phone does by itself, what is heard, and the REST requests."""

import pytest

from offhook import PhoneScript, Sandbox, views
from offhook.model.state import Sound
from offhook.request_log import DeliveryEntry, RestEntry


@pytest.mark.parametrize(
    "script, words, acts",
    [
        (PhoneScript(), "rings until you answer", False),
        (PhoneScript(outcome="no-answer"), "rings until you answer", False),
        (PhoneScript(keys=("1",), speaks=("", "Hi")), "rings until you answer, presses 1, says “Hi”", False),
        (PhoneScript(answer_after_s=1.5), "answers after 1.5 s", True),
        (PhoneScript(outcome="answer"), "answers after 0 s", True),
        (PhoneScript(outcome="busy"), "is busy", True),
        (PhoneScript(outcome="reject", answer_after_s=1), "declines", True),
        (PhoneScript(outcome="fail"), "is unreachable", True),
        (
            PhoneScript(answer_after_s=1, keys=("", "1"), digits="9", hang_up_after_s=30),
            "answers after 1 s, presses 9, 1, hangs up 30 s later",
            True,
        ),
    ],
)
def test_a_phone_says_what_it_does_by_itself(script: PhoneScript, words: str, acts: bool) -> None:
    assert (str(script), script.has_actions) == (words, acts)


@pytest.mark.parametrize(
    "heard, kind, words, sentence",
    [
        (Sound("silence"), "silence", "nothing: silence", "ann hears silence"),
        (Sound("ringback"), "ringing", "ringing tone", "ann hears a phone ringing"),
        (
            Sound("music", content="http://a/ringback.wav?x=1"),
            "ringing",
            "ringing tone",
            "ann hears a phone ringing",
        ),
        (Sound("music"), "music", "♪ music ♪", "ann hears music"),
        (Sound("music", content="http://a/b/hold.wav"), "music", "♪ music ♪ (hold.wav)", "ann hears music"),
        (Sound("speech", content="Hello."), "speech", "a voice says: “Hello.”", "ann hears “Hello.”"),
        (Sound("digits", content="1w2#"), "speech", "you get the digits 1 w 2 #", "ann hears the digits 1 w 2 #"),
        (Sound("parties", frozenset({"CA1"})), "voice", "you hear bob", "ann hears bob"),
        (
            Sound("parties", frozenset({"CA1"}), ringing=True),
            "voice",
            "you hear bob and a phone ringing",
            "ann hears bob and a phone ringing",
        ),
    ],
)
def test_sounds_are_described_for_listener_and_observer(heard: Sound, kind: str, words: str, sentence: str) -> None:
    names = ["bob"] if heard.parties else []
    assert views.sound_bubble(heard, names) == (kind, words)
    assert f"ann hears {views.heard_words(heard, names)}" == sentence


async def test_rest_request_is_shown_with_the_party_of_its_call() -> None:
    sandbox = Sandbox(seed="views")
    sandbox.add_number("+15550100")
    call_sid = (await sandbox.call_in("client:ann", "+15550100")).sid
    params = (("Hold", "true"),)
    entry = RestEntry(0.0, "POST", f"/Conferences/CF1/Participants/{call_sid}.json", params, 400, 20001, fault="429")

    shown = views.rest_view(sandbox, 3, entry)

    assert (shown["who"], shown["number"], shown["at"]) == ("ann", 3, "1970-01-01T00:00:00.000Z")
    assert (shown["status"], shown["code"], shown["fault"], shown["params"]) == (400, 20001, "429", params)
    assert views.rest_view(sandbox, 0, RestEntry(0.0, "GET", f"/Calls/CA{'0' * 32}.json", ()))["who"] == ""
    await sandbox.close()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("<Response><Say>a</Say></Response>", "<Response>\n  <Say>a</Say>\n</Response>"),
        ("<Response><Say>", "<Response><Say>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("busy", "busy"),
    ],
)
def test_an_answer_is_shown_line_by_line_where_it_can_be_read(answer: str, shown: str) -> None:
    entry = DeliveryEntry(0.0, "voice", "program", "http://a/b", "POST", (), "CA1", answer=answer)

    assert views.delivery_view(Sandbox(), 0, entry)["answer"] == shown
