"""REST API: Conferences and Participants (errors: 16023 to 16028).

Source: Twilio docs: Conference resource; Participant resource; Error and Warning Dictionary.
"""

from typing import Any

from offhook.model import calls, conferences, machine_detection, participant_updates
from offhook.model.formats import CALL_SID, CONFERENCE_SID
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.rest import call_routes, resources
from offhook.model.rest_form import Form, NotFoundError, RestError
from offhook.model.state import Conference, JoinSettings, Participant
from offhook.model.transaction import Transaction

CONFERENCE_EVENTS = frozenset(conferences.EVENT_GROUPS.values())
CONFERENCE_RECORDING_EVENTS = ("in-progress", "completed", "failed", "absent")
_REST_CODES = {16023: 16024, 16025: 16026, 13240: 16028}  #: By the TwiML error codes of the same problems.


def list_conferences(transaction: Transaction, request: RestRequest) -> RestAnswer:
    """List conferences, newest first, by name, status, and dates."""
    form = Form(request.params)
    state, behavior = transaction.state, transaction.behavior
    name, status = form.get("FriendlyName"), form.get("Status")
    created, updated = form.period("DateCreated"), form.period("DateUpdated")
    if not status and behavior.conference_list == "in-progress":
        status = "in-progress"
    if status == "init" and behavior.init_conference_list == "refused":
        raise RestError(400, 20001, "Invalid Status: init")
    newest_s = transaction.now_s - behavior.list_delay_s
    scanned = reversed(state.conferences if status in {"", "completed"} else state.conference_sids.values())
    found = [
        conference
        for conference in (state.conferences[sid] for sid in scanned)
        if (not name or conference.name == name)
        and (not status or conferences.shown_status(transaction, conference) == status)
        and not (status == "init" and behavior.init_conference_list == "nothing")
        and conference.created_at_s <= newest_s
        and created(conference.created_at_s)
        and updated(conference.updated_at_s)
    ]
    return resources.list_page(
        state, request, "conferences", found, lambda _, it: conference_resource(transaction, it), lambda it: it.number
    )


def conference_resource(transaction: Transaction, conference: Conference) -> dict[str, Any]:
    """Return a Conference resource as an account shows it."""
    shown = resources.conference_resource(transaction.state, conference)
    return shown | {"status": conferences.shown_status(transaction, conference)}


def update(transaction: Transaction, conference: Conference, form: Form) -> RestAnswer:
    """End a conference, or make an announcement to everyone in it."""
    status = form.get("Status")
    if status not in {"", "completed"}:
        raise RestError(400, 20001, f"Invalid Status: {status}")
    url = form.url("AnnounceUrl")
    shown = conferences.shown_status(transaction, conference)
    if status and shown == "init" and transaction.behavior.end_before_start == "refused":
        raise RestError(400, 16001, "Conference is not bridged")
    if conference.status == "completed":
        raise RestError(400, 16022, "Conference does not exist or is completed")
    if url:
        _check_is_in_progress(transaction, conference)
        method = form.method("AnnounceMethod")
        if conference.joined():
            conferences.begin_audio(transaction, conferences.Channel(conference, None, "announce"), url, method)
    if status:
        conferences.finish(transaction, conference, "conference-ended-via-api")
    return RestAnswer(200, conference_resource(transaction, conference))


def _check_is_in_progress(transaction: Transaction, conference: Conference) -> None:
    shown = conferences.shown_status(transaction, conference)
    if shown != "in-progress" and transaction.behavior.update_before_start == "refused":
        raise RestError(400, 16099, "Unexpected conference status")


def find_participant(transaction: Transaction, conference: Conference, key: str) -> Participant:
    """Return the participant with this CallSid or label."""
    members = conference.participants
    found = members.get(key) or next((it for it in members.values() if it.label and it.label == key), None)
    if found is None:
        raise NotFoundError
    transaction.call(found.call_sid)  # marks the call as changed, so that its audibility is updated
    return found


def create_participant(transaction: Transaction, name_or_sid: str, form: Form) -> RestAnswer:
    """Dial a party into a conference, as a participant even before the answer."""
    settings = _join_settings(transaction, name_or_sid, form)
    live = transaction.live_conference(name_or_sid)
    if CONFERENCE_SID.match(name_or_sid) and live is None:
        raise RestError(400, 16022, "Conference does not exist or is completed")
    is_unstarted = live is not None and conferences.shown_status(transaction, live) == "init"
    if is_unstarted and transaction.behavior.add_before_start == "refused":
        raise RestError(400, 16099, "Unexpected conference status")
    refused = conferences.join_error(transaction, settings)
    if refused is not None:
        code, message = refused
        raise RestError(400, _REST_CODES.get(code, code), message)
    subscription = form.subscription(transaction, "StatusCallback", calls.CALL_EVENTS, ("completed",), lenient=True)
    detection = call_routes.detection_of(transaction, form, "AmdStatusCallback", in_background=True)
    record_settings = call_routes.dialed_record_settings(transaction, form)
    call = call_routes.build_call(transaction, form)
    call.detection = detection if machine_detection.can_test(call) else None
    call.record_from_answer = record_settings
    call.join_settings = settings  # from here on, the request can't be rejected
    call.ring_s += max(call_routes.PARTICIPANT_BUFFER_S - transaction.behavior.ring_buffer_s, 0.0)
    call.subscription = subscription
    conference, participant = conferences.reserve(transaction, call, settings)
    shown = resources.participant_resource(transaction.state, conference, participant)
    if call_routes.start_or_queue(transaction, call):
        conferences.mark_connecting(transaction, call)
    return RestAnswer(201, shown | {"queue_time": str(call.queue_ms)})


