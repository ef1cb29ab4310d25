"""Who is let in, and what is said to those who are not."""

import asyncio
from contextlib import suppress

import aiohttp
import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from conferral.runtime.web import bearer
from conferral.runtime.web.bearer import WrongTokenLimiter
from conferral.runtime.web.json_requests import BODY_BYTES_MAX
from conferral.statemachine.states import STATES_AND_PHASES
from conferral.storage.queries.session_reader import SessionReader
from conferral.webhooks import server as webhooks_server
from conferral.webhooks.api.routes import ROUTES
from tests.support.each import each
from tests.support.hands import Hands
from tests.support.ports import free_port
from tests.webhooks.api.api_helpers import BEARER, TOKEN, app_of, refusal

pytestmark = pytest.mark.redis
CLOSED = [route for route in ROUTES if route.needs_token]
JSON = {"Content-Type": "application/json"}


def path_of(route):
    return route.path.format(session="CS1", command="c1") if "{" in route.path else route.path


async def ask(client, method, path, **options):
    async with client.request(method, path, **options) as response:
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer"),
        pytest.param({"Authorization": f"Bearer {TOKEN[:-1]}"}, id="shorter"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="scheme"),
        pytest.param({"Authorization": TOKEN}, id="bare"),
        pytest.param({"Authorization": "Bearer"}, id="empty"),
        pytest.param({"Authorization": "Bearer \udcff"}, id="bytes"),
    ],
)
async def test_api_returns_nothing_without_the_token(open_api, sent):
    client = await open_api(headers=sent)

    for route in CLOSED:
        status, answer, headers = await ask(client, route.method, path_of(route))

        assert (status, answer["error"]["type"]) == (401, "unauthorized")
        assert headers["WWW-Authenticate"] == "Bearer"


async def test_wrong_tokens_are_limited_and_the_right_one_is_always_served(open_api, monkeypatch, lines):
    client = await open_api(headers={})
    wrong, right = {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}"}

    answers = [await ask(client, "GET", "/sessions", headers=wrong) for _ in range(40)]

    assert [status for status, _, _ in answers] == [401] * 20 + [429] * 20
    _, reported, headers = answers[-1]
    assert reported["error"]["type"] == "too-many"
    assert 1 <= int(headers["Retry-After"]) <= 60
    assert (await ask(client, "GET", "/sessions", headers=right))[0] == 200
    for missing in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"}):
        assert (await ask(client, "GET", "/sessions", headers=missing))[0] == 401
    assert [(line["event"], line.get("count")) for line in lines if line["log_level"] != "debug"] == [
        ("api_token_refused", 1), ("api_tokens_limited", 1),
    ]  # fmt: skip


def test_wrong_tokens_of_many_addresses_are_one_line_a_minute():
    clock = Hands(0.0)
    wrong = WrongTokenLimiter(clock)
    with capture_logs() as lines:
        for clock.now_s in (0.0, 59.0, 60.0):
            for number in range(50):
                for _ in range(21):
                    wrong.record(f"192.0.2.{number}")
    refused = [(one["host"], one["count"]) for one in lines if one["event"] == "api_token_refused"]
    assert refused == [("192.0.2.0", 1), ("192.0.2.0", 1000)]
    assert [one["count"] for one in lines if one["event"] == "api_tokens_limited"] == [1, 50]


def test_wrong_tokens_are_counted_by_address_and_within_a_minute(monkeypatch):
    clock = Hands(0.0)
    wrong = WrongTokenLimiter(clock)
    assert [wrong.record("192.0.2.1") for _ in range(21)] == [0.0] * 20 + [60.0]
    assert wrong.record("192.0.2.2") == 0.0, "another address"
    clock.now_s = 59.0
    assert wrong.record("192.0.2.1") == 1.0
    clock.now_s = 60.0
    assert [wrong.record("192.0.2.1") for _ in range(21)] == [0.0] * 20 + [60.0]

    monkeypatch.setattr(bearer, "ADDRESSES_MAX", 3)
    for _ in range(21):
        wrong.record("198.51.100.1")
    for others, expected_s in ((2, 60.0), (3, 0.0)):  # of more than three addresses, the first is forgotten
        for number in range(others):
            wrong.record(f"203.0.113.{number}")
        assert wrong.record("198.51.100.1") == expected_s


async def test_without_the_setting_the_api_is_shut_whatever_is_sent(open_api):
    client = await open_api(CONFERRAL_API_TOKEN=None)

    for route in CLOSED:
        status, body, _ = await ask(client, route.method, path_of(route))

        assert (status, body["error"]["type"]) == (503, "not-set-up")
        assert "CONFERRAL_API_TOKEN" in body["error"]["reason"]


