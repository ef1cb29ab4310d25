"""`/voice/client`: a browser or app user calls, into a conference.

A browser may send anything under any name. So only three fields count: `From`, which Twilio sets and repeats as
`Caller`; `To`, checked against the allow-list; and `SessionID`, which names the session that it opens, once. The
conference gets a name of our own, since the id could be another conference's name.
Without Redis, the callee is dialed by an ordinary `<Dial>`, under the call's own id.
"""

from contextlib import suppress

import structlog
from aiohttp import web

from conferral.runtime.errors import ConferralError, StoreError
from conferral.statemachine.events import ClientCallReceived
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import AGENT, first_label
from conferral.statemachine.states import WaitAudio
from conferral.storage.webhook_store.store import GateClaim
from conferral.telephony.addresses import Address, AddressError
from conferral.telephony.callback_events import (
    MalformedCallbackError,
    call_sid_of,
    client_call_received,
    is_outbound_leg,
    session_id_of,
)
from conferral.telephony.callback_urls import parse_request_number
from conferral.telephony.phrases import Phrase
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import Dependencies, Routes, record_unstored, store_deadline, twiml_response
from conferral.webhooks.visits import Visit, Visits

log = structlog.get_logger()

CLIENT_PATH = "/voice/client"
#: The dial id under which a call claims a session's id.
_CLAIM = "client"


class _CallRefusedError(ConferralError):
    """The call is not placed; the message is for the log only."""

    def __init__(self, reason: str, phrase: Phrase = Phrase.NOT_PLACED) -> None:
        super().__init__(reason)
        self.phrase = phrase


class ClientRoutes(Routes):
    """Answers `/voice/client`."""

    def __init__(self, dependencies: Dependencies, *, visits: Visits) -> None:
        super().__init__(dependencies)
        self._visits = visits

    async def client(self, form: Form, query: str) -> web.Response:
        """Answer a browser or app user who places a call."""
        return await self.answer(form, query, CLIENT_PATH)

    async def answer(self, form: Form, query: str, route: str) -> web.Response:
        """Return the caller's TwiML; `route` is the requested path, for metrics."""
        call_sid = call_sid_of(form)
        try:
            customer, session_id = self._callee(form), _session_id(form)
            event = self._event(form, customer, Visit(session_id))
            try:
                visit = await self._visits.of(form, parse_request_number(query), session_id)
                if visit.has_run:
                    return self._visits.ask_again(CLIENT_PATH, visit)
                event = self._event(form, customer, visit)
                async with store_deadline():
                    await self._publish(event, self._routing.identity(form))
            except StoreError as error:
                record_unstored(self._metrics, route, event, error)
                return twiml_response(self._bridge(call_sid, customer))
        except _CallRefusedError as refusal:
            log.warning("client_call_refused", call_sid=call_sid, reason=str(refusal))
            return twiml_response(self._documents.say_and_hang_up(refusal.phrase))
        return twiml_response(self._join(event))

    def _event(self, form: Form, customer: Address, visit: Visit) -> ClientCallReceived:
        session_id, call_sid = visit.session_id, call_sid_of(form)
        is_chosen = call_of_visit(session_id) != call_sid
        return client_call_received(
            form,
            session_id=session_id,
            customer_address=customer.text,
            attributes=self._routing.outbound().attributes,
            conference_name=self._conferences.make(session_id, call_sid) if is_chosen else "",
        )

    def _callee(self, form: Form) -> Address:
        if is_outbound_leg(form):
            raise _CallRefusedError("the call did not come in")
        try:
            return self._routing.callee(form)
        except AddressError as error:
            raise _CallRefusedError(error.reason) from None

    async def _publish(self, event: ClientCallReceived, identity: str) -> None:
        """Open the session, and count it for the caller; may raise StoreError."""
        calls_max = self._settings.dials_per_identity
        if calls_max and await self._store.exceeds_call_limit(identity, event.call_sid, calls_max):
            raise _CallRefusedError("the identity has placed too many calls", Phrase.TOO_MANY_CALLS)
        # A name of its own means that the browser chose the session's id.
        if event.conference_name and not await self._is_new(event):
            with suppress(StoreError):  # the call is refused either way
                await self._store.uncount_call(identity, event.call_sid)
            raise _CallRefusedError("the session already exists")
        await self._store.publish(event, call_sid=event.call_sid)

    async def _is_new(self, event: ClientCallReceived) -> bool:
        """Whether this call may open the session; of several, the first may."""
        view = await self._store.read(event.session_id)
        if view is not None:
            opener = view.find_party(call_sid=event.call_sid)
            return opener is not None and opener.name == AGENT  # the same call opened it, and repeats its request
        if await self._store.session_of(event.session_id) is not None:
            return False  # a call's SID: commands that name the call reach its session
        return await self._store.claim_gate(event.session_id, _CLAIM, event.call_sid) is GateClaim.OURS

    def _join(self, event: ClientCallReceived) -> str:
        return self._documents.join_conference(
            event.session_id,
            AGENT,
            label=first_label(AGENT),
            conference=event.conference_name or event.session_id,
            conference_name=event.conference_name,
            start_on_enter=True,
            wait_audio=WaitAudio.RINGBACK,
            attributes=event.attributes,
        )

    def _bridge(self, call_sid: str, customer: Address) -> str:
        # Without Redis, no one can tell whether a session with the browser's id exists, so that id is not used.
        return self._documents.bridge_to_customer(
            call_sid,
            customer,
            own_number=self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            without_redis=True,
        )


def _session_id(form: Form) -> str:
    try:
        return session_id_of(form)
    except MalformedCallbackError:
        raise _CallRefusedError("SessionID is no id") from None
