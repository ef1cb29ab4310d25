"""Dial action URL: TwiML for the party whose `<Dial>` has ended.

A parent's DialCallStatus is `completed` both when the other side hung up and when it was moved into the conference. So
the session's state decides; if that is unknown or may be stale, Twilio's status of the other side does. Without Redis,
the party waits while the action is repeated; then the other side's state at Twilio decides. The next agent is dialed
without Redis, too: the URL names the agent tried, and the directory the next one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import DialEnded
from conferral.statemachine.guards.transfer import has_inbound_fallback
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, first_label
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    UNREACHED_DIAL_STATUSES,
    CallStatus,
    Opening,
    Phase,
    State,
    WaitAudio,
)
from conferral.storage.connection.errors import SILENT_STATES
from conferral.telephony.addresses import is_caller_id, parse_address
from conferral.telephony.callback_events import child_call_sid_of, customer_of, dial_ended, is_placed_by_rest
from conferral.telephony.callback_urls import DIAL_ACTION_PATH, DialAction, DialKind
from conferral.telephony.phrases import Phrase
from conferral.webhooks.authentication import Form
from conferral.webhooks.call_routing import NextAgent
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

#: How often one dial action reads Redis before it asks Twilio.
REDIS_READS_MAX = 3
#: How often one dial action is requested while Twilio does not answer. The party hears silence, for some ten seconds.
REPEATED_REQUESTS_MAX = 6


class DialActionAnswer(StrEnum):
    """What to answer."""

    #: Join the session's conference, by its SID once known.
    JOIN = "join"
    #: Join again, by name: Twilio refused the SID or the label.
    JOIN_BY_NAME = "join-by-name"
    #: Join as a waiting party, and hear the party's audio until another one joins.
    WAIT_IN_CONFERENCE = "wait-in-conference"
    #: Wait again, by name: the conference is over.
    WAIT_IN_NEW_CONFERENCE = "wait-in-new-conference"
    #: Wait again, with Twilio's own music: ours could not be fetched.
    WAIT_WITH_TWILIO_MUSIC = "wait-with-twilio-music"
    HANG_UP = "hang-up"
    #: Dial the same agent again, with our own number: the `<Dial>` failed with the caller's.
    REDIAL_AGENT = "redial-agent"
    DIAL_NEXT_AGENT = "dial-next-agent"
    #: Continue with the TwiML that the directory names for a customer who was left alone.
    CONTINUE = "continue"
    SAY_BUSY = "say-busy"
    SAY_NO_ANSWER = "say-no-answer"
    SAY_UNREACHABLE = "say-unreachable"
    #: Wait a second and ask again.
    WAIT = "wait"
    READ_CHILD_CALL = "read-child-call"
    READ_CONFERENCE = "read-conference"


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What the action's request says."""

    event: DialEnded
    #: The attempt of the `<Dial>`, from 1.
    attempt: int
    #: How often the action was requested, from 1.
    request_number: int
    #: Whether to redial the agent's phone with our own number.
    may_redial: bool
    #: Whether the caller goes on to the fallback of the call if no agent takes it.
    falls_back: bool
    only_agent: bool
    #: The one to try, if this agent was not reached.
    next_agent: NextAgent | None = None

    @property
    def was_answered(self) -> bool:
        """Whether the other side may have answered, and may have been moved."""
        return self.event.dial_call_status not in _UNANSWERED_ANSWERS


_UNANSWERED_ANSWERS = {
    CallStatus.BUSY.value: DialActionAnswer.SAY_BUSY,
    CallStatus.NO_ANSWER.value: DialActionAnswer.SAY_NO_ANSWER,
    CallStatus.FAILED.value: DialActionAnswer.SAY_UNREACHABLE,
    CallStatus.CANCELED.value: DialActionAnswer.SAY_UNREACHABLE,
}


#: How a customer keeps waiting after dropping out of the conference, by attempt; Twilio does not say why. Usually the
#: agent's leaving ended it, so the customer hears our audio in a new one. If our audio can't be fetched, that one ends,
#: too, and the third plays Twilio's own music, which can't fail. A hold with our audio would not help: it does not work
#: before a conference starts. Source: Twilio docs, TwiML `<Conference>`, `waitUrl`; Errors, 16099.
_WAIT_FALLBACKS = {1: DialActionAnswer.WAIT_IN_NEW_CONFERENCE, 2: DialActionAnswer.WAIT_WITH_TWILIO_MUSIC}
#: End reasons of sessions whose customer was left alone, or left the conference without hanging up. If a late action
#: gets an answer after `moved`, no one has moved the call: Twilio ignores the answer then.
_LEFT_ALONE_REASONS = frozenset({
    EndReason.AGENT_LEFT, EndReason.CUSTOMER_LEFT, EndReason.ALONE, EndReason.TIME_LIMIT, EndReason.MOVED,
    EndReason.RETURNED,
})  # fmt: skip


