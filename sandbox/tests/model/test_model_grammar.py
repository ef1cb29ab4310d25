"""The grammar of TwiML: what is ignored, and what the debugger says of it."""

import inspect
from typing import Any

import pytest
from twilio.twiml.voice_response import VoiceResponse

from model_scenario import ModelScenario
from offhook.model.twiml_grammar import GRAMMAR

THEN = "<Say>Hello</Say>"


def elements(parent: Any) -> dict[str, Any]:
    """What Twilio's library can put into an element, each with all attributes, by name."""
    found = {}
    for name, method in inspect.getmembers(type(parent), inspect.isfunction):
        if name in vars(type(parent)) and not name.startswith("_"):
            named = [it for it in inspect.signature(method).parameters.values() if it.kind is it.POSITIONAL_OR_KEYWORD]
            child = method(parent, **{it.name: "en-US" for it in named[1:]})
            found[child.name] = child
    return found


def library(name: str, parent: Any, seen: dict[str, Any]) -> dict[str, Any]:
    for child_name, child in elements(parent).items():
        if child_name in GRAMMAR and child_name not in seen:
            seen[child_name] = child
            library(child_name, child, seen)
    return seen


LIBRARY = library("Response", VoiceResponse(), {"Response": VoiceResponse()})


@pytest.mark.parametrize("name", sorted(GRAMMAR))
def test_grammar_has_what_twilios_library_has(name: str) -> None:
    ours, theirs = GRAMMAR[name], LIBRARY[name]

    assert set(ours.children) == set(elements(theirs))
    if name not in {"Response", "Start", "Stop"}:  # the table has none for these two
        assert set(ours.attributes) == set(theirs.attrs)


@pytest.mark.parametrize(
    ("twiml", "code", "level", "said"),
    [
        ("<Dail>+14155550199</Dail>", 12200, "error", "Twilio has no <Dail>; it is ignored"),
        ("<say>Hi</say>", 12200, "error", "Twilio has no <say>, but Say: names are case-sensitive"),
        ("<Number>+14155550199</Number>", 12200, "error", "Twilio does not allow <Number> in <Response>"),
        ("<Gather><Dial/></Gather>", 13320, "error", "Gather: invalid nested element"),
        ("<Pause volume='3'/>", 12200, "warning", "Twilio has no volume of <Pause>"),
        ("<Pause Length='3'/>", 12200, "warning", "Twilio has no Length of <Pause>, but length"),
        ("<Pause length='long'/>", 13910, "warning", "Pause: invalid length value: Twilio takes a whole number"),
        ("<Pause>3</Pause>", 12200, "warning", "Twilio takes no text there in <Pause>"),
        ("<Gather>1<Say>Hi</Say>2</Gather>", 12200, "warning", "Twilio takes no text there in <Gather>"),
        ("<Say>Hi <blink>you</blink></Say>", 12200, "error", "Twilio has no <blink>"),
        ("<Connect/>", 12200, "warning", "Twilio needs an element in <Connect>"),
        ("<Echo/>", 0, "warning", "Twilio has <Echo> in <Response>; the sandbox does not model it"),
        ("<Connect><Stream url='wss://a.example'/></Connect>", 0, "warning", "Twilio has <Stream> in <Connect>"),
        ("<Dial><Sim>DE1</Sim></Dial>", 0, "warning", "Twilio has <Sim> in <Dial>"),
        ("<Gather bargeIn='false'/>", 0, "warning", 'Twilio has bargeIn="false" of <Gather>; the sandbox does not'),
        ("<Gather input='voice'/>", 13326, "warning", "Gather: invalid input value"),
        ("<Dial record='yes'>+14155550199</Dial>", 13217, "warning", "Dial: invalid record value"),
        ("<Dial><Number sendDigits='1W'>+14155550199</Number></Dial>", 13222, "warning", "Twilio takes keys and `w`"),
        ("<Dial referUrl='/refer'>+14155550199</Dial>", 0, "warning", "Twilio has referUrl of <Dial>"),
        ("<Start><Stream url='wss://a.example'/></Start>", 0, "warning", "the call goes on, as at Twilio"),
        ("<Stop><Stream name='a'/></Stop>", 0, "warning", "the call goes on, as at Twilio"),
        ("<Dial><Conference>a</Conference><Client>b</Client></Dial>", 13000, "warning", "Conference must stand alone"),
        (f"<Dial>{'<Client>a</Client>' * 11}</Dial>", 12200, "warning", "Twilio dials 10 nouns at once"),
    ],
)
def test_what_is_ignored_is_in_the_debugger(story: ModelScenario, twiml: str, code: int, level: str, said: str) -> None:
    sid = story.call_in(f"<Response>{twiml}{THEN}</Response>")

    (entry,) = story.errors
    assert (entry.code, entry.level, entry.call_sid) == (code, level, sid)
    assert said in entry.message
    assert story.status(sid) == "in-progress" or "Pause" in twiml  # which keeps the caller ringing