def _join_settings(transaction: Transaction, name_or_sid: str, form: Form) -> JoinSettings:
    coach_sid = form.get("CallSidToCoach")
    if form.flag("Coaching", default=bool(coach_sid)) and not CALL_SID.match(coach_sid):
        raise RestError(400, 16028, "CallSidToCoach is needed for coaching")
    return JoinSettings(
        name=name_or_sid,
        label=form.get("Label"),
        muted=form.flag("Muted", default=False),
        coach_sid=coach_sid if form.flag("Coaching", default=True) else "",
        start_on_enter=form.flag("StartConferenceOnEnter", default=True),
        end_on_exit=form.flag("EndConferenceOnExit", default=False),
        beep=form.one_of("Beep", ("true", "false", "onEnter", "onExit")),
        wait_url=form.url("WaitUrl") if form.has("WaitUrl") else None,
        wait_method=form.method("WaitMethod"),
        participants_max=form.integer("MaxParticipants", 250, 2, 250),
        early_media=form.flag("EarlyMedia", default=True),
        jitter_buffer=form.one_of("JitterBufferSize", ("large", "medium", "small", "off")),
        record=form.one_of("ConferenceRecord", ("false", "true", "record-from-start", "do-not-record"))
        in {"true", "record-from-start"},
        trim=form.one_of("ConferenceTrim", ("trim-silence", "do-not-trim")),
        recording_configuration=form.get("RecordingConfigurationId"),
        recording_subscription=form.subscription(
            transaction, "ConferenceRecordingStatusCallback", CONFERENCE_RECORDING_EVENTS, ("completed",), lenient=True
        ),
        subscription=form.subscription(
            transaction, "ConferenceStatusCallback", CONFERENCE_EVENTS, ("start", "end"), lenient=True
        ),
        region=form.get("Region"),
    )


def update_participant(
    transaction: Transaction, conference: Conference, participant: Participant, form: Form
) -> RestAnswer:
    """Mute, hold, coach, announce to, or change one participant."""
    _check_is_in_progress(transaction, conference)
    coaches = form.has("Coaching") or form.has("CallSidToCoach")
    if sum((form.has("Hold"), coaches, bool(form.get("AnnounceUrl")))) > 1:
        raise RestError(400, 20001, "Hold, coach, and announce in separate requests")
    coached = conference.participants.get(form.get("CallSidToCoach") or participant.coach_sid)
    if form.optional_flag("Coaching") or form.get("CallSidToCoach"):
        if coached is None or not coached.is_in or coached is participant:
            raise RestError(400, 16028, "Participant to be whispered is not present in the conference")
        if coached.is_held:
            raise RestError(400, 16027, "Participant to be whispered is on hold")
    participant_updates.update(transaction, conference, participant, form)
    answer = resources.participant_resource(transaction.state, conference, participant)
    if form.has("EndConferenceOnExit"):
        answer["end_conference_on_exit"] = form.flag("EndConferenceOnExit", default=False)  # even if it had no effect
    return RestAnswer(200, answer)


def delete_participant(transaction: Transaction, conference: Conference, participant: Participant) -> RestAnswer:
    """Remove a participant: its TwiML continues; without any, it is hung up."""
    _check_is_in_progress(transaction, conference)
    call = transaction.call(participant.call_sid)
    conferences.leave(transaction, call, "participant_updated_via_api", was_removed=True)
    conferences.continue_after_conference(transaction, call)
    return RestAnswer(204)


def list_participants(transaction: Transaction, conference: Conference, request: RestRequest) -> RestAnswer:
    """List participants, newest first, joined or on their way, by their flags."""
    form = Form(request.params)
    attributes = {"Muted": "muted", "Hold": "is_held", "Coaching": "coaching"}
    wanted = {attributes[name]: form.flag(name, default=False) for name in attributes if form.has(name)}
    members = conference.participants.values()
    found = [it for it in reversed(members) if all(getattr(it, name) == value for name, value in wanted.items())]
    return resources.list_page(
        transaction.state,
        request,
        "participants",
        found,
        lambda state, it: resources.participant_resource(state, conference, it),
    )
