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
from conferral.statemachine.states import State, Tune
from conferral.storage.ingest import GateClaim, Ingest, PartyFacts, SessionFacts
from conferral.telephony.addresses import AddressError, AllowList, parse_address
from conferral.telephony.callbacks import call_sid_of, digits_of, gate_decided, gate_reached
from conferral.telephony.documents import Documents
from conferral.telephony.phrases import Phrase
from conferral.telephony.urls import GATE_PATH, Gate, parse_gate
from conferral.webhooks.form import Form
from conferral.webhooks.gate_answers import Way, decide, gone_rivals, sentence, way_of
from conferral.webhooks.replies import note_unstored, twiml

log = structlog.get_logger()

#: A second net below Redis's own deadline of 2 s, for all that one request asks of it.
_STORE_DEADLINE_S = 2.2
#: When the same is asked again: somebody holds a silent phone for as long as we wait.
_STORE_AGAIN_DEADLINE_S = 1.0
#: How often Redis is asked for one document of the gate before we give up.
_WAITED_MAX = 3


class GateRoutes:
    """Answers the gate."""

    def __init__(self, settings: ServiceSettings, documents: Documents, ingest: Ingest, metrics: Metrics) -> None:
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
            async with asyncio.timeout(_STORE_DEADLINE_S if gate.waited == 1 else _STORE_AGAIN_DEADLINE_S):
                outcome, document = await self._decided(form, gate, pressed)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, gate_reached(form, gate), error)
            outcome, document = "given-up", self._documents.say_and_hang_up(Phrase.UNREACHABLE)
            if gate.waited < _WAITED_MAX:
                outcome, document = self._later(gate, pressed)
        log.info(
            "gate_answered",
            session_id=gate.session_id,
            call_sid=call_sid,
            effect_id=gate.dial,
            outcome=outcome,
            attempt=gate.asked,
        )
        return twiml(document)

    async def _decided(self, form: Form, gate: Gate, pressed: str) -> tuple[str, str]:
        """What the call is told, as a word for the log and as a document; what was decided is stored by then."""
        claim = await self._ingest.claim_gate(gate.session_id, gate.dial, call_sid_of(form))
        if claim is GateClaim.ANOTHER_CALL:
            return "another-call", self._documents.hang_up()
        facts = await self._facts(form, gate)
        decision = decide(facts, gate.dial, asked=gate.asked, pressed=pressed)
        if decision is None:
            return "asked", self._documents.gate_ask(gate, **_briefing(gate, facts))
        if decision is GateDecision.TOO_LATE and gate.waited < _WAITED_MAX and self._may_be_forgotten(facts):
            return self._later(gate, pressed)
        briefing = _briefing(gate, facts)
        if decision is GateDecision.ACCEPTED and _rings_beside_others(gate, facts) and any(briefing.values()):
            return "briefed", self._documents.gate_brief(gate, **briefing)
        if decision is GateDecision.ACCEPTED:
            decision, document = await self._let_in(form, gate, facts)
        else:
            document = self._documents.say_and_hang_up(sentence(decision, facts))
        await self._ingest.publish(gate_decided(form, gate, decision))
        return decision.value, document

    async def _facts(self, form: Form, gate: Gate) -> SessionFacts | None:
        """The session; at the first request it is told that the call is here."""
        if gate.asked > 1 or gate.briefed:
            return await self._ingest.read(gate.session_id)
        event = gate_reached(form, gate)
        return await self._ingest.publish_and_read(event, call_sid=event.call_sid)

    async def _let_in(self, form: Form, gate: Gate, facts: SessionFacts | None) -> tuple[GateDecision, str]:
        """The way in, unless somebody else was first or the customer may not be dialled."""
        assert facts is not None, "nobody is let into a session that nobody knows"
        way = way_of(facts, gate.dial)
        if way is Way.CUSTOMER:
            return self._connect(gate, facts)
        name = facts.dialled_by(gate.dial)
        party = facts.parties[name]
        if party.contest:
            claim = await self._ingest.claim_gate(
                gate.session_id, gate.dial, call_sid_of(form), party.contest, gone_rivals(facts, gate.dial)
            )
            if claim is not GateClaim.OURS:
                taken = GateDecision.TAKEN
                return taken, self._documents.say_and_hang_up(sentence(taken, facts))
        return GateDecision.ACCEPTED, self._documents.gate_brief_and_join(
            gate.session_id,
            name,
            label=party.label or first_label(name),
            room=facts.conference_sid or facts.conference_name or gate.session_id,
            conference_name=facts.conference_name,
            starts=True,
            tune=Tune.RINGBACK if way is Way.EMPTY_CONFERENCE else Tune.NONE,
            supervises=bool(party.supervises),
            attributes=facts.attributes,
            **_briefing(gate, facts),
        )

    def _connect(self, gate: Gate, facts: SessionFacts) -> tuple[GateDecision, str]:
        """The agent of a `call` is connected to the customer, who is held against the allow-list once more here."""
        try:
            customer = parse_address(facts.parties.get(CUSTOMER, PartyFacts()).address)
            self._allowed.check(customer)
        except AddressError as error:
            log.error("customer_refused", session_id=gate.session_id, reason=error.reason)
            return GateDecision.TOO_LATE, self._documents.say_and_hang_up(Phrase.UNREACHABLE)
        return GateDecision.ACCEPTED, self._documents.bridge_to_customer(
            gate.session_id,
            customer,
            own_number=facts.caller_id or self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            brief=_briefing(gate, facts)["brief"],
            conference_name=facts.conference_name,
        )

    def _later(self, gate: Gate, pressed: str) -> tuple[str, str]:
        """The same question once more, in a moment."""
        return "waited", self._documents.gate_again(gate.waited_again(pressed))

    def _may_be_forgotten(self, facts: SessionFacts | None) -> bool:
        """Whether Redis may have lost the last second, in which the dial was ordered; the worker will tell it again."""
        return self._ingest.restarted_lately() and (facts is None or facts.state != State.ENDED)


def _rings_beside_others(gate: Gate, facts: SessionFacts | None) -> bool:
    """Whether several ring for the same call, of whom one wins."""
    party = facts.parties.get(facts.dialled_by(gate.dial)) if facts else None
    return party is not None and bool(party.contest)


def _briefing(gate: Gate, facts: SessionFacts | None) -> dict[str, str]:
    """What is said to the call first: once, before the first question, or before the join where nothing is asked."""
    party = facts.parties.get(facts.dialled_by(gate.dial)) if facts else None
    if party is None or gate.asked > 1 or gate.briefed:
        return {"brief": "", "recalled_for": ""}
    return {"brief": party.brief, "recalled_for": party.recalled_for}
