"""The routes that a caller waits for: each answers with TwiML, whatever state Redis is in.

Redis away, or refusing what is written: `/voice/inbound` and `/voice/fallback` bridge the caller all the same, and the
event is lost until a callback or a look at Twilio tells it again. The dial action waits and asks again, then asks
Twilio for the other side.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from runtime.errors import ProviderError, StoreError
from runtime.metrics import Metrics
from runtime.settings import ServiceSettings
from statemachine.events import DialEnded
from statemachine.session import first_label
from statemachine.states import Tune
from streams.ingest import Ingest, PartyFacts, SessionFacts
from telephony.addresses import check_agent
from telephony.callbacks import call_received, call_sid_of, dial_ended, error_url_of, was_placed
from telephony.documents import Documents
from telephony.phrases import Phrase
from telephony.urls import DIAL_ACTION_PATH, FALLBACK_PATH, CallbackUrls, DialAction, parse_dial_action
from webhooks.answers import Answer, DialOutcome, answer, answer_by_child, answer_without_store, whose_call
from webhooks.child_lookup import ChildLookup
from webhooks.form import Form
from webhooks.gate import GateRoutes
from webhooks.replies import note_unstored, twiml

log = structlog.get_logger()

#: A second net below Redis's own deadline of 2 s: the caller hears silence for as long as we wait.
_STORE_DEADLINE_S = 2.2
#: When a dial action is asked again: three tries, and the pauses between them, are about 6 s at most.
_STORE_AGAIN_DEADLINE_S = 1.0
#: Redis's deadline and this one have to fit into the read timeout that the dial action's URL names.
_LOOKUP_DEADLINE_S = 1.5

_SENTENCES = {
    Answer.SAY_BUSY: Phrase.BUSY,
    Answer.SAY_NO_ANSWER: Phrase.NO_ANSWER,
    Answer.SAY_UNREACHABLE: Phrase.UNREACHABLE,
}
_STARTS = frozenset({Answer.JOIN, Answer.JOIN_BY_NAME})
_WAITS = frozenset({Answer.WAIT_IN_ROOM, Answer.WAIT_IN_ANOTHER, Answer.WAIT_IN_SILENCE})


class VoiceRoutes:
    """Answers `/voice/inbound`, `/voice/fallback` and the dial action."""

    def __init__(
        self,
        settings: ServiceSettings,
        documents: Documents,
        gate: GateRoutes,
        ingest: Ingest,
        child_lookup: ChildLookup,
        metrics: Metrics,
    ) -> None:
        """Checks the agent's address.

        Raises:
            SettingsError: `CONFERRAL_AGENT` is no address, or not on the allow-list.
        """
        self._settings = settings
        self._agent = check_agent(settings)
        self._urls = CallbackUrls(settings.public_url)
        self._documents = documents
        self._gate = gate
        self._ingest = ingest
        self._child_lookup = child_lookup
        self._metrics = metrics

    async def inbound(self, form: Form, _query: str) -> web.Response:
        """A call has come in: the agent is rung."""
        return await self._bridge(form, "/voice/inbound")

    async def fallback(self, form: Form, _query: str) -> web.Response:
        """Another of our URLs has failed: the answer that it should have given."""
        error_url = error_url_of(form)
        if action := self._urls.parse_dial_action_url(error_url):
            return await self._after_dial(form, action, FALLBACK_PATH)
        if gate := self._urls.parse_gate_url(error_url):
            return await self._gate.answer(form, gate, FALLBACK_PATH)
        if was_placed(form):
            return twiml(self._documents.hang_up())  # a party whom we dialled is no caller for the agent
        return await self._bridge(form, FALLBACK_PATH)

    async def dial_action(self, form: Form, query: str) -> web.Response:
        """A `<Dial>` of ours has ended: what the party hears next."""
        return await self._after_dial(form, parse_dial_action(query), DIAL_ACTION_PATH)

    async def _bridge(self, form: Form, route: str) -> web.Response:
        session_id = call_sid_of(form)
        if self._agent is None:
            return twiml(self._documents.say_and_hang_up(Phrase.NOBODY_HERE))
        event = call_received(form, self._agent.text)
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, event, error)
        return twiml(
            self._documents.bridge_to_agent(
                session_id,
                self._agent,
                caller=event.customer_address,
                own_number=self._settings.number,
                ring_timeout_s=self._settings.ring_timeout_s,
            )
        )

    async def _after_dial(self, form: Form, action: DialAction, route: str) -> web.Response:
        event = dial_ended(form, action)
        outcome = DialOutcome(
            party=action.party,
            call_sid=event.call_sid,
            dial=action.dial,
            dial_call_status=event.dial_call_status,
            call_status=event.call_status,
            attempt=action.attempt,
            asked=action.asked,
        )
        may_be_old = self._ingest.restarted_lately()
        facts: SessionFacts | None = None
        to_be_told = bool(event.dial_call_status) and may_be_old
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S if action.asked == 1 else _STORE_AGAIN_DEADLINE_S):
                # The fallback does not say how the `<Dial>` ended: there is nothing to tell anybody. And what Redis may
                # have forgotten is told together with what Twilio says.
                if event.dial_call_status and not may_be_old:
                    facts = await self._ingest.publish_and_read(event, call_sid=event.call_sid)
                else:
                    facts = await self._ingest.read(action.session_id)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, event, error)
            to_be_told = False
            chosen = answer_without_store(outcome)
        else:
            chosen = answer(outcome, facts, may_be_old=may_be_old)
        if chosen is Answer.ASK_TWILIO:
            chosen = answer_by_child(await self._child_status(event.call_sid))
            event = replace(event, other_side_lives=chosen is Answer.JOIN)
        if to_be_told:
            await self._tell(event, route)
        log.info(
            "dial_action_answered",
            session_id=action.session_id,
            call_sid=event.call_sid,
            party=action.party,
            outcome=chosen.value,
            attempt=action.asked,
        )
        return twiml(self._document(chosen, outcome, action, facts))

    async def _tell(self, event: DialEnded, route: str) -> None:
        """Publishes what is answered whether or not it can be stored."""
        try:
            async with asyncio.timeout(_STORE_AGAIN_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, event, error)

    def _document(self, chosen: Answer, outcome: DialOutcome, action: DialAction, facts: SessionFacts | None) -> str:
        if chosen in _SENTENCES:
            return self._documents.say_and_hang_up(_SENTENCES[chosen])
        if chosen is Answer.WAIT:
            return self._documents.ask_again(action.asked_again(outcome.dial_call_status))
        if chosen not in _STARTS | _WAITS:
            return self._documents.hang_up()
        name = whose_call(outcome, facts)
        party = (facts.parties.get(name) if facts else None) or PartyFacts()
        again = chosen in (Answer.JOIN_BY_NAME, Answer.WAIT_IN_ANOTHER, Answer.WAIT_IN_SILENCE)
        # Whoever is alone all of a sudden has no tune yet: it is the target that rings then.
        tune = party.tune or Tune.RINGBACK if chosen in _WAITS - {Answer.WAIT_IN_SILENCE} else Tune.NONE
        room = "" if facts is None or again else facts.conference_sid
        return self._documents.join_conference(
            action.session_id,
            name,
            label=party.label or first_label(name),
            room=room or action.session_id,
            attempt=outcome.attempt + 1 if again else 1,
            starts=chosen in _STARTS,
            tune=tune,
        )

    async def _child_status(self, parent_call_sid: str) -> str | None:
        try:
            async with asyncio.timeout(_LOOKUP_DEADLINE_S):
                return await self._child_lookup.child_status(parent_call_sid)
        except (ProviderError, TimeoutError) as error:
            log.warning("child_lookup_failed", call_sid=parent_call_sid, error_type=type(error).__name__)
            return None
