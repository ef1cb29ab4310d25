"""Models of the control API, except commands (`statemachine/events/`).

The API description is generated from these, and every answer is built from one.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from conferral.outcomes.outcome import outcome_data
from conferral.runtime.web.json_requests import RequestError
from conferral.statemachine.states import OutcomeKind, PartyStatus, Phase, State, TransferMode, TransferStatus
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.step import Outcome as EventOutcome
from conferral.storage.codecs.session_codec import StoredSession, decode_logged_changes
from conferral.storage.codecs.text_codec import parse_code, parse_object, parse_rows, to_iso
from conferral.storage.queries.session_reader import LogEntry as StoredEntry
from conferral.webhooks.api.parameters import ErrorType


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a model for JSON. Words of newer versions stay."""
    return model.model_dump(by_alias=True, warnings=False)


def _one_of(words: Iterable[str], *more: str) -> dict[str, Any]:
    return {"enum": [*more, *(str(word) for word in words)]}


#: What a field `code` is.
_CODE = "Twilio's error code, if Twilio refused or failed what was needed"


class Direction(StrEnum):
    """Who placed the call: the customer (inbound), or you."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Problem(BaseModel):
    """The reason why a request was refused."""

    type: ErrorType = Field(description="the kind of error")
    reason: str = Field(description="the problem, for a person to read")
    allowed: list[str] = Field(description="what would be accepted instead, such as a session's commands; may be empty")
    docs: str = Field(description="the page and section of the documentation that explains what to do")


class ErrorAnswer(BaseModel):
    """The answer to a refused request."""

    error: Problem


class CommandAccepted(BaseModel):
    """The command was published; its outcome is stored under its id."""

    command: str = Field(description="the command's id")


class SessionAccepted(CommandAccepted):
    """The call was requested."""

    session: str = Field(description="the id of the session, once a worker has opened it")


class CommandOutcome(CommandAccepted):
    """A command's outcome so far."""

    status: str = Field(
        description="empty until a worker has processed it; `accepted` is followed by `done` or `failed`",
        json_schema_extra=_one_of(CommandStatus, ""),
    )
    reason: str = Field(description="why it was rejected or failed, or additional information")
    code: int | None = Field(description=_CODE)
    session: str = Field(description="the command's session; empty until it is known")
    by: str = Field(
        description="who gave it, such as `api/alice`; empty if it is unknown, or no worker has processed it yet"
    )


class _Record(BaseModel):
    #: Sessions hold addresses, so error messages must not repeat the input.
    model_config = ConfigDict(hide_input_in_errors=True)

    @classmethod
    def of(cls, record: object, **others: object) -> Self:
        """Return the model of a session's record, in which nothing is empty."""
        named = {name: getattr(record, name) for name in cls.model_fields if name not in others}
        # Without validation: a hash that was edited by hand may not end a process.
        return cls.model_construct(**{name: None if value == "" else value for name, value in (named | others).items()})


class Conference(_Record):
    """A session's conference."""

    sid: str | None = Field(description="null until Twilio has created it")
    name: str | None = Field(description="its friendly name; the session's id unless that was given")


class Party(_Record):
    """A party of a session."""

    call_sid: str | None = Field(description="null until Twilio has placed the call")
    address: str | None
    label: str | None = Field(description="its participant label at Twilio, which no other leg ever has")
    status: SkipValidation[PartyStatus | None]
    held: bool
    muted: bool
    left_reason: str | None


class Transfer(_Record):
    """A session's newest transfer."""

    mode: SkipValidation[TransferMode | None]
    to: str | None = Field(description="the destinations as given, comma-separated")
    by: str | None = Field(description="who sent the command")
    fallback: str | None = Field(description="where the customer goes if no one takes the call")
    status: SkipValidation[TransferStatus | None]
    reason: str | None = Field(description="why it failed or was canceled")
    code: int | None = Field(description=_CODE)


