"""Effects as REST requests: one small function for each kind, over twilio-python's asynchronous resources."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance

from conferral.runtime.errors import (
    OutcomeUnknownError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
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
    SayAndHangUp,
    SendAway,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import CallSeen, CallsRead, ParticipantSeen
from conferral.statemachine.events.outcomes import NOT_STARTED
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus
from conferral.telephony import recordings
from conferral.telephony.account import LIVE_CONFERENCE_STATUSES
from conferral.telephony.client import gone_is_fine, requests_of
from conferral.telephony.dialling import CallSetup, Dialled, call_parameters, check_may_dial, participant_parameters
from conferral.telephony.errors import our_errors
from conferral.telephony.look import RedirectSeen
from conferral.telephony.participants import announcement_parameters, is_label, participant_seen, update_parameters
from conferral.telephony.recordings import RECORDINGS_MAX, Recorded
from conferral.telephony.urls import is_id

_T = TypeVar("_T")
#: SID of a conference, and who is in it.
_Room = tuple[str, tuple[ParticipantSeen, ...]]

#: Children of one call that are read: one for each agent that was tried.
CHILDREN_MAX = 50
#: Calls that are read by their own SIDs at the same time, as many as a read's other parts.
CALLS_AT_ONCE = 3
#: Calls that one read fetches by their own SIDs: at half a second each, they fit into its time.
CALLS_READ_MAX = 21
#: Calls to one address that a search looks through, the newest first.
FOUND_MAX = 50
#: How much older than the order the call may be that it led to: clocks differ, and Twilio's dates are whole seconds.
FOUND_SLACK = timedelta(seconds=2)
#: Rooms of one session that are read; there is one, or two when a late leg opened a second.
ROOMS_MAX = 20
#: Twilio allows no more participants in a conference. Source: Twilio docs, TwiML `<Conference>`, maxParticipants.
PARTICIPANTS_MAX = 250
#: A wait of more digits than this is nonsense; it is cut so that it stays a number that can be added to a time.
_QUEUE_DIGITS_MAX = 9


class Calls:
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

    async def perform(self, effect: Effect) -> CallsRead | Dialled | Recorded | None:
        """Carries an effect out, in one try.

        Returns:
            What a read found, the call that was dialled or found, or the recording that has begun; None for everything
            else, which then has happened.

        Raises:
            ProviderError: the family says what to do next.
            TypeError: the effect's kind is not known here, a fault of ours.
        """
        with requests_of(effect.kind):
            match effect:
                case ReadCalls():
                    return await self._read(effect)
                case CreateParticipant():
                    return await self._create_participant(effect)
                case CreateCall():
                    return await self._create_call(effect)
                case FindCall():
                    return await self._find_call(effect)
                case StartRecording():
                    return await self._start_recording(effect)
                case _:
                    await self._change(effect)
        return None

    async def _change(self, effect: Effect) -> None:
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
            case SendAway():
                await self._send_away(effect)
            case _:
                raise TypeError(effect.kind)

    async def look_for(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened, by its label and by its call in every live room of the session."""
        with requests_of("look"):
            parent, inside = await _side_by_side(self._call(effect.call_sid), self._anybody_in(effect))
        in_room = any(seen.call_sid == effect.call_sid or seen.label == effect.label for seen in inside)
        return RedirectSeen(call_status=parent.status, in_room=in_room)

    async def look_for_dial(self, effect: CreateParticipant) -> str:
        """Looks whether somebody was dialled into the conference: SID of the call with the label, empty for none.

        Those who are still ringing are in the list too.
        """
        with requests_of("look"):
            inside = await self._participants_in(effect.room)
        return next((seen.call_sid for seen in inside if seen.label == effect.label), "")

    async def look_for_gone_dial(self, effect: CreateParticipant, since_ms: int) -> tuple[str, ...]:
        """Calls that may have come of a dial and are over, so that no room shows them any more: SIDs, newest first.

        The list of calls knows no labels, so somebody else may have placed them.

        Args:
            effect: The dial.
            since_ms: When it was ordered, Unix milliseconds.
        """
        with requests_of("look"):
            placed = await self._placed_since(effect.to, effect.caller_id, since_ms)
        return tuple(call.sid for call in placed if call.sid and call.status in FINAL_CALL_STATUSES)

    async def look_for_recording(self, effect: StartRecording) -> str:
        """Looks whether a call is recorded by request: SID of the recording that runs, empty for none.

        Source: Twilio docs, Recordings resource, "Read multiple Recording resources" of a call.
        """
        inside = self._client.calls(effect.call_sid).recordings
        page = partial(inside.page_async, page_size=RECORDINGS_MAX)
        with requests_of("look"):
            try:
                with gone_is_fine():
                    return recordings.running(await _listed(page))
            except ProviderGoneError:
                return ""

    async def child_status(self, parent_call_sid: str) -> str | None:
        """Status of the newest call that the parent's `<Dial>` made, in Twilio's words; None when it made none."""
        with requests_of("child_status"):
            children = await self._children_of(parent_call_sid)
        # Twilio lists the newest first, and `max` keeps the first of equals.
        newest = max(children, key=_created_at, default=None)
        return newest.status or "" if newest is not None else None

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """Whether nobody but this call takes part in a conference, or is being called into it.

        Source: Twilio docs, Participants subresource: its list has those who ring, too.
        """
        with requests_of("is_alone"):
            inside = await self._participants_in(conference_sid)
        return [seen.call_sid for seen in inside] == [call_sid]

    # ---- one function a kind --------------------------------------------------------------------------------------

    async def _redirect(self, effect: RedirectCall) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Twiml`)."""
        document = self._join_document(effect)
        await _answer(self._client.calls(effect.call_sid).update_async(twiml=document, **self._fallback()))

    async def _hang_up(self, effect: HangUpCall) -> None:
        """`completed` ends a call in every state; `canceled` would spare one that was answered meanwhile.

        Source: Twilio docs, Call resource, "Update a Call" (`Status`).
        """
        await self._complete(effect.call_sid)

    async def _complete(self, call_sid: str) -> None:
        with _over_is_fine():  # over already, which is what was wanted
            await _answer(self._client.calls(call_sid).update_async(status="completed"))

    async def _end_conference(self, effect: EndConference) -> None:
        """Source: Twilio docs, Conference resource, "Update a Conference" (`Status`); Errors, 16001 and 16099."""
        try:
            with _over_is_fine(also=NOT_STARTED):
                await _answer(self._client.conferences(effect.conference_sid).update_async(status="completed"))
        except ProviderRefusedError as error:
            if error.code not in NOT_STARTED:
                raise
            # One that has not started can't be ended, so everyone who waits in it is hung up.
            for seen in await self._participants_in(effect.conference_sid):
                await self._complete(seen.call_sid)

    async def _say_and_hang_up(self, effect: SayAndHangUp) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Twiml`)."""
        document = self._needed_setup().documents.say_and_hang_up_inline(effect.sentence)
        with _over_is_fine():  # over already, so there is nobody left to be told
            await _answer(self._client.calls(effect.call_sid).update_async(twiml=document, **self._fallback()))

    async def _create_participant(self, effect: CreateParticipant) -> Dialled:
        """Source: Twilio docs, Participants subresource, "Create a Participant"."""
        setup = self._needed_setup()
        check_may_dial(effect, setup)
        inside = self._client.conferences(effect.room).participants
        made = await _answer(inside.create_async(**participant_parameters(effect, setup)))
        return _dialled(made.call_sid, made.queue_time)

    async def _create_call(self, effect: CreateCall) -> Dialled:
        """Source: Twilio docs, Call resource, "Create a Call"."""
        setup = self._needed_setup()
        check_may_dial(effect, setup)
        made = await _answer(self._client.calls.create_async(**call_parameters(effect, setup)))
        return _dialled(made.sid, made.queue_time)

    async def _find_call(self, effect: FindCall) -> Dialled:
        """The one call of ours to this address since the dial was ordered; none where there are several."""
        found = await self._placed_since(effect.to, effect.caller_id, effect.since_ms)
        return _dialled(found[0].sid, None) if len(found) == 1 else Dialled("")

    async def _placed_since(self, to: str, caller_id: str, since_ms: int) -> list[CallInstance]:
        """The calls that were placed by REST to an address since a moment in Unix milliseconds, newest first.

        Source: Twilio docs, Call resource, "Read multiple Call resources" (`To`, `From`).
        """
        shown = caller_id or self._needed_setup().own_number
        earliest = datetime.fromtimestamp(since_ms / 1000, UTC) - FOUND_SLACK
        page = partial(self._client.calls.page_async, to=to, from_=shown, page_size=FOUND_MAX)
        return [
            call for call in await _listed(page) if call.direction == "outbound-api" and _created_at(call) >= earliest
        ]

    async def _update_participant(self, effect: UpdateParticipant) -> None:
        """Source: Twilio docs, Participants subresource, "Update a Participant"."""
        changes = update_parameters(effect, self._needed_setup().urls)
        inside = self._client.conferences(effect.conference_sid).participants
        await _answer(inside(effect.call_sid).update_async(**changes))

    async def _play_announcement(self, effect: PlayAnnouncement) -> None:
        """Source: Twilio docs, Conference resource and Participants subresource, `AnnounceUrl`."""
        announcement = announcement_parameters(effect, self._needed_setup().urls)
        room = self._client.conferences(effect.conference_sid)
        heard_by = room.participants(effect.call_sid) if effect.call_sid else room
        await _answer(heard_by.update_async(**announcement))

    async def _start_recording(self, effect: StartRecording) -> Recorded:
        """Source: Twilio docs, Recordings resource, "Create a Recording"."""
        start = recordings.start_parameters(effect, self._needed_setup().urls)
        inside = self._client.calls(effect.call_sid).recordings
        try:
            made = await _answer(inside.create_async(**start))
        except ProviderGoneError as error:
            raise recordings.start_error(error) from None
        return recordings.recorded(made.sid)

    async def _change_recording(self, effect: ChangeRecording) -> None:
        """Source: Twilio docs, Recordings resource, "Update a Recording"."""
        client, sid = self._client, effect.recording_sid or recordings.CURRENT
        owner = client.conferences(effect.conference_sid) if effect.conference_sid else client.calls(effect.call_sid)
        try:
            await _answer(owner.recordings(sid).update_async(**recordings.change_parameters(effect)))
        except ProviderGoneError:
            if not recordings.is_stopped_when_gone(effect):
                raise

    async def _send_away(self, effect: SendAway) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Url`)."""
        with _over_is_fine():  # over already, so there is nobody left to be sent on
            await _answer(
                self._client.calls(effect.call_sid).update_async(url=effect.url, method="POST", **self._fallback())
            )

    def _fallback(self) -> dict[str, str]:
        """Where Twilio turns if the new TwiML, or what it leads to, fails; a call that we placed has no other.

        Source: Twilio docs, Call resource, "Update a Call" (`FallbackUrl`).
        """
        if self._setup is None:
            return {}
        return {"fallback_url": self._setup.urls.fallback(), "fallback_method": "POST"}

    def _needed_setup(self) -> CallSetup:
        if self._setup is None:
            raise ProviderRefusedError
        return self._setup

    async def _read(self, effect: ReadCalls) -> CallsRead:
        """Source: Twilio docs, Participants subresource: lists no ended calls, so only missing ones are read singly."""
        parent_call_sid = effect.parent_call_sid
        parents, children, rooms = await _side_by_side(
            self._calls([parent_call_sid] if parent_call_sid else []),
            self._children_of(parent_call_sid),
            self._rooms_of(effect),
        )
        calls = [*parents, *(_child_seen(child, parent_call_sid) for child in children)]
        read = {seen.call_sid for seen in calls}
        conference_sid, participants = _own_room(rooms, effect, {*read, *effect.call_sids})
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
            with gone_is_fine():
                call = await _read(self._client.calls(call_sid).fetch_async)
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
        for first in range(0, len(call_sids), CALLS_AT_ONCE):
            seen += await _side_by_side(*(self._call(sid) for sid in call_sids[first : first + CALLS_AT_ONCE]))
        return seen

    async def _children_of(self, call_sid: str) -> list[CallInstance]:
        """Whom a call's `<Dial>` has rung; nobody where there is no such call.

        Source: Twilio docs, Call resource, "Read multiple Call resources" (`ParentCallSid`).
        """
        if not call_sid:
            return []
        return await _listed(partial(self._client.calls.page_async, parent_call_sid=call_sid, page_size=CHILDREN_MAX))

    async def _live_rooms(self, name: str) -> list[str]:
        """SIDs of the live conferences of that name, those that have started first."""
        page = partial(self._client.conferences.page_async, friendly_name=name, page_size=ROOMS_MAX)
        live = [room for room in await _listed(page) if room.status in LIVE_CONFERENCE_STATUSES]
        return [room.sid for room in sorted(live, key=lambda room: room.status != "in-progress")]

    async def _participants_in(self, conference_sid: str) -> tuple[ParticipantSeen, ...]:
        """Who is in a room; nobody when it is over. Source: Twilio docs, Participants subresource."""
        inside_of = self._client.conferences(conference_sid).participants
        page = partial(inside_of.page_async, page_size=PARTICIPANTS_MAX)
        try:
            with gone_is_fine():
                inside = await _listed(page)
        except ProviderGoneError:
            return ()
        return tuple(participant_seen(seen) for seen in inside)

    async def _rooms_of(self, effect: ReadCalls) -> list[_Room]:
        """The live conferences of the session's name, and who is in each."""
        if not effect.with_conference:
            return []
        rooms = await self._live_rooms(effect.conference_name or effect.session_id)
        inside = await _side_by_side(*(self._participants_in(room) for room in rooms))
        return list(zip(rooms, inside, strict=True))

    async def _anybody_in(self, effect: RedirectCall) -> list[ParticipantSeen]:
        """Everybody in the rooms that the redirect could have led to."""
        name = effect.conference_name or effect.session_id
        rooms = await self._live_rooms(name)
        if effect.room not in (name, *rooms):
            rooms.append(effect.room)  # known by its SID, and a list by name may miss it for a moment
        inside = await _side_by_side(*(self._participants_in(room) for room in rooms))
        return [seen for participants in inside for seen in participants]