def party_of(outcome: DialOutcome, view: Session | None) -> str:
    """Return the call's party, by CallSid or the URL; empty for a stranger."""
    named = outcome.event.party
    if view is None:
        return named
    if found := view.find_party(call_sid=outcome.event.call_sid):
        return found.name
    party = view.parties.get(named)
    if party is None:  # a recovered session may not know all of its parties yet
        return named if named in (CUSTOMER, AGENT) else ""
    # A transfer moves names to other calls: a name counts only while the session knows no other call of that party,
    # and for a party dialed by REST, only before any transfer was possible.
    if party.call_sid or (party.dial_id and view.state != State.BRIDGED):
        return ""
    return named


def decide(outcome: DialOutcome, view: Session | None, *, may_be_old: bool) -> DialActionAnswer:
    """Decide by the session in Redis; `view` is None if there is none."""
    name = party_of(outcome, view)
    if outcome.event.party_is_gone or not name:
        return DialActionAnswer.HANG_UP
    if view is None:
        return _decide_for_unknown_session(outcome, name)
    party = view.parties.get(name, Party("", ""))
    if view.state == State.ENDED:
        return decide_left_alone(outcome, view, view.attributes)  # final: no lost second can undo it
    if party.is_leaving:
        return DialActionAnswer.HANG_UP
    if outcome.event.dial == DialKind.CONFERENCE:
        return _decide_after_conference(outcome, view, name)
    if is_waiting(view, name) and party.wait_audio:
        return DialActionAnswer.WAIT_IN_CONFERENCE
    if view.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING) and not view.opening:
        # The intent to move was committed; a second that Redis lost can't undo it.
        return DialActionAnswer.JOIN
    if not outcome.was_answered:
        return _decide_unanswered(outcome)
    # If `may_be_old`, Redis restarted recently and may have lost the last second.
    return DialActionAnswer.READ_CHILD_CALL if may_be_old else decide_left_alone(outcome, view, view.attributes)


def decide_without_redis(outcome: DialOutcome) -> DialActionAnswer:
    """Decide while Redis is unreachable."""
    if outcome.event.party_is_gone:
        return DialActionAnswer.HANG_UP
    if outcome.event.dial == DialKind.BRIDGE and not outcome.was_answered:
        answer = _decide_unanswered(outcome)
        # Only the session has the hand-off's own fallback.
        waits = outcome.only_agent and answer in _PHRASES and outcome.request_number < REDIS_READS_MAX
        return DialActionAnswer.WAIT if waits else answer
    if outcome.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    # A party that left the conference has no child call to read; without other evidence, the conference is over.
    return DialActionAnswer.READ_CHILD_CALL if outcome.event.dial == DialKind.BRIDGE else DialActionAnswer.HANG_UP


def decide_by_child(
    child_status: str | None, outcome: DialOutcome, view: Session | None, attributes: ConferenceAttributes
) -> DialActionAnswer:
    """Decide by the other side's call; its status is None if unknown."""
    if child_status is None and outcome.request_number < REPEATED_REQUESTS_MAX:
        return DialActionAnswer.WAIT
    if child_status == CallStatus.IN_PROGRESS:  # the `<Dial>` is over: the other side was moved, so this one follows
        return DialActionAnswer.JOIN
    return decide_left_alone(outcome, view, attributes)


def decide_by_conference(outcome: DialOutcome, *, has_started: bool | None) -> DialActionAnswer:
    """Decide by Twilio's lists; `has_started` is None if unknown."""
    if has_started is None and outcome.request_number < REPEATED_REQUESTS_MAX:
        return DialActionAnswer.WAIT
    # In a conference that has started, the others have left. If one of that name is in progress, it may be another
    # program's: no one joins strangers. Without an answer, the party would wait without end: no session knows the
    # party, and no list need show a conference with one party.
    return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if has_started is False else DialActionAnswer.HANG_UP


