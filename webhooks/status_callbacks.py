"""Status callbacks of numbers, calls, conferences, and recordings."""

from collections.abc import Awaitable
from dataclasses import replace

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import CallProgressed, Event, ParticipantJoined
from conferral.statemachine.session import AGENT
from conferral.telephony.callback_events import (
    call_progressed,
    caller_callback,
    conference_event,
    message_recorded,
    recording_changed,
)
from conferral.telephony.callback_urls import (
    CALL_PATH,
    CONFERENCE_PATH,
    RECORDING_PATH,
    VOICEMAIL_PATH,
    CallCallback,
    parse_session_id,
)
from conferral.telephony.twiml import HANG_UP
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import (
    Dependencies,
    Routes,
    record_unstored,
    twiml_response,
)
from conferral.webhooks.visits import Visits

STATUS_PATH = "/voice/status"
#: Calls that this process knows to be in the call index, count; about 2 MB.
_INDEXED_MAX = 10_000


class CallbackRoutes(Routes):
    """Answers `/voice/status` and the callbacks of our own URLs."""

    def __init__(self, dependencies: Dependencies, *, visits: Visits) -> None:
        super().__init__(dependencies)
        self._visits = visits
        #: Session ids by call SID, oldest first: writing the index with each callback would be a sixth of its cost.
        self._indexed: dict[str, str] = {}

    async def number_status(self, form: Form, _query: str) -> web.Response:
        """Answer the number's or TwiML app's callback: the caller's call ended."""
        event = call_progressed(form, caller_callback(form), self._routing.own_numbers())
        try:
            # The call may have visited before, and a browser may have named its session.
            newest = await self._store.session_of(event.call_sid)
        except StoreError as error:
            record_unstored(self._metrics, STATUS_PATH, event, error)
            return web.Response(status=503)
        event = replace(event, session_id=newest or event.session_id)
        return await self._publish(event, event.call_sid, STATUS_PATH)

    def call(self, form: Form, query: str) -> Awaitable[web.Response]:
        """Answer the status callback of a call that we placed."""
        callback = CallCallback.parse(query)
        event = call_progressed(form, callback, self._routing.own_numbers())
        if callback.without_redis:
            return self._store_call_without_redis(event, callback)
        return self._publish(event, event.call_sid, CALL_PATH)

    async def _store_call_without_redis(self, event: CallProgressed, callback: CallCallback) -> web.Response:
        """Publish an event of a call that came in without Redis."""
        try:
            session_id = await self._visits.session_of(event.session_id, event.call_sid)
            if not session_id and not event.is_final and event.party == AGENT:
                call = await self._ask(self._twilio.live_call, event.session_id, call_sid=event.session_id)
                if call is None:
                    return web.Response(status=503)  # our callback URLs ask Twilio to retry it
                session_id = await self._visits.open(call, event.address if callback.only_agent else "") if call else ""
        except StoreError as error:
            record_unstored(self._metrics, CALL_PATH, event, error)
            return web.Response(status=503)
        return (
            await self._publish(replace(event, session_id=session_id), event.call_sid, CALL_PATH)
            if session_id
            else web.Response(status=204)
        )

    def conference(self, form: Form, query: str) -> Awaitable[web.Response]:
        """Answer a conference's status callback."""
        event = conference_event(form, parse_session_id(query))
        # A join may be the first event of a call; all others concern known calls.
        call_sid = event.call_sid if isinstance(event, ParticipantJoined) else ""
        return self._publish(event, call_sid, CONFERENCE_PATH)

    def recording(self, form: Form, query: str) -> Awaitable[web.Response]:
        """Answer a recording's status callback."""
        return self._publish(recording_changed(form, parse_session_id(query)), "", RECORDING_PATH)

    async def voicemail(self, form: Form, query: str) -> web.Response:
        """Hang up after a message; the answer does not depend on Redis."""
        await self._publish(message_recorded(form, parse_session_id(query)), "", VOICEMAIL_PATH)
        return twiml_response(HANG_UP)

    async def _publish(self, event: Event, call_sid: str, route: str) -> web.Response:
        """Publish an event, and index its call (if any) once; return the answer."""
        is_new = bool(call_sid) and self._indexed.get(call_sid) != event.session_id
        try:
            await self._store.publish(event, call_sid=call_sid if is_new else "")
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)
            return web.Response(status=503)  # our callback URLs ask Twilio to retry it
        if is_new:
            self._indexed[call_sid] = event.session_id
            if len(self._indexed) > _INDEXED_MAX:
                del self._indexed[next(iter(self._indexed))]
        return web.Response(status=204)
