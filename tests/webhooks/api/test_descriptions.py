"""OpenAPI: whole, valid, and of what there is."""

import json

import jsonschema

from conferral.commands.parser import BadCommandError, parse
from conferral.webhooks.api import openapi
from conferral.webhooks.api.desk_routes import DESK_ROUTES, PRESENCE_ROUTES
from conferral.webhooks.api.handlers import Handlers
from conferral.webhooks.api.openapi import ALL_ROUTES
from conferral.webhooks.api.routes import ROUTES
from conferral.webhooks.desk.handlers import DeskHandlers
from tests.support.each import each
from tests.webhooks.api.api_helpers import CALLER, ENVIRON, settings

HTTP = openapi.document("https://example.com")


def test_the_description_holds_no_secret_or_number_of_the_settings():
    public_url = settings(CONFERRAL_PUBLIC_URL="https://twilio:very-secret@example.com/base").public_url
    document = openapi.document(public_url)
    text = json.dumps(document)

    for setting, value in {**ENVIRON, "CONFERRAL_PUBLIC_URL": "very-secret"}.items():
        assert value not in text, setting
    assert document["servers"] == [{"url": "https://example.com/base"}]


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
    assert described == {(route.method, route.path, route.name) for route in ALL_ROUTES}
    assert all(callable(getattr(Handlers, route.name)) for route in ROUTES)
    assert all(callable(getattr(DeskHandlers, route.name)) for route in (*PRESENCE_ROUTES, *DESK_ROUTES))


def test_the_routes_are_those_of_the_contract():
    assert {route.template for route in ALL_ROUTES} == {
        "POST /sessions", "GET /sessions", "GET /sessions/{session}", "GET /sessions/{session}/log",
        "POST /sessions/{session}/commands", "GET /commands/{command}", "GET /outcomes", "POST /tokens",
        "GET /openapi.json", "GET /agents", "POST /desk/tokens", "POST /desk/access-token", "GET /desk/events",
        "POST /desk/sessions/{session}/commands", "POST /desk/calls", "GET /desk/commands/{command}", "GET /desk/calls",
        "POST /desk/rings/{call}", "POST /desk/sessions/{session}/take-over",
        "GET /desk/directory", "GET /desk/parked",
        "POST /desk/parked/{session}/retrieve", "PUT /desk/presence", "POST /desk/session", "DELETE /desk/session",
        "POST /desk/session/token",
    }  # fmt: skip


#: What each operation takes (! marks what it needs), and what it answers, with the schema of each content.
OPERATIONS = """
call: header:Idempotency-Key body! -> 202:SessionAccepted 400 401 403 408 409 413 422 429 503
list_sessions: query:state query:party query:ref query:limit query:cursor -> 200:SessionPage, 401 403 422 429 503
show_session: path:session! -> 200:Session 401 403 404 422 429 503
show_log: path:session! query:limit query:cursor -> 200:LogPage 401 403 404 422 429 503
submit_command: path:session! query:wait header:Idempotency-Key body! -> 200:CommandOutcome 202:CommandAccepted \
400 401 403 404 408 409 413 422 429 503
show_command: path:command! -> 200:CommandOutcome 401 403 404 422 429 503
list_outcomes: query:after query:limit query:kind query:session -> 200:OutcomePage 401 403 422 429 503
make_token: body! -> 200:IssuedToken 400 401 403 408 413 422 429 503
describe_http: -> 200: 422
make_desk_token: body! -> 200:IssuedToken 400 401 403 408 413 422 429 503
list_agents: -> 200:AgentList 401 403 422 429 503
start_desk_session: body -> 200:DeskSession 400 401 403 408 413 422 429 431 503
end_desk_session: body! -> 204: 400 401 403 408 413 422 429 431 503
make_own_desk_token: body! -> 200:IssuedToken 400 401 403 408 413 422 429 431 503
make_own_access_token: -> 200:OwnAccessToken 401 403 422 429 503
follow_own_calls: query:desk -> 200: 401 403 422 429 503
command_own_call: path:session! query:wait header:Idempotency-Key body! -> 200:CommandOutcome 202:CommandAccepted \
400 401 403 404 408 409 413 422 429 503
note_busy_ring: path:call! body! -> 204: 400 401 403 404 408 413 422 429 503
list_own_calls: -> 200:OwnCalls 401 403 422 429 503
take_over_own_call: path:session! body -> 204: 400 401 403 404 408 409 413 422 429 503
show_own_command: path:command! -> 200:CommandOutcome 401 403 404 422 429 503
call_out: body! -> 202:SessionAccepted 400 401 403 404 408 409 413 422 429 503
list_names: -> 200:NameList 401 403 422 429 503
list_parked_calls: -> 200:ParkedSessions 401 403 422 429 503
retrieve_parked_call: path:session! body -> 202:CommandAccepted 400 401 403 404 408 409 413 422 429 503
renew_presence: body! -> 200:OwnPresence 400 401 403 408 413 422 429 503
"""


