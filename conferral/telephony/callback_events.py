"""Callback events: parses Twilio's form; names all fields that are read.

Words that Twilio may extend are kept; ids, counts, and all that becomes part of a response are validated. Unknown
fields of conferences and recordings are only logged. Every function may raise `MalformedCallbackError`.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

from conferral.runtime.limits import URL_MAX
from conferral.statemachine.events import (
    AnnouncementEnded,
    CallProgressed,
    CallReceived,
    ClientCallReceived,
    ConferenceEnded,
    ConferenceEvent,
    ConferenceEventIgnored,
    ConferenceStarted,
    DialEnded,
    GateDecided,
    GateDecision,
    GateReached,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RecordingChanged,
)
from conferral.statemachine.ids import LABEL, RESERVED_PATTERN
from conferral.statemachine.parts import DEFAULT_ATTRIBUTES, NO_QUEUE, ConferenceAttributes
from conferral.statemachine.session import CUSTOMER, INBOUND, OUTBOUND
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    FINAL_CALL_STATUSES,
    CallStatus,
    RecordingStatus,
    SessionMode,
)
from conferral.telephony.addresses import is_caller_id, number_or_address, without_params
from conferral.telephony.callback_fields import (
    CALL_SID,
    CONFERENCE_SID,
    RECORDING_SID,
    SIP_DOMAIN_SID,
    flag,
    is_number,
    number,
    optional_word,
    summarize_unknown,
    text,
    timestamp_ms,
    word,
)
from conferral.telephony.callback_fields import Fields as Fields
from conferral.telephony.callback_fields import MalformedCallbackError as MalformedCallbackError
from conferral.telephony.callback_urls import (
    ANNOUNCEMENT_PATH,
    Announcement,
    CallbackUrlError,
    CallCallback,
    DialAction,
    DialKind,
    Gate,
    is_id,
)
from conferral.telephony.directory import InboundRoute

#: Longest address kept: a `sip:` address has up to 342 characters, and a `client:` address 263.
_ADDRESS_LENGTH_MAX = 342
#: Percent-encoded JSON of 1 or 2 KiB; without it, a call only loses the caller's number. Source: Twilio docs, Call.
_CALL_TOKEN = re.compile(r"[ -~]{1,4096}")
#: Events about a participant. Source: Twilio docs, TwiML `<Conference>`, `statusCallbackEvent`.
_OF_PARTICIPANT = frozenset(
    {
        "participant-join", "participant-leave", "participant-hold", "participant-unhold", "participant-mute",
        "participant-unmute", "participant-modify",
    }
)  # fmt: skip
#: Whether an announcement failed, by event. Source: as above.
_ANNOUNCEMENT_ENDS = {"announcement-end": False, "announcement-fail": True}
#: `RecordingSource` values of conference recordings. Source: Twilio docs, Recordings resource, `source`.
CONFERENCE_SOURCES = frozenset({"Conference", "StartConferenceRecordingAPI"})
MESSAGE_SOURCE = "RecordVerb"
_MACHINES = frozenset({"machine_start", "fax"})
#: URL of a recording; stored, never fetched.
_URL = re.compile(rf"https?://[!-~]{{1,{URL_MAX}}}")

#: Fields that Conferral reads. A callback with two values for one is refused, because it is unclear which one counts.
FIELDS_READ = frozenset(
    {
        "AccountSid", "AnnounceUrl", "CallDuration", "CallSid", "CallSidEndingConference", "CallSidToCoach",
        "CallStatus", "CallToken", "Coaching", "ConferenceSid", "DialBridged", "DialCallDuration", "DialCallStatus",
        "Digits", "Direction", "EndConferenceOnExit", "ErrorCode", "ErrorUrl", "From", "Hold", "Muted",
        "ParticipantCallStatus", "ParticipantLabel", "ParticipantLabelEndingConference", "ReasonAnnouncementFailed",
        "ReasonConferenceEnded", "ReasonParticipantLeft", "RecordingChannels", "RecordingDuration", "RecordingSid",
        "RecordingSource", "RecordingStartTime", "RecordingStatus", "RecordingUrl", "SequenceNumber", "SessionID",
        "SipDomain", "SipDomainSid", "SipResponseCode", "StartConferenceOnEnter", "StatusCallbackEvent", "Timestamp",
        "To",
    }
)  # fmt: skip
#: Documented parameters, also those that repeat facts. Source: Twilio docs, TwiML `<Conference>`, Recordings resource.
_KNOWN_FIELDS = FIELDS_READ | {
    "FriendlyName", "ParentCallSid", "Reason", "RecordingTrack",
}  # fmt: skip


def call_sid_of(fields: Fields) -> str:
    """Return the SID of the call that the request is about."""
    return word(fields, "CallSid", CALL_SID)


def conference_sid_of(fields: Fields) -> str:
    """Return the SID of the conference that the request is about."""
    return word(fields, "ConferenceSid", CONFERENCE_SID)


def is_outbound_leg(fields: Fields) -> bool:
    """Whether Conferral placed the call (Twilio docs, Call, `Direction`)."""
    return fields.get("Direction", "inbound") != "inbound"


def is_placed_by_rest(fields: Fields) -> bool:
    """Whether your app or Conferral placed the call over REST."""
    return fields.get("Direction") == "outbound-api"


def customer_of(fields: Fields) -> str:
    """Return the customer of a voice request: who calls, or was called."""
    return callee_of(fields) if is_placed_by_rest(fields) else caller_of(fields)


def business_of(fields: Fields) -> str:
    """Return the business's side of a voice request: the other one."""
    return caller_of(fields) if is_placed_by_rest(fields) else callee_of(fields)


