"""The TwiML grammar: Twilio's elements, and what the sandbox models.

The parser follows this table; `make docs` shows it in docs/fidelity.md; a test compares it with Twilio's own library.
Source: Twilio docs: TwiML for Programmable Voice; Error and Warning Dictionary (the codes).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA_WARNING = 12200  #: Where Twilio has no code of its own.


class Support(StrEnum):
    """What the sandbox does with an element, or an attribute, of Twilio's."""

    MODELED = "modeled"
    NO_EFFECT = "no effect"  #: Only on sound, or on the bot that a script replaces.
    LOGGED = "logged"  #: The call goes on, at Twilio, too.
    MISSING = "missing"  #: Ignored, and reported in the debugger.


@dataclass(frozen=True, slots=True)
class Values:
    """What an attribute may be."""

    shown: str
    pattern: str = ".*"

    def has(self, text: str) -> bool:
        """Whether the value is one of them."""
        return re.fullmatch(self.pattern, text, re.DOTALL) is not None


TEXT, URL = Values("text"), Values("a URL")
METHOD = Values("`GET` or `POST`", "(?i:GET|POST)")
FLAG = Values("`true` or `false`", "(?i:true|false)")
WHOLE = Values("a whole number", r"\d{1,9}")
KEYS = Values("keys: `0` to `9`, `*`, `#`", r"[0-9*#]*")


def _one_of(*words: str) -> Values:
    return Values(f"one of {', '.join(f'`{word}`' for word in words)}", "|".join(words))


def _some_of(*words: str) -> Values:
    one = f"({'|'.join(words)})"
    return Values(f"words: {', '.join(f'`{word}`' for word in words)}", rf"\s*({one}(\s+{one})*)?\s*")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's values, Twilio's code for any other, and its support."""

    values: Values
    code: int = SCHEMA_WARNING
    support: Support = Support.MODELED
    only: str = ""  #: The one value that is modeled; others are missing.

    def support_of(self, value: str) -> Support:
        """Return the support of this value."""
        return Support.MODELED if self.only and value.strip() == self.only else self.support


@dataclass(frozen=True, slots=True)
class Element:
    """An element's attributes and children, and whether it takes text."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    children: Mapping[str, Support] = field(default_factory=dict)
    child_code: int = SCHEMA_WARNING  #: Twilio's code for any other child.
    takes_text: bool = False
    note: str = ""  #: For the page.


def _no_effect(values: Values, code: int = SCHEMA_WARNING) -> Attribute:
    return Attribute(values, code, Support.NO_EFFECT)


def _missing(values: Values, code: int = SCHEMA_WARNING, only: str = "") -> Attribute:
    return Attribute(values, code, Support.MISSING, only)


def _all(support: Support, names: str) -> dict[str, Support]:
    return dict.fromkeys(names.split(), support)


def _texts(support: Support, names: str) -> dict[str, Attribute]:
    return {name: Attribute(TEXT, support=support) for name in names.split()}


_CALL_EVENTS = _some_of("initiated", "ringing", "answered", "completed")
_CONFERENCE_EVENTS = _some_of("start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement")
_RECORDING_EVENTS = _some_of("in-progress", "completed", "absent", "failed")
_TRIM = _one_of("trim-silence", "do-not-trim")
_MACHINE_DETECTION = {
    "machineDetection": Attribute(_one_of("Enable", "DetectMessageEnd")),
    "machineDetectionTimeout": Attribute(WHOLE),
    "machineDetectionSpeechThreshold": _no_effect(WHOLE),
    "machineDetectionSpeechEndThreshold": _no_effect(WHOLE),
    "machineDetectionSilenceTimeout": Attribute(WHOLE),
    "amdStatusCallback": Attribute(URL),
    "amdStatusCallbackMethod": Attribute(METHOD),
}
_NAMED_VALUE = {"name": Attribute(TEXT), "value": Attribute(TEXT)}


def _noun(method_code: int = SCHEMA_WARNING) -> dict[str, Attribute]:
    """Return the attributes of all nouns that dial."""
    return {
        "url": Attribute(URL),
        "method": Attribute(METHOD, method_code),
        "statusCallback": Attribute(URL),
        "statusCallbackEvent": Attribute(_CALL_EVENTS),
        "statusCallbackMethod": Attribute(METHOD),
    }