# ---- methods, paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_wrong_method_response_lists_allowed_methods(api, method):
    for path in {path_of(route) for route in ROUTES}:
        methods = sorted(route.method for route in ROUTES if path_of(route) == path)

        status, body, headers = await ask(api, method, path)

        assert (status, body["error"]["type"], body["error"]["allowed"]) == (405, "method", methods)
        assert headers["Allow"] == ", ".join(methods)


async def test_other_routes_of_the_application_refuse_wrong_methods_in_json_too(serve, store, metrics):
    async def alive(_request):
        return web.Response()

    app = app_of(store, metrics)
    app.router.add_get("/healthz", alive)
    client = await serve(app)
    status, body, headers = await ask(client, "POST", "/healthz")

    assert (status, body["error"]["type"], headers["Allow"]) == (405, "method", "GET")


async def test_server_of_the_process_refuses_what_has_no_route_in_json(store, metrics):
    stop, port = asyncio.Event(), free_port()
    serving = asyncio.create_task(webhooks_server.serve(app_of(store, metrics), "127.0.0.1", port, stop))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client, asyncio.timeout(30):
        while True:  # until it listens
            with suppress(aiohttp.ClientConnectorError):
                unknown, method = [(await ask(client, "PUT", path))[:2] for path in ("/nosuch", "/sessions")]
                break
            await asyncio.sleep(0.01)
    stop.set()
    await serving

    assert (unknown[0], unknown[1]["error"]["type"]) == (404, "unknown")
    assert (method[0], method[1]["error"]["type"]) == (405, "method")


async def test_the_paths_are_found_under_the_public_urls_path_too(open_api):
    client = await open_api(CONFERRAL_PUBLIC_URL="https://example.com/conferral")

    for path in ("/sessions", "/conferral/sessions"):
        assert (await ask(client, "GET", path))[0] == 200
    assert (await ask(client, "GET", "/openapi.json"))[1]["servers"] == [{"url": "https://example.com/conferral"}]


async def test_responses_are_never_cached(api):
    for path in ("/sessions", "/sessions/CS1"):
        assert (await ask(api, "GET", path))[2]["Cache-Control"] == "no-store"


@each(
    "query, reason",
    [
        ("state=gone", f"state must be one of {', '.join(STATES_AND_PHASES)}"),
        ("state=", f"state must be one of {', '.join(STATES_AND_PHASES)}"),
        ("limit=0", "limit must be a whole number, 1 to 500"),
        ("limit=501", "limit must be a whole number, 1 to 500"),
        *((f"limit={one}", "limit must be a whole number, 1 to 500") for one in ("1e2", "5.0", "%2B5", "0005", "")),
        ("cursor=", "cursor must be the cursor of the previous page"),
        ("cursor=x", "cursor must be that of the page before"),
        ("limit=1&limit=2", "limit is given more than once"),
        ("colour=red", "unknown query parameter; allowed: state, party, ref, limit, cursor"),
    ],
)
async def test_invalid_query_is_explained(api, query, reason):
    status, body, _ = await ask(api, "GET", f"/sessions?{query}")

    assert (status, body["error"]) == (422, refusal("invalid", reason))


