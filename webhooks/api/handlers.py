"""The control API's answers: sessions, commands, and access tokens."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

import conferral.statemachine.machine  # noqa: F401  # built at the start: it takes long, and callers would wait for it
from conferral.commands import identity
from conferral.commands.http import parse_command, submit_command
from conferral.commands.parser import ParsedCommand
from conferral.commands.submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandIdConflict
from conferral.operations.redis_access import RedisLimiter
from conferral.operations.session_search import is_address_or_call_sid, party_matcher
from conferral.outcomes.outcome import outcome_data
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.log import log_unreachable
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.guard import connections_max
from conferral.runtime.web.json_requests import RequestError, json_response
from conferral.runtime.web.tokens import Permission, Token
from conferral.statemachine.events import Call
from conferral.statemachine.ids import ID_RULE, no_call_found, safe_id
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandStatus
from conferral.storage import command_stream
from conferral.storage.codecs.session_codec import public
from conferral.storage.codecs.text_codec import parse_code, to_iso
from conferral.storage.queries.session_reader import FIRST_ID, SessionReader
from conferral.telephony.addresses import restore_plus
from conferral.telephony.directory import DirectoryFile
from conferral.webhooks.api import models, openapi
from conferral.webhooks.api.models import IssuedToken
from conferral.webhooks.api.parameters import KEY_HEADER, PARTY, ErrorType, is_id, wants_stream
from conferral.webhooks.api.streams import EventStreams

#: Lifetime of a token, seconds. Source: Twilio docs, Access Tokens (24 hours at most).
ACCESS_TOKEN_TTL_S = 3600


def issue_token(settings: ServiceSettings, clock: Clock, identity: str, *, may_call: bool) -> IssuedToken:
    """Issue a browser's token; raise RequestError if a setting is missing.

    With `may_call`, it can place calls to the TwiML app, too.
    """
    needed = {"TWILIO_API_KEY": settings.api_key, "TWILIO_API_SECRET": settings.api_secret}
    if may_call:
        needed["TWILIO_TWIML_APP_SID"] = settings.twiml_app_sid
    if missing := [name for name, value in needed.items() if not value]:
        raise RequestError(ErrorType.NOT_SET_UP, f"access tokens need settings that are not set: {', '.join(missing)}")
    assert settings.api_secret is not None
    expires_at_s = clock.wall_ms() // 1000 + ACCESS_TOKEN_TTL_S
    grant = VoiceGrant(incoming_allow=True, outgoing_application_sid=settings.twiml_app_sid if may_call else None)
    token = AccessToken(
        settings.account_sid,
        settings.api_key,
        settings.api_secret.get_secret_value(),
        grants=[grant],
        identity=identity,
        region=settings.region,
        nbf=None,  # otherwise Twilio would refuse the token while its clock is behind ours
        valid_until=expires_at_s,
    )
    return IssuedToken(token=str(token.to_jwt()), identity=identity, expires_at=to_iso(expires_at_s * 1000))


#: Requests that may wait for a result at the same time (count), if the process may open enough connections for
#: these, event streams, and Twilio; others are answered immediately.
WAITERS_MAX = min(500, connections_max() // 2)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A parsed request."""

    path: Mapping[str, str]
    query: Mapping[str, Any]
    #: Excluded from the repr, which ends up in tracebacks: it holds addresses.
    body: Mapping[str, Any]
    #: The command's id from the Idempotency-Key header; empty without one.
    key: str
    #: Whether to stop a wait or a stream: the client has left, or its token was removed or changed.
    must_end: Callable[[], bool]
    #: Who asks; `NO_TOKEN` if the route needs none.
    token: Token
    http: web.Request

    def __repr__(self) -> str:
        return "<ApiRequest>"


Handler = Callable[[ApiRequest], Awaitable[web.StreamResponse]]
#: Likely reason why a live call has no session.
_UNKNOWN_UNTIL = "a call that came in while Redis was away is known after two sweeps"


