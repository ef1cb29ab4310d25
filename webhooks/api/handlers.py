"""What each route of the table does with a request that was let in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from pydantic import BaseModel

from conferral.operations.giving import Given
from conferral.runtime.clock import Clock
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.step import CommandStatus
from conferral.storage import command_models, commands
from conferral.storage.command_models import BadCommandError, CommandModel
from conferral.storage.keys import Keys
from conferral.storage.reading import LogEntry
from conferral.storage.session_codec import decode_changes
from conferral.webhooks.api import asyncapi, models, openapi
from conferral.webhooks.api.errors import ApiError, ErrorType
from conferral.webhooks.api.giving import Commands
from conferral.webhooks.api.parameters import KEY_HEADER, is_id
from conferral.webhooks.api.sessions import Sessions
from conferral.webhooks.api.tokens import Tokens

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, taken apart."""

    #: The id that stands in the path, by what it is of.
    path: Mapping[str, str]
    #: The query's parameters by name; each has a value.
    query: Mapping[str, Any]
    #: Not in the repr, which ends up in tracebacks: it holds addresses.
    body: Mapping[str, Any]
    #: The command's id, where a header names it.
    key: str
    #: Whether nobody waits for the answer any more.
    is_gone: Callable[[], bool]

    def __repr__(self) -> str:
        return "<Asked>"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    content: BaseModel | dict[str, Any]

    def json(self) -> bytes:
        """The body of the answer."""
        content = self.content
        return orjson.dumps(content.model_dump(by_alias=True) if isinstance(content, BaseModel) else content)


Handler = Callable[[Asked], Awaitable[Reply]]


class Handlers:
    """Answers requests; each method is named by a row of the table."""

    def __init__(
        self, settings: ServiceSettings, sessions: Sessions, giver: Commands, keys: Keys, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._commands = giver
        self._tokens = Tokens(settings, clock)
        self._openapi = openapi.document(settings.public_url)
        self._asyncapi = asyncapi.document(keys)

    def by_name(self) -> dict[str, Handler]:
        """What answers each route, by the route's name."""
        return {
            "call": self.call,
            "list_sessions": self.list_sessions,
            "show_session": self.show_session,
            "show_log": self.show_log,
            "give_command": self.give_command,
            "show_command": self.show_command,
            "make_token": self.make_token,
            "describe_http": self.describe_http,
            "describe_streams": self.describe_streams,
        }

    # ---- sessions ------------------------------------------------------------------------------------------------

    async def list_sessions(self, asked: Asked) -> Reply:
        """Some sessions: the live ones, or those in one state."""
        page = await self._sessions.page(asked.query["state"], asked.query["limit"], asked.query["cursor"])
        sessions = [models.Session.model_validate(fields) for fields in page.items]
        return Reply(200, models.SessionPage(sessions=sessions, cursor=page.cursor))

    async def show_session(self, asked: Asked) -> Reply:
        """One session."""
        return Reply(200, models.Session.model_validate(await self._sessions.session(asked.path["session"])))

    async def show_log(self, asked: Asked) -> Reply:
        """What has happened to one session."""
        page = await self._sessions.log(asked.path["session"], asked.query["limit"], asked.query["cursor"])
        return Reply(200, models.LogPage(entries=[_entry(one) for one in page.items], cursor=page.cursor))

    # ---- commands ------------------------------------------------------------------------------------------------

    async def call(self, asked: Asked) -> Reply:
        """A session is to be opened."""
        if "type" in asked.body:
            raise ApiError(ErrorType.INVALID, "type is not given here: this path takes the fields of call")
        model = _model(asked, type="call")
        given = await self._give(model)
        session_id = given.session or commands.session_id_of(given.command_id)
        return Reply(202, models.Opened(command=given.command_id, session=session_id))

    async def give_command(self, asked: Asked) -> Reply:
        """A session is given a command; its outcome is waited for where that is wanted."""
        named = asked.path["session"]
        if "session" in asked.body:
            raise ApiError(ErrorType.INVALID, "session is not given here: it stands in the path")
        if asked.body.get("type") == "call":
            raise ApiError(ErrorType.INVALID, "call opens a session: POST it to /sessions")
        model = _model(asked, session=named)
        given = await self._give(model)
        if not asked.query["wait"]:
            return Reply(202, models.Published(command=given.command_id))
        outcome = await self._commands.wait_for_outcome(given, asked.query["wait"], asked.is_gone)
        if outcome is None or not outcome.is_final:
            return Reply(202, models.Published(command=given.command_id))
        if outcome.status == CommandStatus.REJECTED:
            raise ApiError(ErrorType.REJECTED, outcome.reason, await self._commands.allowed(outcome.session or named))
        return Reply(200, _outcome(outcome))

    async def _give(self, model: CommandModel) -> Given:
        given = await self._commands.give(model)
        log.info(
            "command_published",
            command=given.kind,
            command_id=commands.shown_id(given.command_id),
            session_id=commands.shown_id(given.session),
        )
        return given

    async def show_command(self, asked: Asked) -> Reply:
        """How far a command has come."""
        named = asked.path["command"]
        found = await self._commands.outcome(named) if is_id(named) else None
        if found is None:
            shown = commands.shown_id(named) if is_id(named) else "of this id"
            raise ApiError(ErrorType.UNKNOWN, f"no command {shown} is known; outcomes are kept for a day")
        return Reply(200, _outcome(found))

    # ---- the rest ------------------------------------------------------------------------------------------------

    async def make_token(self, asked: Asked) -> Reply:
        """An access token for a browser agent."""
        return Reply(200, self._tokens.make(models.TokenRequest.of(dict(asked.body))))

    async def describe_http(self, _asked: Asked) -> Reply:
        """This API."""
        return Reply(200, self._openapi)

    async def describe_streams(self, _asked: Asked) -> Reply:
        """The streams in Redis."""
        return Reply(200, self._asyncapi)


def _model(asked: Asked, **more: str) -> CommandModel:
    """The command of a request, with what does not stand in its body."""
    fields = {**asked.body, **more}
    if asked.key:
        if fields.get("id", "") not in ("", asked.key):
            raise ApiError(ErrorType.INVALID, f"id is another one than that of the header {KEY_HEADER}; one will do")
        fields["id"] = asked.key
    try:
        return command_models.validate(fields)
    except BadCommandError as error:
        raise ApiError(ErrorType.INVALID, str(error)) from None


def _outcome(found: commands.CommandOutcome) -> models.Outcome:
    return models.Outcome(
        command=found.command_id, status=found.status, reason=found.reason, session=found.session, by=found.by
    )


def _entry(one: LogEntry) -> models.LogEntry:
    effects = [models.LogEffect.of(record) for record in _records(one["effects"])]
    reports = [models.LogReport.of(record) for record in _records(one["reports"])]
    changes = decode_changes(one["changes"])
    told = {**one.fields, "entry": one.entry_id, "effects": effects, "reports": reports, "changes": changes}
    return models.LogEntry.model_validate(told)


def _records(text: str) -> list[dict[str, Any]]:
    """A list of an entry; one that can't be understood tells nothing."""
    try:
        found = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return []
    records = found if isinstance(found, list) else []
    return [record for record in records if isinstance(record, dict)]
