"""Dial action URL: TwiML for the party whose `<Dial>` has ended.

Without Redis, the party waits while the action is repeated; then the other side's state at Twilio decides. The next
agent is dialed without Redis, too: the URL names the agent tried, and the directory the next one.
"""

from dataclasses import replace

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import DialEnded
from conferral.statemachine.session import AGENT, CUSTOMER, first_label
from conferral.statemachine.states import CallStatus, Phase, WaitAudio
from conferral.storage.codecs.session_view import PartyView, SessionView
from conferral.storage.connection.errors import SILENT_STATES
from conferral.telephony.addresses import is_caller_id, parse_address
from conferral.telephony.callback_events import caller_of, child_of, dial_ended
from conferral.telephony.callback_urls import DIAL_ACTION_PATH, DialAction, DialKind
from conferral.telephony.phrases import Phrase
from conferral.webhooks.call_routing import NextAgent
from conferral.webhooks.dependencies import Dependencies, Routes
from conferral.webhooks.dial_action_policy import (
    NEXT_AGENT_AFTER,
    DialActionAnswer,
    DialOutcome,
    decide,
    decide_by_child,
    decide_by_conference,
    decide_without_redis,
    first_waiting_party,
    party_of,
)
from conferral.webhooks.form import Form
from conferral.webhooks.responses import (
    SHORT_STORE_DEADLINE_S,
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
        event, child = dial_ended(form, action), child_of(form, action)
        action = replace(action, child_call_sid=child)
        event = replace(event, failed_with_callers_number=await self._failed_with_callers_number(form, action, event))
        may_be_old = self._ingest.restarted_recently()
        view: SessionView | None = None
        to_publish = bool(event.dial_call_status) and may_be_old
        try:
            async with store_deadline(action.request_number):
                if action.of_call and (session_id := await self._session_of_call(form, event, child)):
                    action = replace(action, session_id=session_id, of_call=False)
                    event = replace(event, session_id=session_id)
                # A fallback has no status to publish. If Redis may have lost data, publish later, after reading Twilio.
                if action.of_call:
                    to_publish = False
                elif event.dial_call_status and not may_be_old:
                    view = await self._ingest.publish_and_read(event, call_sid=event.call_sid)
                else:
                    view = await self._ingest.read(action.session_id)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)
            to_publish = False
            outcome, next_agent = self._outcome(form, action, event, None)
            chosen = decide_without_redis(outcome)
            if chosen is DialActionAnswer.HANG_UP and (view := await self._read_despite(error, action)) is not None:
                outcome, next_agent = self._outcome(form, action, event, view)
                chosen = decide(outcome, view, may_be_old=True)
        else:
            outcome, next_agent = self._outcome(form, action, event, view)
            chosen = decide(outcome, view, may_be_old=may_be_old)
        if chosen is DialActionAnswer.READ_CHILD_CALL:
            child_status = await self._ask(self._twilio.child_status, event.call_sid, child, call_sid=event.call_sid)
            chosen = decide_by_child(child_status, outcome, view, self._attributes(form, view))
            event = replace(event, other_side_is_live=chosen is DialActionAnswer.JOIN)
        elif chosen is DialActionAnswer.READ_CONFERENCE:
            has_started = await self._ask(self._twilio.has_started, action.conference, call_sid=event.call_sid)
            chosen = decide_by_conference(outcome, has_started=has_started)
        if to_publish and chosen is not DialActionAnswer.WAIT:
            await self._publish(event, route)
        log.info(
            "dial_action_answered",
            session_id=action.session_id,
            call_sid=event.call_sid,
            party=action.party,
            outcome=chosen.value,
            attempt=action.request_number,
        )
        if chosen is DialActionAnswer.DIAL_NEXT_AGENT and next_agent is not None:
            own_from = action.own_number_from_agent
            return twiml_response(await self._dial_agent(form, action, next_agent, own_number_from_agent=own_from))
        if chosen is DialActionAnswer.REDIAL_AGENT and (agent := self._same_agent(form, action, view)) is not None:
            return twiml_response(await self._dial_agent(form, action, agent, own_number_from_agent=agent.number))
        return twiml_response(self._document(chosen, outcome, action, view, self._attributes(form, view)))

    async def _session_of_call(self, form: Form, event: DialEnded, child: str) -> str:
        """Return the session of a call that was answered without Redis.

        A call that may ring another agent opens it.
        """
        session_id = await self._visits.session_of(event.session_id, child)
        goes_on = event.dial_call_status in NEXT_AGENT_AFTER and not event.party_is_gone
        opens = not session_id and goes_on and event.party == CUSTOMER
        return await self._visits.open(form) if opens else session_id

    async def _read_despite(self, error: StoreError, action: DialAction) -> SessionView | None:
        """Return the session if Redis refuses only writes, such as a full one."""
        if error.state in SILENT_STATES:
            return None
        try:
            async with store_timeout(SHORT_STORE_DEADLINE_S):
                return await self._ingest.read(action.session_id)
        except StoreError:
            return None

    async def _publish(self, event: DialEnded, route: str) -> None:
        try:
            async with store_timeout(SHORT_STORE_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)

    def _outcome(
        self, form: Form, action: DialAction, event: DialEnded, view: SessionView | None
    ) -> tuple[DialOutcome, NextAgent | None]:
        """Return what to decide by, and the next agent to try, if any."""
        agents, number = self._agents_to_try(form, action, view), action.agent_number
        has_phone = number < len(agents) and agents[number].startswith("+")
        may_redial = event.failed_with_callers_number and has_phone
        outcome = DialOutcome(event, action.attempt, action.request_number, may_redial=may_redial)
        if action.dial is not DialKind.BRIDGE or action.party != CUSTOMER or outcome.was_answered:
            return outcome, None
        following = self._routing.next_agent(action.session_id, agents, number)
        return replace(outcome, has_next_agent=following is not None), following

    def _agents_to_try(self, form: Form, action: DialAction, view: SessionView | None) -> tuple[str, ...]:
        """Return the session's agents; the directory's if it is not open yet."""
        # An agent dialed again with our own number is in there twice, even before a worker has recorded it.
        agents, redialed = view.agents if view else self._routing.inbound(form).agents, action.own_number_from_agent
        is_recorded = view is not None and view.agent_number >= redialed
        return agents if is_recorded or not redialed else (*agents[:redialed], *agents[redialed - 1 :])

    def _same_agent(self, form: Form, action: DialAction, view: SessionView | None) -> NextAgent | None:
        agents, number = self._agents_to_try(form, action, view), action.agent_number
        agents = (*agents[: number + 1], *agents[number:])
        return self._routing.next_agent(action.session_id, agents, number)

    async def _dial_agent(self, form: Form, action: DialAction, agent: NextAgent, *, own_number_from_agent: int) -> str:
        shows_business = bool(own_number_from_agent)
        return self._documents.bridge_to_agent(
            action.session_id,
            agent.address,
            caller="" if shows_business else await self._shown_number(form, agent.address),
            own_number=self._routing.business_number(form, agent.address),
            ring_timeout_s=self._settings.ring_timeout_s,
            agent_number=agent.number,
            own_number_from_agent=own_number_from_agent,
            of_call=action.of_call,
        )

    async def _failed_with_callers_number(self, form: Form, action: DialAction, event: DialEnded) -> bool:
        """Whether an agent's dial failed while it presented the caller's number."""
        # A network may refuse that number. Twilio reports only `failed`; no phone rang. Twilio docs, Errors, 13214.
        is_to_agent = action.dial is DialKind.BRIDGE and action.party == CUSTOMER
        has_failed = event.dial_call_status == CallStatus.FAILED
        if not (has_failed and is_to_agent) or action.own_number_from_agent:
            return False
        agents, number = self._routing.inbound(form).agents, action.agent_number
        # The number last: its check takes a tenth of the answer's time.
        if number >= len(agents):
            return is_caller_id(caller_of(form))
        return bool(await self._shown_number(form, parse_address(agents[number])))

    def _attributes(self, form: Form, view: SessionView | None) -> ConferenceAttributes:
        return view.attributes if view else self._routing.inbound(form).attributes

    def _document(
        self, chosen: DialActionAnswer, outcome: DialOutcome, action: DialAction,
        view: SessionView | None, attributes: ConferenceAttributes,
    ) -> str:  # fmt: skip
        if chosen in _PHRASES:
            return self._documents.say_and_hang_up(_PHRASES[chosen])
        if chosen is DialActionAnswer.WAIT:
            return self._documents.retry(action.next_request(outcome.event.dial_call_status, action.child_call_sid))
        if chosen is DialActionAnswer.CONTINUE:
            return self._documents.redirect(attributes.after_url)
        if chosen not in _JOINS | _WAITS:
            return self._documents.hang_up()
        name = party_of(outcome, view)
        party = (view.parties.get(name) if view else None) or PartyView()
        by_name = (view.conference_name if view else "") or action.conference
        conference = "" if view is None or chosen in _BY_NAME else view.conference_sid
        return self._documents.join_conference(
            action.session_id,
            name,
            label=party.label or first_label(name),
            conference=conference or by_name,
            conference_name=by_name,
            attempt=outcome.attempt + 1 if chosen in _BY_NAME else 1,
            start_on_enter=chosen in _JOINS or _starts_alone(name, view),
            default_music=chosen is DialActionAnswer.WAIT_WITH_TWILIO_MUSIC,
            wait_audio=_wait_audio(party, view, chosen, outcome),
            supervises=bool(party.supervises),
            attributes=attributes,
        )


def _starts_alone(name: str, view: SessionView | None) -> bool:
    """Whether a waiting party starts the conference: a callee's caller does."""
    return name == AGENT and (view is None or first_waiting_party(view) == AGENT)


def _wait_audio(
    party: PartyView, view: SessionView | None, chosen: DialActionAnswer, outcome: DialOutcome
) -> WaitAudio:
    """Return a waiting party's audio; one just left alone has none set yet."""
    if chosen not in _WAITS_WITH_AUDIO:
        # If the other side does not follow out of the bridge, no list need show a conference with one party.
        return WaitAudio.SILENCE if outcome.event.dial == DialKind.BRIDGE else WaitAudio.NONE
    is_parked = view is not None and view.phase == Phase.PARKED
    return party.wait_audio or (WaitAudio.MUSIC if is_parked else WaitAudio.RINGBACK)