class Session(_Record):
    """A session. What is empty or not known is null."""

    id: str
    state: SkipValidation[State | None]
    phase: SkipValidation[Phase | None]
    version: int = Field(description="grows by one with each decision")
    direction: SkipValidation[Direction | None]
    created_at: str | None = Field(description="ISO 8601, UTC; as all times")
    updated_at: str | None
    ended_at: str | None = Field(description="null while the session is live")
    end_reason: str | None = Field(description="a reason listed in docs/commands.md; null while the session is live")
    number: str | None = Field(description="our number that was called or that the customer sees; null if unknown")
    by: str | None = Field(description="who started it, for a session started by a command")
    ref: str | None = Field(description="your reference, of the newest command that gave one")
    conference: Conference | None
    parties: dict[str, Party] = Field(description="by name, including parties that have left")
    transfer: Transfer | None = Field(description="the newest transfer; null before the first")

    @classmethod
    def of_stored(cls, session: StoredSession) -> Self:
        """Return the model of a session."""
        sid, name, transfer = session.conference_sid, session.conference_name, session.public_transfer
        return cls.of(
            session,
            created_at=to_iso(session.created_at_ms),
            updated_at=to_iso(session.updated_at_ms),
            ended_at=to_iso(session.ended_at_ms),
            conference=Conference(sid=sid or None, name=name or None) if sid or name else None,
            parties={name: Party.of(party) for name, party in session.parties.items()},
            transfer=None if transfer is None else Transfer.of(transfer, code=parse_code(transfer.code)),
        )


class SessionPage(BaseModel):
    """One page of sessions."""

    sessions: list[Session]
    cursor: str | None = Field(description="pass it as `cursor` to get the next page; null on the last page")


class _LogPart(BaseModel):
    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        """Return the model of a log entry's record, without invalid fields."""
        return cls(**{name: record[name] for name in cls.model_fields if isinstance(record.get(name), str)})


class LogEffect(_LogPart):
    """An effect that was emitted."""

    id: str = ""
    kind: str = ""
    party: str = Field("", description="the party it concerns")
    target: str = Field("", description="the SID or label of its object; empty if it creates one")
    detail: str = ""


class LogReport(_LogPart):
    """A change in a command's status."""

    command: str = Field("", description="the command's id")
    type: str = Field("", description="the command's type")
    status: str = Field("", description="done, failed, or rejected")
    reason: str = Field("", description="why")
    code: str = Field("", description=_CODE)


class LogEntry(BaseModel):
    """An event of a session, and what was decided."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, str]

    entry: str = Field(description="the entry's id in the stream")
    at: str = Field("", description="when it was decided")
    event: str = Field("", description="the type of event")
    state_before: str = Field("", alias="from", description="the state before", json_schema_extra=_one_of(State, ""))
    state_after: str = Field("", alias="to", description="the state after", json_schema_extra=_one_of(State, ""))
    outcome: str = Field("", description="what the event led to", json_schema_extra=_one_of(EventOutcome, ""))
    version: str = Field("", description="the session's version after it")
    reason: str = Field("", description="why it was refused or ignored")
    effects: list[LogEffect] = Field(default=[], description="the effects that it caused")
    reports: list[LogReport] = Field(default=[], description="the results of commands that it decided")
    details: dict[str, Any] = Field(default={}, description="the event's own fields, such as `party` and `status`")
    other: str = Field("", description="JSON, Twilio's parameters that this version does not know")
    command: str = Field("", description="of a command: its id")
    by: str = Field("", description="of a command: who gave it, if the command said so")
    effect: str = Field("", description="of an effect's outcome: the effect's id")
    attempts: str = Field("", description="of an effect's outcome: the number of requests, if some failed")
    failed_attempts: str = Field(
        "", description='JSON, the results of the failed requests, such as `["503 x2", "429 code 20429 x1"]`'
    )
    changes: dict[str, str | None] = Field(default={}, description="the session fields it changed; null if removed")

    @classmethod
    def of_stored(cls, stored: StoredEntry) -> Self:
        """Return the model of a log's entry, without what is invalid in it."""
        effects = [LogEffect.of(record) for record in parse_rows(stored["effects"])]
        reports = [LogReport.of(record) for record in parse_rows(stored["reports"])]
        objects = {"details": parse_object(stored["details"]), "changes": decode_logged_changes(stored["changes"])}
        return cls.model_validate(
            {**stored.fields, "entry": stored.entry_id, "effects": effects, "reports": reports, **objects}
        )


