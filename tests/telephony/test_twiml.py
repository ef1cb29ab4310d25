import xml.etree.ElementTree as ET
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from conferral.runtime.limits import CONFIRM_TIME_MIN_S, LANGUAGES
from conferral.runtime.setting_values import BASE_URL_MAX
from conferral.statemachine.parts import ConferenceAttributes, DialOptions
from conferral.statemachine.states import WaitAudio
from conferral.telephony.addresses import parse_address
from conferral.telephony.callback_urls import (
    CallbackUrls,
    CallCallback,
    DialAction,
    DialKind,
    Gate,
    Wait,
    parse_session_id,
)
from conferral.telephony.phrases import Phrase, recall_phrase, sentence_in
from conferral.telephony.twiml import GATE_QUESTIONS, TwimlBuilder
from tests.support.each import each

SESSION = "CA" + "1" * 32
#: Longest TwiML that a REST update accepts. Source: Twilio docs, Call resource, `Twiml`.
INLINE_LENGTH_MAX = 4000
URLS = CallbackUrls("https://example.com")
DOCUMENTS = TwimlBuilder(URLS, language="en-US", voice=None)
GATE = Gate(SESSION, "d1")
SET_UP = ConferenceAttributes(
    record="true", beep="onEnter", jitter_buffer_size="small", region="ie1", trim="do-not-trim",
    wait_url="https://example.com/a.wav", greeting="Hello", max_participants=12, time_limit_s=3600,
    hangup_on_star=True, after_url="https://example.com/survey",
)  # fmt: skip


def bridge(*, agent="+14155550123", caller="+14155550199", agent_number=0, params=""):
    return ET.fromstring(
        DOCUMENTS.bridge_to_agent(
            SESSION, parse_address(agent), caller=caller, own_number="+14155550100", ring_timeout_s=30,
            agent_number=agent_number, options=DialOptions(params=params),
        )
    )  # fmt: skip


def join(party="customer", *, label="customer-1", conference="CF1", documents=DOCUMENTS, **more):
    """The `<Dial>` of a join, and the `<Conference>` in it."""
    dial = ET.fromstring(documents.join_conference(SESSION, party, label=label, conference=conference, **more)).find(
        "Dial"
    )
    return dial, dial.find("Conference")


def query_of(url):
    return urlsplit(url).query


def test_the_caller_hears_real_ringing_and_can_be_moved_later():
    dial = bridge().find("Dial")

    assert dial.attrib | {"action": ""} == {
        "action": "", "method": "POST", "answerOnBridge": "true", "timeout": "30", "callerId": "+14155550199",
    }  # fmt: skip
    assert DialAction.parse(query_of(dial.get("action"))) == DialAction(SESSION, "customer", DialKind.BRIDGE)


NOUNS = [
    ("+14155550123", "Number", "+14155550123"),
    ("client:alice", "Client", "alice"),
    ("sip:bob@example.com", "Sip", "sip:bob@example.com"),
]


@pytest.mark.parametrize(("agent", "tag", "text"), NOUNS)
def test_each_kind_of_agent_has_its_noun_and_reports_its_progress(agent, tag, text):
    (noun,) = bridge(agent=agent).find("Dial")

    assert (noun.tag, noun.text) == (tag, text)
    assert noun.get("statusCallbackEvent") == "initiated ringing answered completed"
    assert noun.get("statusCallbackMethod") == "POST"
    assert CallCallback.parse(query_of(noun.get("statusCallback"))).party == "agent"


@pytest.mark.parametrize(("agent", "params", "shown"), [
    ("client:alice", "name=Ada&id=", [("Identity", "alice"), ("Parameter", "name", "Ada"), ("Parameter", "id", "")]),
    ("sip:bob@example.com", "name=Ada&id=", "sip:bob@example.com?X-name=Ada&X-id="),
])  # fmt: skip
def test_data_for_the_agent_is_parameters_of_a_client_and_headers_of_a_sip_phone(agent, params, shown):
    (noun,) = bridge(agent=agent, params=params).find("Dial")

    inside = [(one.tag, one.text) if one.text else (one.tag, *one.attrib.values()) for one in noun]
    assert (inside or noun.text) == shown


