"""Gate (call screening): TwiML for an answered REST call, before it joins.

A party may have to press 1, so that no voicemail takes the call. Redis decides which call belongs to a dial, and which
dial of a ring group wins, before the call hears it. Winning and joining happen in one request: a party in a ring group
hears the brief, then requests the gate again, so one that hangs up meanwhile has not won. Without Redis, the call
waits, then is hung up with a message: only Redis knows whether another party has taken the call.
"""

from dataclasses import replace
from enum import StrEnum

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import GateDecision
from conferral.statemachine.parts import ACCEPT_DIGIT, REJECT_DIGIT
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party, Session, first_label
from conferral.statemachine.states import Opening, PartyStatus, Phase, State, WaitAudio
from conferral.storage.webhook_store.store import GateClaim
from conferral.telephony.addresses import AddressError, number_in, parse_address
from conferral.telephony.callback_events import answered_by_machine, call_sid_of, digits_of, gate_decided, gate_reached
from conferral.telephony.callback_urls import FALLBACK_PATH, GATE_PATH, Gate
from conferral.telephony.phrases import GATE_REJECTIONS, Phrase
from conferral.telephony.twiml import END_OF_DOCUMENT, GATE_QUESTIONS, HANG_UP
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import (
    Dependencies,
    Routes,
    read_undecided,
    record_unstored,
    store_deadline,
    twiml_response,
)


class GateRoute(StrEnum):
    """Where an accepted call goes."""

    CONFERENCE = "conference"
    #: The agent of a `call` with mode `conference`: starts the conference, and waits there for the customer.
    EMPTY_CONFERENCE = "empty-conference"
    #: The agent of a `call`: to the customer, by an ordinary `<Dial>`.
    CUSTOMER = "customer"
    NOWHERE = "nowhere"


def route_of(view: Session | None, dial_id: str) -> GateRoute:
    """Return where to connect the party that answered this dial."""
    name = view.dialed_by(dial_id) if view else ""
    if view is None or not name:
        return GateRoute.NOWHERE
    if view.state == State.ENDED or _has_left(view.parties[name]):
        return GateRoute.NOWHERE
    is_agent_of_call = not view.customer_is_parent and name == AGENT
    if is_agent_of_call and view.opening != Opening.OVER:
        return GateRoute.EMPTY_CONFERENCE
    if view.state == State.BRIDGED and is_agent_of_call:
        return GateRoute.CUSTOMER
    if view.state == State.TRANSFERRING or (view.state == State.CONFERENCED and _joins_conference(view, name)):
        return GateRoute.CONFERENCE
    return GateRoute.NOWHERE


def _joins_conference(view: Session, name: str) -> bool:
    """Whether a dialed party joins without a transfer; a target is too late."""
    if name in (CUSTOMER, AGENT):
        is_rung_alone = view.phase is Phase.QUEUED or view.lost_at_ms > 0
        return view.opening != Opening.OVER or (name == AGENT and is_rung_alone)
    return name != TARGET and not name.startswith(f"{TARGET}-")


def decide_by_key(*, question: int, pressed: str) -> GateDecision | None:
    """Decide by the key alone; return None to prompt for one."""
    if question > 1 and pressed in (ACCEPT_DIGIT, REJECT_DIGIT):
        return GateDecision.ACCEPTED if pressed == ACCEPT_DIGIT else GateDecision.REJECTED
    return GateDecision.NO_CONFIRMATION if question > GATE_QUESTIONS else None


def decide(view: Session | None, dial_id: str, *, question: int, pressed: str) -> GateDecision | None:
    """Decide by the session and the key; return None to prompt for a key."""
    # A party that rejected the call gets the same answer to a repeated request, whatever the session has done since.
    by_key = decide_by_key(question=question, pressed=pressed)
    if by_key not in (None, GateDecision.ACCEPTED):
        return by_key
    if view is None or route_of(view, dial_id) is GateRoute.NOWHERE:
        return GateDecision.TAKEN if _was_answered_elsewhere(view, dial_id) else GateDecision.TOO_LATE
    must_press = question > 1 or view.parties[view.dialed_by(dial_id)].options.confirm
    return by_key if must_press else GateDecision.ACCEPTED


def released_dials(view: Session) -> tuple[str, ...]:
    """Return the dials whose parties have left or are leaving."""
    # A winner may hang up on the way into the conference. Another party can then take the call.
    return tuple(party.dial_id for party in view.parties.values() if party.dial_id and _has_left(party))


