"""Form parameters of voice requests and callbacks (Twilio docs: Call)."""

import math

from offhook.model.formats import boolean, country, is_number, make_sid, rfc2822, sip_host
from offhook.model.messages import Params
from offhook.model.numbers import Number
from offhook.model.state import Call, Conference, Participant, Recording, State

API_VERSION = "2010-04-01"
TRANSCRIBED_S = (2.0, 120.0)  #: The shortest and longest recording that Twilio transcribes (TwiML <Record>).
SIP_SOURCE = "203.0.113.10"  #: Where SIP calls come from: an address for documentation.

_PLACES = (("NOVATO", "CA", "94949"), ("", "", ""), ("Vancouver", "WA", "98660"), ("", "IN", ""))
"""Cities, states, and ZIP codes: captured requests have them in capitals, mixed case, or not at all."""
_ORDER = (
    "Called", "ToState", "CallerCountry", "Direction", "CallerState", "ToZip", "CallSid", "To", "CallerZip",
    "ToCountry", "CallToken", "ParentCallSid", "CalledVia", "ForwardedFrom", "ApplicationSid", "CalledZip",
    "ApiVersion", "CalledCity", "CallStatus", "From", "AccountSid", "CalledCountry", "CallerCity", "ToCity",
    "FromCountry", "Caller", "FromCity", "CalledState", "FromZip", "FromState",
)  # fmt: skip
"""The order seen on the wire, except for actions: neither alphabetical nor grouped."""


def voice_request(call: Call, account_sid: str, parent: Call | None, *, override: bool = False) -> Params:
    """Return what Twilio sends with every request about a call.

    `override`: a browser's parameters replace To and From, and nothing else of Twilio's (TwiML changelog).
    """
    values = {
        "Called": call.to,
        "To": call.to,
        "Caller": call.from_,
        "From": call.from_,
        "Direction": call.direction,
        "CallSid": call.sid,
        "ApiVersion": API_VERSION,
        "CallStatus": call.status,
        "AccountSid": account_sid,
    }
    if call.direction != "outbound-dial":  # Twilio sends no places for the legs of a `<Dial>`
        values |= places(("Caller", "From"), call.from_) | places(("Called", "To"), call.to)
    if parent is not None:
        values["ParentCallSid"] = parent.sid
        if is_number(parent.to):  # the number through which the caller reached the `<Dial>`
            values |= {"CalledVia": parent.to, "ForwardedFrom": parent.to}
    if call.call_token:
        values["CallToken"] = call.call_token
    if call.application_sid:
        values["ApplicationSid"] = call.application_sid
    if override and call.application_sid:
        own = dict(call.custom)
        values |= {name: own[name] for name in ("To", "From") if own.get(name)}
        return tuple((name, values[name]) for name in _ORDER if name in values) + tuple(
            pair for pair in call.custom if pair[0] not in values
        )
    # A browser may use Twilio's names, too: both values arrive. Its `To` is the call's.
    custom = tuple(pair for pair in call.custom if pair not in values.items() and call.direction == "inbound")
    return tuple((name, values[name]) for name in _ORDER if name in values) + custom


def places(prefixes: tuple[str, ...], address: str) -> dict[str, str]:
    """Return a number's place, such as `FromCity`; often, parts are unknown."""
    if not is_number(address):
        return {}
    where = _PLACES[int(address[-1]) % len(_PLACES)] if country(address) == "US" else ("", "", "")
    parts = dict(zip(("City", "State", "Zip", "Country"), (*where, country(address)), strict=True))
    return {f"{prefix}{part}": value for prefix in prefixes for part, value in parts.items()}


def sip_request(call: Call, domain: Number, headers: Params) -> Params:
    """Return what a request about a call to a SIP domain has in addition.

    Source: Twilio docs, SIP and TwiML Interaction.
    """
    return (
        ("SipCallId", f"{call.sid[2:]}@{SIP_SOURCE}"),
        ("SipDomain", sip_host(call.to)),
        ("SipDomainSid", make_sid("SD", domain.number, 0)),
        ("SipSourceIp", SIP_SOURCE),
        *((f"SipHeader_{name}", value) for name, value in headers),
    )


def dial_action(
    status: str, child: Call | None, duration_s: float | None, bridged: bool | None, error: tuple[int, str] | None
) -> Params:
    """Return the extra parameters of a `<Dial>`'s action; None omits one."""
    out = [("DialCallStatus", status)]
    if error is not None:
        out += [("ErrorCode", str(error[0])), ("ErrorMessage", error[1])]
    if child is not None:
        out.append(("DialCallSid", child.sid))
    if child is not None and sip_host(child.to):  # Twilio docs, TwiML <Sip>
        out += [("DialSipCallId", f"{child.sid[2:]}@0.0.0.0"), ("DialSipResponseCode", str(child.sip_code or 200))]
    if duration_s is not None:
        out.append(("DialCallDuration", str(int(duration_s))))
    if bridged is not None:
        out.append(("DialBridged", boolean(bridged)))
    return tuple(out)


