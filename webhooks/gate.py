"""Gate (call screening): TwiML for an answered REST call, before it joins.

A party may have to press 1, so that no voicemail takes the call. Redis decides which call belongs to a dial, and which
dial of a ring group wins, before the call hears it. Winning and joining happen in one request: a party in a ring group
hears the brief, then requests the gate again, so one that hangs up meanwhile has not won. Without Redis, the call
waits, then is hung up with a message: only Redis knows whether another party has taken the call.
"""

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import GateDecision
from conferral.statemachine.session import CUSTOMER, first_label
from conferral.statemachine.states import State, WaitAudio
from conferral.storage.codecs.session_view import PartyView, SessionView
from conferral.storage.ingest.port import GateClaim
from conferral.telephony.addresses import Address, AddressError, AllowList, number_in, parse_address
from conferral.telephony.callback_events import call_sid_of, digits_of, gate_decided, gate_reached
from conferral.telephony.callback_urls import GATE_PATH, Gate
from conferral.telephony.phrases import Phrase
from conferral.webhooks.dependencies import Dependencies, Routes
from conferral.webhooks.form import Form
from conferral.webhooks.gate_policy import GateRoute, decide, refusal_phrase, released_dials, route_of
from conferral.webhooks.responses import record_unstored, store_deadline, twiml_response

log = structlog.get_logger()

#: How often one gate document reads Redis before giving up.
_RETRIES_MAX = 3


class GateRoutes(Routes):
    """Answers the gate."""

    def __init__(self, dependencies: Dependencies) -> None:
        super().__init__(dependencies)
        self._allowed = AllowList.from_setting(self._settings.allowed_destinations, self._settings.number)

    async def gate(self, form: Form, query: str) -> web.Response:
        """Answer a call that we placed: once answered, and after each prompt."""
        return await self.answer(form, Gate.parse(query), GATE_PATH)

    async def answer(self, form: Form, gate: Gate, route: str) -> web.Response:
        """Return the gate's TwiML; `route` is the requested path, for metrics."""
        call_sid, pressed = call_sid_of(form), digits_of(form, gate)
        try:
            async with store_deadline(gate.request_number):
                outcome, document = await self._decide(form, gate, pressed)
        except StoreError as error:
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
        """Return the answer as a word for the log and as TwiML; publish decisions."""
        claim = await self._ingest.claim_gate(gate.session_id, gate.dial, call_sid_of(form))
        if claim is GateClaim.ANOTHER_CALL:
            return "another-call", self._documents.hang_up()
        view = await self._load_view(form, gate)
        decision = decide(view, gate.dial, question=gate.question, pressed=pressed)
        if decision is None:
            return "asked", self._documents.ask_for_key(gate, **_briefing(gate, view))
        if decision is GateDecision.TOO_LATE and gate.request_number < _RETRIES_MAX and self._dial_may_be_lost(view):
            return self._retry_later(gate, pressed)
        briefing = _briefing(gate, view)
        if decision is GateDecision.ACCEPTED and _dialed_party(gate, view).ring_group and any(briefing.values()):
            return "briefed", self._documents.gate_brief(gate, **briefing)
        if decision is GateDecision.ACCEPTED:
            decision, document = await self._admit(form, gate, view)
        else:
            document = self._documents.say_and_hang_up(refusal_phrase(decision, view))
        await self._ingest.publish(gate_decided(form, gate, decision))
        return decision.value, document

    async def _load_view(self, form: Form, gate: Gate) -> SessionView | None:
        if gate.question > 1 or gate.briefed:
            return await self._ingest.read(gate.session_id)
        event = gate_reached(form, gate)
        return await self._ingest.publish_and_read(event, call_sid=event.call_sid)

    async def _admit(self, form: Form, gate: Gate, view: SessionView | None) -> tuple[GateDecision, str]:
        assert view is not None, "an unknown session admits no one"
        route = route_of(view, gate.dial)
        if route is GateRoute.CUSTOMER:
            return self._connect_to_customer(gate, view)
        name = view.dialed_by(gate.dial)
        party = view.parties[name]
        if party.ring_group:
            claim = await self._ingest.claim_gate(
                gate.session_id, gate.dial, call_sid_of(form), party.ring_group, released_dials(view, gate.dial)
            )
            if claim is not GateClaim.OURS:
                refused = self._documents.say_and_hang_up(refusal_phrase(GateDecision.TAKEN, view))
                return GateDecision.TAKEN, refused
        briefing = _briefing(gate, view)
        return GateDecision.ACCEPTED, self._documents.join_conference(
            gate.session_id,
            name,
            label=party.label or first_label(name),
            conference=view.conference_sid or view.conference_name or gate.session_id,
            conference_name=view.conference_name,
            start_on_enter=True,
            wait_audio=WaitAudio.RINGBACK if route is GateRoute.EMPTY_CONFERENCE else WaitAudio.NONE,
            supervises=bool(party.supervises),
            attributes=view.attributes,
            brief=briefing["brief"],
            recall_reason=briefing["recall_reason"],
        )

    def _connect_to_customer(self, gate: Gate, view: SessionView) -> tuple[GateDecision, str]:
        """Connect the agent of a `call` to the customer, if still allowed."""
        try:
            customer = parse_address(view.parties.get(CUSTOMER, PartyView()).address)
            self._allowed.check(customer)
        except AddressError as error:
            log.error("destination_not_allowed", session_id=gate.session_id, reason=error.reason)
            return GateDecision.TOO_LATE, self._documents.say_and_hang_up(Phrase.UNREACHABLE)
        return GateDecision.ACCEPTED, self._documents.bridge_to_customer(
            gate.session_id,
            customer,
            own_number=self._number_for(customer, view.options.caller_id),
            ring_timeout_s=self._settings.ring_timeout_s,
            brief=_briefing(gate, view)["brief"],
            conference_name=view.conference_name,
        )

    def _number_for(self, customer: Address, caller_id: str) -> str:
        """Return the number that the customer sees: not the customer's own."""
        is_own = caller_id == number_in(customer.text, self._settings.number)
        return self._settings.number if is_own or not caller_id else caller_id

    def _retry_later(self, gate: Gate, pressed: str) -> tuple[str, str]:
        return "waited", self._documents.retry(gate.next_request(pressed))

    def _dial_may_be_lost(self, view: SessionView | None) -> bool:
        """Whether Redis may have lost the dial; a worker then commits it again."""
        return self._ingest.restarted_recently() and (view is None or view.state != State.ENDED)


def _dialed_party(gate: Gate, view: SessionView | None) -> PartyView:
    return (view.parties.get(view.dialed_by(gate.dial)) if view else None) or PartyView()


def _briefing(gate: Gate, view: SessionView | None) -> dict[str, str]:
    """Return the brief and the recall reason, unless the call has heard them."""
    # A question above 1 means that a prompt has played them; `briefed`, that a document without one has.
    party = PartyView() if gate.question > 1 or gate.briefed else _dialed_party(gate, view)
    return {"brief": party.brief, "recall_reason": party.recall_reason}