def _has_left(party: Party) -> bool:
    return party.is_leaving or party.status == PartyStatus.LEFT


def _was_answered_elsewhere(view: Session | None, dial_id: str) -> bool:
    """Whether another party of the ring group has taken the call."""
    name = view.dialed_by(dial_id) if view else ""
    if view is None or not name or not view.parties[name].ring_group:
        return False
    return any(
        other.ring_group == view.parties[name].ring_group
        and other.status == PartyStatus.CONNECTED
        and not other.is_leaving
        for other in view.parties.values()
    )


def refusal_phrase(decision: GateDecision, view: Session | None) -> Phrase:
    """Return what a refused party hears."""
    customer = view.parties.get(CUSTOMER) if view else None
    if (
        decision is GateDecision.TOO_LATE
        and view is not None
        and view.customer_is_parent
        and customer is not None
        and customer.status == PartyStatus.LEFT
        and not customer.is_leaving  # otherwise we hung up on the caller
    ):
        return Phrase.CALLER_HUNG_UP
    return GATE_REJECTIONS[decision]


log = structlog.get_logger()

#: Interval at which the session of a bridge is read again, if it is not decided yet, seconds: it has the brief.
_READ_EVERY_S = 0.1
#: How often one gate document reads Redis before giving up.
_RETRIES_MAX = 3