class Handlers:
    """Answers requests; each route has the name of its method."""

    def __init__(
        self,
        settings: ServiceSettings,
        directory: DirectoryFile,
        reader: SessionReader,
        limiter: RedisLimiter,
        clock: Clock,
        streams: EventStreams,
    ) -> None:
        self._directory = directory
        self._reader = reader
        self._limiter = limiter
        self._streams = streams
        self._submitter = CommandSubmitter(reader, limiter, _log_unreachable)
        self._waiting = 0
        self._is_closing = False
        self._settings = settings
        self._clock = clock
        # Once: anyone may request it, at any rate.
        self._openapi = msgspec.json.encode(openapi.document(settings.public_url))

    def stop_waiting(self) -> None:
        """Answer all requests that wait for a result by their next poll."""
        self._is_closing = True
        self._streams.stop()

    async def list_sessions(self, request: ApiRequest) -> web.StreamResponse:
        """List sessions, optionally in one state, with one party, or with a ref."""
        query = dict(request.query)
        ref, state = restore_plus(query.pop("ref")), query["state"]
        party = restore_plus(query.pop("party"))
        address = self._directory.current.address_of(party) or party
        if party and not is_address_or_call_sid(address):
            raise RequestError(ErrorType.INVALID, f"party {PARTY.requirement}")
        takes_part = party_matcher(address) if party else None

        def is_wanted(session: Session) -> bool:
            return ref in ("", session.ref) and (takes_part is None or takes_part(session))

        if wants_stream(request.http):
            _refuse_pages(request)
            return await self._streams.send_sessions(
                request.http,
                request.token,
                request.must_end,
                lambda session: session.is_in(state) and is_wanted(session),
            )
        where = is_wanted if party or ref else None
        page = await self._limiter(self._reader.list_sessions(**query, where=where, live_only=bool(party)))
        sessions = [public(session) for session in page.items]
        return response(200, models.SessionPage(sessions=sessions, cursor=page.cursor or None))

    async def show_session(self, request: ApiRequest) -> web.Response:
        """Show one session."""
        session_id = await self._session_id(request)
        session = await self._limiter(self._reader.read_session(session_id))
        if session is None:
            raise unknown_session(request)
        return response(200, public(session))

    async def show_log(self, request: ApiRequest) -> web.Response:
        """Show one session's log, oldest first."""
        session_id = await self._session_id(request)
        log = self._reader.log_page(session_id, **request.query)
        page = await self._limiter(log)
        # The index of calls outlives the session.
        if not page.items and not await self._limiter(self._reader.exists(session_id)):
            raise unknown_session(request)
        entries = [entry.public() for entry in page.items]
        return response(200, models.LogPage(entries=entries, cursor=page.cursor or None))

    async def _session_id(self, request: ApiRequest) -> str:
        session_id = await self._limiter(self._reader.find_exact(request.path["session"]))
        if not session_id:
            raise unknown_session(request)
        return session_id

    async def call(self, request: ApiRequest) -> web.Response:
        """Submit a `call`, which opens a session."""
        if request.body.get("type", Call.name) != Call.name:
            raise RequestError(ErrorType.INVALID, "type must be call: POST other commands to /sessions/ID/commands")
        command = await self.submit(parsed_command(request, type=Call.name), request.token)
        return response(202, models.SessionAccepted(command=command.command_id, session=session_of(command)))

    async def submit_command(self, request: ApiRequest) -> web.Response:
        """Submit a command to a session; with `wait`, answer with its result."""
        named = request.path["session"]
        if not is_id(named):  # unknown, as to all other routes; with the words of the other ways to send a command
            raise RequestError(ErrorType.UNKNOWN, f"session {ID_RULE}")
        if "session" in request.body:
            raise RequestError(ErrorType.INVALID, 'unexpected field "session": the path names the session')
        if request.body.get("type") == Call.name:
            raise RequestError(ErrorType.INVALID, "call opens a session: POST it to /sessions")
        command = await self.submit(parsed_command(request, session=named), request.token)
        return await self.answer_command(request, command)

    async def submit(self, parsed: ParsedCommand, token: Token) -> SubmittedCommand:
        """Publish a command; see `commands.http`."""
        return await submit_command(self._submitter, parsed, token)

    async def answer_command(self, request: ApiRequest, command: SubmittedCommand) -> web.Response:
        """Answer with a command's result, if the request waits for it."""
        wait_s = request.query["wait"]
        result = await self.wait_for_result(command, wait_s, request.must_end) if wait_s else None
        if result is None or not result.is_final:
            return response(202, models.CommandAccepted(command=command.command_id))
        await self.require_accepted(command, result)
        return response(200, _result(result))

    async def require_accepted(self, command: SubmittedCommand, result: command_stream.CommandResult | None) -> None:
        """Raise RequestError if a command was rejected."""
        if result is not None and result.status == CommandStatus.REJECTED:
            allowed = await self._submitter.allowed_commands(result.session or command.session)
            # If the state allows the command, its fields, a limit, or its deadline is why.
            others = tuple(name for name in allowed if name != command.kind)
            raise RequestError(ErrorType.REJECTED, result.reason, others)

    async def show_command(self, request: ApiRequest) -> web.Response:
        """Show a command's result."""

        def may_see(found: command_stream.CommandResult) -> bool:
            if not request.token.is_sender(found.by):
                request.token.require(Permission.READ)
            return True

        return await self.answer_result(request, may_see)

    async def answer_result(
        self, request: ApiRequest, may_see: Callable[[command_stream.CommandResult], bool]
    ) -> web.Response:
        """Answer with the result of the command that the path names."""
        named = request.path["command"]
        found = await self._submitter.find_result(named) if is_id(named) else None
        if found is None or not (found.exists and may_see(found)):
            shown = safe_id(named) if is_id(named) else "with this id"
            raise RequestError(ErrorType.UNKNOWN, f"no command {shown} found; outcomes are kept for 24 h")
        return response(200, _result(found))

    async def wait_for_result(
        self, command: SubmittedCommand, wait_s: float, must_end: Callable[[], bool], *, until_accepted: bool = False
    ) -> command_stream.CommandResult | None:
        """Return the final or last result; None if Redis is unreachable."""
        if self._waiting >= WAITERS_MAX:
            wait_s = 0
        self._waiting += 1
        try:
            return await self._submitter.wait_for_result(
                command, wait_s, lambda: self._is_closing or must_end(), until_accepted=until_accepted
            )
        except StoreUnreachableError as error:
            _log_unreachable(error)
            return None
        except CommandIdConflict as error:
            raise RequestError(ErrorType.ID_CONFLICT, error.reason) from None
        finally:
            self._waiting -= 1

    async def list_outcomes(self, request: ApiRequest) -> web.Response:
        """List outcomes after a position, oldest first."""
        after, stream = request.query["after"], self._reader.keys.outcomes
        query = {**request.query, "after": after or FIRST_ID}
        found, cursor = await self._limiter(self._reader.outcome_page(**query))
        gap = bool(after) and await self._limiter(self._reader.is_trimmed_after(stream, after))
        outcomes = [outcome_data(fields) for fields in found]
        return response(200, models.OutcomePage(outcomes=outcomes, cursor=cursor, gap=gap))

    async def make_token(self, request: ApiRequest) -> web.Response:
        """Issue an access token for a browser agent."""
        agent = models.TokenRequest.of(dict(request.body)).identity
        return response(200, issue_token(self._settings, self._clock, agent, may_call=True))

    async def describe_http(self, _request: ApiRequest) -> web.Response:
        """Describe this API."""
        return json_response(self._openapi)


