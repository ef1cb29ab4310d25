"""Models of the entries in the streams that other programs read, for their description: all fields are text."""

from pydantic import BaseModel, Field

from conferral.statemachine.states import State
from conferral.statemachine.step import Outcome

_TIME = "ISO 8601, UTC; empty if there is none"


class OutcomeRecord(BaseModel):
    """A transfer is finished, or a session has ended."""

    id: str = Field(description="the same in a duplicate of the entry")
    kind: str = Field(json_schema_extra={"enum": ["transfer", "session"]})
    session: str = Field(description="the session's id")
    result: str = Field(
        description="`ended` of a session, the others of a transfer",
        json_schema_extra={"enum": ["completed", "failed", "recalled", "cancelled", "ended"]},
    )
    reason: str = Field(description="why; empty if nothing failed")
    mode: str = Field(description="of a transfer: its mode")
    to: str = Field(description="of a transfer: the destinations as the command named them")
    attempts: str = Field(
        description="of a transfer: JSON, a list of `to`, `party`, `result`, `started_at`, `answered_at`, `ended_at`, "
        "`waited_s`, `talked_s`"
    )
    started_at: str = Field(description=_TIME)
    ended_at: str = Field(description=_TIME)


class LogRecord(BaseModel):
    """An event of a session, and what was decided."""

    at: str = Field(description=_TIME)
    event: str = Field(description="the type of event")
    state_before: str = Field(alias="from", json_schema_extra={"enum": [state.value for state in State]})
    state_after: str = Field(alias="to", json_schema_extra={"enum": [state.value for state in State]})
    outcome: str = Field(json_schema_extra={"enum": [outcome.value for outcome in Outcome]})
    version: str = Field(description="the session's version after it")
    reason: str = Field(description="why it was refused or ignored")
    effects: str = Field(description="JSON, a list of its effects: `id`, `kind`, `party`, `target`, `detail`")
    detail: str = Field("", description="the party and its status")
    other: str = Field("", description="JSON, Twilio's parameters that this version does not know")
    command: str = Field("", description="of a command: its id")
    by: str = Field("", description="of a command: who gave it, if the command said so")
    reports: str = Field(
        "", description="JSON, a list of the results of commands that it decided: `command`, `type`, `status`, `reason`"
    )
    effect: str = Field("", description="of an effect's outcome: the effect's id")
    changes: str = Field("", description="JSON, the session's fields that the event changed; null for a removed field")