# ---- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        pytest.param(b"{", JSON, 400, "malformed", id="cut"),
        pytest.param(b"", JSON, 400, "malformed", id="empty"),
        pytest.param(b'{"identity": "\\ud800"}', JSON, 400, "malformed", id="half"),
        pytest.param(b'{"identity": NaN}', JSON, 400, "malformed", id="nan"),
        pytest.param(b"\xff", JSON, 400, "malformed", id="bytes"),
        pytest.param(b'{"identity": "a", "\\u0069dentity": "b"}', JSON, 400, "malformed", id="twice"),
        pytest.param(b'{"identity": [{"a": 1, "a": 1}]}', JSON, 400, "malformed", id="inside"),
        pytest.param(b'{"identity": "a"}', {"Content-Type": "text/plain"}, 400, "malformed", id="type"),
        pytest.param(b'{"identity": "a"}', JSON | {"Content-Encoding": "gzip"}, 400, "malformed", id="packed"),
        pytest.param(b'{"identity": 1e400}', JSON, 400, "malformed", id="real"),
        pytest.param(b'{"identity": ' + b"9" * 5_000 + b"}", JSON, 400, "malformed", id="integer"),
        pytest.param(b'{"identity": 1e400', JSON, 400, "malformed", id="cut-large"),
        pytest.param(b"[]", JSON, 400, "malformed", id="list"),
        pytest.param(b"null", JSON, 400, "malformed", id="null"),
        pytest.param(b" " * (BODY_BYTES_MAX + 1), JSON, 413, "too-large", id="large"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(open_api, body, headers, status, kind):
    client = await open_api(headers=BEARER | headers)

    found, answer, _ = await ask(client, "POST", "/tokens", data=body, skip_auto_headers=["Content-Type"])

    assert (found, answer["error"]["type"]) == (status, kind)


async def test_a_body_that_is_nested_deeply_is_refused(open_api):
    client = await open_api(headers=BEARER | JSON)
    status, answer, _ = await ask(client, "POST", "/tokens", data=b"[" * 1_000 + b"]" * 1_000)

    # How deep json reads depends on the version of Python.
    assert (status, answer["error"]["type"]) in ((400, "malformed"), (422, "invalid"))


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413)])
async def test_a_body_of_unknown_length_has_the_same_limit(open_api, excess, status):
    client = await open_api(headers=BEARER | JSON)

    async def in_chunks():
        body = b'{"identity": "alice"}'
        yield body
        yield b" " * (BODY_BYTES_MAX - len(body) + excess)

    assert (await ask(client, "POST", "/tokens", data=in_chunks()))[0] == status


async def test_a_body_that_does_not_come_is_not_waited_for(open_api, monkeypatch):
    monkeypatch.setattr("conferral.runtime.web.json_requests.READ_DEADLINE_S", 0.01)
    client = await open_api(headers=BEARER | JSON)
    never = asyncio.Event()

    async def stalled():
        yield b"{"
        await never.wait()

    async with client.post("/tokens", data=stalled()) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (408, "timeout")
    never.set()


@each(
    "path",
    ["/", "/nosuch", "/sessionsome", "/sessions/", "/sessions/CS1/logs", "/commands", "/tokens/x", "/voice/nosuch"],
)
async def test_path_that_there_is_not_is_refused_in_json(api, lines, path):
    status, body, _ = await ask(api, "GET", path)

    assert (status, body["error"]["type"], body["error"]["allowed"]) == (404, "unknown", [])
    assert body["error"]["reason"] == "no such path; GET /openapi.json lists the API's paths"
    assert not lines  # anyone can send any number of these


# ---- what is written down ----------------------------------------------------------------------------------------


async def test_requests_are_counted_by_route_and_status_and_never_by_id(api, metrics):
    await ask(api, "GET", "/sessions/CS1")
    await ask(api, "GET", "/sessions?state=gone")

    counted = {
        tuple(sample.labels.values())
        for family in metrics.api_requests.collect()
        for sample in family.samples
        if sample.name.endswith("_count")
    }
    assert counted == {("GET /sessions/{session}", "404"), ("GET /sessions", "422")}


async def test_refusals_of_a_kind_are_logged_once_a_minute(api, lines):
    for number in range(50):
        assert (await ask(api, "GET", f"/sessions/unknown-{number}"))[0] == 404

    assert [(line["event"], line["count"]) for line in lines] == [("api_refused", 1)]


async def test_the_log_has_neither_ids_from_paths_nor_queries_nor_bodies(api, lines):
    await ask(api, "GET", "/sessions/14155550199")
    await ask(api, "GET", "/sessions?cursor=14155550199")
    await ask(api, "POST", "/tokens", json={"identity": "+14155550199"})

    assert [line["event"] for line in lines] == ["api_refused"] * 3
    assert "5550199" not in str(lines)
    assert {"url_path": "GET /sessions/{session}", "status": 404, "reason": "unknown"}.items() <= lines[0].items()


async def test_an_unexpected_error_is_answered_as_json(api, monkeypatch):
    async def fail(*_args, **_options):
        raise ZeroDivisionError("with a number, +14155550123")

    monkeypatch.setattr(SessionReader, "list_sessions", fail)
    async with api.get("/sessions") as answer:
        status, kind, text = answer.status, answer.content_type, await answer.text()

    assert (status, kind) == (500, "application/json")
    assert msgspec.json.decode(text)["error"] == refusal("internal", "an unexpected error; the process's log has it")


async def test_request_without_a_valid_token_is_its_connections_last(open_api):
    client = await open_api(headers={"Authorization": "Bearer another"} | JSON)

    async with client.post("/tokens", data=b"{}") as answer:
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
