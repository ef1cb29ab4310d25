"""The gate: a call that was placed by REST was answered, and asks here whether it may join.

One call has a dial, and of those who ring for the same call one wins: Redis decides both before anybody is let in, and
what the gate has decided is stored before the call hears it. Winning and joining are one moment: whoever rings beside
others hears the brief by a document of its own and asks once more, since somebody who hangs up meanwhile must not have
won. Redis away: it waits and asks again, then gives up with a sentence, since without Redis nobody can tell whether
somebody else has taken the call.
"""

import asyncio

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.events import GateDecision
from conferral.statemachine.session import CUSTOMER, first_label
from conferral.statemachine.states import State, WaitAudio
from conferral.storage.ingest.port import GateClaim, Ingest, PartyView, SessionView
from conferral.telephony.addresses import AddressError, AllowList, parse_address
from conferral.telephony.callback_events import call_sid_of, digits_of, gate_decided, gate_reached
from conferral.telephony.callback_urls import GATE_PATH, Gate, parse_gate
from conferral.telephony.phrases import Phrase
from conferral.telephony.twiml import TwimlBuilder
from conferral.webhooks.form import Form
from conferral.webhooks.gate_policy import GateRoute, decide, refusal_phrase, released_targets, route_of
from conferral.webhooks.responses import record_unstored, twiml_response

log = structlog.get_logger()

#: A second net below Redis's own deadline of 2 s, for all that one request asks of it.
_STORE_DEADLINE_S = 2.2
#: When the same is asked again: somebody holds a silent phone for as long as we wait.
_STORE_AGAIN_DEADLINE_S = 1.0
#: How often Redis is asked for one document of the gate before we give up.
_RETRIES_MAX = 3


