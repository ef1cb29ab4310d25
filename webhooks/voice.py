"""Voice URLs of new calls: each answers with TwiML, even without Redis.

Without Redis, no worker would dial an agent into a conference, so the caller is bridged to the first agent. The event
is lost until a callback or a read from Twilio replaces it.
"""

from dataclasses import replace
from typing import Any

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import CallReceived
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.places import is_url, return_url
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import CUSTOMER, first_label
from conferral.statemachine.states import CallStatus, Opening, Place, SessionMode, State, WaitAudio
from conferral.storage.webhook_store.store import NewestSession
from conferral.telephony.addresses import parse_address
from conferral.telephony.callback_events import call_received, call_sid_of, error_url_of, is_outbound_leg
from conferral.telephony.callback_urls import (
    FALLBACK_PATH,
    VOICEMAIL_PATH,
    CallbackUrls,
    DialAction,
    DialKind,
    Gate,
    handed_off_query,
    parse_request_number,
)
from conferral.telephony.directory import InboundRoute
from conferral.telephony.phrases import Phrase
from conferral.telephony.twiml import HANG_UP
from conferral.webhooks.authentication import Form
from conferral.webhooks.dial_action import DialActionRoutes
from conferral.webhooks.gate import GateRoutes
from conferral.webhooks.handoff_options import NO_HANDOFF, Handoff, HandoffParser
from conferral.webhooks.responses import (
    Dependencies,
    Routes,
    read_undecided,
    record_unstored,
    store_deadline,
    twiml_response,
)
from conferral.webhooks.visits import Visits
from conferral.webhooks.voice_client import CLIENT_PATH, ClientRoutes

log = structlog.get_logger()

INBOUND_PATH = "/voice/inbound"
CONFERENCE_START_PATH = "/voice/conference"
#: Interval at which the fallback reads a session that is not decided yet, seconds.
_READ_EVERY_S = 0.1


