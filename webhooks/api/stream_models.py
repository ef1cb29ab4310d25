"""Models of the entries in the streams that other programs read, for their description: all fields are text."""

from pydantic import BaseModel, Field

from conferral.statemachine.states import State
from conferral.statemachine.step import Outcome

_TIME = "ISO 8601, UTC; empty where there is none"


class OutcomeRecord(BaseModel):
    """A transfer is finished, or a session has ended."""

    id: str = Field(description="the same when the entry is repeated")
    kind: str = Field(json_schema_extra={"enum": ["transfer", "session"]})
    session: str = Field(description="the session's id")
    result: str = Field(
        description="`ended` of a session, the others of a transfer",
        json_schema_extra={"enum": ["completed", "failed", "recalled", "cancelled", "ended"]},
    )
    reason: str = Field(description="why; empty where nothing went wrong")
    mode: str = Field(description="of a transfer: how it was asked for")
    to: str = Field(description="of a transfer: the destinations as they were named")
    attempts: str = Field(
        description="of a transfer: JSON, a list of `to`, `party`, `result`, `started_at`, `answered_at`, `ended_at`, "
        "`waited_s`, `talked_s`"
    )
    started_at: str = Field(description=_TIME)
    ended_at: str = Field(description=_TIME)


class LogRecord(BaseModel):
    """An event of a session, and what was decided."""

    at: str = Field(description=_TIME)
    event: str = Field(description="what has happened")
    state_before: str = Field(alias="from", json_schema_extra={"enum": [state.value for state in State]})
    state_after: str = Field(alias="to", json_schema_extra={"enum": [state.value for state in State]})
    outcome: str = Field(json_schema_extra={"enum": [outcome.value for outcome in Outcome]})
    version: str = Field(description="the session's version after it")
    reason: str = Field(description="why, where it was refused or passed over")
    effects: str = Field(description="JSON, a list of what was ordered: `id`, `kind`, `party`, `target`, `detail`")
    detail: str = Field("", description="who, and with which status")
    other: str = Field("", description="JSON, what Twilio told under names that this version does not know")
    command: str = Field("", description="of a command: its id")
    by: str = Field("", description="of a command: who gave it, where that was said")
    reports: str = Field(
        "", description="JSON, a list of what came of commands by it: `command`, `type`, `status`, `reason`"
    )
    effect: str = Field("", description="of the outcome of an effect: the effect's id")
    changes: str = Field(
        "", description="JSON, the fields of the session that the event has changed; null for one that is there no more"
    )