class LogPage(BaseModel):
    """One page of a session's log, oldest first."""

    entries: list[LogEntry]
    cursor: str | None = Field(description="pass it as `cursor` to get the next page; null on the last page")


class OutcomeAttempt(BaseModel):
    """One who was rung."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    to: SkipValidation[str | None] = Field(None, description="the address")
    label: SkipValidation[str | None] = Field(None, description="its participant label at Twilio")
    result: SkipValidation[str | None] = Field(None, description="`answered`, or why not, such as `no-answer`")
    rang_s: SkipValidation[float | None] = Field(None, description="how long it rang, seconds")
    at: SkipValidation[str | None] = Field(None, description="when it was dialed")


class OutcomeAgent(BaseModel):
    """An agent who took part in a session."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    address: SkipValidation[str | None] = None
    talk_s: SkipValidation[float | None] = Field(
        None, description="how long agent and customer heard each other, seconds"
    )
    holds: SkipValidation[int | None] = Field(
        None, description="how often the customer was put on hold; parking and blind transfers don't count"
    )


class Outcome(BaseModel):
    """A finished transfer, an ended session, or a recorded message.

    What is empty, or is not of this kind, is null. docs/commands.md explains the fields.
    """

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    id: str | None = Field(None, description="marks repetitions")
    kind: SkipValidation[OutcomeKind | None] = None
    session: str | None = None
    by: str | None = Field(None, description="who sent the command")
    ref: str | None = Field(None, description="your reference")
    customer: str | None = Field(None, description="the customer's address")
    number: str | None = Field(None, description="our number that was called or that the customer sees")
    direction: SkipValidation[Direction | None] = None
    started_at: str | None = None
    ended_at: str | None = None
    result: str | None = Field(None, description="completed, failed, recalled, or cancelled; ended; recorded")
    reason: str | None = Field(None, description="why it failed or ended")
    code: SkipValidation[int | None] = Field(None, description=_CODE)
    mode: SkipValidation[TransferMode | None] = None
    to: str | None = None
    landed_on: str | None = Field(None, description="what took the customer, if not the target")
    hold_s: float | None = None
    consult_s: float | None = None
    answer_s: float | None = None
    bridged_s: float | None = None
    conference_s: float | None = None
    participant_s: float | None = None
    held_s: float | None = None
    alone_s: float | None = None
    attempts: list[OutcomeAttempt] | None = Field(None, description="who was rung, in order")
    recordings: list[str] | None = Field(None, description="SIDs of recordings")
    agents: list[OutcomeAgent] | None = Field(None, description="the agents who took part")
    recording_sid: str | None = None
    duration_s: float | None = None

    @classmethod
    def of_stored(cls, fields: Mapping[str, str]) -> Self:
        """Return the model of a stream's entry."""
        return cls.model_validate(outcome_data(fields))


class OutcomePage(BaseModel):
    """Outcomes, oldest first."""

    outcomes: list[Outcome]
    cursor: str = Field(description="pass it as `after` for what follows; the same again if there is nothing newer")
    gap: bool = Field(description="whether entries after `after` have been trimmed")


#: Maximum identity (characters). Source: Twilio docs, error 31105; TwiML changelog.
IDENTITY_MAX = 256


class TokenRequest(BaseModel):
    """A request for an access token."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    #: Source: Twilio docs, Access Tokens (voice: letters, digits, and underscores only); error 31105 (256 at most).
    identity: str = Field(
        pattern=rf"^[A-Za-z0-9_]{{1,{IDENTITY_MAX}}}$",
        description="the agent's name, as in `client:NAME`; letters, digits, and `_`",
        repr=False,
    )

    @classmethod
    def of(cls, body: dict[str, Any]) -> "TokenRequest":
        """Validate a request's body, or raise RequestError."""
        try:
            return cls.model_validate(body)
        except ValidationError:
            rule = f"an access token takes one field, identity: 1 to {IDENTITY_MAX} letters, digits, or _"
            raise RequestError(ErrorType.INVALID, rule) from None


class IssuedToken(BaseModel):
    """An access token; anyone who has it can place and receive calls until
    it expires.
    """

    token: str = Field(repr=False)
    identity: str = Field(repr=False)
    expires_at: str = Field(description="ISO 8601, UTC")