def decide_left_alone(outcome: DialOutcome, view: Session | None, attributes: ConferenceAttributes) -> DialActionAnswer:
    """Decide for a party that has no one left to talk to."""
    if party_of(outcome, view) != CUSTOMER or not attributes.after_url:
        return DialActionAnswer.HANG_UP
    if view is not None and view.state == State.ENDED:
        return DialActionAnswer.CONTINUE if view.end_reason in _LEFT_ALONE_REASONS else DialActionAnswer.HANG_UP
    has_talked = outcome.event.dial == DialKind.CONFERENCE or outcome.event.dial_call_status in ANSWERED_DIAL_STATUSES
    return DialActionAnswer.CONTINUE if has_talked else DialActionAnswer.HANG_UP


def _decide_for_unknown_session(outcome: DialOutcome, name: str) -> DialActionAnswer:
    """Decide while Redis has no session: it may be new, or lost."""
    if outcome.event.dial == DialKind.BRIDGE:
        return _decide_for_unknown_bridge(outcome, name)
    # A party that waits in a conference from the start may drop out before a worker has decided on its session.
    if outcome.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    may_rejoin = outcome.attempt == 1 and name in (CUSTOMER, AGENT)
    return DialActionAnswer.READ_CONFERENCE if may_rejoin else DialActionAnswer.HANG_UP


def _decide_for_unknown_bridge(outcome: DialOutcome, name: str) -> DialActionAnswer:
    if outcome.was_answered:
        return DialActionAnswer.READ_CHILD_CALL
    answer = _decide_unanswered(outcome)
    # Only the session has the fallback of the call, and no worker may have opened it yet.
    may_fall_back = (
        name == CUSTOMER and outcome.event.dial_call_status in UNREACHED_DIAL_STATUSES and answer in _PHRASES
    )
    return DialActionAnswer.WAIT if may_fall_back and outcome.request_number < REPEATED_REQUESTS_MAX else answer


def _decide_after_conference(outcome: DialOutcome, view: Session, name: str) -> DialActionAnswer:
    """Decide for a leg that was in the conference, or was refused by it."""
    # Twilio refuses a label in use (16025), the SID of an ended conference (13236), or music that can't be fetched.
    # Source: Twilio docs, error reference; TwiML `<Conference>`, `waitUrl`.
    if view.state == State.CONVERTING and outcome.attempt == 1:
        return DialActionAnswer.JOIN_BY_NAME
    if is_waiting(view, name):
        # The agent left before Twilio knew not to end the conference, or the customer did not get in.
        return _WAIT_FALLBACKS.get(outcome.attempt, DialActionAnswer.HANG_UP)
    if name == first_waiting_party(view):
        # No other party is in yet whose leaving could have ended the conference, so the audio could not be fetched.
        return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if outcome.attempt == 1 else DialActionAnswer.HANG_UP
    if view.state == State.CONFERENCED:
        return decide_left_alone(outcome, view, view.attributes)
    return DialActionAnswer.HANG_UP


def is_waiting(view: Session, name: str) -> bool:
    """Whether the party is a customer who waits for a target, or is parked."""
    is_parked = view.state == State.CONFERENCED and view.phase == Phase.PARKED
    return name == CUSTOMER and (view.state == State.TRANSFERRING or is_parked)


def first_waiting_party(view: Session) -> str:
    """Return who waits in a conference from the start; empty once both talk."""
    if view.opening == Opening.OVER:
        return ""
    return CUSTOMER if view.customer_is_parent else AGENT


