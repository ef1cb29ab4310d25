"""The parameters of REST requests: Twilio's, and those modeled.

`scripts/rest_parameters.py` makes `twilio_parameters.json` from Twilio's OpenAPI description, whose commit it names.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from offhook.model.messages import NOT_MODELED, RestRequest
from offhook.model.remarks import Remark, hint, not_modeled
from offhook.model.rest_form import RestError

BAD_PARAMETER = 20001
DESCRIPTION = Path(__file__).parent / "twilio_parameters.json"
_ID = re.compile(
    r"/(Calls|Conferences|Participants|Recordings|Members|Messages|Transcriptions|Media)/[^/]+?(?=/|\.json$)"
)
_SID = re.compile(r"/[A-Z]{2}[0-9a-f]{32}(?=/|\.json$)")
_VOICE = re.compile(
    r"\.json|/(Calls|Conferences|Queues|Recordings|Transcriptions|Messages|Applications|OutgoingCallerIds"
    r"|IncomingPhoneNumbers|SIP)\b"
)
_PAGING = " PageSize Page PageToken"
_STATUS_CALLBACK = " StatusCallback StatusCallbackMethod StatusCallbackEvent"
_CREATED = " DateCreated DateCreated< DateCreated>"
_NUMBER = (
    "FriendlyName VoiceUrl VoiceMethod VoiceFallbackUrl VoiceFallbackMethod StatusCallback StatusCallbackMethod "
    "SmsUrl SmsMethod SmsFallbackUrl SmsFallbackMethod"
)
_RECORDING_CALLBACK = " RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent"

MODELED = {
    "GET .json": "",
    "GET /Calls.json": "To From ParentCallSid Status StartTime StartTime< StartTime> EndTime EndTime< EndTime>"
    + _PAGING,
    "POST /Calls.json": "To From Url Twiml ApplicationSid Method FallbackUrl FallbackMethod Timeout TimeLimit "
    "SendDigits CallToken MachineDetection MachineDetectionTimeout MachineDetectionSilenceTimeout AsyncAmd "
    "AsyncAmdStatusCallback AsyncAmdStatusCallbackMethod Record RecordingChannels RecordingTrack "
    "RecordingConfigurationId Trim" + _STATUS_CALLBACK + _RECORDING_CALLBACK,
    "GET /Calls/{}.json": "",
    "POST /Calls/{}.json": "Status Url Twiml Method FallbackUrl FallbackMethod TimeLimit StatusCallback "
    "StatusCallbackMethod",
    "DELETE /Calls/{}.json": "",
    "GET /Calls/{}/Recordings.json": _CREATED + _PAGING,
    "POST /Calls/{}/Recordings.json": "RecordingChannels RecordingTrack RecordingConfigurationId Trim"
    + _RECORDING_CALLBACK,
    "GET /Calls/{}/Recordings/{}.json": "",
    "POST /Calls/{}/Recordings/{}.json": "Status PauseBehavior",
    "DELETE /Calls/{}/Recordings/{}.json": "",
    "GET /Recordings.json": "CallSid ConferenceSid" + _CREATED + _PAGING,
    "GET /Recordings/{}.json": "",
    "DELETE /Recordings/{}.json": "",
    "GET /Recordings/{}/Transcriptions.json": _PAGING,
    "GET /Recordings/{}/Transcriptions/{}.json": "",
    "DELETE /Recordings/{}/Transcriptions/{}.json": "",
    "GET /Transcriptions.json": _PAGING,
    "GET /Transcriptions/{}.json": "",
    "DELETE /Transcriptions/{}.json": "",
    "GET /Conferences.json": "FriendlyName Status DateUpdated DateUpdated< DateUpdated>" + _CREATED + _PAGING,
    "GET /Conferences/{}.json": "",
    "POST /Conferences/{}.json": "Status AnnounceUrl AnnounceMethod",
    "GET /Conferences/{}/Participants.json": "Muted Hold Coaching" + _PAGING,
    "POST /Conferences/{}/Participants.json": "To From Timeout TimeLimit CallToken Label Muted Coaching CallSidToCoach "
    "Beep StartConferenceOnEnter EndConferenceOnExit WaitUrl WaitMethod MaxParticipants EarlyMedia JitterBufferSize "
    "Region ConferenceRecord ConferenceTrim ConferenceStatusCallback ConferenceStatusCallbackMethod "
    "ConferenceStatusCallbackEvent ConferenceRecordingStatusCallback ConferenceRecordingStatusCallbackMethod "
    "ConferenceRecordingStatusCallbackEvent RecordingConfigurationId Record RecordingChannels RecordingTrack Trim "
    "MachineDetection MachineDetectionTimeout MachineDetectionSilenceTimeout AmdStatusCallback AmdStatusCallbackMethod"
    + _RECORDING_CALLBACK
    + _STATUS_CALLBACK,
    "GET /Conferences/{}/Participants/{}.json": "",
    "POST /Conferences/{}/Participants/{}.json": "Muted Hold HoldUrl HoldMethod Coaching CallSidToCoach AnnounceUrl "
    "AnnounceMethod WaitUrl WaitMethod EndConferenceOnExit BeepOnExit",
    "DELETE /Conferences/{}/Participants/{}.json": "",
    "GET /Conferences/{}/Recordings.json": _CREATED + _PAGING,
    "GET /Conferences/{}/Recordings/{}.json": "",
    "POST /Conferences/{}/Recordings/{}.json": "Status PauseBehavior",
    "DELETE /Conferences/{}/Recordings/{}.json": "",
    "GET /Queues.json": _PAGING,
    "POST /Queues.json": "FriendlyName MaxSize",
    "GET /Queues/{}.json": "",
    "POST /Queues/{}.json": "MaxSize",
    "DELETE /Queues/{}.json": "",
    "GET /Queues/{}/Members.json": _PAGING,
    "GET /Queues/{}/Members/{}.json": "",
    "POST /Queues/{}/Members/{}.json": "Url Method",
    "GET /IncomingPhoneNumbers.json": "PhoneNumber FriendlyName" + _PAGING,
    "POST /IncomingPhoneNumbers.json": "PhoneNumber AreaCode VoiceApplicationSid " + _NUMBER,
    "GET /IncomingPhoneNumbers/{}.json": "",
    "POST /IncomingPhoneNumbers/{}.json": "VoiceApplicationSid " + _NUMBER,
    "DELETE /IncomingPhoneNumbers/{}.json": "",
    "GET /Applications.json": "FriendlyName" + _PAGING,
    "POST /Applications.json": _NUMBER,
    "GET /Applications/{}.json": "",
    "POST /Applications/{}.json": _NUMBER,
    "DELETE /Applications/{}.json": "",
    "GET /Messages.json": "To From DateSent DateSent< DateSent>" + _PAGING,
    "POST /Messages.json": "To From MessagingServiceSid Body MediaUrl StatusCallback",
    "GET /Messages/{}.json": "",
    "POST /Messages/{}.json": "Body",
    "DELETE /Messages/{}.json": "",
    "GET /Messages/{}/Media.json": _PAGING,
    "GET /Messages/{}/Media/{}.json": "",
    "DELETE /Messages/{}/Media/{}.json": "",
    "GET /OutgoingCallerIds.json": "PhoneNumber" + _PAGING,
    "GET /SIP/Domains/{}.json": "",
    "GET /v1/Webhooks/Rules": "pageSize",
    "GET /v1/Webhooks/Settings": "pageSize",
    "GET /v2/AccountDefaultConfiguration/Recording": "",
}
"""What each operation takes."""
NO_EFFECT = frozenset({
    "AddressSid", "Attempt", "BundleSid", "Byoc", "CallReason", "CallerDisplayName", "EmergencyAddressSid",
    "EmergencyStatus", "ForceDelivery", "IdentitySid", "MachineDetectionSpeechEndThreshold",
    "MachineDetectionSpeechThreshold", "MaxPrice", "ProvideFeedback", "RiskCheck", "SipAuthPassword",
    "SipAuthUsername", "SmartEncoded", "TrafficType", "ValidityPeriod",
})  # fmt: skip
"""Parameters of any operation that concern only carriers, prices, regulation, and sound."""

_RECORDS = ("POST /Calls.json", "POST /Calls/{}/Recordings.json", "POST /Conferences/{}/Participants.json")
"""Operations with a parameter that the description lacks. Source: twilio-python 9.13.0."""


@cache
def description() -> dict[str, Any]:
    """Return Twilio's operations with patterns of parameters, and the source."""
    found: dict[str, Any] = json.loads(DESCRIPTION.read_text("utf-8"))
    for operation in _RECORDS:
        found["operations"][operation]["RecordingConfigurationId"] = ""
    return found


