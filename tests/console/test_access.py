"""Access: signing in, cookies, foreign pages, headers, and a read-only console."""

import re

import pytest

from conferral.console.access import COOKIE_LIFETIME_S
from conferral.runtime.web import server
from conferral.runtime.web.bearer import WRONG_TOKENS_MAX
from conferral.runtime.web.pages import HEADERS
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.coordinator import OUTCOMES, SHOWN_DEAD_AFTER_MS
from tests.conferral.cli_helpers import CALL, KEYS
from tests.console.console_helpers import BEARER, TOKEN, Page, origin, sign_in
from tests.support.hands import Hands
from tests.support.owners import owned_by

pytestmark = pytest.mark.redis
END = {"type": "end", "session": CALL}
OWN = {"X-Conferral": "console"}


def cookie_of(response):
    return response.headers["Set-Cookie"]


async def status_of(client, headers):
    """What an order without content is answered: 422 from who is signed in."""
    return (await client.post("/dead", json={}, headers=OWN | origin(client) | headers)).status


# ---- signing in --------------------------------------------------------------------------------------------------


async def test_the_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_can_use(browser):
    answer = await sign_in(browser)

    assert answer.status == 204
    assert re.fullmatch(
        rf"conferral_[0-9a-f]{{8}}=api\.\d+\.[0-9a-f]{{64}}; HttpOnly; Max-Age={COOKIE_LIFETIME_S}; SameSite=Strict",
        cookie_of(answer),
    )
    assert TOKEN not in str(answer.headers)


@pytest.mark.parametrize("given", ["", "wrong", TOKEN[:-1], TOKEN + "x", None, 17, ["a"], "\u2028"])
async def test_any_other_token_is_refused(browser, given, lines):
    answer = await sign_in(browser, given)

    assert answer.status == 401
    assert (await answer.json())["error"]["type"] == "unauthorized"
    assert "Set-Cookie" not in answer.headers
    counted = ["api_token_refused"] if given and isinstance(given, str) else []
    assert [line["event"] for line in lines] == [*counted, "console_refused"]


async def test_signing_out_requires_the_token_again(browser, redis):
    await sign_in(browser)
    assert (await browser.post("/sign-out", headers=origin(browser))).status == 204

    page = await Page.open(browser)
    await page.socket.receive()

    assert page.socket.close_code == 4401


async def test_a_cookie_holds_for_a_week_and_then_closes_the_socket_too(open_console):
    clock = Hands(wall_ms=1_800_000_000_000)
    browser = await open_console(headers={}, clock=clock)
    await sign_in(browser)
    cookies = {"Cookie": "; ".join(f"{one.key}={one.value}" for one in browser.session.cookie_jar)}

    clock.now_ms += (COOKIE_LIFETIME_S - 1) * 1000
    page = await Page.open(browser, {"view": "dead"}, headers=cookies)
    await page.next("dead")
    clock.now_ms += 1000
    while not page.socket.closed:
        await page.socket.receive()

    assert page.socket.close_code == 4401
    assert await status_of(browser, cookies) == 401


async def test_a_cookie_is_worth_nothing_under_another_token_or_when_it_was_changed(open_console, browser):
    other = await open_console(headers={}, token="another-token-of-the-api")
    value = cookie_of(await sign_in(browser)).partition(";")[0]
    name, _, signed = value.partition("=")
    _, until, signature = signed.split(".")
    browser.session.cookie_jar.clear()
    forged = [
        f"{name}=api.{int(until) + 1}.{signature}",
        f"{name}=api.{until}.{'0' * 64}",
        f"{name}=",
        f"{name}=api.1.{signature}",
        f"{name}=api.{until}.{signature}0",
        f"{name}=desk.{until}.{signature}",
        f"{name}={until}.{signature}",
    ]

    assert await status_of(browser, {"Cookie": value}) == 422
    assert await status_of(other, {"Cookie": value}) == 401
    for cookie in forged:
        assert await status_of(browser, {"Cookie": cookie}) == 401, cookie


async def test_wrong_tokens_are_limited_where_they_are_entered_and_in_headers_together(browser):
    tried = [(await sign_in(browser, f"wrong-{number}")).status for number in range(WRONG_TOKENS_MAX)]
    refused = await sign_in(browser, "wrong again")

    assert (tried, refused.status) == ([401] * WRONG_TOKENS_MAX, 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert await status_of(browser, {"Authorization": "Bearer wrong"}) == 429
    # Who knows the token can't be kept out by those who don't.
    assert await status_of(browser, {"Authorization": f"Bearer {TOKEN}"}) == 422
    assert (await sign_in(browser)).status == 204


@pytest.mark.parametrize(
    ("headers", "secure"),
    [({}, False), ({"X-Forwarded-Proto": "https"}, True), ({"X-Forwarded-Proto": "https, http"}, True),
     ({"X-Forwarded-Proto": "http"}, False)],
)  # fmt: skip
async def test_behind_tls_the_cookie_is_for_tls_alone(browser, headers, secure):
    answer = await browser.post("/sign-in", json={"token": TOKEN}, headers=headers)

    assert ("Secure" in cookie_of(answer)) is secure


# ---- pages of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},  # no Origin: no browser's script
        {"Origin": "http://evil.example", **OWN},
        {"Origin": "null", **OWN},
        {"Sec-Fetch-Site": "cross-site", **OWN},
    ],
)
async def test_a_cookie_alone_gives_no_command(browser, redis, headers, bridged):
    await sign_in(browser)

    answer = await browser.post("/commands", json=END, headers=headers)

    assert answer.status == 403
    assert (await answer.json())["error"]["type"] == "foreign"
    assert not redis.exists("conferral:commands")