class VoiceRoutes(Routes):
    """Answers `/voice/inbound`, `/voice/conference`, and `/voice/fallback`."""

    def __init__(
        self,
        dependencies: Dependencies,
        *,
        actions: DialActionRoutes,
        gate: GateRoutes,
        client: ClientRoutes,
        visits: Visits,
        parser: HandoffParser,
    ) -> None:
        super().__init__(dependencies)
        self._parser = parser
        self._visits = visits
        self._urls = CallbackUrls(dependencies.settings.public_url)
        self._actions = actions
        self._gate = gate
        self._client = client

    async def inbound(self, form: Form, query: str) -> web.Response:
        """Answer an inbound call: dial the agent, or follow the directory."""
        return await self._receive(form, query, SessionMode.BRIDGE, INBOUND_PATH)

    async def conference(self, form: Form, query: str) -> web.Response:
        """Answer an inbound call: wait in a conference, or follow the directory."""
        return await self._receive(form, query, SessionMode.CONFERENCE, CONFERENCE_START_PATH)

    async def fallback(self, form: Form, query: str) -> web.Response:
        """Answer for our URL that failed: hang up dialed legs, bridge callers."""
        error_url = error_url_of(form)
        if action := self._urls.parse(error_url, DialAction):
            return await self._actions.answer(form, action, FALLBACK_PATH)
        if gate := self._urls.parse(error_url, Gate):
            return await self._gate.answer(form, gate, FALLBACK_PATH)
        if self._urls.is_of(error_url, VOICEMAIL_PATH):
            return twiml_response(HANG_UP)  # the message was left
        options = self._urls.handoff_query(error_url, query)
        if is_outbound_leg(form) and options is None and not await self._was_handed_off(call_sid_of(form)):
            return twiml_response(HANG_UP)  # a party that we dialed, not a caller for the agent
        if self._urls.is_of(error_url, CLIENT_PATH):
            return await self._client.answer(form, "", FALLBACK_PATH)
        if options is None:
            return await self._fallback_document(form, query)
        requested = self._parser.parse(call_sid_of(form), options, {})
        return await self._fallback_document(
            form, query, requested, repeat_query=handed_off_query(options), handed_off=True, ref=requested.ref
        )

    async def _receive(self, form: Form, query: str, mode: SessionMode, route: str) -> web.Response:
        inbound = await self.judged(form, self._route_of_new_call(form))
        return await self.receive(form, replace(inbound, mode=inbound.mode or mode), route, parse_request_number(query))

    async def judged(self, form: Form, inbound: InboundRoute) -> InboundRoute:
        """Return a number's route by who is there now."""
        found = await self._presence(inbound.agents, call_sid_of(form), with_queue=inbound.has_queue)
        return inbound.judged(found)

    async def receive(
        self,
        form: Form,
        inbound: InboundRoute,
        route: str,
        request_number: int,
        *,
        repeat_query: str = "",
        **event_fields: Any,
    ) -> web.Response:
        """Open a session for a caller, and connect or make them wait.

        `repeat_query` is the URL's query for when the caller has to ask again; `event_fields` complete the event.
        """
        turned_away = None
        if not inbound.first_agent and inbound.fallback == (Place.END,):
            turned_away = twiml_response(self._documents.say_and_hang_up(Phrase.NO_ONE_AVAILABLE))
            if not (inbound.is_closed or inbound.skipped_count):
                return turned_away
        # Without an agent, the caller waits for the fallback.
        mode = inbound.mode if inbound.mode and inbound.first_agent else SessionMode.CONFERENCE
        event = replace(call_received(form, inbound, mode, self._routing.caller(form)), **event_fields)
        try:
            visit = await self._visits.of(form, request_number)
            if visit.has_run:
                return self._visits.ask_again(route, visit, repeat_query)
            event = visit.applied_to(event)
            async with store_deadline():
                await self._store.publish(event, call_sid=event.call_sid)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)
            if turned_away is not None and inbound.is_closed:
                return turned_away
            return twiml_response(await self._connect_without_redis(form, event, inbound))
        if inbound.is_closed:
            log.info("caller_outside_hours", session_id=event.session_id, call_sid=event.call_sid)
            self._metrics.calls.calls_outside_hours.inc()
        if turned_away is not None:
            return turned_away
        if mode is SessionMode.CONFERENCE:
            greets = not inbound.is_closed
            return twiml_response(self._wait_for_agent(event.session_id, inbound.attributes, greets=greets))
        return twiml_response(await self._bridge(form, event.session_id, inbound))

    async def _fallback_document(
        self, form: Form, query: str, requested: Handoff = NO_HANDOFF, *, repeat_query: str = "", **event_fields: Any
    ) -> web.Response:
        """Bridge the caller, unless the session is live and has moved on.

        `repeat_query` is the URL's query for when the caller has to ask again; `event_fields` complete the event.
        """
        inbound = requested.applied_to(self._routing.inbound(form))
        if not requested.to:  # a destination of its own has no hours
            again: dict[str, Any] = {"repeat_query": repeat_query, **event_fields}
            number, now = parse_request_number(query), requested.applied_to(self._route_of_new_call(form))
            if form.get("CallStatus") == CallStatus.RINGING and now.is_closed:
                return await self.receive(form, now, FALLBACK_PATH, number, **again)
            judged = await self.judged(form, inbound)
            if judged.first_agent:
                inbound = judged
            elif not await self._has_live_session(call_sid_of(form)):  # one may ring others than the number's agents
                return await self.receive(form, judged, FALLBACK_PATH, number, **again)
        event = call_received(form, inbound, SessionMode.BRIDGE, self._routing.caller(form))
        event = replace(event, **event_fields)
        try:
            visit = await self._visits.of(form, parse_request_number(query))
            event = visit.applied_to(event)
            async with store_deadline():
                # The failed URL may have published the event for a conference. Wait for the decision: a caller who is
                # bridged while the session waits in a conference can't be transferred.
                view = await self._store.publish_and_read(event, call_sid=event.call_sid)
                view = view or await read_undecided(self._store, event.session_id, _READ_EVERY_S)
            if view is not None and (view.is_ended or (visit.has_run and view.state == State.BRIDGED)):
                return self._visits.ask_again(FALLBACK_PATH, visit, repeat_query)
        except StoreError as error:
            record_unstored(self._metrics, FALLBACK_PATH, event, error)
            return twiml_response(await self._bridge(form, event.call_sid, inbound, without_redis=True))
        if view is None or view.state == State.BRIDGED:
            return twiml_response(await self._bridge(form, event.session_id, inbound))
        if view.state == State.CONFERENCED and view.opening == Opening.ARRIVING:  # the caller did not get this TwiML
            return twiml_response(self._wait_for_agent(event.session_id, view.attributes))
        customer_left_conference = DialAction(event.session_id, CUSTOMER, DialKind.CONFERENCE)
        return await self._actions.answer(form, customer_left_conference, FALLBACK_PATH)

    async def _was_handed_off(self, call_sid: str) -> bool:
        """Whether the call, which your app placed, is the customer's of a session."""
        newest = await self._newest_session(call_sid)
        view = newest.view if newest else None
        return view is not None and view.was_handed_off and view.customer.call_sid == call_sid

    async def _has_live_session(self, call_sid: str) -> bool:
        """Whether the call has a session that has not ended, decided or not."""
        newest = await self._newest_session(call_sid)
        return newest is not None and not newest.has_ended

    async def _newest_session(self, call_sid: str) -> NewestSession | None:
        """Return the call's newest session; None if it is unknown."""
        try:
            async with store_deadline():
                return await self._store.newest_session(call_sid)
        except StoreError as error:
            log_unreachable(error, url_path=FALLBACK_PATH)
            return None

    async def _connect_without_redis(self, form: Form, event: CallReceived, inbound: InboundRoute) -> str:
        """Bridge the caller; outside the hours, to the first place of `closed`."""
        if not inbound.is_closed:
            return await self._bridge(form, event.call_sid, inbound, without_redis=True)
        place = inbound.fallback[0]
        if is_url(place):
            return self._documents.redirect(return_url(place, event.session_id, EndReason.CLOSED, event.ref))
        if place == Place.VOICEMAIL:  # no session reports the message, but Twilio keeps it
            return self._documents.voicemail(event.session_id)
        # No worker would move the caller on, so there is no other place.
        return await self._bridge(form, event.call_sid, replace(inbound, agents=(place,)), without_redis=True)

    async def _bridge(self, form: Form, session_id: str, inbound: InboundRoute, *, without_redis: bool = False) -> str:
        """Dial the first agent; the directory has checked the allow-list."""
        listed = self._routing.inbound(form).agents
        only_agent = {*inbound.agents} != {*listed}
        if without_redis and not only_agent:  # the next one is found by the directory, and no one waits in a queue
            inbound = replace(inbound, agents=listed, skipped_count=0, begins_in_queue=False)
        if not inbound.first_agent:  # and no worker that could move the caller on
            return self._documents.say_and_hang_up(Phrase.NO_ONE_AVAILABLE)
        agent = parse_address(inbound.first_agent)
        return self._documents.bridge_to_agent(
            session_id,
            agent,
            caller=await self._shown_number(form, agent),
            own_number=self._routing.business_number(form, agent),
            ring_timeout_s=self._settings.ring_timeout_s,
            agent_number=inbound.skipped_count,
            options=inbound.options,
            without_redis=without_redis,
            only_agent=only_agent,
        )

    def _wait_for_agent(self, session_id: str, attributes: ConferenceAttributes, *, greets: bool = True) -> str:
        return self._documents.join_conference(
            session_id,
            CUSTOMER,
            label=first_label(CUSTOMER),
            conference=session_id,
            wait_audio=WaitAudio.MUSIC,
            with_greeting=greets and bool(attributes.greeting or self._settings.greeting),
            opens_session=True,
            attributes=attributes,
        )