@cache
def _modeled(operation: str) -> frozenset[str]:
    """Return the modeled parameters."""
    return frozenset(MODELED[operation].split())


def _operation(request: RestRequest) -> str:
    by_sid = f"{request.method} {_SID.sub('/{}', request.path)}"
    return by_sid if by_sid in description()["operations"] else _ID.sub(r"/\1/{}", by_sid)


def is_refused(request: RestRequest) -> bool:
    """Whether only Twilio has the operation."""
    operation = _operation(request)
    return operation in description()["operations"] and operation not in MODELED


def is_of_voice(operation: str) -> bool:
    """Whether the operation is about calls, or what belongs to them."""
    return _VOICE.match(operation.partition(" ")[2]) is not None


def check(request: RestRequest, *, strict: bool) -> list[Remark]:
    """Return what will be ignored of a request.

    With `strict`, raise RestError for what Twilio's description doesn't list. What is outside it is never strict.
    """
    operation = _operation(request)
    if operation not in MODELED:
        return []
    modeled, known = _modeled(operation), description()["operations"].get(operation)
    remarks = []
    for name, value in request.params:
        shown = f"{name} of {operation}"  # without the value, which may be a secret
        if known is None and name not in modeled:
            said = f"{shown} is ignored; the sandbox has no description of it: Twilio may have this parameter"
            remarks.append(Remark(NOT_MODELED, said))
        elif known is not None and (problem := _problem(name, value, known, name in modeled)):
            if strict:
                raise RestError(400, BAD_PARAMETER, f"{operation}: {problem}")
            remarks.append(Remark(BAD_PARAMETER, f"{operation}: {problem}"))
        elif name in NO_EFFECT:
            continue
        elif name not in modeled:
            remarks.append(Remark(NOT_MODELED, not_modeled(shown)))
    return remarks


def _problem(name: str, value: str, known: dict[str, str], is_modeled: bool) -> str:
    """Return why Twilio's description doesn't have this parameter or value."""
    if name not in known:
        return f"Twilio has no parameter {name}{hint(name, known)}"
    is_url = known[name].startswith("(https")
    # The model refuses a wrong URL itself, by a code of its own.
    if not known[name] or (is_url and is_modeled) or re.fullmatch(known[name], value):
        return ""
    return f"{name} must match {known[name]}, not {value[:40]!r}"