GRAMMAR: dict[str, Element] = {
    "Response": Element(
        {"version": Attribute(TEXT, support=Support.NO_EFFECT)},
        _all(
            Support.MODELED,
            "Connect Dial Enqueue Gather Hangup Leave Pause Pay Play Record Redirect Reject Say Sms Start",
        )
        | _all(Support.LOGGED, "Stop")
        | _all(Support.MISSING, "Echo Prompt Queue Refer"),
    ),
    "Dial": Element(
        {
            "action": Attribute(URL),
            "method": Attribute(METHOD, 13210),
            "timeout": Attribute(WHOLE, 13212),
            "hangupOnStar": Attribute(FLAG, 13213),
            "callerId": Attribute(TEXT, 13214),
            "timeLimit": Attribute(WHOLE, 13216),
            "answerOnBridge": Attribute(FLAG, 13219),
            "ringTone": _no_effect(TEXT, 13220),
            "sequential": Attribute(FLAG, 13218),
            "record": Attribute(
                _one_of(
                    "do-not-record",
                    "record-from-answer",
                    "record-from-ringing",
                    "record-from-answer-dual",
                    "record-from-ringing-dual",
                    "true",
                    "false",
                ),
                13217,
            ),
            "trim": Attribute(_TRIM),
            "recordingTrack": Attribute(_one_of("both", "inbound", "outbound"), 13622),
            "recordingStatusCallback": Attribute(URL, 13256),
            "recordingStatusCallbackMethod": Attribute(METHOD),
            "recordingStatusCallbackEvent": Attribute(_RECORDING_EVENTS, 13621),
            "referMethod": _missing(METHOD),
            **_texts(Support.MISSING, "recordingConfigurationId referUrl events passports"),
        },
        _all(Support.MODELED, "Number Client Sip Conference Queue") | _all(Support.MISSING, "Sim WhatsApp Application"),
        13215,
        takes_text=True,
        note="nouns ring together, or in turn, and the first to answer is bridged; a number may stand alone",
    ),
    "Number": Element(
        _noun(13221)
        | {"sendDigits": Attribute(Values("keys and `w`", "[0-9A-D*#w]*"), 13222), "byoc": _no_effect(TEXT)}
        | _MACHINE_DETECTION,
        takes_text=True,
        note="a `<Dial>` in the `url`'s document is error 13201",
    ),
    "Client": Element(_noun(), _all(Support.MODELED, "Identity Parameter"), takes_text=True),
    "Identity": Element(takes_text=True),
    "Parameter": Element(_NAMED_VALUE),
    "Sip": Element(
        _noun(13241) | _texts(Support.NO_EFFECT, "username password") | _MACHINE_DETECTION,
        {"Uri": Support.MODELED, "Headers": Support.MISSING},
        takes_text=True,
    ),
    "Uri": Element(_texts(Support.NO_EFFECT, "username password priority weight"), takes_text=True),
    "Conference": Element(
        {
            "muted": Attribute(FLAG, 13230),
            "endConferenceOnExit": Attribute(FLAG, 13231),
            "startConferenceOnEnter": Attribute(FLAG, 13232),
            "waitUrl": Attribute(URL, 13233),
            "waitMethod": Attribute(METHOD, 13234),
            "beep": Attribute(_one_of("true", "false", "onEnter", "onExit"), 13235),
            "trim": Attribute(_TRIM, 13239),
            "coach": Attribute(Values("a call's SID", "(CA[0-9a-f]{32})?"), 13240),
            "participantLabel": Attribute(TEXT, 16023),
            "maxParticipants": Attribute(WHOLE),
            "record": Attribute(_one_of("do-not-record", "record-from-start", "true", "false")),
            "jitterBufferSize": Attribute(_one_of("large", "medium", "small", "off")),
            "region": Attribute(TEXT),
            "statusCallback": Attribute(URL),
            "statusCallbackEvent": Attribute(_CONFERENCE_EVENTS),
            "statusCallbackMethod": Attribute(METHOD),
            "recordingStatusCallback": Attribute(URL, 13256),
            "recordingStatusCallbackEvent": Attribute(_RECORDING_EVENTS, 13621),
            "recordingStatusCallbackMethod": Attribute(METHOD),
            "eventCallbackUrl": _missing(TEXT),
            "recordingConfigurationId": _no_effect(TEXT),
        },
        takes_text=True,
        note="by name or SID",
    ),
    "Queue": Element(
        {
            "url": Attribute(URL, 14211),
            "method": Attribute(METHOD),
            **_texts(Support.MISSING, "reservationSid postWorkActivitySid"),
        },
        takes_text=True,
        note="the [front of a queue](#queues), by name",
    ),
    "Say": Element(
        {
            "loop": Attribute(WHOLE, 13510),
            "voice": _no_effect(TEXT, 13511),
            "language": _no_effect(TEXT, 13512),
        },
        _all(Support.NO_EFFECT, "break emphasis lang p phoneme prosody s say-as sub w"),
        takes_text=True,
        note="lasts by its length",
    ),
    "Play": Element(
        {
            "loop": Attribute(WHOLE, 13410),
            "digits": Attribute(Values("keys, `w`, and `W`", "[0-9A-D*#wW]*"), 13430),
        },
        takes_text=True,
        note="no file is fetched",
    ),
    "Pause": Element({"length": Attribute(WHOLE, 13910)}),
    "Gather": Element(
        {
            "action": Attribute(URL),
            "method": Attribute(METHOD, 13312),
            "finishOnKey": Attribute(Values("one key, `0` to `9`, `*`, or `#`, or nothing", "[0-9*#]?"), 13310),
            "timeout": Attribute(WHOLE, 13313),
            "numDigits": Attribute(WHOLE, 13314),
            "actionOnEmptyResult": Attribute(FLAG, 13338),
            "input": Attribute(_some_of("dtmf", "speech"), 13326),
            "bargeIn": _missing(FLAG, 13332, only="true"),
            "speechTimeout": Attribute(Values("a whole number, or `auto`", r"\d{1,9}|auto"), 13327),
            "maxSpeechTime": _missing(WHOLE, 13328),
            "partialResultCallbackMethod": _missing(METHOD, 13329),
            "hints": _no_effect(TEXT, 13330),
            "language": _no_effect(TEXT, 13331),
            "profanityFilter": _no_effect(FLAG, 13333),
            "speechModel": _no_effect(TEXT, 13334),
            "enhanced": _no_effect(FLAG),
            **_texts(Support.MISSING, "partialResultCallback"),
            **_texts(Support.NO_EFFECT, "debug"),
        },
        _all(Support.MODELED, "Say Play Pause"),
        13320,
        note="speech is text, always with the `Confidence` 0.9",
    ),
    "Pay": Element(
        {
            "action": Attribute(URL),
            "input": Attribute(_one_of("dtmf")),
            "timeout": Attribute(WHOLE),
            "maxAttempts": Attribute(_one_of("1", "2", "3")),
            "securityCode": Attribute(FLAG),
            "postalCode": Attribute(TEXT),
            "minPostalCodeLength": _missing(WHOLE),
            "chargeAmount": Attribute(Values("an amount from 0 to 1,000,000", r"\d{1,6}(\.\d+)?|1000000(\.0+)?")),
            "tokenType": _no_effect(_one_of("one-time", "reusable", "payment-method")),
            **_texts(Support.NO_EFFECT, "paymentConnector currency description language"),
            "validCardTypes": _missing(TEXT, only="visa mastercard amex"),
            "paymentMethod": _missing(_one_of("credit-card", "ach-debit"), only="credit-card"),
            **_texts(Support.MISSING, "bankAccountType statusCallback statusCallbackMethod"),
        },
        _all(Support.NO_EFFECT, "Prompt Parameter"),
        note="[cards](#cards) without a payment processor",
    ),
    "Record": Element(
        {
            "action": Attribute(URL),
            "method": Attribute(METHOD, 13610),
            "timeout": Attribute(WHOLE, 13611),
            "maxLength": Attribute(WHOLE, 13612),
            "finishOnKey": Attribute(KEYS, 13613),
            "trim": Attribute(_TRIM, 13699),
            "recordingStatusCallback": Attribute(URL, 13256),
            "recordingStatusCallbackEvent": Attribute(_RECORDING_EVENTS, 13621),
            "recordingStatusCallbackMethod": Attribute(METHOD),
            "playBeep": _no_effect(FLAG, 13616),
            "transcribe": Attribute(FLAG, 13614),
            "transcribeCallback": Attribute(URL, 13257),
            "recordingConfigurationId": _missing(TEXT),
        },
        note="the recording contains what the caller says, as text",
    ),
    "Redirect": Element({"method": Attribute(METHOD, 13710)}, takes_text=True),
    "Hangup": Element({}, {"Parameter": Support.MISSING}),
    "Reject": Element({"reason": Attribute(_one_of("rejected", "busy"), 13810)}, {"Parameter": Support.MISSING}),
    "Enqueue": Element(
        {
            "action": Attribute(URL, 14203),
            "method": Attribute(METHOD, 14201),
            "waitUrl": Attribute(URL, 14202),
            "waitUrlMethod": Attribute(METHOD, 14206),
            "workflowSid": Attribute(TEXT, 14220),
            "maxQueueSize": _missing(WHOLE),
        },
        {"Task": Support.MODELED},
        takes_text=True,
        note="the caller [waits](#queues); a workflow's queue has no workers",
    ),
    "Task": Element(_texts(Support.NO_EFFECT, "priority timeout"), takes_text=True),
    "Leave": Element(),
    "Connect": Element(
        {"action": Attribute(URL), "method": Attribute(METHOD)},
        {"ConversationRelay": Support.MODELED}
        | _all(Support.MISSING, "AiSession Autopilot Conversation ConversationRelaySession Room Stream VirtualAgent"),
    ),
    "ConversationRelay": Element(
        {"welcomeGreeting": Attribute(TEXT)}
        | _texts(
            Support.NO_EFFECT,
            "url language voice ttsProvider ttsLanguage ttsTextNormalization ttsLanguageTextNormalization "
            "elevenlabsTextNormalization elevenlabsLanguageTextNormalization transcriptionProvider "
            "transcriptionLanguage speechModel speechTimeout hints profanityFilter asrSmartFormat deepgramSmartFormat "
            "turnDetection eagerEotThreshold interruptible interruptSensitivity welcomeGreetingInterruptible "
            "preemptible partialPrompts partialPromptOnHangup includeInPrompt reportInputDuringAgentSpeech "
            "ignoreBackchannel backgroundNoiseReduction echoPromptFiltering dtmfDetection intelligenceService events "
            "debug customerName",
        )
        | {"applicationReconnect": _missing(FLAG, only="false")},
        _all(Support.NO_EFFECT, "Language Parameter"),
        note="with a [scripted bot](../README.md#bots)",
    ),
    "Sms": Element(
        {
            "to": Attribute(TEXT, 14101),
            "from": Attribute(TEXT, 14102),
            "action": Attribute(URL),
            "method": Attribute(METHOD, 14104),
            "statusCallback": Attribute(URL, 14105),
        },
        takes_text=True,
        note="[text messages](#text-messages) have no carrier",
    ),
    "Start": Element({}, {"Recording": Support.MODELED} | _all(Support.LOGGED, "Siprec Stream Transcription"), 14300),
    "Recording": Element(
        {
            "recordingStatusCallback": Attribute(URL, 13256),
            "recordingStatusCallbackMethod": Attribute(METHOD),
            "recordingStatusCallbackEvent": Attribute(_RECORDING_EVENTS, 13621),
            "trim": Attribute(_TRIM),
            "track": Attribute(_one_of("both", "inbound", "outbound"), 13622),
            "channels": Attribute(_one_of("mono", "dual")),
            "recordingConfigurationId": _no_effect(TEXT),
        },
    ),
    "Stop": Element({}, _all(Support.LOGGED, "Siprec Stream Transcription")),
}
"""By name. What isn't modeled anywhere has no entry: neither its attributes nor its children are looked at."""

NAMES = frozenset(GRAMMAR) | {child for element in GRAMMAR.values() for child in element.children}
VERBS = frozenset(name for name, support in GRAMMAR["Response"].children.items() if support is Support.MODELED)
QUEUE_VERBS = frozenset({"Play", "Say", "Pause", "Hangup", "Redirect", "Leave", "Gather"})  #: Allowed while queued.
WAIT_VERBS = frozenset({"Play", "Say", "Pause", "Redirect"})  #: Allowed in wait, hold, or announce documents (waitUrl).