class GateRoutes:
    """Answers the gate."""

    def __init__(self, settings: ServiceSettings, documents: TwimlBuilder, ingest: Ingest, metrics: Metrics) -> None:
        """Reads the allow-list.

        Raises:
            SettingsError: the allow-list is wrong.
        """
        self._settings = settings
        self._allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        self._documents = documents
        self._ingest = ingest
        self._metrics = metrics

    async def gate(self, form: Form, query: str) -> web.Response:
        """A call that we placed was answered, or has answered our question for a key."""
        return await self.answer(form, parse_gate(query), GATE_PATH)

    async def answer(self, form: Form, gate: Gate, route: str) -> web.Response:
        """The gate's answer.

        Args:
            form: The request's fields.
            gate: What the URL says.
            route: The path that was asked.
        """
        call_sid, pressed = call_sid_of(form), digits_of(form, gate)
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S if gate.request_number == 1 else _STORE_AGAIN_DEADLINE_S):
                outcome, document = await self._decide(form, gate, pressed)
        except (StoreError, TimeoutError) as error:
            record_unstored(self._metrics, route, gate_reached(form, gate), error)
            outcome, document = "given-up", self._documents.say_and_hang_up(Phrase.UNREACHABLE)
            if gate.request_number < _RETRIES_MAX:
                outcome, document = self._retry_later(gate, pressed)
        log.info(
            "gate_answered",
            session_id=gate.session_id,
            call_sid=call_sid,
            effect_id=gate.dial,
            outcome=outcome,
            attempt=gate.question,
        )
        return twiml_response(document)

    async def _decide(self, form: Form, gate: Gate, pressed: str) -> tuple[str, str]:
        """What the call is told, as a word for the log and as a document; what was decided is stored by then."""
        claim = await self._ingest.claim_gate(gate.session_id, gate.dial, call_sid_of(form))
        if claim is GateClaim.ANOTHER_CALL:
            return "another-call", self._documents.hang_up()
        view = await self._load_view(form, gate)
        decision = decide(view, gate.dial, question=gate.question, pressed=pressed)
        if decision is None:
            return "asked", self._documents.ask_for_key(gate, **_briefing(gate, view))
        if decision is GateDecision.TOO_LATE and gate.request_number < _RETRIES_MAX and self._may_be_lost(view):
            return self._retry_later(gate, pressed)
        briefing = _briefing(gate, view)
        if decision is GateDecision.ACCEPTED and _is_in_ring_group(gate, view) and any(briefing.values()):
            return "briefed", self._documents.gate_brief(gate, **briefing)
        if decision is GateDecision.ACCEPTED:
            decision, document = await self._admit(form, gate, view)
        else:
            document = self._documents.say_and_hang_up(refusal_phrase(decision, view))
        await self._ingest.publish(gate_decided(form, gate, decision))
        return decision.value, document

    async def _load_view(self, form: Form, gate: Gate) -> SessionView | None:
        """The session; at the first request it is told that the call is here."""
        if gate.question > 1 or gate.briefed:
            return await self._ingest.read(gate.session_id)
        event = gate_reached(form, gate)
        return await self._ingest.publish_and_read(event, call_sid=event.call_sid)

    async def _admit(self, form: Form, gate: Gate, view: SessionView | None) -> tuple[GateDecision, str]:
        """The way in, unless somebody else was first or the customer may not be dialled."""
        assert view is not None, "nobody is let into a session that nobody knows"
        route = route_of(view, gate.dial)
        if route is GateRoute.CUSTOMER:
            return self._connect(gate, view)
        name = view.dialled_by(gate.dial)
        party = view.parties[name]
        if party.ring_group:
            claim = await self._ingest.claim_gate(
                gate.session_id, gate.dial, call_sid_of(form), party.ring_group, released_targets(view, gate.dial)
            )
            if claim is not GateClaim.OURS:
                answered_by = GateDecision.TAKEN
                return answered_by, self._documents.say_and_hang_up(refusal_phrase(answered_by, view))
        return GateDecision.ACCEPTED, self._documents.brief_and_join(
            gate.session_id,
            name,
            label=party.label or first_label(name),
            conference=view.conference_sid or view.conference_name or gate.session_id,
            conference_name=view.conference_name,
            start_on_enter=True,
            wait_audio=WaitAudio.RINGBACK if route is GateRoute.EMPTY_CONFERENCE else WaitAudio.NONE,
            supervises=bool(party.supervises),
            attributes=view.attributes,
            **_briefing(gate, view),
        )

    def _connect(self, gate: Gate, view: SessionView) -> tuple[GateDecision, str]:
        """The agent of a `call` is connected to the customer, who is held against the allow-list once more here."""
        try:
            customer = parse_address(view.parties.get(CUSTOMER, PartyView()).address)
            self._allowed.check(customer)
        except AddressError as error:
            log.error("destination_not_allowed", session_id=gate.session_id, reason=error.reason)
            return GateDecision.TOO_LATE, self._documents.say_and_hang_up(Phrase.UNREACHABLE)
        return GateDecision.ACCEPTED, self._documents.bridge_to_customer(
            gate.session_id,
            customer,
            own_number=view.caller_id or self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            brief=_briefing(gate, view)["brief"],
            conference_name=view.conference_name,
        )

    def _retry_later(self, gate: Gate, pressed: str) -> tuple[str, str]:
        """The same question once more, in a moment."""
        return "waited", self._documents.retry_gate(gate.next_request(pressed))

    def _may_be_lost(self, view: SessionView | None) -> bool:
        """Whether Redis may have lost the last second, in which the dial was ordered; the worker will tell it again."""
        return self._ingest.restarted_recently() and (view is None or view.state != State.ENDED)


def _is_in_ring_group(gate: Gate, view: SessionView | None) -> bool:
    """Whether several ring for the same call, of whom one wins."""
    party = view.parties.get(view.dialled_by(gate.dial)) if view else None
    return party is not None and bool(party.ring_group)


def _briefing(gate: Gate, view: SessionView | None) -> dict[str, str]:
    """What is said to the call first: once, before the first question, or before the join where nothing is asked."""
    party = view.parties.get(view.dialled_by(gate.dial)) if view else None
    if party is None or gate.question > 1 or gate.briefed:
        return {"brief": "", "recall_reason": ""}
    return {"brief": party.brief, "recall_reason": party.recall_reason}
