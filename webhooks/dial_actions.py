"""The action of every `<Dial>` of ours: what the party hears whose `<Dial>` is over.

Redis away, or refusing what is written: it waits and asks again, then asks Twilio for the other side. The next agent is
rung without Redis too: the URL says who was tried, and the directory who follows.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.statemachine.attributes import Attributes
from conferral.statemachine.events import DialEnded
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, first_label
from conferral.statemachine.states import CallStatus, Phase, Tune
from conferral.storage.ingest import PartyFacts, SessionFacts
from conferral.telephony.addresses import is_caller_id
from conferral.telephony.callbacks import caller_of, dial_ended
from conferral.telephony.phrases import Phrase
from conferral.telephony.urls import DIAL_ACTION_PATH, DialAction, DialKind, parse_dial_action
from conferral.webhooks.answers import (
    Answer,
    DialOutcome,
    answer,
    answer_by_child,
    answer_without_store,
    waits_first,
    whose_call,
)
from conferral.webhooks.form import Form
from conferral.webhooks.means import Means
from conferral.webhooks.replies import note_unstored, twiml
from conferral.webhooks.routing import NextAgent

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
_HEARS = frozenset({Answer.WAIT_IN_ROOM, Answer.WAIT_IN_ANOTHER})
_WAITS = _HEARS | {Answer.WAIT_WITHOUT_TUNE}
_BY_NAME = frozenset({Answer.JOIN_BY_NAME, Answer.WAIT_IN_ANOTHER, Answer.WAIT_WITHOUT_TUNE})


class DialActionRoutes:
    """Answers the dial action."""

    def __init__(self, means: Means) -> None:
        self._settings = means.settings
        self._documents = means.documents
        self._routing = means.routing
        self._ingest = means.ingest
        self._child_lookup = means.child_lookup
        self._metrics = means.metrics

    async def dial_action(self, form: Form, query: str) -> web.Response:
        """A `<Dial>` of ours has ended."""
        return await self.answer(form, parse_dial_action(query), DIAL_ACTION_PATH)

    async def answer(self, form: Form, action: DialAction, route: str) -> web.Response:
        """What the party hears next.

        Args:
            form: The request's fields.
            action: What the URL says.
            route: The path that was asked.
        """
        event = dial_ended(form, action)
        event = replace(event, failed_with_callers_number=_failed_with_callers_number(form, action, event))
        outcome = DialOutcome(
            party=action.party,
            call_sid=event.call_sid,
            dial=action.dial,
            dial_call_status=event.dial_call_status,
            call_status=event.call_status,
            attempt=action.attempt,
            asked=action.asked,
            failed_with_callers_number=event.failed_with_callers_number,
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
            next_agent, outcome = self._to_be_tried(form, action, outcome, None)
            chosen = answer_without_store(outcome)
        else:
            next_agent, outcome = self._to_be_tried(form, action, outcome, facts)
            chosen = answer(outcome, facts, may_be_old=may_be_old)
        if chosen is Answer.ASK_TWILIO:
            chosen = answer_by_child(await self._child_status(event.call_sid), outcome, facts)
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
        if chosen is Answer.RING_NEXT and next_agent is not None:
            return twiml(self._ring(form, action, next_agent, own_from=action.own_from))
        if chosen is Answer.RING_AGAIN and (agent := self._same_agent(form, action, facts)) is not None:
            return twiml(self._ring(form, action, agent, own_from=agent.number))
        return twiml(self._document(chosen, outcome, action, facts, self._attributes(form, facts)))

    async def _tell(self, event: DialEnded, route: str) -> None:
        """Publishes what is answered whether or not it can be stored."""
        try:
            async with asyncio.timeout(_STORE_AGAIN_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except (StoreError, TimeoutError) as error:
            note_unstored(self._metrics, route, event, error)

    def _to_be_tried(
        self, form: Form, action: DialAction, outcome: DialOutcome, facts: SessionFacts | None
    ) -> tuple[NextAgent | None, DialOutcome]:
        """Who is tried after the agent who was not reached, and the outcome with what follows from that."""
        following = self._next_agent(form, action, outcome, facts)
        agents, number = self._agents(form, action, facts), action.agent_number
        has_phone = number < len(agents) and agents[number].startswith("+")
        return following, replace(
            outcome,
            has_next_agent=following is not None,
            failed_with_callers_number=outcome.failed_with_callers_number and has_phone,
        )

    def _next_agent(
        self, form: Form, action: DialAction, outcome: DialOutcome, facts: SessionFacts | None
    ) -> NextAgent | None:
        """Who is tried next in an inbound session, once the `<Dial>` to an agent has ended unanswered."""
        is_inbound = facts is None or facts.direction == INBOUND
        if action.dial is not DialKind.BRIDGE or action.party != CUSTOMER or outcome.was_answered or not is_inbound:
            return None
        # Whoever decides upon a session goes by the agents that it knows; of one that nobody has decided upon yet, they
        # are the directory's.
        return self._routing.next_agent(action.session_id, self._agents(form, action, facts), action.agent_number)

    def _agents(self, form: Form, action: DialAction, facts: SessionFacts | None) -> tuple[str, ...]:
        """The agents to be tried; one who is tried again counts as another one, even before a worker has noted it."""
        agents, again = facts.agents if facts else self._routing.inbound(form).agents, action.own_from
        is_noted = facts is not None and facts.agent_number >= again
        return agents if is_noted or not again else (*agents[:again], *agents[again - 1 :])

    def _same_agent(self, form: Form, action: DialAction, facts: SessionFacts | None) -> NextAgent | None:
        """The agent of the `<Dial>` that has ended, as the next one."""
        agents, number = self._agents(form, action, facts), action.agent_number
        agents = (*agents[: number + 1], *agents[number:])
        return self._routing.next_agent(action.session_id, agents, number)

    def _ring(self, form: Form, action: DialAction, agent: NextAgent, *, own_from: int) -> str:
        return self._documents.bridge_to_agent(
            action.session_id,
            agent.address,
            caller=caller_of(form),
            own_number=self._routing.inbound(form).called_number or self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            agent_number=agent.number,
            own_from=own_from,
        )

    def _attributes(self, form: Form, facts: SessionFacts | None) -> Attributes:
        """Of a session that nobody knows, what the directory says, as at its beginning."""
        return facts.attributes if facts else self._routing.inbound(form).attributes

    def _document(
        self,
        chosen: Answer,
        outcome: DialOutcome,
        action: DialAction,
        facts: SessionFacts | None,
        attributes: Attributes,
    ) -> str:
        if chosen in _SENTENCES:
            return self._documents.say_and_hang_up(_SENTENCES[chosen])
        if chosen is Answer.WAIT:
            return self._documents.ask_again(action.asked_again(outcome.dial_call_status))
        if chosen is Answer.GO_ON:
            return self._documents.redirect(attributes.after)
        if chosen not in _STARTS | _WAITS:
            return self._documents.hang_up()
        name = whose_call(outcome, facts)
        party = (facts.parties.get(name) if facts else None) or PartyFacts()
        by_name = (facts.conference_name if facts else "") or action.room
        room = "" if facts is None or chosen in _BY_NAME else facts.conference_sid
        return self._documents.join_conference(
            action.session_id,
            name,
            label=party.label or first_label(name),
            room=room or by_name,
            conference_name=by_name,
            attempt=outcome.attempt + 1 if chosen in _BY_NAME else 1,
            starts=chosen in _STARTS or _starts_alone(name, facts),
            default_music=chosen is Answer.WAIT_WITHOUT_TUNE,
            tune=_tune(party, facts) if chosen in _HEARS else Tune.NONE,
            supervises=bool(party.supervises),
            attributes=attributes,
        )

    async def _child_status(self, parent_call_sid: str) -> str | None:
        # The caller waits for a document: an odd answer of Twilio's has to leave one.
        with contain(Where.WEBHOOK, self._metrics, call_sid=parent_call_sid):
            try:
                async with asyncio.timeout(_LOOKUP_DEADLINE_S):
                    return await self._child_lookup.child_status(parent_call_sid)
            except (ProviderError, TimeoutError) as error:
                log.warning("child_lookup_failed", call_sid=parent_call_sid, error_type=type(error).__name__)
        return None


def _failed_with_callers_number(form: Form, action: DialAction, event: DialEnded) -> bool:
    """Whether the `<Dial>` to an agent failed at once while it showed the caller's number.

    A phone's network may refuse that number, and Twilio then says no more than `failed`. No phone has rung, so the dial
    may be repeated. Source: Twilio docs, Errors, 13214.
    """
    is_agents = action.dial is DialKind.BRIDGE and action.party == CUSTOMER and not action.own_from
    return is_agents and event.dial_call_status == CallStatus.FAILED and is_caller_id(caller_of(form))


def _starts_alone(name: str, facts: SessionFacts | None) -> bool:
    """Whether someone who waits starts the conference: an agent or caller who waits for whom they call does."""
    return name == AGENT and (facts is None or waits_first(facts) == AGENT)


def _tune(party: PartyFacts, facts: SessionFacts | None) -> Tune:
    """What somebody hears who waits. Whoever is alone all of a sudden has no tune yet: it is the target that rings."""
    is_parked = facts is not None and facts.phase == Phase.PARKED
    return party.tune or (Tune.MUSIC if is_parked else Tune.RINGBACK)
