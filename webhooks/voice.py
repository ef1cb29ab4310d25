"""The routes that a caller waits for first: each answers with TwiML, whatever state Redis is in.

Redis away, or refusing what is written: the caller is bridged to the first agent all the same, since without Redis
nobody would call an agent into a conference; the event is lost until a callback or a look at Twilio tells it again.
"""

import asyncio

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.attributes import Attributes
from conferral.statemachine.events import CallReceived
from conferral.statemachine.session import CUSTOMER, first_label
from conferral.statemachine.states import Opening, SessionMode, State, Tune
from conferral.storage.ingest import SessionFacts
from conferral.telephony.addresses import Address, parse_address
from conferral.telephony.callbacks import error_url_of, was_placed
from conferral.telephony.directory import Inbound
from conferral.telephony.phrases import Phrase
from conferral.telephony.urls import FALLBACK_PATH, CallbackUrls, DialAction, DialKind
from conferral.webhooks.client_calls import CLIENT_PATH, ClientRoutes
from conferral.webhooks.dial_actions import DialActionRoutes
from conferral.webhooks.form import Form
from conferral.webhooks.gate import GateRoutes
from conferral.webhooks.means import Means
from conferral.webhooks.replies import note_unstored, twiml
from conferral.webhooks.routing import received

log = structlog.get_logger()

INBOUND_PATH = "/voice/inbound"
CONFERENCE_START_PATH = "/voice/conference"
#: A second net below Redis's own deadline of 2 s: the caller hears silence for as long as we wait.
_STORE_DEADLINE_S = 2.2
#: How often, and how soon, the fallback asks for a session that is not decided upon yet.
_ASK_AGAIN_MAX = 5
_ASK_AGAIN_S = 0.1


class VoiceRoutes:
    """Answers `/voice/inbound`, `/voice/conference` and `/voice/fallback`."""

    def __init__(self, means: Means, *, actions: DialActionRoutes, gate: GateRoutes, client: ClientRoutes) -> None:
        """Takes what it answers by.

        Args:
            means: What it needs.
            actions: Answers in place of a dial action that has failed.
            gate: Likewise of a gate.
            client: Likewise of `/voice/client`.
        """
        self._settings = means.settings
        self._urls = CallbackUrls(means.settings.public_url)
        self._client_url = means.settings.public_url.rstrip("/") + CLIENT_PATH
        self._documents = means.documents
        self._routing = means.routing
        self._ingest = means.ingest
        self._metrics = means.metrics
        self._actions = actions
        self._gate = gate
        self._client = client

    async def inbound(self, form: Form, _query: str) -> web.Response:
        """A call has come in: the agent is rung, unless the directory says to let the caller wait in a conference."""
        return await self._receive(form, SessionMode.BRIDGE, INBOUND_PATH)

    async def conference(self, form: Form, _query: str) -> web.Response:
        """A call has come in: the caller waits in a conference, unless the directory says to ring the agent."""
        return await self._receive(form, SessionMode.CONFERENCE, CONFERENCE_START_PATH)

    async def fallback(self, form: Form, _query: str) -> web.Response:
        """Another of our URLs has failed: the answer that it should have given."""
        error_url = error_url_of(form)
        if action := self._urls.parse_dial_action_url(error_url):
            return await self._actions.answer(form, action, FALLBACK_PATH)
        if gate := self._urls.parse_gate_url(error_url):
            return await self._gate.answer(form, gate, FALLBACK_PATH)
        if was_placed(form):
            return twiml(self._documents.hang_up())  # a party whom we dialled is no caller for the agent
        if error_url.partition("#")[0].partition("?")[0] == self._client_url:
            return await self._client.answer(form, FALLBACK_PATH)
        return await self._fall_back(form)

    async def _receive(self, form: Form, mode: SessionMode, route: str) -> web.Response:
        inbound = self._routing.inbound(form)
        agent = _first(inbound)
        if agent is None:
            return twiml(self._documents.say_and_hang_up(Phrase.NOBODY_HERE))
        mode = inbound.mode or mode
        event = received(form, inbound, mode)
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, event, error)
            mode = SessionMode.BRIDGE
        if mode is SessionMode.CONFERENCE:
            return twiml(self._wait_for_agent(event.session_id, inbound.attributes))
        return twiml(self._bridge(event, agent))

    async def _fall_back(self, form: Form) -> web.Response:
        """The caller is bridged, unless the session is known and has gone on to something else."""
        inbound = self._routing.inbound(form)
        agent = _first(inbound)
        if agent is None:
            return twiml(self._documents.say_and_hang_up(Phrase.NOBODY_HERE))
        event = received(form, inbound, SessionMode.BRIDGE)
        facts: SessionFacts | None = None
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                facts = await self._store_and_read(event)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, FALLBACK_PATH, event, error)
        if facts is None or facts.state == State.BRIDGED:
            return twiml(self._bridge(event, agent))
        if facts.state == State.ENDED:
            return twiml(self._documents.hang_up())  # what came after the session has failed, and is none of ours
        if facts.state == State.CONFERENCED and facts.opening == Opening.ARRIVING:
            return twiml(self._wait_for_agent(event.session_id, facts.attributes))  # what he has not been answered
        left = DialAction(event.session_id, CUSTOMER, DialKind.CONFERENCE)
        return await self._actions.answer(form, left, FALLBACK_PATH)

    async def _store_and_read(self, event: CallReceived) -> SessionFacts | None:
        """The session, as the first to tell of the call has opened it.

        The URL that has failed may have told before, of a conference, only that its answer got lost. So what is decided
        is waited for: whoever is bridged while his session waits for him in a conference can't be transferred.
        """
        facts = await self._ingest.publish_and_read(event, call_sid=event.call_sid)
        for _ in range(_ASK_AGAIN_MAX):
            if facts is not None:
                break
            await asyncio.sleep(_ASK_AGAIN_S)
            facts = await self._ingest.read(event.session_id)
        return facts

    def _bridge(self, event: CallReceived, agent: Address) -> str:
        return self._documents.bridge_to_agent(
            event.session_id,
            agent,
            caller=event.customer_address,
            own_number=event.called_number or self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
        )

    def _wait_for_agent(self, session_id: str, attributes: Attributes) -> str:
        return self._documents.join_conference(
            session_id,
            CUSTOMER,
            label=first_label(CUSTOMER),
            room=session_id,
            tune=Tune.MUSIC,
            greets=bool(attributes.greeting or self._settings.greeting),
            opens=True,
            attributes=attributes,
        )


def _first(inbound: Inbound) -> Address | None:
    """The agent who is tried first: the directory has held him against the allow-list."""
    return parse_address(inbound.agents[0]) if inbound.agents else None
