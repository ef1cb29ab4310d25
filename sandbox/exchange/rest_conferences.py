"""The REST API's Conferences and Participants: fetch, list, update, create, delete.

Source: Twilio docs: Conference resource; Participant resource; Error and Warning Dictionary (16023 to 16028).
"""

from __future__ import annotations

from conferral.sandbox.exchange import calls, conferences, members, resources, rest_calls
from conferral.sandbox.exchange.forms import Form, RestError, not_found
from conferral.sandbox.exchange.inputs import Params
from conferral.sandbox.exchange.model import Conference, JoinOrder, Participant
from conferral.sandbox.exchange.outputs import RestAnswer
from conferral.sandbox.exchange.texts import CALL_SID, CONFERENCE_SID
from conferral.sandbox.exchange.work import Work

CONFERENCE_EVENTS = frozenset(conferences.GROUPS.values())
PARTICIPANT_RECORDING_EVENTS = (
    "started", "in-progress", "paused", "resumed", "stopped", "completed", "failed", "absent"
)  # fmt: skip
CONFERENCE_RECORDING_EVENTS = ("in-progress", "completed", "failed", "absent")


#: Codes of TwiML's refusals, by those of the same refusals of a request.
_REST_CODES = {16023: 16024, 16025: 16026, 13240: 16028}


def find(work: Work, sid: str, path: str) -> Conference:
    """The conference of this SID, live or over."""
    if sid not in work.state.conferences:
        raise not_found(path)
    return work.conference(sid)


def listed(work: Work, query: Params) -> RestAnswer:
    """Conferences, newest first, by FriendlyName, Status, DateCreated and DateUpdated."""
    form = Form(query)
    state = work.state
    name, status = form.get("FriendlyName"), form.get("Status")
    created, updated = (form.time_filter(name, days_only=True) for name in ("DateCreated", "DateUpdated"))
    newest_s = work.now_s - work.rules.lists_lag_s
    may_be_over = status in {"", "completed"}
    looked_at = reversed(state.conferences) if may_be_over else reversed(state.rooms.values())
    found = [
        room
        for room in (state.conferences[sid] for sid in looked_at)
        if (not name or room.name == name)
        and (not status or room.status == status)
        and room.created_at_s <= newest_s
        and created(room.created_at_s)
        and updated(room.updated_at_s)
    ]
    return resources.page(
        state,
        "/Conferences.json",
        "conferences",
        found,
        lambda it: resources.conference(state, it),
        query,
        lambda it: it.number,
    )


def update(work: Work, conference: Conference, form: Form) -> RestAnswer:
    """End a conference, or announce something to everybody in it."""
    status = form.get("Status")
    if status not in {"", "completed"}:
        raise RestError(400, 20001, f"Invalid Status: {status}")
    url = form.url("AnnounceUrl")
    if status and conference.status == "init" and work.rules.end_before_start == "refused":
        raise RestError(400, 16001, "Conference is not bridged")
    if conference.status == "completed":
        raise RestError(400, 16022, "Conference does not exist or is completed")
    if url:
        _check_is_in_progress(work, conference)
    if url:
        members.announce_to_all(work, conference, url, form.method("AnnounceMethod"))
    if status:
        conferences.finish(work, conference, "conference-ended-via-api")
    return RestAnswer(200, resources.conference(work.state, conference))


def _check_is_in_progress(work: Work, conference: Conference) -> None:
    """Refuse what Twilio does to participants only while a conference is in progress."""
    if conference.status != "in-progress" and work.rules.update_before_start == "refused":
        raise RestError(400, 16099, "Unexpected conference status")


def find_participant(work: Work, conference: Conference, key: str, path: str) -> Participant:
    """The participant with this CallSid or label, while it is there or on its way."""
    found = conferences.member(work, conference, key) if conference.status != "completed" else None
    if found is None:
        raise not_found(path)
    return found


def create(work: Work, place: str, form: Form) -> RestAnswer:
    """Dial somebody into a conference, named by SID or by friendly name; a new name makes a new conference."""
    order = _order(work, place, form)
    live = work.live_conference(place)
    if CONFERENCE_SID.match(place) and live is None:
        raise RestError(400, 16022, "Conference does not exist or is completed")
    if live is not None and live.status == "init" and work.rules.add_before_start == "refused":
        raise RestError(400, 16099, "Unexpected conference status")
    refused = conferences.refusal(work, order)
    if refused is not None:
        code, message = refused
        raise RestError(400, _REST_CODES.get(code, code), message)
    recorded = None
    if form.flag("Record", default=False):
        recorded = rest_calls.record_order(work, form, "OutboundAPI", PARTICIPANT_RECORDING_EVENTS)
    call = rest_calls.new_call(work, form)
    call.join = order
    call.record = recorded
    call.subscription = form.subscription(work, "StatusCallback", calls.CALL_EVENTS, ("completed",), lenient=True)
    conference, participant = conferences.reserve(work, call, order, by_rest=True)
    shown = resources.participant(work.state, conference, participant)
    if rest_calls.queue(work, call):
        conferences.connecting(work, call)
    return RestAnswer(201, shown | {"queue_time": str(call.queue_ms)})


