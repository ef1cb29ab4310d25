"""OpenAPI: whole, valid, and of what there is."""

import json

import jsonschema

from conferral.runtime.web.json_requests import STATUS
from conferral.storage.commands.command_parser import BadCommandError, parse
from conferral.webhooks.api import openapi
from conferral.webhooks.api.handlers import Handlers
from conferral.webhooks.api.routes import ROUTES
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
    assert described == {(route.method, route.path, route.name) for route in ROUTES}
    assert all(callable(getattr(Handlers, route.name)) for route in ROUTES)


def test_the_routes_are_those_of_the_contract():
    assert {route.template for route in ROUTES} == {
        "POST /sessions", "GET /sessions", "GET /sessions/{session}", "GET /sessions/{session}/log",
        "POST /sessions/{session}/commands", "GET /commands/{command}", "GET /outcomes", "POST /tokens",
        "GET /openapi.json",
    }  # fmt: skip


def test_api_description_marks_routes_that_need_no_token():
    for route in ROUTES:
        operation = HTTP["paths"][route.path][route.method.lower()]

        assert (operation.get("security") == []) is not route.needs_token
        assert ("401" in operation["responses"]) is route.needs_token


def test_every_answer_is_described_with_the_headers_it_needs():
    for route in ROUTES:
        responses = HTTP["paths"][route.path][route.method.lower()]["responses"]
        refusals = {str(STATUS[kind]) for kind in route.error_types}
        assert responses.keys() == {*map(str, route.answers), *refusals}
        headers = {status: [*answer["headers"]] for status, answer in responses.items() if "headers" in answer}
        needed = {"401": ["WWW-Authenticate"], "429": ["Retry-After"], "503": ["Retry-After"]}
        assert headers == {status: names for status, names in needed.items() if status in refusals}


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