def error_url_of(fields: Fields) -> str:
    """Return the URL whose failure triggered the fallback; empty if not sent."""
    return fields.get("ErrorUrl", "")


def caller_of(fields: Fields) -> str:
    """Return the caller: E.164, `client:`, `sip:`, or a word if withheld."""
    return fields.get("From", "")[:_ADDRESS_LENGTH_MAX]


def callee_of(fields: Fields) -> str:
    """Return the called number, or what an app wrote, which proves nothing."""
    return fields.get("To", "")[:_ADDRESS_LENGTH_MAX]


def sip_domain_of(fields: Fields) -> str:
    """Return the SIP domain that was called; empty if it was none."""
    return fields.get("SipDomain", "")[:_ADDRESS_LENGTH_MAX].lower()


def sip_domain_sid_of(fields: Fields) -> str:
    """Return the SID of the SIP domain that was called; empty if it was none."""
    sid = fields.get("SipDomainSid", "")
    return sid if SIP_DOMAIN_SID.fullmatch(sid) else ""


def session_id_of(fields: Fields) -> str:
    """Return the id of an app's session: its `SessionID`, else the CallSid."""
    given = fields.get("SessionID", "")
    if given in ("", fields.get("CallSid")):
        return call_sid_of(fields)
    if not is_id(given) or RESERVED_PATTERN.fullmatch(given):
        raise MalformedCallbackError("SessionID")
    return given


def call_received(fields: Fields, route: InboundRoute, mode: SessionMode, caller: str = "") -> CallReceived:
    """Parse a new call's request (Twilio docs, request parameters).

    A call that was placed by REST is your app's, which hands it over. `caller` is the number in the caller's SIP
    address, if there is one.
    """
    call_sid, from_ = call_sid_of(fields), customer_of(fields)
    placed_by_app, call_token = is_placed_by_rest(fields), fields.get("CallToken", "")
    return CallReceived(
        session_id=call_sid,
        token=f"{CallReceived.name}:",  # no id of a command has a colon
        call_sid=call_sid,
        customer_address=caller or from_,
        agent_address=next(iter(route.agents), ""),
        has_caller_id=is_caller_id(caller or from_),
        # Twilio accepts a call token only together with the caller's number as caller ID.
        call_token=call_token if is_caller_id(from_) and _CALL_TOKEN.fullmatch(call_token) else "",
        called_number=route.called_number,
        mode=mode.value,
        other_agents=route.agents[1:],
        away=route.skipped_count,
        agent_order=route.order,
        options=route.options,
        attributes=route.attributes,
        fallback=route.places,
        closed=route.is_closed,
        begins_in_queue=route.begins_in_queue,
        queue=route.queue if route.has_queue else NO_QUEUE,
        direction=OUTBOUND if placed_by_app else INBOUND,
        handed_off=placed_by_app,
    )


