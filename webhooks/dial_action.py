"""Dial action URL: TwiML for the party whose `<Dial>` has ended."""

from dataclasses import replace

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import DialEnded
from conferral.statemachine.guards.transfer import has_inbound_fallback
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.presence import IDLE
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, first_label
from conferral.statemachine.states import KEPT_WAITING, CallStatus, Phase, WaitAudio
from conferral.storage.connection.errors import SILENT_STATES
from conferral.telephony.addresses import is_caller_id, parse_address
from conferral.telephony.callback_events import child_call_sid_of, customer_of, dial_ended, is_placed_by_rest
from conferral.telephony.callback_urls import DIAL_ACTION_PATH, DialAction, DialKind
from conferral.telephony.phrases import Phrase
from conferral.telephony.twiml import HANG_UP
from conferral.webhooks.authentication import Form
from conferral.webhooks.call_routing import NextAgent
from conferral.webhooks.dial_action_decision import (
    DialActionAnswer,
    DialResult,
    decide,
    decide_by_child,
    decide_by_conference,
    decide_without_redis,
    first_waiting_party,
    party_of,
)
from conferral.webhooks.responses import (
    SHORT_STORE_DEADLINE_S,
    Dependencies,
    Routes,
    record_unstored,
    store_deadline,
    store_timeout,
    twiml_response,
)
from conferral.webhooks.visits import Visits

log = structlog.get_logger()

_PHRASES = {
    DialActionAnswer.SAY_BUSY: Phrase.BUSY,
    DialActionAnswer.SAY_NO_ANSWER: Phrase.NO_ANSWER,
    DialActionAnswer.SAY_UNREACHABLE: Phrase.UNREACHABLE,
}
_JOINS = frozenset({DialActionAnswer.JOIN, DialActionAnswer.JOIN_BY_NAME})
_WAITS_WITH_AUDIO = frozenset({DialActionAnswer.WAIT_IN_CONFERENCE, DialActionAnswer.WAIT_IN_NEW_CONFERENCE})
_WAITS = _WAITS_WITH_AUDIO | {DialActionAnswer.WAIT_WITH_TWILIO_MUSIC}
_BY_NAME = frozenset(
    {DialActionAnswer.JOIN_BY_NAME, DialActionAnswer.WAIT_IN_NEW_CONFERENCE, DialActionAnswer.WAIT_WITH_TWILIO_MUSIC}
)


