"""Effects as REST requests: one small function for each kind, over twilio-python's asynchronous resources."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance

from conferral.runtime.errors import (
    OutcomeUnknownError,
    ProviderGoneError,
    ProviderRefusedError,
)
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Effect,
    EndConference,
    FindCall,
    HangUpCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    SayAndHangUp,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import CallSeen, CallsRead, ParticipantSeen
from conferral.statemachine.events.effect_results import NOT_STARTED
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus
from conferral.telephony.account_lists import LIVE_CONFERENCE_STATUSES
from conferral.telephony.callback_urls import is_id
from conferral.telephony.http_client import ignore_not_found, label_requests
from conferral.telephony.parameters import recording
from conferral.telephony.parameters.dial import (
    CallSetup,
    PlacedCall,
    call_parameters,
    check_dial_allowed,
    participant_parameters,
)
from conferral.telephony.parameters.participant import (
    announcement_parameters,
    is_label,
    parse_participant,
    update_parameters,
)
from conferral.telephony.parameters.recording import RECORDINGS_MAX, StartedRecording
from conferral.telephony.redirect_check import RedirectSeen
from conferral.telephony.rest_requests import gather, list_page, read_with_retry, send

_T = TypeVar("_T")
#: SID of a conference, and who is in it.
_Conference = tuple[str, tuple[ParticipantSeen, ...]]

#: Children of one call that are read: one for each agent that was tried.
CHILDREN_MAX = 50
#: Calls that are read by their own SIDs at the same time, as many as a read's other parts.
CONCURRENT_READS_MAX = 3
#: Calls that one read fetches by their own SIDs: at half a second each, they fit into its time.
CALLS_READ_MAX = 21
#: Calls to one address that a search looks through, the newest first.
SEARCH_RESULTS_MAX = 50
#: How much older than the order the call may be that it led to: clocks differ, and Twilio's dates are whole seconds.
SEARCH_SLACK = timedelta(seconds=2)
#: Rooms of one session that are read; there is one, or two when a late leg opened a second.
CONFERENCES_MAX = 20
#: Twilio allows no more participants in a conference. Source: Twilio docs, TwiML `<Conference>`, maxParticipants.
PARTICIPANTS_MAX = 250
#: A wait of more digits than this is nonsense; it is cut so that it stays a number that can be added to a time.
_QUEUE_DIGITS_MAX = 9


class TwilioApi:
    """What can be asked of Twilio about calls and conferences.

    Every method raises `ProviderError` and nothing foreign.
    """

    def __init__(
        self, client: Client, *, join_document: Callable[[RedirectCall], str], setup: CallSetup | None = None
    ) -> None:
        """Takes Twilio's client, what gives a redirected call its TwiML, and what effects need.

        Without `setup`, dials, holds, announcements, sentences, and recordings are refused, and nothing is sent.
        """
        self._client = client
        self._join_document = join_document
        self._setup = setup

    async def perform(self, effect: Effect) -> CallsRead | PlacedCall | StartedRecording | None:
        """Carries an effect out, in one try.

        Returns:
            What a read found, the call that was dialled or found, or the recording that has begun; None for everything
            else, which then has happened.

        Raises:
            ProviderError: the family says what to do next.
            TypeError: the effect's kind is not known here, a fault of ours.
        """
        with label_requests(effect.kind):
            match effect:
                case ReadCalls():
                    return await self._read_calls(effect)
                case CreateParticipant():
                    return await self._create_participant(effect)
                case CreateCall():
                    return await self._create_call(effect)
                case FindCall():
                    return await self._find_call(effect)
                case StartRecording():
                    return await self._start_recording(effect)
                case _:
                    await self._perform_update(effect)
        return None

    async def _perform_update(self, effect: Effect) -> None:
        """What has no result but that it has happened."""
        match effect:
            case RedirectCall():
                await self._redirect(effect)
            case UpdateParticipant():
                await self._update_participant(effect)
            case PlayAnnouncement():
                await self._play_announcement(effect)
            case ChangeRecording():
                await self._change_recording(effect)
            case HangUpCall():
                await self._hang_up(effect)
            case EndConference():
                await self._end_conference(effect)
            case SayAndHangUp():
                await self._say_and_hang_up(effect)
            case RedirectToUrl():
                await self._redirect_to_url(effect)
            case _:
                raise TypeError(effect.kind)

    async def find_redirect(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened, by its label and by its call in every live room of the session."""
        with label_requests("verify"):
            parent, inside = await gather(self._call(effect.call_sid), self._participants_after(effect))
        in_conference = any(seen.call_sid == effect.call_sid or seen.label == effect.label for seen in inside)
        return RedirectSeen(call_status=parent.status, in_conference=in_conference)

    async def find_dial(self, effect: CreateParticipant) -> str:
        """Looks whether somebody was dialled into the conference: SID of the call with the label, empty for none.

        Those who are still ringing are in the list too.
        """
        with label_requests("verify"):
            inside = await self._participants_in(effect.conference)
        return next((seen.call_sid for seen in inside if seen.label == effect.label), "")

    async def find_ended_dials(self, effect: CreateParticipant, since_ms: int) -> tuple[str, ...]:
        """Calls that may have come of a dial and are over, so that no room shows them any more: SIDs, newest first.

        The list of calls knows no labels, so somebody else may have placed them.

        Args:
            effect: The dial.
            since_ms: When it was ordered, Unix milliseconds.
        """
        with label_requests("verify"):
            placed = await self._calls_placed_since(effect.to, effect.caller_id, since_ms)
        return tuple(call.sid for call in placed if call.sid and call.status in FINAL_CALL_STATUSES)

    async def find_recording(self, effect: StartRecording) -> str:
        """Looks whether a call is recorded by request: SID of the recording that runs, empty for none.

        Source: Twilio docs, Recordings resource, "Read multiple Recording resources" of a call.
        """
        inside = self._client.calls(effect.call_sid).recordings
        page = partial(inside.page_async, page_size=RECORDINGS_MAX)
        with label_requests("verify"):
            try:
                with ignore_not_found():
                    return recording.find_running(await list_page(page))
            except ProviderGoneError:
                return ""

    async def child_status(self, parent_call_sid: str) -> str | None:
        """Status of the newest call that the parent's `<Dial>` made, in Twilio's words; None when it made none."""
        with label_requests("child_status"):
            children = await self._children_of(parent_call_sid)
        # Twilio lists the newest first, and `max` keeps the first of equals.
        newest = max(children, key=_created_at, default=None)
        return newest.status or "" if newest is not None else None

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """Whether nobody but this call takes part in a conference, or is being called into it.

        Source: Twilio docs, Participants subresource: its list has those who ring, too.
        """
        with label_requests("is_alone"):
            inside = await self._participants_in(conference_sid)
        return [seen.call_sid for seen in inside] == [call_sid]

    # ---- one function a kind --------------------------------------------------------------------------------------

    async def _redirect(self, effect: RedirectCall) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Twiml`)."""
        document = self._join_document(effect)
        await send(self._client.calls(effect.call_sid).update_async(twiml=document, **self._fallback()))

    async def _hang_up(self, effect: HangUpCall) -> None:
        """`completed` ends a call in every state; `canceled` would spare one that was answered meanwhile.

        Source: Twilio docs, Call resource, "Update a Call" (`Status`).
        """
        await self._complete(effect.call_sid)

    async def _complete(self, call_sid: str) -> None:
        with _ignore_ended():  # over already, which is what was wanted
            await send(self._client.calls(call_sid).update_async(status="completed"))

    async def _end_conference(self, effect: EndConference) -> None:
        """Source: Twilio docs, Conference resource, "Update a Conference" (`Status`); Errors, 16001 and 16099."""
        try:
            with _ignore_ended(also=NOT_STARTED):
                await send(self._client.conferences(effect.conference_sid).update_async(status="completed"))
        except ProviderRefusedError as error:
            if error.code not in NOT_STARTED:
                raise
            # One that has not started can't be ended, so everyone who waits in it is hung up.
            for seen in await self._participants_in(effect.conference_sid):
                await self._complete(seen.call_sid)

    async def _say_and_hang_up(self, effect: SayAndHangUp) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Twiml`)."""
        document = self._require_setup().twiml.say_and_hang_up_inline(effect.sentence)
        with _ignore_ended():  # over already, so there is nobody left to be told
            await send(self._client.calls(effect.call_sid).update_async(twiml=document, **self._fallback()))

    async def _create_participant(self, effect: CreateParticipant) -> PlacedCall:
        """Source: Twilio docs, Participants subresource, "Create a Participant"."""
        setup = self._require_setup()
        check_dial_allowed(effect, setup)
        inside = self._client.conferences(effect.conference).participants
        made = await send(inside.create_async(**participant_parameters(effect, setup)))
        return _placed_call(made.call_sid, made.queue_time)

    async def _create_call(self, effect: CreateCall) -> PlacedCall:
        """Source: Twilio docs, Call resource, "Create a Call"."""
        setup = self._require_setup()
        check_dial_allowed(effect, setup)
        made = await send(self._client.calls.create_async(**call_parameters(effect, setup)))
        return _placed_call(made.sid, made.queue_time)

    async def _find_call(self, effect: FindCall) -> PlacedCall:
        """The one call of ours to this address since the dial was ordered; none where there are several."""
        found = await self._calls_placed_since(effect.to, effect.caller_id, effect.since_ms)
        return _placed_call(found[0].sid, None) if len(found) == 1 else PlacedCall("")

    async def _calls_placed_since(self, to: str, caller_id: str, since_ms: int) -> list[CallInstance]:
        """The calls that were placed by REST to an address since a moment in Unix milliseconds, newest first.

        Source: Twilio docs, Call resource, "Read multiple Call resources" (`To`, `From`).
        """
        shown = caller_id or self._require_setup().own_number
        earliest = datetime.fromtimestamp(since_ms / 1000, UTC) - SEARCH_SLACK
        page = partial(self._client.calls.page_async, to=to, from_=shown, page_size=SEARCH_RESULTS_MAX)
        return [
            call for call in await list_page(page) if call.direction == "outbound-api" and _created_at(call) >= earliest
        ]

    async def _update_participant(self, effect: UpdateParticipant) -> None:
        """Source: Twilio docs, Participants subresource, "Update a Participant"."""
        changes = update_parameters(effect, self._require_setup().urls)
        inside = self._client.conferences(effect.conference_sid).participants
        await send(inside(effect.call_sid).update_async(**changes))

    async def _play_announcement(self, effect: PlayAnnouncement) -> None:
        """Source: Twilio docs, Conference resource and Participants subresource, `AnnounceUrl`."""
        announcement = announcement_parameters(effect, self._require_setup().urls)
        conference = self._client.conferences(effect.conference_sid)
        heard_by = conference.participants(effect.call_sid) if effect.call_sid else conference
        await send(heard_by.update_async(**announcement))

    async def _start_recording(self, effect: StartRecording) -> StartedRecording:
        """Source: Twilio docs, Recordings resource, "Create a Recording"."""
        start = recording.start_parameters(effect, self._require_setup().urls)
        inside = self._client.calls(effect.call_sid).recordings
        try:
            made = await send(inside.create_async(**start))
        except ProviderGoneError as error:
            raise recording.translate_start_error(error) from None
        return recording.parse_started(made.sid)

    async def _change_recording(self, effect: ChangeRecording) -> None:
        """Source: Twilio docs, Recordings resource, "Update a Recording"."""
        client, sid = self._client, effect.recording_sid or recording.CURRENT
        owner = client.conferences(effect.conference_sid) if effect.conference_sid else client.calls(effect.call_sid)
        try:
            await send(owner.recordings(sid).update_async(**recording.change_parameters(effect)))
        except ProviderGoneError:
            if not recording.counts_as_stopped(effect):
                raise

    async def _redirect_to_url(self, effect: RedirectToUrl) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Url`)."""
        with _ignore_ended():  # over already, so there is nobody left to be sent on
            await send(
                self._client.calls(effect.call_sid).update_async(url=effect.url, method="POST", **self._fallback())
            )

    def _fallback(self) -> dict[str, str]:
        """Where Twilio turns if the new TwiML, or what it leads to, fails; a call that we placed has no other.

        Source: Twilio docs, Call resource, "Update a Call" (`FallbackUrl`).
        """
        if self._setup is None:
            return {}
        return {"fallback_url": self._setup.urls.fallback(), "fallback_method": "POST"}

    def _require_setup(self) -> CallSetup:
        if self._setup is None:
            raise ProviderRefusedError
        return self._setup

    async def _read_calls(self, effect: ReadCalls) -> CallsRead:
        """Source: Twilio docs, Participants subresource: lists no ended calls, so only missing ones are read singly."""
        parent_call_sid = effect.parent_call_sid
        parents, children, conferences = await gather(
            self._calls([parent_call_sid] if parent_call_sid else []),
            self._children_of(parent_call_sid),
            self._conferences_of(effect),
        )
        calls = [*parents, *(_child_seen(child, parent_call_sid) for child in children)]
        read = {seen.call_sid for seen in calls}
        conference_sid, participants = _pick_conference(conferences, effect, {*read, *effect.call_sids})
        there = {seen.call_sid for seen in participants} - set(effect.unproven_sids)
        missing = [sid for sid in dict.fromkeys(effect.call_sids) if sid not in there | read]
        calls += await self._calls(missing[:CALLS_READ_MAX])
        return CallsRead(
            session_id=effect.session_id,
            token=f"{effect.effect_id}:outcome",
            effect_id=effect.effect_id,
            read_version=effect.read_version,
            calls=tuple(calls),
            conference_sid=conference_sid,
            participants=participants,
            unread=tuple(missing[CALLS_READ_MAX:]),
        )

    # ---- reads ----------------------------------------------------------------------------------------------------

    async def _call(self, call_sid: str) -> CallSeen:
        """One call; `completed` when Twilio does not know it any more."""
        try:
            with ignore_not_found():
                call = await read_with_retry(self._client.calls(call_sid).fetch_async)
        except ProviderGoneError:
            return CallSeen(call_sid=call_sid, status=CallStatus.COMPLETED.value)
        return CallSeen(
            call_sid=call_sid,
            status=call.status or "",
            parent_call_sid=call.parent_call_sid or "",
            to=call.to or "",
        )

    async def _calls(self, call_sids: list[str]) -> list[CallSeen]:
        """Several calls, in their order, some at a time: nobody else shall wait for one session with many targets."""
        seen: list[CallSeen] = []
        for first in range(0, len(call_sids), CONCURRENT_READS_MAX):
            seen += await gather(*(self._call(sid) for sid in call_sids[first : first + CONCURRENT_READS_MAX]))
        return seen

    async def _children_of(self, call_sid: str) -> list[CallInstance]:
        """Whom a call's `<Dial>` has rung; nobody where there is no such call.

        Source: Twilio docs, Call resource, "Read multiple Call resources" (`ParentCallSid`).
        """
        if not call_sid:
            return []
        return await list_page(partial(self._client.calls.page_async, parent_call_sid=call_sid, page_size=CHILDREN_MAX))

    async def _live_conferences(self, name: str) -> list[str]:
        """SIDs of the live conferences of that name, those that have started first."""
        page = partial(self._client.conferences.page_async, friendly_name=name, page_size=CONFERENCES_MAX)
        live = [conference for conference in await list_page(page) if conference.status in LIVE_CONFERENCE_STATUSES]
        return [
            conference.sid for conference in sorted(live, key=lambda conference: conference.status != "in-progress")
        ]

    async def _participants_in(self, conference_sid: str) -> tuple[ParticipantSeen, ...]:
        """Who is in a room; nobody when it is over. Source: Twilio docs, Participants subresource."""
        inside_of = self._client.conferences(conference_sid).participants
        page = partial(inside_of.page_async, page_size=PARTICIPANTS_MAX)
        try:
            with ignore_not_found():
                inside = await list_page(page)
        except ProviderGoneError:
            return ()
        return tuple(parse_participant(seen) for seen in inside)

    async def _conferences_of(self, effect: ReadCalls) -> list[_Conference]:
        """The live conferences of the session's name, and who is in each."""
        if not effect.with_conference:
            return []
        conferences = await self._live_conferences(effect.conference_name or effect.session_id)
        inside = await gather(*(self._participants_in(conference) for conference in conferences))
        return list(zip(conferences, inside, strict=True))

    async def _participants_after(self, effect: RedirectCall) -> list[ParticipantSeen]:
        """Everybody in the rooms that the redirect could have led to."""
        name = effect.conference_name or effect.session_id
        conferences = await self._live_conferences(name)
        if effect.conference not in (name, *conferences):
            conferences.append(effect.conference)  # known by its SID, and a list by name may miss it for a moment
        inside = await gather(*(self._participants_in(conference) for conference in conferences))
        return [seen for participants in inside for seen in participants]