def call_event(call: Call, sequence: int, now_s: float) -> Params:
    """Return a call's callback parameters besides the voice parameters."""
    out = [
        ("Timestamp", rfc2822(now_s) or ""),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
    ]
    if call.answered_by:
        out.append(("AnsweredBy", call.answered_by))
    if call.is_final:
        duration_s = duration(call)
        out.append(("CallDuration", str(duration_s)))
        out.append(("Duration", str(math.ceil(duration_s / 60))))  # minutes, rounded up
        out.append(("SipResponseCode", str(call.sip_code)))
    return tuple(out)


def duration(call: Call) -> int:
    """Return the whole seconds from answer to end; 0 if never answered."""
    if call.answered_at_s is None or call.ended_at_s is None:
        return 0
    return int(call.ended_at_s - call.answered_at_s)


def conference_event(
    conference: Conference,
    account_sid: str,
    event: str,
    now_s: float,
    participant: Participant | None = None,
    extra: Params = (),
) -> Params:
    """Return a conference callback's parameters, with a participant's state."""
    out = [
        ("Timestamp", rfc2822(now_s) or ""),
        ("AccountSid", account_sid),
        ("ConferenceSid", conference.sid),
        ("FriendlyName", conference.name),
        ("StatusCallbackEvent", event),
        ("SequenceNumber", str(conference.sequence)),
    ]
    if participant is not None:
        out += [
            ("CallSid", participant.call_sid),
            ("Muted", boolean(participant.muted)),
            ("Hold", boolean(participant.is_held)),
            ("Coaching", boolean(participant.coaching)),
            ("EndConferenceOnExit", boolean(participant.end_on_exit)),
            ("StartConferenceOnEnter", boolean(participant.settings.start_on_enter)),
        ]
        if participant.label:
            out.append(("ParticipantLabel", participant.label))
        if participant.coaching and participant.coach_sid:
            out.append(("CallSidToCoach", participant.coach_sid))
    return tuple(out) + extra


def recording_event(recording: Recording, state: State) -> Params:
    """Return a callback's parameters (Recordings resource)."""
    out = [
        ("AccountSid", state.account_sid),
        ("RecordingSid", recording.sid),
        ("RecordingUrl", recording_url(recording, state)),
        ("RecordingStatus", recording.status),
        ("RecordingChannels", str(recording.settings.channels)),
        ("RecordingStartTime", rfc2822(recording.started_at_s) or ""),
        ("RecordingSource", recording.settings.source),
        ("ErrorCode", str(recording.error_code)),
    ]
    if recording.conference_sid:
        out.append(("ConferenceSid", recording.conference_sid))
    if recording.call_sid:
        out += [("CallSid", recording.call_sid), ("RecordingTrack", recording.settings.track)]
    if recording.status == "completed" and recording.ended_at_s is not None:
        out.append(("RecordingDuration", str(int(recording.length_s(recording.ended_at_s)))))
    return tuple(out)


def recorded(recording: Recording, state: State, now_s: float) -> Params:
    """Return what a `<Record>`'s or a `<Dial>`'s action says of its recording.

    So does the last callback of a call that REST recorded.
    """
    return (
        ("RecordingUrl", recording_url(recording, state)),
        ("RecordingSid", recording.sid),
        ("RecordingDuration", str(int(recording.length_s(now_s)))),
    )


def transcribed(recording: Recording) -> tuple[str, str]:
    """Return the transcription's status, and its text."""
    is_possible = TRANSCRIBED_S[0] <= recording.length_s(recording.ended_at_s or 0.0) <= TRANSCRIBED_S[1]
    return ("completed", recording.text) if is_possible else ("failed", "")


def transcription(recording: Recording, state: State) -> Params:
    """Return what a `transcribeCallback` says of a `<Record>`."""
    url, sid, (status, text) = recording_url(recording, state), recording.transcription_sid, transcribed(recording)
    return (
        ("TranscriptionSid", sid),
        ("TranscriptionText", text),
        ("TranscriptionStatus", status),
        ("TranscriptionUrl", f"{url}/Transcriptions/{sid}"),
        ("TranscriptionType", "fast"),
        ("RecordingSid", recording.sid),
        ("RecordingUrl", url),
    )


def recording_url(recording: Recording, state: State) -> str:
    """Return the URL of a recording's file, which `.wav` or `.mp3` may follow."""
    return f"{state.api_url}/{API_VERSION}/Accounts/{state.account_sid}/Recordings/{recording.sid}"