async def test_another_sites_page_gets_no_socket_and_no_sign_in(browser):
    await sign_in(browser)
    foreign = {"Origin": "http://evil.example"}

    assert (await browser.get("/live", headers=foreign)).status == 403
    assert (await browser.post("/sign-in", json={"token": TOKEN}, headers=foreign)).status == 403
    assert (await browser.post("/sign-out", headers=foreign)).status == 403


NAMES = ("localhost", "127.0.0.1", "console.localhost:1", "Console.Example.com:443", "evil.example", "")


@pytest.mark.parametrize(
    ("options", "answered"),
    [
        ({}, [True, True, True, False, False, False]),
        ({"allowed_hosts": ("console.example.com",)}, [True, True, True, True, False, False]),
        ({"allowed_hosts": None}, [True] * 6),
    ],
)
async def test_console_accepts_only_allowed_host_names(open_console, options, answered):
    """A page of someone's whose name was made to lead here would else be taken for ours by the browser."""
    browser = await open_console(headers={}, **options)

    for path, status in (("/", 200), ("/static/main.js", 200), ("/live", 400)):
        found = [(await browser.get(path, headers={"Host": name})).status for name in NAMES]
        assert found == [status if fine else 403 for fine in answered], path
    body = {"token": TOKEN}
    signed_in = [(await browser.post("/sign-in", json=body, headers={"Host": name})).status for name in NAMES]
    assert signed_in == [204 if fine else 403 for fine in answered]
    # A supervisor probes the process by its address, and learns nothing.
    assert [(await browser.get("/healthz", headers={"Host": name})).status for name in NAMES] == [200] * 6


# ---- read-only ---------------------------------------------------------------------------------------------------


async def test_a_read_only_console_refuses_every_change_and_says_so_at_once(open_console, redis, bridged):
    console = await open_console(read_only=True)

    command = await console.post("/commands", json=END)
    dead = await console.post("/dead", json={"act": "drop", "reason": "", "count": 0})
    page = await Page.open(console, {"view": "sessions"})

    assert (command.status, dead.status) == (403, 403)
    assert (await command.json())["error"]["type"] == "read-only"
    assert (await page.next("hello"))["read_only"] is True
    assert (await page.next("sessions"))["rows"]
    assert not redis.exists("conferral:commands")


# ---- headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/nothing"),
     ("POST", "/commands"), ("GET", "/static/shared/vendor/preact.mjs"),
     ("GET", "/live")],
)  # fmt: skip
async def test_every_answer_carries_the_headers_that_keep_a_page_safe(browser, method, path):
    answer = await browser.request(method, path)

    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


async def test_console_responses_are_not_stored_by_any_cache(console, bridged):
    answer = await console.post("/commands", json=END)

    assert (answer.ok, answer.headers["Cache-Control"]) == (True, "no-store")


async def test_without_a_token_only_the_page_its_files_and_health_are_answered(browser):
    open_to_all = ("/", "/healthz", "/readyz", "/static/shared/icon.svg")

    assert [(await browser.get(path)).status for path in open_to_all] == [200] * len(open_to_all)
    assert (await browser.post("/commands", json=END)).status == 401
    assert (await browser.post("/dead", json={})).status == 401
    assert BEARER["Authorization"] not in await (await browser.get("/")).text()


async def test_readyz_says_that_no_outcome_is_delivered(browser, redis):
    redis.hset(KEYS.sending_state, mapping={"failing_since": 1_800_000_000_000, "failing_reason": "HTTP 503"})
    renewed_at_ms = redis.time()[0] * 1000 + SHOWN_DEAD_AFTER_MS - 500
    redis.hset(KEYS.owners, OUTCOMES, owned_by("w1", renewed_at_ms))
    body = await (await browser.get("/readyz")).json()
    line = "outcomes: none delivered since 2027-01-15T08:00:00.000Z: HTTP 503"
    assert body == {"ready": True, "missing": [], "warnings": [line]}


@pytest.mark.parametrize("change", [{"schema": SCHEMA_VERSION + 1}, {"schema": "abc"}, {"partitions": "abc"}])
async def test_running_console_keeps_what_it_read_when_the_configuration_changes(browser, redis, monkeypatch, change):
    monkeypatch.setattr(server, "RESULT_TTL_S", 0.0)
    assert (await browser.get("/readyz")).status == 200
    redis.hset(KEYS.config, mapping=change)
    body = await (await browser.get("/readyz")).json()
    assert (body["ready"], body["missing"]) == (True, [])
    assert [line for line in body["warnings"] if line.startswith("conferral:config in Redis has ")] == body["warnings"]
    assert len(body["warnings"]) == 1
    redis.hset(KEYS.config, mapping={"schema": SCHEMA_VERSION, "partitions": KEYS.partitions})
    assert (await (await browser.get("/readyz")).json())["warnings"] == []


@pytest.mark.parametrize("view", ["sessions", "agents", "health", "dead"])
async def test_views_typed_as_paths_lead_to_the_page(browser, view):
    answer = await browser.get(f"/{view}", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, f"./#{view}"), "relative, for a proxy's path"


async def test_long_body_is_not_parsed_before_the_token_is_known(browser):
    body = {"token": [{}] * 300}
    answer = await browser.post("/sign-in", json=body, headers=origin(browser))

    assert (answer.status, answer.headers["Connection"]) == (413, "close")