def _log_unreachable(error: StoreError) -> None:
    log_unreachable(error, task="api")


def response(status: int, content: object) -> web.Response:
    """Answer with JSON."""
    return json_response(msgspec.to_builtins(content), status)


def _refuse_pages(request: ApiRequest) -> None:
    if paging := sorted({"cursor", "limit"} & request.http.query.keys()):
        raise RequestError(ErrorType.INVALID, f"an event stream has no pages: leave out {' and '.join(paging)}")


def unknown_session(request: ApiRequest) -> RequestError:
    """Return the error for a path that names no session."""
    reason = f"{no_call_found(request.path['session'])}; {_UNKNOWN_UNTIL}"
    return RequestError(ErrorType.UNKNOWN, reason)


def session_of(command: SubmittedCommand) -> str:
    """Return the id of the session that a `call` opens."""
    return command.session or identity.session_id_of(command.command_id)


def parsed_command(request: ApiRequest, **more: str) -> ParsedCommand:
    """Return a body's command, with its id from the header; or raise."""
    fields = {**request.body, **more}
    if request.key:
        if fields.get("id", "") not in ("", request.key):
            raise RequestError(ErrorType.INVALID, f"id and the header {KEY_HEADER} differ; send only one")
        fields["id"] = request.key
    return parse_command(fields)


def _result(result: command_stream.CommandResult) -> models.CommandOutcome:
    return models.CommandOutcome(
        command=result.command_id,
        status=result.status,
        reason=result.reason,
        code=parse_code(result.code),
        session=result.session,
        by=result.by,
    )