def test_leg_joins_silently_and_does_not_end_the_conference_on_exit():
    dial, conference = join("agent", label="agent-1", attempt=2)

    assert DialAction.parse(query_of(dial.get("action"))) == DialAction(SESSION, "agent", DialKind.CONFERENCE, 2)
    assert (len(dial), conference.text) == (1, "CF1")
    for name in (SESSION, "order-7"):
        action = DialAction.parse(query_of(join(conference_name=name)[0].get("action")))
        assert action.conference_name == ("" if name == SESSION else name)
    assert conference.attrib | {"statusCallback": ""} == {
        "participantLabel": "agent-1", "beep": "false", "startConferenceOnEnter": "true",
        "endConferenceOnExit": "false", "waitUrl": "", "statusCallback": "", "statusCallbackMethod": "POST",
        "statusCallbackEvent": "start end join leave mute hold modify announcement",
    }  # fmt: skip
    assert parse_session_id(query_of(conference.get("statusCallback"))) == SESSION


@pytest.mark.parametrize(
    ("party", "more", "starts", "wait"),
    [
        pytest.param("customer", {"wait_audio": "ringback"}, "false", (WaitAudio.RINGBACK, False), id="ringback"),
        pytest.param("customer", {"wait_audio": "music"}, "false", (WaitAudio.MUSIC, False), id="music"),
        pytest.param("customer", {"wait_audio": "jazz"}, "false", (WaitAudio.MUSIC, False), id="of-a-newer-version"),
        pytest.param(
            "customer", {"wait_audio": "music", "with_greeting": True}, "false", (WaitAudio.MUSIC, True), id="greeting"
        ),
        pytest.param(
            "agent",
            {"wait_audio": "ringback", "start_on_enter": True},
            "true",
            (WaitAudio.RINGBACK, False),
            id="browser-caller",
        ),
    ],
)
def test_waiting_party_hears_audio_and_only_a_browser_caller_starts_the_conference(party, more, starts, wait):
    _, conference = join(party, label=f"{party}-1", conference=SESSION, **more)

    assert (conference.get("startConferenceOnEnter"), conference.get("waitMethod")) == (starts, "POST")
    assert Wait.parse(query_of(conference.get("waitUrl"))) == Wait(SESSION, party, *wait)


def test_supervisor_joins_muted_and_never_starts_the_conference():
    _, conference = join("supervisor", supervises=True, start_on_enter=True)

    assert (conference.get("muted"), conference.get("startConferenceOnEnter")) == ("true", "false")


@pytest.mark.parametrize("default_music, wait_url", [(True, None), (False, "")])
def test_without_wait_audio_there_is_silence_or_twilios_own_music(default_music, wait_url):
    _, conference = join(start_on_enter=False, default_music=default_music)

    assert (conference.get("startConferenceOnEnter"), conference.get("waitUrl")) == ("false", wait_url)
    assert conference.get("waitMethod") is None


def test_conference_is_set_up_as_the_directory_says():
    dial, conference = join(attributes=SET_UP)
    plain = join()[1].attrib

    assert conference.attrib == plain | {
        "beep": "onEnter", "jitterBufferSize": "small", "region": "ie1", "trim": "do-not-trim",
        "maxParticipants": "12", "record": "record-from-start",
        "recordingStatusCallback": URLS.recording(SESSION),
        "recordingStatusCallbackEvent": "in-progress completed absent", "recordingStatusCallbackMethod": "POST",
    }  # fmt: skip
    assert parse_session_id(query_of(conference.get("recordingStatusCallback"))) == SESSION
    assert (dial.get("timeLimit"), dial.get("hangupOnStar")) == ("3600", "true")


def test_configuration_decides_how_a_conference_is_recorded():
    _, conference = join(attributes=replace(SET_UP, recording_configuration="with-transcript"))
    assert (conference.get("record"), conference.get("recordingConfigurationId")) == (
        "record-from-start",
        "with-transcript",
    )
    assert conference.get("trim") is None


