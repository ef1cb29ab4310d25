"""OpenAPI and AsyncAPI: whole, valid, and of what there is."""

import json
import re

import jsonschema
import pytest

from conferral.statemachine.events import CallReceived, EffectFailed
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from conferral.statemachine.step import OutcomeRecord
from conferral.statemachine.transfer import Attempt
from conferral.storage.codecs import session_codec
from conferral.storage.commands.command_parser import BadCommandError, parse
from conferral.storage.outcome_stream import encode_outcome
from conferral.webhooks.api import asyncapi, openapi
from conferral.webhooks.api.handlers import Handlers
from conferral.webhooks.api.routes import ROUTES
from conferral.worker.consumer.log_entry import log_entry
from tests.support.each import each
from tests.webhooks.api.api_helpers import CALLER, ENVIRON, KEYS, session, settings

HTTP = openapi.document("https://example.com")
STREAMS = asyncapi.document(KEYS)
DOCUMENTS = {"http": HTTP, "streams": STREAMS}


def resolved(document, reference):
    """What a reference within a document leads to."""
    found = document
    for step_ in reference.removeprefix("#/").split("/"):
        found = found[step_]
    return found


def references(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(document, name):
    """Judges by one of a document's schemas, and by those that it refers to."""
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": document["components"]["schemas"]}}
    )


# ---- both --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere_and_every_schema_is_one(name):
    document = DOCUMENTS[name]

    found = set(references(document))
    for reference in found:
        assert resolved(document, reference)
    for schema_name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert any(reference.endswith(f"/{schema_name}") for reference in found), schema_name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_description_holds_a_secret_or_a_number_of_the_settings(name):
    public_url = settings(CONFERRAL_PUBLIC_URL="https://twilio:very-secret@example.com/base").public_url
    document = DOCUMENTS[name] if name == "streams" else openapi.document(public_url)
    text = json.dumps(document)

    for setting, value in {**ENVIRON, "CONFERRAL_PUBLIC_URL": "very-secret"}.items():
        assert value not in text, setting
    assert name == "streams" or document["servers"] == [{"url": "https://example.com/base"}]


# ---- HTTP --------------------------------------------------------------------------------------------------------


def test_the_description_of_http_is_valid():
    # Imported here: it takes a third of a second in each process that collects this file.
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(HTTP).validate()


def test_every_route_is_described_and_answered_by_its_handler():
    described = {
        (method.upper(), path, operation["operationId"])
        for path, methods in HTTP["paths"].items()
        for method, operation in methods.items()
    }
    assert described == {(route.method, route.path, route.name) for route in ROUTES}
    assert all(callable(getattr(Handlers, route.name)) for route in ROUTES if route.is_ours)


def test_the_routes_are_those_of_the_contract():
    assert {route.template for route in ROUTES} == {
        "POST /sessions", "GET /sessions", "GET /sessions/{session}", "GET /sessions/{session}/log",
        "POST /sessions/{session}/commands", "GET /commands/{command}", "POST /tokens", "GET /openapi.json",
        "GET /asyncapi.json", "GET /healthz", "GET /readyz", "GET /metrics",
    }  # fmt: skip


def test_api_description_marks_routes_that_need_no_token():
    for route in ROUTES:
        operation = HTTP["paths"][route.path][route.method.lower()]

        assert (operation.get("security") == []) is not route.needs_token
        assert ("401" in operation["responses"]) is route.needs_token


COMMANDS = [
    {"type": "transfer", "to": "+14155550145", "mode": "warm"},
    {"type": "transfer", "to": "a,b", "mode": "blind", "confirm": True, "timeout": 600, "digits": "1w#"},
    {"type": "transfer", "to": "a", "mode": "consult", "confirm": "true", "timeout": "5", "brief": ""},
    {"type": "transfer", "to": "a", "mode": "cold"},
    {"type": "transfer", "to": ",", "mode": "warm"},
    {"type": "transfer", "mode": "warm"},
    {"type": "transfer", "to": "a", "mode": "warm", "timeout": 601},
    {"type": "transfer", "to": "a", "mode": "warm", "brief": "a\nb"},
    {"type": "announce", "say": "Hello"},
    {"type": "announce", "url": "https://example.com/a.mp3"},
    {"type": "announce", "url": "https://example.com/a.mp3", "say": "Hello"},
    {"type": "announce", "url": "example.com"},
    {"type": "announce"},
    {"type": "add", "to": "a", "party": "bob"},
    {"type": "add", "to": "a", "party": "guest-1"},
    {"type": "add", "to": "a,b", "party": "bob"},
    {"type": "hold", "party": "agent"},
    {"type": "hold", "party": "+14155550145"},
    {"type": "record", "action": "rewind"},
    {"type": "end"},
    {"type": "end", "id": "a b"},
    {"type": "end", "to": "a"},
    {"type": "dance"},
    {},
]