def client_call_received(
    fields: Fields,
    *,
    session_id: str,
    customer_address: str,
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES,
    conference_name: str = "",
) -> ClientCallReceived:
    """Parse the request of a browser or app that calls someone.

    `customer_address` must be on the allow-list. `conference_name` is empty if it equals the session's id.
    """
    call_sid = call_sid_of(fields)
    return ClientCallReceived(
        session_id=session_id,
        token=f"{ClientCallReceived.name}:{call_sid}",
        call_sid=call_sid,
        agent_address=caller_of(fields),
        customer_address=customer_address,
        attributes=attributes,
        conference_name=conference_name,
    )


def call_progressed(fields: Fields, callback: CallCallback, own_numbers: Sequence[str]) -> CallProgressed:
    """Parse a call's status callback (Twilio docs, `StatusCallback`).

    A leg to the agent shows one of `own_numbers` if the caller has none to show. The first says in which region a
    number without country code is.
    """
    call_sid, status = call_sid_of(fields), word(fields, "CallStatus")
    sequence, occurred_at_ms = number(fields, "SequenceNumber"), timestamp_ms(fields.get("Timestamp", ""))
    caller, callee = caller_of(fields), without_params(callee_of(fields))
    # An inbound leg is the caller's own; an outbound leg goes to the party and shows the caller.
    is_outbound = is_outbound_leg(fields)
    if callback.party == CUSTOMER and not is_outbound:
        caller = number_or_address(caller, own_numbers[0])  # as when the call came in
    return CallProgressed(
        session_id=callback.session_id,
        token="" if sequence is not None else f"{CallProgressed.name}:{call_sid}:{status}",
        source=call_sid,
        sequence=sequence,
        occurred_at_ms=occurred_at_ms,
        party=callback.party,
        call_sid=call_sid,
        status=status,
        ended_s=occurred_at_ms // 1000 if status in FINAL_CALL_STATUSES else 0,
        sip_response_code=number(fields, "SipResponseCode") or 0,
        duration_s=_count(fields, "CallDuration"),
        address=callee if is_outbound else caller,
        customer_address=_customer_address(callback.party, caller, callee, is_outbound, own_numbers),
        dial=callback.dial,
        agent_number=callback.agent_number,
    )


def _customer_address(party: str, caller: str, callee: str, is_outbound: bool, own_numbers: Collection[str]) -> str:
    """Return the customer's address if a party's call shows it; else empty."""
    if party == CUSTOMER:
        return callee if is_outbound else caller
    return caller if is_outbound and caller not in own_numbers else ""


def caller_callback(fields: Fields) -> CallCallback:
    """Return the fields for a number's or app's callback, whose URL has none."""
    return CallCallback(session_id=call_sid_of(fields), party=CUSTOMER)


def dial_ended(fields: Fields, action: DialAction) -> DialEnded:
    """Parse a `<Dial>`'s action request (Twilio docs, TwiML `<Dial>`)."""
    # Requests that follow a `<Redirect>` carry the same token: they report the same end.
    call_sid, call_status = call_sid_of(fields), word(fields, "CallStatus")
    agent = f":{action.agent_number}" if action.agent_number else ""
    return DialEnded(
        session_id=action.session_id,
        token=f"{DialEnded.name}:{action.dial.value}:{call_sid}:{action.attempt}:{call_status}{agent}",
        party=action.party,
        call_sid=call_sid,
        dial_kind=action.dial.value,
        dial_call_status=_dial_call_status(fields, action),
        call_status=call_status,
        agent_number=action.agent_number,
        code=_count(fields, "ErrorCode"),
        duration_s=_count(fields, "DialCallDuration"),
    )