@pytest.mark.parametrize("party", ["agent", "target", "supervisor", "target-2"])
def test_only_the_customers_time_is_bounded(party):
    dial, conference = join(party, label="x-1", attributes=SET_UP)

    assert set(dial.attrib) == {"action", "method"}
    assert conference.get("region") == "ie1"


def test_every_join_of_a_session_names_the_same_callbacks():
    joins = [
        join("target", label="target-3"),
        join("customer", conference=SESSION, wait_audio="music"),
        join("agent", label="agent-1", conference=SESSION),
        join("customer", attempt=2),
    ]

    named = {
        tuple((name, value) for name, value in conference.items() if name.startswith("statusCallback"))
        for _, conference in joins
    }
    assert len(named) == 1


def test_the_longest_join_fits_into_a_rest_update():
    urls = CallbackUrls("https://" + "a" * (BASE_URL_MAX - len("https://")))
    longest, conference = "x" * 64, "x" * 128

    joined = TwimlBuilder(urls, language="en-US", voice=None).join_conference(
        longest, longest, label=longest, conference=conference, conference_name=conference, attempt=9,
        wait_audio="ringback", attributes=SET_UP,
    )  # fmt: skip

    assert len(joined) <= INLINE_LENGTH_MAX


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentence_before_an_end_fits_into_a_rest_update(language):
    documents = TwimlBuilder(URLS, language=language, voice="Polly.Vicki")

    assert len(documents.say_and_hang_up(Phrase.NOT_CONNECTED)) <= INLINE_LENGTH_MAX


def test_a_sentence_is_said_in_the_settings_language_and_voice_before_the_end():
    documents = TwimlBuilder(URLS, language="de-DE", voice="Polly.Vicki")

    say, hangup = ET.fromstring(documents.say_and_hang_up(Phrase.BUSY))

    assert say.attrib == {"language": "de-DE", "voice": "Polly.Vicki"}
    assert say.text == sentence_in(Phrase.BUSY, "de-DE")
    assert hangup.tag == "Hangup"


@pytest.mark.parametrize(("customer", "tag", "text"), NOUNS)
def test_the_agent_of_a_call_is_bridged_to_the_customer(customer, tag, text):
    (dial,) = ET.fromstring(
        DOCUMENTS.bridge_to_customer(
            SESSION, parse_address(customer), own_number="+14155550100", ring_timeout_s=25
        )
    )  # fmt: skip

    assert dial.attrib | {"action": ""} == {
        "action": "", "method": "POST", "timeout": "25", "callerId": "+14155550100",
    }  # fmt: skip
    assert DialAction.parse(query_of(dial.get("action"))) == DialAction(SESSION, "agent", DialKind.BRIDGE)
    (noun,) = dial
    assert (noun.tag, noun.text) == (tag, text)
    assert noun.get("statusCallbackEvent") == "initiated ringing answered completed"
    assert CallCallback.parse(query_of(noun.get("statusCallback"))) == CallCallback(SESSION, "customer")


@pytest.mark.parametrize(
    ("brief", "rung_again_because", "said"),
    [
        ("", "", []),
        ("About an invoice", "", ["About an invoice"]),
        ("", "busy", [sentence_in(Phrase.RECALL_BUSY, "en")]),
        ("About an invoice", "busy", [sentence_in(Phrase.RECALL_BUSY, "en"), "About an invoice"]),
    ],
)
def test_the_gate_says_what_it_is_about_before_the_join_or_the_question(brief, rung_again_because, said):
    words = {"brief": brief, "rung_again_because": rung_again_because}
    join = ET.fromstring(DOCUMENTS.join_conference(SESSION, "agent", label="agent-3", conference="CF1", **words))
    (gather,) = ET.fromstring(DOCUMENTS.ask_for_key(GATE, 20, **words))
    alone = ET.fromstring(DOCUMENTS.gate_brief(GATE, **words))

    assert [verb.tag for verb in alone] == ["Say"] * len(said) + ["Redirect"]
    assert [say.text for say in alone.findall("Say")] == said
    assert [verb.tag for verb in join] == ["Say"] * len(said) + ["Dial"]
    assert [say.text for say in join.findall("Say")] == said
    assert [say.text for say in gather] == [*said, sentence_in(Phrase.PRESS_ONE, "en")]