class DialActionRoutes(Routes):
    """Answers the `<Dial>` action."""

    def __init__(self, dependencies: Dependencies, *, visits: Visits) -> None:
        super().__init__(dependencies)
        self._visits = visits

    async def dial_action(self, form: Form, query: str) -> web.Response:
        """Answer the action URL of a `<Dial>` that has ended."""
        return await self.answer(form, DialAction.parse(query), DIAL_ACTION_PATH)

    async def answer(self, form: Form, action: DialAction, route: str) -> web.Response:
        """Publish that a `<Dial>` has ended; return its party's next TwiML."""
        event, child = dial_ended(form, action), child_call_sid_of(form, action)
        action = replace(action, child_call_sid=child)
        event = replace(event, failed_with_callers_number=await self._failed_with_callers_number(form, action, event))
        view: Session | None = None
        # Without a status, Twilio requested the fallback URL for the action of a live call's bridge.
        is_news = bool(event.dial_call_status) or (action.dial is DialKind.BRIDGE and not event.party_is_gone)
        try:
            async with store_deadline(action.request_number):
                if action.without_redis and (
                    session_id := await self._session_of_call_without_redis(form, event, action)
                ):
                    action = replace(action, session_id=session_id, without_redis=False)
                    event = replace(event, session_id=session_id)
                if event.reached_no_one and action.rings_agent and not action.without_redis:
                    event = await self._with_next_agents(form, event, action)
                if is_news and not action.without_redis:
                    view = await self._store.publish_and_read(event, call_sid=event.call_sid)
                elif not action.without_redis:
                    view = await self._store.read(action.session_id)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)
            result = self._result(form, action, event, None)
            chosen = decide_without_redis(result)
            if chosen is DialActionAnswer.HANG_UP and (view := await self._read_despite(error, action)) is not None:
                result = self._result(form, action, event, view)
                chosen = decide(result, view)
        else:
            result = self._result(form, action, event, view)
            chosen = decide(result, view)
        if chosen is DialActionAnswer.READ_CHILD_CALL:
            child_status = await self._ask(self._twilio.child_status, event.call_sid, child, call_sid=event.call_sid)
            chosen = decide_by_child(child_status, result, view, self._attributes(form, view))
        elif chosen is DialActionAnswer.READ_CONFERENCE:
            has_started = await self._ask(self._twilio.has_started, action.conference, call_sid=event.call_sid)
            chosen = decide_by_conference(result, has_started=has_started)
        log.info(
            "dial_action_answered",
            session_id=action.session_id,
            call_sid=event.call_sid,
            party=action.party,
            outcome=chosen.value,
            attempt=action.request_number,
        )
        if chosen is DialActionAnswer.DIAL_NEXT_AGENT and (agent := result.next_agent) is not None:
            own_from = action.own_number_from_agent
            return twiml_response(await self._dial_agent(form, action, agent, view, own_number_from_agent=own_from))
        if chosen is DialActionAnswer.REDIAL_AGENT and (agent := self._same_agent(form, action, view)) is not None:
            document = await self._dial_agent(form, action, agent, view, own_number_from_agent=agent.number)
            return twiml_response(document)
        return twiml_response(self._document(chosen, result, action, view, self._attributes(form, view)))

    async def _with_next_agents(self, form: Form, event: DialEnded, action: DialAction) -> DialEnded:
        """Return the event with the order of the agents who are left, by presence.

        A repeated request finds the session with the next agent, and one that dials the same agent again has no other.
        """
        view = await self._store.read(action.session_id)
        following = action.agent_number + 1
        is_first = view is not None and view.agent_number < following
        rest = self._agents_to_try(form, action, view)[following:] if is_first else ()
        if not rest or event.failed_with_callers_number:
            return event
        presence = await self._presence(rest, action.session_id)
        next_agents, skipped_count = presence.in_ringing_order(rest, view.agent_order if view else "")
        return replace(event, next_agents=next_agents, away=skipped_count)

    async def _session_of_call_without_redis(self, form: Form, event: DialEnded, action: DialAction) -> str:
        """Return the session of a call that came in without Redis, or empty.

        If it has none, and another agent may ring, one is opened. The action names the call, not a session.
        """
        session_id = await self._visits.session_of(event.session_id, action.child_call_sid)
        may_ring_another = event.reached_no_one and event.party == CUSTOMER and not action.only_agent
        opens = not session_id and may_ring_another
        return await self._visits.open(form) if opens else session_id

    async def _read_despite(self, error: StoreError, action: DialAction) -> Session | None:
        """Return the session if Redis refuses only writes, such as a full one."""
        if error.state in SILENT_STATES:
            return None
        try:
            async with store_timeout(SHORT_STORE_DEADLINE_S):
                return await self._store.read(action.session_id)
        except StoreError:
            return None

    def _result(self, form: Form, action: DialAction, event: DialEnded, view: Session | None) -> DialResult:
        agents, number = self._agents_to_try(form, action, view), action.agent_number
        has_phone = number < len(agents) and agents[number].startswith("+")
        may_redial = event.failed_with_callers_number and has_phone
        # Without the session, no worker would move the caller on.
        falls_back = action.party == CUSTOMER and view is not None and has_inbound_fallback(view)
        lacks_order = view is None and not action.without_redis and self._routing.inbound(form).order == IDLE
        result = DialResult(
            event, action.attempt, action.request_number,
            may_redial=may_redial, falls_back=falls_back, only_agent=action.only_agent, lacks_order=lacks_order,
        )  # fmt: skip
        if action.dial is not DialKind.BRIDGE or action.party != CUSTOMER or result.was_answered:
            return result
        following = number + event.away
        if event.next_agents:
            agents = (*agents[: number + 1], *event.next_agents)
        elif view is not None and view.agent_number > number:  # an earlier request has chosen
            following = view.agent_number - 1
        return replace(result, next_agent=self._routing.next_agent(action.session_id, agents, following))

    def _agents_to_try(self, form: Form, action: DialAction, view: Session | None) -> tuple[str, ...]:
        """Return the session's agents; the directory's if it is not open yet."""
        # An agent dialed again with our own number is in there twice, even before a worker has recorded it.
        agents = view.agents if view else self._directory_agents(form, action)
        redialed = action.own_number_from_agent
        is_recorded = view is not None and view.agent_number >= redialed
        return agents if is_recorded or not redialed else (*agents[:redialed], *agents[redialed - 1 :])

    def _directory_agents(self, form: Form, action: DialAction) -> tuple[str, ...]:
        return () if action.only_agent else self._routing.inbound(form).agents

    def _same_agent(self, form: Form, action: DialAction, view: Session | None) -> NextAgent | None:
        agents, number = self._agents_to_try(form, action, view), action.agent_number
        agents = (*agents[: number + 1], *agents[number:])
        return self._routing.next_agent(action.session_id, agents, number)

    async def _dial_agent(
        self, form: Form, action: DialAction, agent: NextAgent, view: Session | None, *, own_number_from_agent: int
    ) -> str:
        options = view.options if view else self._routing.inbound(form).options
        shows_business = bool(own_number_from_agent)
        return self._documents.bridge_to_agent(
            action.session_id,
            agent.address,
            caller="" if shows_business else await self._shown_number(form, agent.address),
            own_number=self._routing.business_number(form, agent.address),
            ring_timeout_s=self._settings.ring_timeout_s,
            agent_number=agent.number,
            own_number_from_agent=own_number_from_agent,
            options=options,
            without_redis=action.without_redis,
            only_agent=action.only_agent,
        )

    async def _failed_with_callers_number(self, form: Form, action: DialAction, event: DialEnded) -> bool:
        """Whether an agent's dial failed while it presented the caller's number."""
        # A network may refuse that number. Twilio reports only `failed`; no phone rang. Twilio docs, Errors, 13214.
        is_to_agent = action.dial is DialKind.BRIDGE and action.party == CUSTOMER
        has_failed = event.dial_call_status == CallStatus.FAILED
        if not (has_failed and is_to_agent) or action.own_number_from_agent or is_placed_by_rest(form):
            return False
        agents, number = self._directory_agents(form, action), action.agent_number
        # The number last: its check takes a tenth of the answer's time.
        if number >= len(agents):
            return is_caller_id(customer_of(form))
        return bool(await self._shown_number(form, parse_address(agents[number])))

    def _attributes(self, form: Form, view: Session | None) -> ConferenceAttributes:
        return view.attributes if view else self._routing.inbound(form).attributes

    def _document(
        self, chosen: DialActionAnswer, result: DialResult, action: DialAction,
        view: Session | None, attributes: ConferenceAttributes,
    ) -> str:  # fmt: skip
        """Return the TwiML for an answer, except for one that dials an agent."""
        if chosen in _PHRASES:
            return self._documents.say_and_hang_up(_PHRASES[chosen])
        if chosen is DialActionAnswer.WAIT:
            return self._documents.retry(action.next_request(result.event.dial_call_status, action.child_call_sid))
        if chosen is DialActionAnswer.CONTINUE:
            return self._documents.redirect(attributes.after_url)
        if chosen not in _JOINS | _WAITS:
            return HANG_UP
        name = party_of(result, view)
        party = (view.parties.get(name) if view else None) or Party("", "")
        by_name = (view.conference_name if view else "") or action.conference
        conference = "" if view is None or chosen in _BY_NAME else view.conference_sid
        # A waiting party starts the conference if it is the caller of a callee.
        starts_alone = name == AGENT and (view is None or first_waiting_party(view) == AGENT)
        return self._documents.join_conference(
            action.session_id,
            name,
            label=party.label or first_label(name),
            conference=conference or by_name,
            conference_name=by_name,
            attempt=result.attempt + 1 if chosen in _BY_NAME else 1,
            start_on_enter=chosen in _JOINS or starts_alone,
            default_music=chosen is DialActionAnswer.WAIT_WITH_TWILIO_MUSIC,
            wait_audio=_wait_audio(party, view, chosen),
            supervises=bool(party.supervises),
            muted=party.desired_mute,
            attributes=attributes,
        )


def _wait_audio(party: Party, view: Session | None, chosen: DialActionAnswer) -> WaitAudio:
    """Return a waiting party's audio; one just left alone has none set yet."""
    if chosen not in _WAITS_WITH_AUDIO:
        # If the other side is not there, no list need show a conference with one party: its wait request does.
        return WaitAudio.SILENCE if chosen in _JOINS else WaitAudio.NONE
    # A caller whom no agent took, whose agent was lost, or who is parked, or in a queue.
    hears_music = view is not None and view.phase in (*KEPT_WAITING, Phase.RINGING, Phase.CONNECTED)
    return party.wait_audio or (WaitAudio.MUSIC if hears_music else WaitAudio.RINGBACK)
