"""AsyncAPI description of the public Redis streams, from the models."""

from functools import cache
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from conferral.statemachine.events import COMMANDS
from conferral.storage.commands.command_parser import schema_of
from conferral.storage.keys import Keys
from conferral.webhooks.api import models
from conferral.webhooks.api.openapi import VERSION, command_name

_REF = "#/components/schemas/"
_STREAM = "The fields of an entry of a Redis stream; all are text."
#: The fields of every log entry; the others are absent where they would be empty.
_ALWAYS_STORED = ("at", "event", "from", "to", "outcome", "version", "reason", "effects")
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
    by: str = Field(description="who gave the command for the transfer, or started the session; empty if unknown")
    mode: str = Field(description="of a transfer: its mode")
    to: str = Field(description="of a transfer: the comma-separated destinations; of directory names, the addresses")
    attempts: str = Field(
        description="of a transfer: JSON, a list of `to`, `party`, `result`, `started_at`, `answered_at`, `ended_at`, "
        "`waited_s`, `talked_s`"
    )
    started_at: str = Field(description=_TIME)
    ended_at: str = Field(description=_TIME)


def document(keys: Keys) -> dict[str, Any]:
    """Return the streams' document. Source: AsyncAPI Specification 3.0.0."""
    commands = {command_name(command): command for command in COMMANDS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Conferral's streams",
            "version": VERSION,
            "description": "Redis streams: add commands with XADD; read outcomes and logs with XREAD or XRANGE. "
            "/openapi.json describes the same commands over HTTP.",
            "license": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "commands": {
                "address": keys.commands,
                "description": "Commands to sessions. A malformed command is rejected with a reason under "
                f"the command's id, in the hash `{keys.command('ID')}`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in commands},
            },
            "outcomes": {
                "address": keys.outcomes,
                "description": "An entry for each finished transfer and each ended session, at least once; duplicates "
                "have the same `id`.",
                "messages": {"Outcome": {"$ref": "#/components/messages/Outcome"}},
            },
            "log": {
                "address": _log_address(keys),
                "description": "The events of one session.",
                "parameters": {
                    "partition": {
                        "description": "the partition of the session in braces, such as `{7}`: zlib's CRC-32 of the "
                        f"session's id modulo {keys.partitions}",
                        "examples": [_partition_in(keys.events(number)) for number in (0, keys.partitions - 1)],
                    },
                    "session": {"description": "the session's id"},
                },
                "messages": {"LogEntry": {"$ref": "#/components/messages/LogEntry"}},
            },
        },
        "operations": {
            "receiveCommands": _operation("receive", "commands", "Receive and run commands", list(commands)),
            "sendOutcomes": _operation("send", "outcomes", "Report the results of transfers and sessions", ["Outcome"]),
            "writeLog": _operation("send", "log", "Log each event and its decision", ["LogEntry"]),
        },
        "components": {
            "messages": {
                **{name: _message(name, command.__doc__ or "") for name, command in commands.items()},
                "Outcome": _message(OutcomeRecord.__name__, OutcomeRecord.__doc__ or ""),
                "LogEntry": _message(models.LogEntry.__name__, models.LogEntry.__doc__ or ""),
            },
            "schemas": _schemas(),
        },
    }


def _partition_in(key: str) -> str:
    return key[key.index("{") : key.index("}") + 1]


def _log_address(keys: Keys) -> str:
    key = keys.log("SESSION")
    return key.replace(_partition_in(key), "{partition}").replace("SESSION", "{session}")


def _operation(action: str, channel: str, summary: str, messages: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(schema: str, about: str) -> dict[str, Any]:
    return {"name": schema, "summary": about.split("\n")[0], "description": _STREAM, "payload": {"$ref": _REF + schema}}


@cache  # depends on the code alone
def _schemas() -> dict[str, Any]:
    _, records = models_json_schema(
        [(OutcomeRecord, "serialization"), (models.LogEntry, "serialization")], ref_template=_REF + "{model}"
    )
    schemas: dict[str, Any] = records["$defs"]
    name = models.LogEntry.__name__
    return {
        **{command_name(command): _as_text(schema_of(command)) for command in COMMANDS},
        **schemas,
        name: _as_stored(schemas[name]),
    }


def _as_stored(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a log entry's schema as stored: text, or JSON as text."""
    fields = {name: field for name, field in schema["properties"].items() if name != "entry"}
    for name, field in fields.items():
        if field["type"] != "string":
            content = {key: value for key, value in field.items() if key not in ("title", "default", "description")}
            description = f"JSON: {field['description']}"
            media_type = {"contentMediaType": "application/json", "contentSchema": content}
            fields[name] = {"type": "string", "description": description, **media_type}
    return {**schema, "properties": fields, "required": list(_ALWAYS_STORED)}


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {}
    for name, field in schema["properties"].items():
        forms = [form for form in field.get("anyOf", []) if form["type"] == "string"]
        fields[name] = {key: value for key, value in field.items() if key != "anyOf"}
        for form in forms:
            fields[name] |= form
    return {**schema, "properties": fields}