def _own_room(rooms: list[_Room], effect: ReadCalls, call_sids: set[str]) -> _Room:
    """The session's conference and who is in it; of several, the fullest, since a late leg is alone in a second one.

    A name proves nothing: a conference that we don't know by its SID is ours only if one of our legs is in it.

    Args:
        rooms: Those that have the name.
        effect: The read.
        call_sids: The session's calls.
    """
    own = [
        (conference_sid, inside)
        for conference_sid, inside in rooms
        if conference_sid == effect.conference_sid
        or any(seen.call_sid in call_sids or is_label(seen.label) for seen in inside)
    ]
    return max(own, key=lambda room: len(room[1]), default=("", ()))


@contextmanager
def _over_is_fine(*, also: frozenset[int] = frozenset()) -> Iterator[None]:
    """What is asked of a call or conference that is over already has nobody left to be asked for."""
    with suppress(ProviderGoneError), gone_is_fine(also=also):
        yield


async def _answer(request: Awaitable[_T]) -> _T:
    """What the library makes of an answer, with our errors."""
    with our_errors():
        return await request


async def _read(ask: Callable[[], Awaitable[_T]]) -> _T:
    """What a GET finds. One that breaks or fails is repeated once, and at once.

    It changes nothing, and all the other parts of a look would else be read again with it, later, while somebody waits
    in silence for what the look tells.
    """
    try:
        return await _answer(ask())
    except (OutcomeUnknownError, ProviderUnreachableError) as error:
        if error.retry_after_s > 0:
            raise  # Twilio has said when to come again
        return await _answer(ask())


async def _listed(page: Callable[[], Awaitable[Iterable[Any]]]) -> list[Any]:
    """The records of one page. The library's own lists follow paging links for as long as the server offers any."""

    async def records() -> list[Any]:
        return list(await page())

    return await _read(records)


async def _side_by_side(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of independent reads. The first error ends the others and is raised as it is, without a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _dialled(call_sid: object, queue_time: object) -> Dialled:
    """A call as Twilio's answer names it.

    Raises:
        OutcomeUnknownError: it names none, so nobody knows which call it is.
    """
    if not isinstance(call_sid, str) or not is_id(call_sid):
        raise OutcomeUnknownError
    # Twilio writes milliseconds as text; without them nothing is known of a queue.
    is_number = isinstance(queue_time, str) and queue_time.isascii() and queue_time.isdigit()
    return Dialled(call_sid, int(str(queue_time)[:_QUEUE_DIGITS_MAX]) if is_number else 0)


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
