"""Effects as REST requests: one small function for each kind, over twilio-python's asynchronous resources."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance

from runtime.errors import ProviderGoneError
from statemachine.effects import Effect, EndConference, HangUpCall, ReadCalls, RedirectCall
from statemachine.events import CallSeen, CallsRead, ParticipantSeen
from statemachine.states import CallStatus
from telephony.client import requests_of
from telephony.errors import our_errors
from telephony.look import RedirectSeen

#: Children of one call that are read: one for each agent that was tried.
CHILDREN_MAX = 50
#: Rooms of one session that are read; there is one, or two when a late leg opened a second.
ROOMS_MAX = 20
#: Twilio allows no more participants in a conference. Source: Twilio docs, TwiML `<Conference>`, maxParticipants.
PARTICIPANTS_MAX = 250
#: Source: Twilio docs, Conference resource, status values.
LIVE_CONFERENCE_STATUSES = frozenset({"init", "in-progress"})


class Calls:
    """What can be asked of Twilio about calls and conferences.

    Every method raises `ProviderError` and nothing foreign.
    """

    def __init__(self, client: Client, *, join_document: Callable[[RedirectCall], str]) -> None:
        """Binds the client.

        Args:
            client: Twilio's client over our HTTP client.
            join_document: Gives the TwiML with which a redirected call joins the session's conference.
        """
        self._client = client
        self._join_document = join_document

    async def perform(self, effect: Effect) -> CallsRead | None:
        """Carries an effect out, in one try.

        Returns:
            What a read found; None for everything else, which then has happened.

        Raises:
            ProviderError: the family says what to do next.
            TypeError: the effect's kind is not known here, a fault of ours.
        """
        with requests_of(effect.kind):
            match effect:
                case RedirectCall():
                    await self._redirect(effect)
                case HangUpCall():
                    await self._hang_up(effect)
                case EndConference():
                    await self._end_conference(effect)
                case ReadCalls():
                    return await self._read(effect)
                case _:
                    raise TypeError(effect.kind)
        return None

    async def look_for(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened, by its label and by its call in every live room of the session."""
        with requests_of("look"):
            parent, inside = await _side_by_side(self._call(effect.call_sid), self._anybody_in(effect))
        in_room = any(seen.call_sid == effect.call_sid or seen.label == effect.label for seen in inside)
        return RedirectSeen(call_status=parent.status, in_room=in_room)

    async def child_status(self, parent_call_sid: str) -> str | None:
        """Status of the newest call that the parent's `<Dial>` made, in Twilio's words; None when it made none."""
        with requests_of("child_status"):
            children = await self._children_of(parent_call_sid)
        # Twilio lists the newest first, and `max` keeps the first of equals.
        newest = max(children, key=_created_at, default=None)
        return newest.status or "" if newest is not None else None

    # ---- one function a kind --------------------------------------------------------------------------------------

    async def _redirect(self, effect: RedirectCall) -> None:
        """Source: Twilio docs, Call resource, "Update a Call" (`Twiml`)."""
        document = self._join_document(effect)
        await _answer(self._client.calls(effect.call_sid).update_async(twiml=document))

    async def _hang_up(self, effect: HangUpCall) -> None:
        """`completed` ends a call in every state; `canceled` would spare one that was answered meanwhile.

        Source: Twilio docs, Call resource, "Update a Call" (`Status`).
        """
        try:
            await _answer(self._client.calls(effect.call_sid).update_async(status="completed"))
        except ProviderGoneError:
            return  # over already, which is what was wanted

    async def _end_conference(self, effect: EndConference) -> None:
        """Source: Twilio docs, Conference resource, "Update a Conference" (`Status`)."""
        try:
            await _answer(self._client.conferences(effect.conference_sid).update_async(status="completed"))
        except ProviderGoneError:
            return  # over already, which is what was wanted

    async def _read(self, effect: ReadCalls) -> CallsRead:
        parent, children, (conference_sid, participants) = await _side_by_side(
            self._call(effect.parent_call_sid),
            self._children_of(effect.parent_call_sid),
            self._room_of(effect.session_id if effect.with_conference else ""),
        )
        return CallsRead(
            session_id=effect.session_id,
            token=f"{effect.effect_id}:outcome",
            effect_id=effect.effect_id,
            read_version=effect.read_version,
            calls=(parent, *(_child_seen(child, effect.parent_call_sid) for child in children)),
            conference_sid=conference_sid,
            participants=participants,
        )

    # ---- reads ----------------------------------------------------------------------------------------------------

    async def _call(self, call_sid: str) -> CallSeen:
        """One call; `completed` when Twilio does not know it any more."""
        try:
            call = await _answer(self._client.calls(call_sid).fetch_async())
        except ProviderGoneError:
            return CallSeen(call_sid=call_sid, status=CallStatus.COMPLETED.value)
        return CallSeen(call_sid=call_sid, status=call.status or "", to=call.to or "")

    async def _children_of(self, call_sid: str) -> list[CallInstance]:
        """Source: Twilio docs, Call resource, "Read multiple Call resources" (`ParentCallSid`)."""
        return await _listed(self._client.calls.page_async(parent_call_sid=call_sid, page_size=CHILDREN_MAX))

    async def _live_rooms(self, session_id: str) -> list[str]:
        """SIDs of the live conferences that carry the session's name, those that have started first."""
        page = self._client.conferences.page_async(friendly_name=session_id, page_size=ROOMS_MAX)
        live = [room for room in await _listed(page) if room.status in LIVE_CONFERENCE_STATUSES]
        return [room.sid for room in sorted(live, key=lambda room: room.status != "in-progress")]

    async def _participants_in(self, conference_sid: str) -> tuple[ParticipantSeen, ...]:
        """Who is in a room; nobody when it is over. Source: Twilio docs, Participants subresource."""
        page = self._client.conferences(conference_sid).participants.page_async(page_size=PARTICIPANTS_MAX)
        try:
            inside = await _listed(page)
        except ProviderGoneError:
            return ()
        return tuple(ParticipantSeen(call_sid=seen.call_sid or "", label=seen.label or "") for seen in inside)

    async def _room_of(self, session_id: str) -> tuple[str, tuple[ParticipantSeen, ...]]:
        """The session's room and who is in it; of several the fullest, since a late leg is alone in a second one."""
        rooms = await self._live_rooms(session_id) if session_id else []
        inside = await _side_by_side(*(self._participants_in(room) for room in rooms))
        return max(zip(rooms, inside, strict=True), key=lambda room: len(room[1]), default=("", ()))

    async def _anybody_in(self, effect: RedirectCall) -> list[ParticipantSeen]:
        """Everybody in the rooms that the redirect could have led to."""
        rooms = await self._live_rooms(effect.session_id)
        if effect.room not in (effect.session_id, *rooms):
            rooms.append(effect.room)  # known by its SID, and a list by name may miss it for a moment
        inside = await _side_by_side(*(self._participants_in(room) for room in rooms))
        return [seen for participants in inside for seen in participants]


async def _answer(request: Awaitable[Any]) -> Any:
    """What the library makes of an answer, with our errors."""
    with our_errors():
        return await request


async def _listed(page: Awaitable[Iterable[Any]]) -> list[Any]:
    """The records of one page. The library's own lists follow paging links for as long as the server offers any."""
    with our_errors():
        return list(await page)


async def _side_by_side(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of independent reads. The first error ends the others and is raised as it is, without a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _child_seen(child: CallInstance, parent_call_sid: str) -> CallSeen:
    return CallSeen(
        call_sid=child.sid or "", status=child.status or "", parent_call_sid=parent_call_sid, to=child.to or ""
    )


def _created_at(call: CallInstance) -> datetime:
    return call.date_created or datetime.min.replace(tzinfo=UTC)