def _pick_conference(conferences: list[_Conference], effect: ReadCalls, call_sids: set[str]) -> _Conference:
    """The session's conference and who is in it; of several, the fullest, since a late leg is alone in a second one.

    A name proves nothing: a conference that we don't know by its SID is ours only if one of our legs is in it.

    Args:
        conferences: Those that have the name.
        effect: The read.
        call_sids: The session's calls.
    """
    own = [
        (conference_sid, inside)
        for conference_sid, inside in conferences
        if conference_sid == effect.conference_sid
        or any(seen.call_sid in call_sids or is_label(seen.label) for seen in inside)
    ]
    return max(own, key=lambda conference: len(conference[1]), default=("", ()))


@contextmanager
def _ignore_ended(*, also: frozenset[int] = frozenset()) -> Iterator[None]:
    """What is asked of a call or conference that is over already has nobody left to be asked for."""
    with suppress(ProviderGoneError), ignore_not_found(also=also):
        yield


def _placed_call(call_sid: object, queue_time: object) -> PlacedCall:
    """A call as Twilio's answer names it.

    Raises:
        OutcomeUnknownError: it names none, so nobody knows which call it is.
    """
    if not isinstance(call_sid, str) or not is_id(call_sid):
        raise OutcomeUnknownError
    # Twilio writes milliseconds as text; without them nothing is known of a queue.
    is_number = isinstance(queue_time, str) and queue_time.isascii() and queue_time.isdigit()
    return PlacedCall(call_sid, int(str(queue_time)[:_QUEUE_DIGITS_MAX]) if is_number else 0)


def _child_seen(child: CallInstance, parent_call_sid: str) -> CallSeen:
    return CallSeen(
        call_sid=child.sid or "", status=child.status or "", parent_call_sid=parent_call_sid, to=child.to or ""
    )


def _created_at(call: CallInstance) -> datetime:
    """When a call was created; the beginning of time where Twilio's date can't be read.

    The library hands on what it can't read: None, or the text itself.
    """
    created = call.date_created
    return created if isinstance(created, datetime) else datetime.min.replace(tzinfo=UTC)
