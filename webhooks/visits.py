"""Visits: which session a voice request opens.

A caller may come back to a voice URL during the same call: from `after`, a menu, or a REST update of another program.
Each visit is a session of its own. A request of a call whose last session has ended may also be a captured one that is
sent again, so Twilio is asked whether the call is live. If Twilio doesn't answer in time, the visit opens: a caller is
never turned away, and no one is dialed by REST before the caller's own leg joins or waits. Redis may also have lost the
session of a captured request: for a minute after a restart, Twilio is asked about each first request of a call.
"""

from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from conferral.runtime.errors import ConferralError
from conferral.statemachine.events import CallReceived
from conferral.statemachine.ids import VISITS_MAX, next_visit_id, visit_number
from conferral.statemachine.session import AGENT, Session
from conferral.statemachine.states import Opening, Phase, SessionMode, State
from conferral.storage.webhook_store.store import NewestSession, ReplayedCallError
from conferral.telephony.callback_events import Fields, call_received, call_sid_of
from conferral.telephony.callback_urls import HANDOFF_PATH
from conferral.telephony.phrases import Phrase
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import Routes, store_deadline, twiml_response

log = structlog.get_logger()

#: Timeout for asking Twilio whether a call is live, seconds; the caller hears nothing meanwhile.
_LOOKUP_DEADLINE_S = 2.0
#: How often a caller whose last session is still live asks again, one second apart.
_REPEATS_MAX = 5


class TooManyVisitsError(ConferralError):
    """The call has opened as many sessions as one call may."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The session that a voice request opens, or repeats."""

    session_id: str
    #: How often the caller has asked, from 1.
    request_number: int = 1
    #: Calls of the call's earlier sessions.
    former_calls: tuple[str, ...] = ()
    #: Whether that session's TwiML has run: the caller came from elsewhere, and the session has not noticed yet.
    has_run: bool = False

    def applied_to(self, event: CallReceived) -> CallReceived:
        """Return a caller's request as this visit's."""
        return replace(event, session_id=self.session_id, former_calls=self.former_calls)


class Visits(Routes):
    """Finds the session of a voice request."""

    async def of(self, form: Form, request_number: int, first_id: str = "") -> Visit:
        """Return the visit; `first_id` names the call's first session.

        Raise StoreError, ReplayedCallError for a call that is over, or TooManyVisitsError.
        """
        call_sid = call_sid_of(form)
        async with store_deadline():
            newest = await self._store.newest_session(call_sid)
        if newest is None:
            return Visit(first_id or call_sid)
        if not _is_over(newest, call_sid):
            has_run = newest.view is not None and _has_run(newest.view)
            return Visit(newest.session_id, request_number, has_run=has_run)
        if await self._ask(self._twilio.is_live, call_sid, call_sid=call_sid, timeout_s=_LOOKUP_DEADLINE_S) is False:
            raise ReplayedCallError("the call is over")
        async with store_deadline():
            return await self._claim_next(call_sid, newest)

    async def session_of(self, call_sid: str, child_call_sid: str) -> str:
        """Return the session of a call that came in without Redis.

        It is empty if no session knows the child. Raise StoreError.
        """
        newest = await self._store.newest_session(call_sid)
        if newest is None or (_is_over(newest, call_sid) and child_call_sid not in _calls_of(newest.view, call_sid)):
            return ""
        return newest.session_id

    async def open(self, form: Fields, agent: str = "") -> str:
        """Open the session of a live call that came in without Redis.

        It rings `agent` alone, if given. Return its id, or an empty one if no agent is configured. Raise StoreError or
        TooManyVisitsError.
        """
        call_sid, inbound = call_sid_of(form), self._routing.inbound(form)
        inbound = replace(inbound, agents=(agent,)) if agent else inbound
        if not inbound.agents:
            return ""
        newest = await self._store.newest_session(call_sid)
        visit = Visit(newest.session_id if newest else call_sid)
        if newest is not None and _is_over(newest, call_sid):
            visit = await self._claim_next(call_sid, newest)
        event = call_received(form, inbound, SessionMode.BRIDGE, self._routing.caller(form))
        event = visit.applied_to(event)
        await self._store.publish(event, call_sid=call_sid)
        log.warning("session_reopened", session_id=visit.session_id)
        return visit.session_id

    async def _claim_next(self, call_sid: str, newest: NewestSession) -> Visit:
        """Return the call's next session, the same one for concurrent requests."""
        new_id = next_visit_id(call_sid, newest.session_id)
        # The call may have been in another caller's session since an earlier visit.
        while visit_number(new_id) <= VISITS_MAX and await self._store.read(new_id) is not None:
            new_id = next_visit_id(call_sid, new_id)
        if visit_number(new_id) > VISITS_MAX:
            log.warning("visit_limit_reached", call_sid=call_sid, count=VISITS_MAX)
            raise TooManyVisitsError("the call has opened too many sessions")
        claimed = await self._store.claim_visit(call_sid, newest.session_id, new_id)
        log.info("visit_opened", session_id=claimed, call_sid=call_sid, count=visit_number(claimed))
        return Visit(claimed, former_calls=_calls_of(newest.view, call_sid))

    def ask_again(self, path: str, visit: Visit, repeat_query: str = "") -> web.Response:
        """Answer a caller whose last session is about to end: ask again soon.

        `repeat_query` is the URL's query, without its request number. A hand-off's caller who has asked too often goes
        to the fallback URL.
        """
        number = visit.request_number
        log.info("visit_delayed", session_id=visit.session_id, url_path=path, attempt=number)
        if number <= _REPEATS_MAX:
            return twiml_response(self._documents.retry_voice_url(path, number + 1, repeat_query))
        if path == HANDOFF_PATH:
            return twiml_response(self._documents.say_and_fall_back(Phrase.PLEASE_WAIT, repeat_query))
        return twiml_response(self._documents.say_and_hang_up(Phrase.UNREACHABLE))


def _is_over(newest: NewestSession, call_sid: str) -> bool:
    """Whether the session has ended, or has seen the call leave.

    The caller of a bridge whose `<Dial>` has ended is elsewhere: here.
    """
    view = newest.view
    if newest.has_ended or view is None:
        return newest.has_ended
    party = view.find_party(call_sid=call_sid)
    return (party is not None and party.is_gone) or (view.state == State.BRIDGED and bool(view.dial_call_status))


def _has_run(view: Session) -> bool:
    """Whether a session shows that its TwiML runs: Twilio repeats no request."""
    if view.opening == Opening.ARRIVING:
        return False
    if view.state != State.BRIDGED or view.phase != Phase.RINGING:
        return True
    agent = view.parties.get(AGENT)
    return view.agent_number > 0 or (agent is not None and bool(agent.call_sid))


def _calls_of(view: Session | None, call_sid: str) -> tuple[str, ...]:
    """Return the other calls that a session knows."""
    if view is None:
        return ()
    calls = (*view.former_calls, *(party.call_sid for party in view.parties.values()))
    return tuple(dict.fromkeys(sid for sid in calls if sid not in ("", call_sid)))
