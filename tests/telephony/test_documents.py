import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

import pytest

from telephony.addresses import parse_address
from telephony.documents import INLINE_LENGTH_MAX, Documents
from telephony.phrases import Phrase, words
from telephony.urls import CallbackUrls, DialAction, DialKind, parse_call, parse_conference, parse_dial_action

SESSION = "CA" + "1" * 32
URLS = CallbackUrls("https://example.com")
DOCUMENTS = Documents(URLS, language="en-US", voice=None)


def bridge(*, agent="+14155550123", caller="+14155550199"):
    return ET.fromstring(
        DOCUMENTS.bridge_to_agent(
            SESSION, parse_address(agent), caller=caller, own_number="+14155550100", ring_timeout_s=30
        )
    )


def query_of(url):
    return urlsplit(url).query


def test_the_caller_hears_real_ringing_and_can_be_moved_later():
    dial = bridge().find("Dial")

    assert dial.attrib | {"action": ""} == {
        "action": "", "method": "POST", "answerOnBridge": "true", "timeout": "30", "callerId": "+14155550199",
    }  # fmt: skip
    assert parse_dial_action(query_of(dial.get("action"))) == DialAction(SESSION, "customer", DialKind.BRIDGE)


@pytest.mark.parametrize(
    ("agent", "tag", "text"),
    [
        ("+14155550123", "Number", "+14155550123"),
        ("client:alice", "Client", "alice"),
        ("sip:bob@example.com", "Sip", "sip:bob@example.com"),
    ],
)
def test_each_kind_of_agent_has_its_noun_and_reports_its_progress(agent, tag, text):
    (noun,) = bridge(agent=agent).find("Dial")

    assert (noun.tag, noun.text) == (tag, text)
    assert noun.get("statusCallbackEvent") == "initiated ringing answered completed"
    assert noun.get("statusCallbackMethod") == "POST"
    assert parse_call(query_of(noun.get("statusCallback"))).party == "agent"


@pytest.mark.parametrize("caller", ["client:alice", "anonymous", "", "+266696687", "sip:bob@example.com"])
def test_a_caller_without_a_number_is_shown_as_our_own_number(caller):
    assert bridge(caller=caller).find("Dial").get("callerId") == "+14155550100"


def test_a_leg_joins_the_room_silently_and_its_leaving_ends_nothing():
    document = ET.fromstring(DOCUMENTS.join_conference(SESSION, "agent", label="agent-1", room="CF1", attempt=2))

    dial = document.find("Dial")
    (conference,) = dial
    assert parse_dial_action(query_of(dial.get("action"))) == DialAction(SESSION, "agent", DialKind.CONFERENCE, 2)
    assert conference.text == "CF1"
    assert conference.attrib | {"statusCallback": ""} == {
        "participantLabel": "agent-1", "beep": "false", "startConferenceOnEnter": "true",
        "endConferenceOnExit": "false", "waitUrl": "", "statusCallback": "", "statusCallbackMethod": "POST",
        "statusCallbackEvent": "start end join leave mute hold modify announcement",
    }  # fmt: skip
    assert parse_conference(query_of(conference.get("statusCallback"))).session_id == SESSION


def test_every_join_of_a_session_names_the_same_callbacks():
    joins = [
        DOCUMENTS.join_conference(SESSION, "agent", label="agent-1", room=SESSION),
        DOCUMENTS.join_conference(SESSION, "customer", label="customer-1", room="CF1", attempt=2),
    ]

    named = {
        tuple((name, value) for name, value in conference.items() if name.startswith("statusCallback"))
        for conference in (ET.fromstring(join).find("Dial/Conference") for join in joins)
    }
    assert len(named) == 1


def test_the_longest_join_fits_into_a_rest_update():
    documents = Documents(CallbackUrls("https://" + "a" * 1000), language="en-US", voice=None)

    join = documents.join_conference("s" * 64, "p" * 64, label="l" * 64, room="r" * 64, attempt=9)

    assert len(join) <= INLINE_LENGTH_MAX


def test_ampersands_of_urls_are_escaped():
    assert "&amp;party=customer&amp;dial=conference" in DOCUMENTS.join_conference(
        SESSION, "customer", label="customer-1", room=SESSION
    )


def test_a_sentence_is_said_in_the_settings_language_and_voice_before_the_end():
    documents = Documents(URLS, language="de-DE", voice="Polly.Vicki")

    say, hangup = ET.fromstring(documents.say_and_hang_up(Phrase.BUSY))

    assert say.attrib == {"language": "de-DE", "voice": "Polly.Vicki"}
    assert say.text == words(Phrase.BUSY, "de-DE")
    assert hangup.tag == "Hangup"


def test_without_a_voice_twilio_chooses_its_own():
    assert "voice" not in ET.fromstring(DOCUMENTS.say_and_hang_up(Phrase.BUSY)).find("Say").attrib


def test_waiting_is_a_pause_and_the_same_question_again():
    action = DialAction(SESSION, "customer", DialKind.BRIDGE).asked_again("completed")

    pause, redirect = ET.fromstring(DOCUMENTS.ask_again(action))

    assert pause.attrib == {"length": "1"}
    assert redirect.get("method") == "POST"
    assert parse_dial_action(query_of(redirect.text)) == action


def test_hanging_up_says_nothing():
    assert [verb.tag for verb in ET.fromstring(DOCUMENTS.hang_up())] == ["Hangup"]


@pytest.mark.parametrize("language", ["en-US", "en-GB", "de-DE", "es-MX", "fr", "it-IT"])
@pytest.mark.parametrize("phrase", Phrase)
def test_there_are_words_for_everything_in_every_language(phrase, language):
    assert words(phrase, language)


def test_a_language_without_words_hears_english():
    assert words(Phrase.BUSY, "it-IT") == words(Phrase.BUSY, "en-US")