def test_gate_takes_one_key_and_is_also_notified_of_none():
    (gather,) = ET.fromstring(DOCUMENTS.ask_for_key(GATE, 20))

    assert gather.attrib | {"action": ""} == {
        "action": "", "method": "POST", "numDigits": "1", "timeout": "4", "finishOnKey": "",
        "actionOnEmptyResult": "true",
    }  # fmt: skip


@each("language, confirm_for_s, pauses_s", [
    ("en", 9, [1, 1, 1]), ("en", 12, [2, 2, 2]), ("en", 20, [4, 5, 5]), ("en", 60, [18, 18, 18]),
    ("de", 20, [4, 5, 5]), ("de", 9, [1, 1, 1]), ("es", 12, [2, 2, 3]), ("fr", 9, [1, 1, 2]),
])  # fmt: skip
def test_three_questions_fill_the_time_to_confirm(language, confirm_for_s, pauses_s):
    assert pauses_of(language, confirm_for_s) == pauses_s


@each("language", LANGUAGES)
def test_even_the_shortest_time_leaves_a_second_for_the_key_after_each_question(language):
    said_s = GATE_QUESTIONS * len(sentence_in(Phrase.PRESS_ONE, language)) * 0.07
    pauses_s = pauses_of(language, CONFIRM_TIME_MIN_S)
    assert min(pauses_s) >= 1
    assert said_s + sum(pauses_s) <= CONFIRM_TIME_MIN_S


def pauses_of(language, confirm_for_s):
    documents = TwimlBuilder(CallbackUrls("https://calls.example.com"), language=language, voice=None)
    gate, found = GATE, []
    for _ in range(GATE_QUESTIONS):
        (gather,) = ET.fromstring(documents.ask_for_key(gate, confirm_for_s))
        found.append(int(gather.attrib["timeout"]))
        gate = gate.next_question()
    return found


def test_words_that_no_document_could_hold_do_not_break_it():
    (gather,) = ET.fromstring(DOCUMENTS.ask_for_key(GATE, 20, brief="Smith & <Sons>\x00\x0b\ud800"))

    assert gather[0].text == "Smith & <Sons>   "


def test_digits_are_played_by_a_verb_without_a_file():
    (play,) = ET.fromstring(DOCUMENTS.announcement("", "1ww4711#"))
    assert (play.tag, play.attrib, play.text) == ("Play", {"digits": "1ww4711#"}, None)


def test_an_announcement_is_said_and_nothing_else_and_one_of_nothing_is_a_moment_of_silence():
    (say,) = ET.fromstring(DOCUMENTS.announcement("We close at 6 & <soon>\x0b"))
    (pause,) = ET.fromstring(DOCUMENTS.announcement(""))

    assert (say.tag, say.text, say.get("language")) == ("Say", "We close at 6 & <soon> ", "en-US")
    assert (pause.tag, pause.attrib) == ("Pause", {"length": "1"})


@each("language", [*LANGUAGES, "en-US", "en-GB", "de-DE", "es-MX"])
@each("phrase", Phrase)
def test_there_are_words_for_everything_in_every_language(phrase, language):
    assert sentence_in(phrase, language)


@each("reason, phrase", [
        ("busy", Phrase.RECALL_BUSY),
        ("no-answer", Phrase.RECALL_NO_ANSWER),
        ("rejected", Phrase.RECALL_REJECTED),
        ("no-confirmation", Phrase.RECALL_NO_CONFIRMATION),
        ("park-timeout", Phrase.RECALL_PARKED),
        ("failed", Phrase.RECALL_FAILED),
        ("a-word-of-a-later-day", Phrase.RECALL_FAILED),
])  # fmt: skip
def test_an_agent_who_is_rung_again_hears_what_failed(reason, phrase):
    assert recall_phrase(reason) is phrase