def _dial_call_status(fields: Fields, action: DialAction) -> str:
    """Return DialCallStatus; `no-answer` if the two were never connected.

    Who answers, but hangs up before a key was pressed, counts as answered at Twilio, with DialBridged `false`.
    """
    status = optional_word(fields, "DialCallStatus") or action.dial_call_status
    is_unbridged = fields.get("DialBridged") == "false" and action.dial is DialKind.BRIDGE
    return CallStatus.NO_ANSWER.value if is_unbridged and status in ANSWERED_DIAL_STATUSES else status


def answered_by_machine(fields: Fields) -> bool:
    """Whether an answering machine or a fax answered.

    Source: Twilio docs, Answering Machine Detection, `AnsweredBy`. Unknown words count as a person.
    """
    return fields.get("AnsweredBy", "") in _MACHINES


def child_call_sid_of(fields: Fields, action: DialAction) -> str:
    """Return the SID of the call that a `<Dial>` made; empty if unknown."""
    # A list may lack it.
    return optional_word(fields, "DialCallSid", CALL_SID) or action.child_call_sid


def digits_of(fields: Fields, gate: Gate) -> str:
    """Return the key pressed at a gate, empty for none."""
    return fields.get("Digits", "") or gate.key  # a request that follows a `<Redirect>` has no Digits


def gate_reached(fields: Fields, gate: Gate) -> GateReached:
    """Parse the request of an answered call that was placed by REST."""
    call_sid = call_sid_of(fields)
    return GateReached(
        session_id=gate.session_id,
        token=f"{GateReached.name}:{gate.dial}:{call_sid}",
        dial=gate.dial,
        call_sid=call_sid,
    )


def gate_decided(fields: Fields, gate: Gate, decision: GateDecision) -> GateDecided:
    """Return the event of a decision at the gate; repeated, it is a duplicate."""
    call_sid = call_sid_of(fields)
    return GateDecided(
        session_id=gate.session_id,
        token=f"{GateDecided.name}:{gate.dial}:{call_sid}:{decision.value}",
        dial=gate.dial,
        call_sid=call_sid,
        decision=decision.value,
    )


def participant_waits(
    fields: Fields, session_id: str, label: str, *, start_on_enter: bool = False
) -> ParticipantJoined:
    """Return the event for a wait request: the conference has not started."""
    conference_sid, call_sid = conference_sid_of(fields), call_sid_of(fields)
    return ParticipantJoined(
        session_id=session_id,
        token=f"waits:{conference_sid}:{call_sid}",
        conference_sid=conference_sid,
        call_sid=call_sid,
        label=label,
        start_on_enter=start_on_enter,
    )