def shape_of(operation):
    """An operation as the table has it."""
    takes = [f"{one['in']}:{one['name']}" + "!" * one.get("required", False) for one in operation.get("parameters", [])]
    if "requestBody" in operation:
        takes.append("body" + "!" * operation["requestBody"].get("required", False))
    gives = []
    for status, response in operation["responses"].items():
        schemas = [content["schema"] for content in response.get("content", {}).values()]
        names = [schema.get("$ref", "").rpartition("/")[2] for schema in schemas]
        gives.append(status if names == ["ErrorAnswer"] else f"{status}:{','.join(names)}")
    return " ".join([*takes, "->", *gives])


def operations():
    paths = openapi.document("https://example.com")["paths"]
    return {one["operationId"]: one for methods in paths.values() for one in methods.values()}


def test_each_operation_takes_and_answers_what_clients_rely_on():
    expected = dict(line.split(": ", 1) for line in OPERATIONS.strip().splitlines())
    assert {name: shape_of(one) for name, one in operations().items()} == expected
    assert [name for name, one in operations().items() if one.get("security") == []] == ["describe_http"]
    (body,) = operations()["call"]["requestBody"]["content"].values()
    assert body["schema"] == {"$ref": "#/components/schemas/CallCommand"}
    schemas = HTTP["components"]["schemas"]
    assert [("type" in schemas[f"{one}Command"]["required"]) for one in ("Call", "End")] == [False, True]


def test_every_refusal_is_described_with_the_headers_it_needs():
    needed = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for operation in operations().values():
        for status, response in operation["responses"].items():
            headers = response.get("headers", {})
            assert headers.keys() == needed.get(status, set())
            assert all(header["required"] for header in headers.values())
            assert headers.get("Retry-After", {}).get("schema", {}) in ({}, {"type": "integer", "minimum": 1})


def test_schemas_are_as_plain_as_generators_like_them():
    schemas = HTTP["components"]["schemas"]

    assert schemas["CommandAccepted"] == {
        "description": "The command was published; its outcome is stored under its id.", "type": "object",
        "properties": {"command": {"description": "the command's id", "type": "string"}}, "required": ["command"],
    }  # fmt: skip
    assert schemas["Conference"]["properties"]["name"]["type"] == ["string", "null"]
    closed = [name for name, one in schemas.items() if "additionalProperties" in one]
    assert all(name.endswith(("Command", "Request")) for name in closed)
    assert "\n" not in schemas["Outcome"]["description"]
    assert schemas["CallCommand"]["required"] == ["agent", "customer"], "its path says what it is"
    assert schemas["TransferCommand"]["required"] == ["type", "to", "mode"]
    assert schemas["TransferCommand"]["properties"]["timeout"]["$ref"] == "#/components/schemas/RingTime"


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