class GateRoutes(Routes):
    """Answers the gate."""

    def __init__(self, dependencies: Dependencies) -> None:
        super().__init__(dependencies)
        self._allowed = self._routing.allowed

    async def gate(self, form: Form, query: str) -> web.Response:
        """Direct a call that we placed: once picked up, and after each prompt."""
        return await self.answer(form, Gate.parse(query), GATE_PATH)

    async def answer(self, form: Form, gate: Gate, route: str) -> web.Response:
        """Return the gate's TwiML; `route` is the requested path, for metrics."""
        call_sid, pressed = call_sid_of(form), digits_of(form, gate)
        gate = replace(gate, by_machine=gate.by_machine or answered_by_machine(form))
        if route == FALLBACK_PATH and gate.question == 1 and not (gate.by_machine or "AnsweredBy" in form):
            # Twilio does not document that this request repeats what the one that failed said.
            call = await self._ask(self._twilio.live_call, call_sid, call_sid=call_sid)
            gate = replace(gate, by_machine=call is not None and answered_by_machine(call))
        try:
            async with store_deadline(gate.request_number):
                if gate.is_of_bridge:
                    result, document = await self._answer_bridge(form, gate, pressed)
                else:
                    result, document = await self._answer_dial(form, gate, pressed)
        except StoreError as error:
            record_unstored(self._metrics, route, gate_reached(form, gate), error)
            result, document = "given-up", self._documents.say_and_hang_up(Phrase.UNREACHABLE)
            if gate.request_number < _RETRIES_MAX:
                result, document = self._retry_later(gate, pressed)
        log.info(
            "gate_answered",
            session_id=gate.session_id,
            call_sid=call_sid,
            effect_id=gate.dial,
            outcome=result,
            attempt=gate.question,
        )
        return twiml_response(document)

    async def _answer_dial(self, form: Form, gate: Gate, pressed: str) -> tuple[str, str]:
        """Answer a REST call's party; return a word for the log, and TwiML."""
        claim = await self._store.claim_gate(gate.session_id, gate.dial, call_sid_of(form))
        if claim is GateClaim.ANOTHER_CALL:
            return "another-call", HANG_UP
        view = await self._load_view(form, gate)
        if gate.by_machine:
            await self._store.publish(gate_decided(form, gate, GateDecision.ANSWERING_MACHINE))
            return GateDecision.ANSWERING_MACHINE.value, HANG_UP
        decision = decide(view, gate.dial, question=gate.question, pressed=pressed)
        if decision is None:
            confirm_for_s = _dialed_party(gate, view).options.confirm_for_s
            return "asked", self._documents.ask_for_key(gate, confirm_for_s, **_briefing(gate, view))
        # After a loss, the dial may be one that the session is about to learn of.
        is_after_loss = view is not None and view.lost_at_ms > 0
        if decision is GateDecision.TOO_LATE and is_after_loss and gate.request_number < _RETRIES_MAX:
            return self._retry_later(gate, pressed)
        briefing = _briefing(gate, view)
        if decision is GateDecision.ACCEPTED and _dialed_party(gate, view).ring_group and any(briefing.values()):
            return "briefed", self._documents.gate_brief(gate, **briefing)
        if decision is GateDecision.ACCEPTED:
            decision, document = await self._admit(form, gate, view)
        else:
            document = self._documents.say_and_hang_up(refusal_phrase(decision, view))
        await self._store.publish(gate_decided(form, gate, decision))
        return decision.value, document

    async def _answer_bridge(self, form: Form, gate: Gate, pressed: str) -> tuple[str, str]:
        """Answer an agent whom a plain `<Dial>` rings: brief, prompt, or connect.

        Unlike `_answer_dial`, it also works without Redis, then without the brief. Twilio connects the two when the
        document is over, and ends the agent's call with the caller's. Return a word for the log, and TwiML.
        """
        try:
            view = await self._store.read(gate.session_id)
            view = view or await read_undecided(self._store, gate.session_id, _READ_EVERY_S)
        except StoreError as error:
            record_unstored(self._metrics, GATE_PATH, gate_reached(form, gate), error)
            view = None
        brief = view.options.brief if view and gate.question == 1 and not gate.briefed else ""
        decision = decide_by_key(question=gate.question, pressed=pressed)
        if decision is None and gate.question == 1 and not gate.confirm_for_s:
            if brief:
                return "briefed", self._documents.gate_brief(gate, brief=brief)
            decision = GateDecision.ACCEPTED
        if decision is None:
            return "asked", self._documents.ask_for_key(gate, gate.confirm_for_s, brief=brief)
        event = gate_decided(form, gate, decision)
        try:
            await self._store.publish(event, call_sid=event.call_sid)
        except StoreError as error:
            record_unstored(self._metrics, GATE_PATH, event, error)
        if decision is GateDecision.ACCEPTED:
            return decision.value, END_OF_DOCUMENT
        return decision.value, self._documents.say_and_hang_up(GATE_REJECTIONS[decision])

    async def _load_view(self, form: Form, gate: Gate) -> Session | None:
        """Return the session; publish once per call that it reached the gate."""
        if gate.question > 1 or gate.briefed:
            return await self._store.read(gate.session_id)
        event = gate_reached(form, gate)
        return await self._store.publish_and_read(event, call_sid=event.call_sid)

    async def _admit(self, form: Form, gate: Gate, view: Session | None) -> tuple[GateDecision, str]:
        """Connect an accepted party, unless another of its ring group was first."""
        assert view is not None, "an unknown session admits no one"
        route = route_of(view, gate.dial)
        if route is GateRoute.CUSTOMER:
            return self._connect_to_customer(gate, view)
        name = view.dialed_by(gate.dial)
        party = view.parties[name]
        if party.ring_group:
            claim = await self._store.claim_gate(
                gate.session_id, gate.dial, call_sid_of(form), party.ring_group, released_dials(view)
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
            muted=party.desired_mute,
            attributes=view.attributes,
            brief=briefing["brief"],
            rung_again_because=briefing["rung_again_because"],
        )

    def _connect_to_customer(self, gate: Gate, view: Session) -> tuple[GateDecision, str]:
        """Connect the agent of a `call` to the customer, if still allowed."""
        try:
            customer = parse_address(view.parties.get(CUSTOMER, Party("", "")).address)
            self._allowed.check(customer)
        except AddressError as error:
            log.error("destination_not_allowed", session_id=gate.session_id, reason=error.reason)
            return GateDecision.TOO_LATE, self._documents.say_and_hang_up(Phrase.UNREACHABLE)
        number, caller_id = self._settings.number, view.options.caller_id
        is_customers_own = caller_id == number_in(customer.text, number)
        return GateDecision.ACCEPTED, self._documents.bridge_to_customer(
            gate.session_id,
            customer,
            own_number=number if is_customers_own or not caller_id else caller_id,
            ring_timeout_s=self._settings.ring_timeout_s,
            brief=_briefing(gate, view)["brief"],
            conference_name=view.conference_name,
        )

    def _retry_later(self, gate: Gate, pressed: str) -> tuple[str, str]:
        return "waited", self._documents.retry(gate.next_request(pressed))


def _dialed_party(gate: Gate, view: Session | None) -> Party:
    return (view.parties.get(view.dialed_by(gate.dial)) if view else None) or Party("", "")


def _briefing(gate: Gate, view: Session | None) -> dict[str, str]:
    """Return the brief, and why an agent is rung again; not if already heard."""
    # A question above 1 means that a prompt has played them; `briefed`, that a document without one has.
    party = Party("", "") if gate.question > 1 or gate.briefed else _dialed_party(gate, view)
    return {"brief": party.options.brief, "rung_again_because": party.rung_again_because}