def _order(work: Work, place: str, form: Form) -> JoinOrder:
    coach_sid = form.get("CallSidToCoach")
    if form.flag("Coaching", default=bool(coach_sid)) and not CALL_SID.match(coach_sid):
        raise RestError(400, 16028, "CallSidToCoach is needed for coaching")
    return JoinOrder(
        name=place,
        label=form.get("Label"),
        muted=form.flag("Muted", default=False),
        coach_sid=coach_sid if form.flag("Coaching", default=True) else "",
        start_on_enter=form.flag("StartConferenceOnEnter", default=True),
        end_on_exit=form.flag("EndConferenceOnExit", default=False),
        beep=form.one_of("Beep", ("true", "false", "onEnter", "onExit")),
        wait_url=form.get("WaitUrl") if form.has("WaitUrl") else None,
        wait_method=form.method("WaitMethod"),
        participants_max=form.whole("MaxParticipants", 250, 2, 250),
        early_media=form.flag("EarlyMedia", default=True),
        jitter_buffer=form.one_of("JitterBufferSize", ("large", "medium", "small", "off")),
        record=form.one_of("ConferenceRecord", ("false", "true", "record-from-start", "do-not-record"))
        in {"true", "record-from-start"},
        trim=form.one_of("ConferenceTrim", ("trim-silence", "do-not-trim")),
        recording=form.subscription(
            work, "ConferenceRecordingStatusCallback", CONFERENCE_RECORDING_EVENTS, ("completed",), lenient=True
        ),
        events=form.subscription(work, "ConferenceStatusCallback", CONFERENCE_EVENTS, ("start", "end"), lenient=True),
        region=form.get("Region"),
    )


def update_participant(work: Work, conference: Conference, participant: Participant, form: Form) -> RestAnswer:
    """Mute, hold, coach, announce to, or change the exit of one participant."""
    _check_is_in_progress(work, conference)
    coach_sid = form.get("CallSidToCoach") if form.has("CallSidToCoach") else None
    coaching = form.optional_flag("Coaching")
    coached = conference.participants.get(coach_sid or participant.coach_sid)
    if coaching or coach_sid:
        if coached is None or not coached.is_in or coached is participant:
            raise RestError(400, 16028, "Participant to be whispered is not present in the conference")
        if coached.hold:
            raise RestError(400, 16027, "Participant to be whispered is on hold")
    change = members.Change(
        muted=form.optional_flag("Muted"),
        hold=form.optional_flag("Hold"),
        hold_url=form.get("HoldUrl") if form.has("HoldUrl") else None,
        hold_method=form.method("HoldMethod", "GET"),
        coaching=coaching,
        coach_sid=coach_sid,
        end_on_exit=form.optional_flag("EndConferenceOnExit"),
        beep_on_exit=form.optional_flag("BeepOnExit"),
        wait_url=form.get("WaitUrl") if form.has("WaitUrl") else None,
        wait_method=form.method("WaitMethod"),
        announce_url=form.url("AnnounceUrl"),
        announce_method=form.method("AnnounceMethod"),
    )
    members.update(work, conference, participant, change)
    answer = resources.participant(work.state, conference, participant)
    if change.end_on_exit is not None:
        answer["end_conference_on_exit"] = change.end_on_exit  # shown so even where it had no effect
    return RestAnswer(200, answer)


def delete_participant(work: Work, conference: Conference, participant: Participant) -> RestAnswer:
    """Remove a participant: its TwiML goes on, without any it is hung up."""
    _check_is_in_progress(work, conference)
    conferences.kick(work, work.call(participant.call_sid))
    return RestAnswer(204)


def listed_participants(work: Work, conference: Conference, path: str, query: Params) -> RestAnswer:
    """Those in a conference or on their way to it, by Muted, Hold and Coaching."""
    form = Form(query)
    wanted = {name: form.flag(name, default=False) for name in ("Muted", "Hold", "Coaching") if form.has(name)}
    live = conference.participants.values() if conference.status != "completed" else ()
    found = [it for it in live if all(getattr(it, name.lower()) == value for name, value in wanted.items())]
    return resources.page(
        work.state, path, "participants", found, lambda it: resources.participant(work.state, conference, it), query
    )