def _decide_unanswered(outcome: DialOutcome) -> DialActionAnswer:
    """Decide for a party whose `<Dial>` no one answered."""
    if outcome.may_redial:
        return DialActionAnswer.REDIAL_AGENT
    if outcome.next_agent is not None and outcome.event.dial_call_status in UNREACHED_DIAL_STATUSES:
        return DialActionAnswer.DIAL_NEXT_AGENT
    if outcome.falls_back and outcome.event.dial_call_status in UNREACHED_DIAL_STATUSES:
        return DialActionAnswer.WAIT_IN_CONFERENCE
    return _UNANSWERED_ANSWERS[outcome.event.dial_call_status]


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
        may_be_old = self._ingest.restarted_recently()
        view: Session | None = None
        # Without a status, Twilio requested the fallback URL for the action of a live call's bridge.
        is_news = bool(event.dial_call_status) or (action.dial is DialKind.BRIDGE and not event.party_is_gone)
        to_publish = is_news and may_be_old
        try:
            async with store_deadline(action.request_number):
                if action.without_redis and (
                    session_id := await self._session_of_call_without_redis(form, event, action)
                ):
                    action = replace(action, session_id=session_id, without_redis=False)
                    event = replace(event, session_id=session_id)
                # If Redis may have lost data, publish later, after reading Twilio.
                if action.without_redis:
                    to_publish = False
                elif is_news and not may_be_old:
                    view = await self._ingest.publish_and_read(event, call_sid=event.call_sid)
                else:
                    view = await self._ingest.read(action.session_id)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)
            to_publish = False
            outcome = self._outcome(form, action, event, None)
            chosen = decide_without_redis(outcome)
            if chosen is DialActionAnswer.HANG_UP and (view := await self._read_despite(error, action)) is not None:
                outcome = self._outcome(form, action, event, view)
                chosen = decide(outcome, view, may_be_old=True)
        else:
            outcome = self._outcome(form, action, event, view)
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
        if chosen is DialActionAnswer.DIAL_NEXT_AGENT and (agent := outcome.next_agent) is not None:
            own_from = action.own_number_from_agent
            return twiml_response(await self._dial_agent(form, action, agent, view, own_number_from_agent=own_from))
        if chosen is DialActionAnswer.REDIAL_AGENT and (agent := self._same_agent(form, action, view)) is not None:
            document = await self._dial_agent(form, action, agent, view, own_number_from_agent=agent.number)
            return twiml_response(document)
        return twiml_response(self._document(chosen, outcome, action, view, self._attributes(form, view)))

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
                return await self._ingest.read(action.session_id)
        except StoreError:
            return None

    async def _publish(self, event: DialEnded, route: str) -> None:
        try:
            async with store_timeout(SHORT_STORE_DEADLINE_S):
                await self._ingest.publish(event, call_sid=event.call_sid)
        except StoreError as error:
            record_unstored(self._metrics, route, event, error)

    def _outcome(self, form: Form, action: DialAction, event: DialEnded, view: Session | None) -> DialOutcome:
        agents, number = self._agents_to_try(form, action, view), action.agent_number
        has_phone = number < len(agents) and agents[number].startswith("+")
        may_redial = event.failed_with_callers_number and has_phone
        # Without the session, no worker would move the caller on.
        falls_back = action.party == CUSTOMER and view is not None and has_inbound_fallback(view)
        outcome = DialOutcome(
            event, action.attempt, action.request_number,
            may_redial=may_redial, falls_back=falls_back, only_agent=action.only_agent,
        )  # fmt: skip
        if action.dial is not DialKind.BRIDGE or action.party != CUSTOMER or outcome.was_answered:
            return outcome
        return replace(outcome, next_agent=self._routing.next_agent(action.session_id, agents, number))

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
        self, chosen: DialActionAnswer, outcome: DialOutcome, action: DialAction,
        view: Session | None, attributes: ConferenceAttributes,
    ) -> str:  # fmt: skip
        """Return the TwiML for an answer, except for one that dials an agent."""
        if chosen in _PHRASES:
            return self._documents.say_and_hang_up(_PHRASES[chosen])
        if chosen is DialActionAnswer.WAIT:
            return self._documents.retry(action.next_request(outcome.event.dial_call_status, action.child_call_sid))
        if chosen is DialActionAnswer.CONTINUE:
            return self._documents.redirect(attributes.after_url)
        if chosen not in _JOINS | _WAITS:
            return self._documents.hang_up()
        name = party_of(outcome, view)
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
            attempt=outcome.attempt + 1 if chosen in _BY_NAME else 1,
            start_on_enter=chosen in _JOINS or starts_alone,
            default_music=chosen is DialActionAnswer.WAIT_WITH_TWILIO_MUSIC,
            wait_audio=_wait_audio(party, view, chosen),
            supervises=bool(party.supervises),
            attributes=attributes,
        )


def _wait_audio(party: Party, view: Session | None, chosen: DialActionAnswer) -> WaitAudio:
    """Return a waiting party's audio; one just left alone has none set yet."""
    if chosen not in _WAITS_WITH_AUDIO:
        # If the other side is not there, no list need show a conference with one party: its wait request does.
        return WaitAudio.SILENCE if chosen in _JOINS else WaitAudio.NONE
    # A caller whom no agent took, or who is parked.
    hears_music = view is not None and view.phase in (Phase.PARKED, Phase.RINGING)
    return party.wait_audio or (WaitAudio.MUSIC if hears_music else WaitAudio.RINGBACK)
