"""The desk's answers over HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import msgspec
import structlog
from aiohttp import hdrs, web

from conferral.commands import field_values
from conferral.commands.http import parse_command
from conferral.commands.parser import ParsedCommand
from conferral.commands.submission import SubmittedCommand
from conferral.runtime.errors import ProviderError
from conferral.runtime.web.json_requests import NO_STORE, RequestError
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import PartyStatus, SessionMode
from conferral.storage.agent_calls import read_calls
from conferral.storage.agents import Agents, identities_of
from conferral.webhooks.api import desk_models, desk_routes, models
from conferral.webhooks.api.app import Api
from conferral.webhooks.api.desk_routes import DESK_COMMANDS
from conferral.webhooks.api.handlers import (
    ApiRequest,
    issue_token,
    parsed_command,
    response,
    session_of,
    unknown_session,
)
from conferral.webhooks.api.parameters import EVENT_STREAM, ErrorType
from conferral.webhooks.desk.feed import DeskFeed
from conferral.webhooks.desk.team import is_parked_by
from conferral.webhooks.desk.tokens import DeskToken, DeskTokens

log = structlog.get_logger()

#: Hangs up a call by its SID; raises ProviderError.
HangUp = Callable[[str], Awaitable[object]]
#: How long a call waits for a worker to accept or reject it, seconds.
VERDICT_S = 2.0
_COMMANDS = tuple(command.name for command in DESK_COMMANDS)


class DeskHandlers:
    """Answers requests; each route has the name of its method."""

    def __init__(self, api: Api, tokens: DeskTokens, feed: DeskFeed, agents: Agents, hang_up: HangUp) -> None:
        self._api = api
        self._hang_up = hang_up
        self._tokens = tokens
        self._feed = feed
        self._agents = agents
        self._redis = api.streams.redis

    async def make_desk_token(self, request: ApiRequest) -> web.Response:
        """Issue a desk token."""
        return response(200, await self._tokens.issue(desk_models.DeskTokenRequest.of(request.body), request.token))

    async def list_agents(self, _request: ApiRequest) -> web.Response:
        """List the agents with a desk."""
        await self._feed.follow()
        return response(200, desk_models.AgentList(self._feed.agents()))

    async def make_own_access_token(self, request: ApiRequest) -> web.Response:
        """Issue an access token that can place no calls."""
        settings = self._api.settings
        issued = issue_token(settings, self._api.clock, _token_of(request).identity, may_call=False)
        return response(200, desk_models.OwnAccessToken(**msgspec.structs.asdict(issued), edge=settings.edge))

    async def follow_own_calls(self, request: ApiRequest) -> web.StreamResponse:
        """Send the agent's sessions, commands, and presence."""
        if request.http.method == hdrs.METH_HEAD:
            return web.Response(content_type=EVENT_STREAM)
        desk = request.query[desk_routes.DESK.name]
        return await self._feed.send(request.http, _token_of(request), desk, request.must_end)

    async def command_own_call(self, request: ApiRequest) -> web.Response:
        """Submit a command to one of the agent's sessions."""
        token = _token_of(request)
        session = await self._redis.run(lambda reader: reader.read_exact(request.path["session"]))
        if session is None or token.identity not in identities_of(session):
            raise unknown_session(request)
        if "session" in request.body:
            raise RequestError(ErrorType.INVALID, 'unexpected field "session": the path names the session')
        kind = request.body.get("type")
        if isinstance(kind, str) and kind in COMMANDS_BY_NAME and kind not in _COMMANDS:
            reason = f"a desk can't send {kind}; it can send {', '.join(_COMMANDS)}"
            raise RequestError(ErrorType.FORBIDDEN, reason, _COMMANDS)
        parsed = parsed_command(request, session=session.id)
        command = await self._api.handlers.submit(_sent_by(parsed, token), token)
        return await self._api.handlers.answer_command(request, command)

    async def list_own_calls(self, request: ApiRequest) -> web.Response:
        """List the agent's calls of the last day."""
        identity, now_ms = _token_of(request).identity, self._api.clock.wall_ms()
        found = self._redis.run(lambda reader: read_calls(reader.client, reader.keys, identity, now_ms))
        return response(200, desk_models.OwnCalls(await found))

    async def take_over_own_call(self, request: ApiRequest) -> web.Response:
        """Hang up the agent's own leg without a command."""
        token, wanted = _token_of(request), desk_models.TakeOverRequest.of(request.body)
        session = await self._redis.run(lambda reader: reader.read_exact(request.path["session"]))
        if session is None or token.identity not in identities_of(session):
            raise unknown_session(request)
        leg = session.parties.get(AGENT)
        if leg is None or leg.address != token.address or not (leg.is_connected and leg.has_desk and leg.call_sid):
            raise RequestError(ErrorType.REJECTED, "this call has no open line of yours that would be rung again")
        if wanted.desk:
            await self._feed.renew(token, wanted.desk, is_ready=True, takes_over=True)
        try:
            await self._hang_up(leg.call_sid)
        except ProviderError as error:
            log.warning("desk_take_over_failed", session_id=session.id, call_sid=leg.call_sid, reason=str(error))
            raise RequestError(ErrorType.TWILIO, "Twilio didn't hang up the line: try again") from None
        self._api.metrics.desk_take_overs.inc()
        log.info("desk_took_over", session_id=session.id, call_sid=leg.call_sid)
        return web.Response(status=204, headers=NO_STORE)

    async def show_own_command(self, request: ApiRequest) -> web.Response:
        """Show the result of a command that the agent's desks have sent."""
        by = _token_of(request).by
        return await self._api.handlers.answer_result(request, lambda found: found.by == by)

    async def call_out(self, request: ApiRequest) -> web.Response:
        """Call the agent, then someone else."""
        token, call = _token_of(request), desk_models.DeskCallRequest.of(request.body)
        try:
            field_values.DESTINATION.parse(call.to)
        except ValueError as error:
            raise RequestError(ErrorType.INVALID, f"to {error}") from None
        # In a bridge, the customer's call would end with the agent's, such as when the page is loaded again.
        fields = {"type": "call", "agent": token.address, "customer": call.to, "id": call.id}
        fields["deadline"] = call.deadline
        fields["mode"] = SessionMode.CONFERENCE
        command = await self._api.handlers.submit(_sent_by(parse_command(fields), token), token)
        await self._wait_for_verdict(request, command)
        return response(202, models.SessionAccepted(command=command.command_id, session=session_of(command)))

    async def list_names(self, request: ApiRequest) -> web.Response:
        """List the directory's names that the agent may call, with presence."""
        await self._feed.follow()
        return response(200, desk_models.NameList(self._feed.names(_token_of(request))))

    async def list_parked_calls(self, request: ApiRequest) -> web.Response:
        """List the calls that desks of the same issuer have parked."""
        await self._feed.follow()
        found = [one.followed.public for one in self._feed.parked(_token_of(request))]
        return response(200, desk_models.ParkedSessions(found))

    async def retrieve_parked_call(self, request: ApiRequest) -> web.Response:
        """Take a parked call to the agent."""
        token, body = _token_of(request), desk_models.RetrieveRequest.of(request.body)
        session = await self._redis.run(lambda reader: reader.read_exact(request.path["session"]))
        if session is None or not is_parked_by(session, token):
            raise unknown_session(request)
        fields = {"type": "retrieve", "session": session.id, "to": token.address, "id": body.id}
        fields["deadline"] = body.deadline
        command = await self._api.handlers.submit(_sent_by(parse_command(fields), token), token)
        await self._wait_for_verdict(request, command)
        return response(202, models.CommandAccepted(command=command.command_id))

    async def renew_presence(self, request: ApiRequest) -> web.Response:
        """Renew the agent's presence."""
        wanted = desk_models.PresenceRequest.of(request.body)
        is_ready = wanted.status is desk_models.DeskStatus.READY
        token, changes = _token_of(request), {"is_left": wanted.left, "is_click": wanted.click}
        return response(200, await self._feed.renew(token, wanted.desk, is_ready=is_ready, **changes))

    async def note_busy_ring(self, request: ApiRequest) -> web.Response:
        """Note that the agent's desk is about to reject a ring."""
        desk_models.RingRequest.of(request.body)
        token, call_sid = _token_of(request), request.path["call"]
        session = await self._redis.run(lambda reader: reader.read_exact(call_sid))
        # A bridge's leg is answered without the flag.
        legs = session.present.values() if session is not None and session.is_live else ()
        rung = [one for one in legs if one.status in _RUNG and not one.answered]
        if session is None or not any((leg.call_sid, leg.address) == (call_sid, token.address) for leg in rung):
            raise RequestError(ErrorType.UNKNOWN, "this call does not ring this agent")
        await self._redis.limiter(self._agents.note_busy(call_sid))
        self._api.metrics.calls.busy_rings.inc()
        log.info("ring_rejected_as_busy", session_id=session.id, call_sid=call_sid)
        return web.Response(status=204)

    async def _wait_for_verdict(self, request: ApiRequest, command: SubmittedCommand) -> None:
        """Raise RequestError if a worker soon rejects a command.

        The desk may see no session whose log says it.
        """
        handlers = self._api.handlers
        result = await handlers.wait_for_result(command, VERDICT_S, request.must_end, until_accepted=True)
        await handlers.require_accepted(command, result)


_RUNG = (PartyStatus.DIALING, PartyStatus.RINGING)


def _token_of(request: ApiRequest) -> DeskToken:
    return cast("DeskToken", request.token)


def _sent_by(parsed: ParsedCommand, token: DeskToken) -> ParsedCommand:
    """Return the command as sent by the agent, whatever it says."""
    return replace(parsed, by=token.identity)