def test_value_that_twilio_does_not_take_counts_as_absent(story: ModelScenario) -> None:
    sid = story.call_in(f"<Response><Pause length='-3'/>{THEN}</Response>")
    story.passes(0.9)
    assert story.status(sid) == "ringing"
    story.passes(0.2)
    assert story.status(sid) == "in-progress"


@pytest.mark.parametrize(
    "twiml",
    [
        "<Say voice='Polly.Joanna' language='en-US'>Hi <break time='1s'/><emphasis>you</emphasis></Say>",
        "<Dial ringTone='us' record='do-not-record' sequential='false'><Client>a</Client></Dial>",
        "<Gather input='dtmf' finishOnKey='' bargeIn='true'><Say>Hi</Say><Pause/></Gather>",
        "<Gather method='get' actionOnEmptyResult='True'/>",
        "<Connect><ConversationRelay><Parameter name='a'/></ConversationRelay></Connect>",
        "<Say>Hi, <lang xml:lang='fr-FR'>Jean</lang></Say>",
        "<Record finishOnKey='12'/>",
        "<Dial><Sip username='ann' password='secret'>sip:a@b.example</Sip></Dial>",
        "<!-- a comment --><Pause/>",
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_has_no_effect_at_twilio_either_is_no_remark(twiml: str, strict: bool) -> None:
    story = ModelScenario(strict=strict)
    schema = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x"'
    story.call_in(f"<Response {schema}>{twiml}</Response>")
    assert story.errors == []


@pytest.mark.parametrize(
    ("twiml", "codes", "heard"),
    [
        ("<Nonsense/>", [12200], "We are sorry, an application error has occurred. Goodbye."),
        ("<Dial><Say>Hi</Say></Dial>", [13215], "We are sorry, an application error has occurred. Goodbye."),
        ("<Start><Nonsense/></Start>", [0, 14300], "We are sorry, an application error has occurred. Goodbye."),
        ("<Echo/>", [0], "Hello"),  # Twilio would run it
        ("<Say volume='3'>Hi</Say>", [12200], "Hi"),
        ("<Say xml:lang='fr-FR'>Hi</Say>", [12200], "Hi"),
        ("<Gather finishOnKey='12'><Say>Hi</Say></Gather>", [13310], "Hi"),
    ],
)
def test_strict_mode_fails_elements_and_ignores_attributes_as_twilio_does(
    twiml: str, codes: list[int], heard: str
) -> None:
    story = ModelScenario(strict=True)
    sid = story.call_in(f"<Response>{twiml}{THEN}</Response>")
    assert (story.error_codes(), story.said(sid)) == (codes[-1:], heard)


def test_strict_mode_covers_wait_documents() -> None:
    story = ModelScenario(strict=True)
    sid = story.member("waitUrl='/wait'")
    story.serve("/wait", "<Response><Nonsense/></Response>")
    assert ([entry.level for entry in story.errors], story.error_codes()) == (["error"], [12200])
    assert story.hears(sid) is not None