@each("fields", COMMANDS)
def test_the_description_takes_a_command_exactly_when_we_do(fields):
    try:
        parse({**fields, "session": CALLER})
    except BadCommandError:
        is_taken = False
    else:
        is_taken = True

    body = HTTP["paths"]["/sessions/{session}/commands"]["post"]["requestBody"]["content"]["application/json"]
    schema = {**body["schema"], "components": HTTP["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(fields) is is_taken
    # The stream's description speaks of text alone, and of the session too.
    text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
    of_stream = [validator(STREAMS, openapi.command_name(command)) for command in COMMANDS_BY_NAME.values()]
    assert any(one.is_valid({**text, "session": CALLER}) for one in of_stream) is is_taken


def test_a_session_is_what_its_schema_says():
    judge = validator(HTTP, "Session")

    judge.validate(session_codec.encode(session()))
    judge.validate(session_codec.encode(session()) | {"of-a-later-version": "text"})
    for wrong in ({"state": "lost"}, {"party.agent.status": "lost"}, {"party.agent.held": "yes"}, {"version": 3}):
        assert not judge.is_valid(session_codec.encode(session()) | wrong)


# ---- streams -----------------------------------------------------------------------------------------------------


def test_the_description_of_the_streams_has_the_shape_of_asyncapi():
    # Source: AsyncAPI Specification 3.0.0, "Schema": what is required, and what refers to what.
    assert STREAMS["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= STREAMS["info"].keys()
    for name, channel in STREAMS["channels"].items():
        parameters = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert parameters == set(channel.get("parameters", {})), name
        for parameter in channel.get("parameters", {}).values():
            assert parameter.keys() <= {"enum", "default", "description", "examples", "location"}
        for message in channel["messages"].values():
            assert {"name", "payload"} <= resolved(STREAMS, message["$ref"]).keys()
    for operation in STREAMS["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolved(STREAMS, operation["channel"]["$ref"])
        prefix = operation["channel"]["$ref"] + "/messages/"
        # An operation's messages are those of its channel, by reference to the channel.
        assert {one["$ref"].removeprefix(prefix) for one in operation["messages"]} == set(channel["messages"])


def test_the_streams_are_where_the_keys_say():
    channels = STREAMS["channels"]
    partition = f"{{{KEYS.partition_of(CALLER)}}}"

    assert (channels["commands"]["address"], channels["outcomes"]["address"]) == (KEYS.commands, KEYS.outcomes)
    log = channels["log"]["address"].replace("{partition}", partition).replace("{session}", CALLER)
    assert log == KEYS.log(CALLER)
    assert channels["log"]["parameters"]["partition"]["examples"] == ["{0}", f"{{{KEYS.partitions - 1}}}"]


def test_every_command_is_a_message_and_no_other():
    named = {
        resolved(STREAMS, one["$ref"])["payload"]["$ref"]
        for one in STREAMS["channels"]["commands"]["messages"].values()
    }
    types = {resolved(STREAMS, one)["properties"]["type"]["const"] for one in named}

    assert types == set(COMMANDS_BY_NAME)


def test_the_fields_of_commands_are_text_in_the_stream():
    for command in COMMANDS_BY_NAME.values():
        for name, field in STREAMS["components"]["schemas"][openapi.command_name(command)]["properties"].items():
            assert field["type"] == "string", name


def test_no_field_of_a_request_has_a_default():
    """Generators of clients take such a field for one that is always there."""
    schemas = openapi.document("https://calls.example.com")["components"]["schemas"]
    for name in (*map(openapi.command_name, COMMANDS_BY_NAME.values()), "TokenRequest"):
        assert [one for one, field in schemas[name]["properties"].items() if "default" in field] == []


@pytest.mark.parametrize("kind", ["transfer", "session"])
def test_an_outcome_is_what_its_schema_says(kind):
    attempt = Attempt("target", "client:bob", "d" * 20, 1_000, result="answered")
    conclusion = OutcomeRecord(
        "x-1", kind, CALLER, "completed" if kind == "transfer" else "ended", attempts=(attempt,), ended_at_ms=2_000
    )

    fields = encode_outcome(conclusion)

    validator(STREAMS, "OutcomeRecord").validate(fields)
    assert fields.keys() == STREAMS["components"]["schemas"]["OutcomeRecord"]["properties"].keys()


def test_an_entry_of_a_log_is_what_its_schema_says():
    received = CallReceived(
        session_id=CALLER, token="t", call_sid=CALLER, customer_address="+14155550123", agent_address="client:a"
    )
    failed = EffectFailed(
        session_id=CALLER, token="e", effect_id="e-1", kind="end_call", attempts=2, failed_attempts=("503 x2",)
    )
    before = Session(CALLER)
    judge, described = validator(STREAMS, "LogEntry"), STREAMS["components"]["schemas"]["LogEntry"]["properties"]

    for event in (received, failed):
        made = step(before, event, 1_000)
        entry = log_entry(event, made, before, 1_000, session_codec.changes(made.session, before).logged)

        judge.validate(entry)
        assert entry.keys() - described.keys() == set()
        assert not judge.is_valid(entry | {"to": "lost"})
        for name, text in entry.items():
            if "contentSchema" in described[name]:
                content = {**described[name]["contentSchema"], "components": STREAMS["components"]}
                jsonschema.Draft202012Validator(content).validate(json.loads(text))
