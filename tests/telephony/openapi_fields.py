"""The fields that each POST request may have, and the words that some of them take.

Source: Twilio's OpenAPI description of the 2010-04-01 API.
"""

import re
from collections.abc import Mapping

_CALLBACK = "StatusCallback StatusCallbackMethod"
_RECORDING = (
    "RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent RecordingChannels Trim "
    "RecordingConfigurationId"  # newer: twilio-python 9.13.0
)

#: Names of fields by path under the account, as a pattern.
FIELDS: Mapping[str, frozenset[str]] = {
    path: frozenset(names.split())
    for path, names in {
        r"Calls": f"To From Url Method FallbackUrl FallbackMethod Twiml {_CALLBACK} StatusCallbackEvent SendDigits "
        f"Timeout TimeLimit CallToken CallerId {_RECORDING}",
        r"Calls/[^/]+": f"Url Method Twiml Status FallbackUrl FallbackMethod {_CALLBACK} TimeLimit",
        r"Calls/[^/]+/Recordings": f"{_RECORDING} RecordingTrack",
        r"Calls/[^/]+/Recordings/[^/]+": "Status PauseBehavior",
        r"Conferences/[^/]+": "Status AnnounceUrl AnnounceMethod",
        r"Conferences/[^/]+/Recordings/[^/]+": "Status PauseBehavior",
        r"Conferences/[^/]+/Participants": f"To From Label Timeout EarlyMedia Beep Muted StartConferenceOnEnter "
        f"EndConferenceOnExit WaitUrl WaitMethod MaxParticipants {_CALLBACK} StatusCallbackEvent ConferenceRecord "
        "ConferenceTrim ConferenceStatusCallback ConferenceStatusCallbackMethod ConferenceStatusCallbackEvent "
        "ConferenceRecordingStatusCallback ConferenceRecordingStatusCallbackMethod "
        f"ConferenceRecordingStatusCallbackEvent {_RECORDING} RecordingTrack Region Coaching CallSidToCoach "
        "JitterBufferSize CallToken CallerId TimeLimit",
        r"Conferences/[^/]+/Participants/[^/]+": "Muted Hold HoldUrl HoldMethod AnnounceUrl AnnounceMethod WaitUrl "
        "WaitMethod BeepOnExit EndConferenceOnExit Coaching CallSidToCoach",
    }.items()
}

_BOOLEAN = frozenset({"true", "false"})
_METHOD = frozenset({"GET", "POST"})
#: What a field may say, where not everything; of a list, each of its entries.
WORDS: Mapping[str, frozenset[str]] = {
    "Beep": frozenset({"true", "false", "onEnter", "onExit"}),
    "Coaching": _BOOLEAN,
    "ConferenceRecord": frozenset({"true", "false", "record-from-start", "do-not-record"}),
    "ConferenceRecordingStatusCallbackEvent": frozenset({"in-progress", "completed", "failed", "absent"}),
    "ConferenceStatusCallbackEvent": frozenset(
        {"start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"}
    ),
    "ConferenceTrim": frozenset({"trim-silence", "do-not-trim"}),
    "EarlyMedia": _BOOLEAN,
    "EndConferenceOnExit": _BOOLEAN,
    "Hold": _BOOLEAN,
    "JitterBufferSize": frozenset({"off", "small", "medium", "large"}),
    "Muted": _BOOLEAN,
    "PauseBehavior": frozenset({"skip", "silence"}),
    "RecordingChannels": frozenset({"mono", "dual"}),
    "RecordingStatusCallbackEvent": frozenset({"in-progress", "completed", "absent"}),
    "Region": frozenset({"us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"}),
    "StartConferenceOnEnter": _BOOLEAN,
    "Status": frozenset({"completed", "canceled", "in-progress", "paused", "stopped"}),
    "StatusCallbackEvent": frozenset({"initiated", "ringing", "answered", "completed"}),
}


def check(name: str, fields: Mapping[str, object]) -> None:
    """Fails when a request has a field that Twilio does not describe, or a word that it does not know.

    Args:
        name: Method and path, such as `POST Calls/CA1`.
        fields: What the request carries.
    """
    method, path = name.split(" ")
    if method != "POST":
        return
    known = next(names for pattern, names in FIELDS.items() if re.fullmatch(pattern, path))
    assert set(fields) <= known, f"{name} has {set(fields) - known}"
    for field, value in fields.items():
        words = _METHOD if field.endswith("Method") else WORDS.get(field)
        said = value if isinstance(value, list) else [value]
        assert words is None or words.issuperset(str(word) for word in said), f"{name}: {field} is {value}"