def conference_event(fields: Fields, session_id: str) -> ConferenceEvent:
    """Parse a conference callback (Twilio docs, TwiML `<Conference>`)."""
    conference_sid = conference_sid_of(fields)
    kind = word(fields, "StatusCallbackEvent")
    sequence = number(fields, "SequenceNumber")
    occurred_at_ms = timestamp_ms(fields.get("Timestamp", ""))
    call_sid = optional_word(fields, "CallSid", CALL_SID)
    common: dict[str, Any] = {
        "session_id": session_id,
        "token": "" if sequence is not None else f"{kind}:{conference_sid}:{call_sid}:{occurred_at_ms}",
        "source": conference_sid,
        "sequence": sequence,
        "occurred_at_ms": occurred_at_ms,
        "conference_sid": conference_sid,
        "other": summarize_unknown(fields, _KNOWN_FIELDS),
    }
    if kind == "conference-start":
        return ConferenceStarted(**common)
    if kind == "conference-end":
        label = LABEL.fullmatch(fields.get("ParticipantLabelEndingConference", ""))
        return ConferenceEnded(
            **common,
            conference_reason=optional_word(fields, "ReasonConferenceEnded"),
            call_sid_ending=optional_word(fields, "CallSidEndingConference", CALL_SID),
            label_ending=label[0] if label else "",  # another program's may hold anything
        )
    if kind in _ANNOUNCEMENT_ENDS:
        return AnnouncementEnded(
            **common,
            call_sid=call_sid,
            failed=_ANNOUNCEMENT_ENDS[kind],
            **_announcement_source(fields),
            reason=text(fields, "ReasonAnnouncementFailed"),
        )
    if kind not in _OF_PARTICIPANT:
        return ConferenceEventIgnored(**common, kind=kind, call_sid=call_sid)
    common |= {"call_sid": call_sid_of(fields), "label": optional_word(fields, "ParticipantLabel")}
    if kind == "participant-join":
        return ParticipantJoined(
            **common,
            start_on_enter=flag(fields, "StartConferenceOnEnter", missing=True),
            muted=flag(fields, "Muted", missing=False),
        )
    if kind == "participant-leave":
        return ParticipantLeft(
            **common,
            call_status=optional_word(fields, "ParticipantCallStatus"),
            left_reason=optional_word(fields, "ReasonParticipantLeft"),
            left_s=occurred_at_ms // 1000,
        )
    return ParticipantChanged(
        **common,
        kind=kind,
        held=flag(fields, "Hold", missing=kind == "participant-hold"),
        muted=flag(fields, "Muted", missing=kind == "participant-mute"),
        end_on_exit=flag(fields, "EndConferenceOnExit", missing=False),
        coaches=optional_word(fields, "CallSidToCoach", CALL_SID) if flag(fields, "Coaching", missing=True) else "",
    )


def _announcement_source(fields: Fields) -> dict[str, Any]:
    """Return what was played: the id of `announce` or `press`, or its own URL."""
    url, query = fields.get("AnnounceUrl", "").partition("#")[0], ""
    if ANNOUNCEMENT_PATH in url:
        url, _, query = url.partition("?")
    try:
        return {"command": Announcement.parse(query).command_id} if query else {"url": url[:URL_MAX]}
    except CallbackUrlError:
        return {}


def recording_changed(fields: Fields, session_id: str) -> RecordingChanged:
    """Parse a recording's callback (Twilio docs, `RecordingStatusCallback`)."""
    recording_sid, status = word(fields, "RecordingSid", RECORDING_SID), word(fields, "RecordingStatus")
    call_sid = optional_word(fields, "CallSid", CALL_SID)
    conference_sid = conference_sid_of(fields) if fields.get("ConferenceSid") else ""
    source, url = fields.get("RecordingSource", ""), fields.get("RecordingUrl", "")
    return RecordingChanged(
        session_id=session_id,
        token=f"{RecordingChanged.name}:{recording_sid}:{status}",  # Twilio reports each status once
        recording_sid=recording_sid,
        status=status,
        of_conference=source in CONFERENCE_SOURCES if source else bool(conference_sid and not call_sid),
        of_voicemail=source == MESSAGE_SOURCE,
        call_sid=call_sid,
        conference_sid=conference_sid,
        url=recording_url(url),
        duration_s=_count(fields, "RecordingDuration"),
        channels=_count(fields, "RecordingChannels"),
        started_at_ms=timestamp_ms(fields.get("RecordingStartTime", "")),
        code=_count(fields, "ErrorCode"),
        other=summarize_unknown(fields, _KNOWN_FIELDS),
    )


def message_recorded(fields: Fields, session_id: str) -> RecordingChanged:
    """Parse the action of a message's `<Record>`: it is over, and may be kept.

    Source: Twilio docs, TwiML `<Record>`, `action`.
    """
    processing = {"RecordingStatus": RecordingStatus.PROCESSING.value, "RecordingSource": MESSAGE_SOURCE}
    return recording_changed({**fields, **processing}, session_id)


def recording_url(text: str) -> str:
    """Return Twilio's address of a recording; empty if it can't be one."""
    return text if _URL.fullmatch(text) else ""


def _count(fields: Fields, name: str) -> int:
    """Return a number; 0 if absent or -1, as of a recording that runs."""
    value = fields.get(name, "")
    return int(value) if is_number(value) else 0
