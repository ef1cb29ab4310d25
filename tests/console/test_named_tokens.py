"""Named tokens in the console: who signs in, what a page shows them, and what the server refuses."""

import re

import pytest
from pydantic import SecretStr

from conferral.console import app
from conferral.telephony.token_file import TokenFile
from tests.conferral.cli_helpers import CALL
from tests.console.console_helpers import BEARER, TOKEN, Page, origin, sign_in
from tests.support.token_files import bearer_of, secret_of, table, write_tokens

pytestmark = pytest.mark.redis
OWN = {"X-Conferral": "console"}
NAMES = {"dave": "client:dave", "billing": "+14155550177"}
SESSION = {"view": "session", "id": CALL}
DESK = table("desk", ["read", "hold", "transfer"], "client:")
WALL = table("wall", ["read"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.toml"


@pytest.fixture
def opened(open_console, path):
    """Serves a console with these tokens; returns a browser, and the tokens, which the test may reload."""

    async def opened(*tables, headers=None, token=TOKEN, **options):
        write_tokens(path, *tables)
        tokens = TokenFile(path, SecretStr(token) if token else None, lambda: NAMES)
        variables = {"CONFERRAL_TOKENS": str(path)}
        return await open_console(
            headers=headers or {}, token=token, variables=variables, tokens=tokens, **options
        ), tokens

    return opened


async def closed(page):
    """The code with which a page's socket is closed."""
    while not page.socket.closed:
        await page.socket.receive()
    return page.socket.close_code


async def error_of(answer):
    return answer.status, (await answer.json())["error"]["reason"]


# ---- signing in --------------------------------------------------------------------------------------------------


async def test_a_token_that_may_read_signs_in_and_its_cookie_names_it(opened, bridged, lines):
    browser, _ = await opened(DESK)

    answer = await sign_in(browser, secret_of("desk"))
    page = await Page.open(browser, {"view": "sessions"}, headers=origin(browser))
    hello = await page.next("hello")

    assert answer.status == 204
    assert re.match(r"conferral_[0-9a-f]{8}=desk\.\d+\.[0-9a-f]{64};", answer.headers["Set-Cookie"])
    assert (hello["token"], hello["may"]) == ("desk", ["hold", "read", "transfer"])
    assert (await page.next("sessions"))["rows"]
    assert [line["token_name"] for line in lines if line["event"] == "signed_in"] == ["desk"]
    assert secret_of("desk") not in str(lines)


async def test_a_token_that_may_not_read_neither_signs_in_nor_gets_a_socket(opened, lines):
    browser, _ = await opened(table("robot", ["hold"]))

    answer = await sign_in(browser, secret_of("robot"))
    page = await Page.open(browser, headers=bearer_of("robot"))

    assert await error_of(answer) == (403, "the token robot lacks the permission read")
    assert "Set-Cookie" not in answer.headers
    assert await closed(page) == 4401
    refused = [(line["reason"], line["token_name"]) for line in lines if line["event"] == "console_refused"]
    assert refused == [("forbidden", "robot")]


async def test_a_cookie_of_one_token_is_not_made_anothers(opened):
    browser, _ = await opened(DESK, table("admin", ["all"]))
    cookie = (await sign_in(browser, secret_of("desk"))).headers["Set-Cookie"].partition(";")[0]
    browser.session.cookie_jar.clear()
    for name, status in (("desk", 403), ("admin", 401), ("api", 401)):
        headers = OWN | origin(browser) | {"Cookie": cookie.replace("=desk.", f"={name}.")}
        assert (await browser.post("/dead", json={"act": "retry"}, headers=headers)).status == status, name


async def test_a_cookie_depends_on_redis_and_on_no_other_token(opened, redis):
    """Anyone who has a cookie could otherwise guess `CONFERRAL_API_TOKEN`, or make a cookie of the file."""
    browser, _ = await opened(WALL)
    cookie = (await sign_in(browser, secret_of("wall"))).headers["Set-Cookie"].partition(";")[0]
    same, _ = await opened(WALL, token="another-token-of-the-api")
    await (await Page.open(same, headers=origin(same) | {"Cookie": cookie})).next("hello")

    redis.hdel("conferral:config", "console-key")
    foreign, _ = await opened(WALL)

    assert await closed(await Page.open(foreign, headers=origin(foreign) | {"Cookie": cookie})) == 4401


async def test_one_of_several_tokens_takes_half_of_the_sockets(opened, monkeypatch):
    monkeypatch.setattr(app, "SOCKETS_MAX", 2)
    browser, _ = await opened(WALL)

    await (await Page.open(browser, headers=bearer_of("wall"))).next("hello")
    refused = await browser.get("/live", headers=bearer_of("wall"))
    await (await Page.open(browser, headers=BEARER)).next("hello")

    assert (refused.status, (await refused.json())["error"]["type"]) == (429, "too-many")


# ---- what a page shows -------------------------------------------------------------------------------------------


async def test_a_page_gets_only_the_commands_and_destinations_of_its_token(opened, bridged):
    shown, suggested = {}, {}
    browser, _ = await opened(DESK, WALL, directory=lambda: NAMES)
    for name, headers in (("desk", bearer_of("desk")), ("wall", bearer_of("wall")), ("api", BEARER)):
        found = await (await Page.open(browser, SESSION, headers=headers)).next("session")
        shown[name] = [one["type"] for one in found["buttons"]], [one["to"] for one in found["destinations"]]
        suggested[name] = {one["command"] for one in found["suggestions"]} - {"check"}

    assert shown["desk"] == (["transfer", "hold"], ["dave"])
    assert shown["wall"] == ([], ["dave", "billing"])
    assert len(shown["api"][0]) > 10
    assert shown["api"][1] == ["dave", "billing"]
    assert (suggested["desk"], suggested["wall"]) == ({"transfer"}, set())
    assert {"transfer", "end"} <= suggested["api"]


async def test_the_first_token_is_shown_to_no_other(opened):
    browser, _ = await opened(WALL, show_token=True)
    hellos = [
        await (await Page.open(browser, headers=headers)).next("hello") for headers in (BEARER, bearer_of("wall"))
    ]
    assert [hello["shown_token"] for hello in hellos] == [TOKEN, ""]


# ---- what the server refuses -------------------------------------------------------------------------------------


async def test_a_command_needs_its_permission_and_its_destinations(opened, redis, bridged):
    browser, _ = await opened(DESK)
    await sign_in(browser, secret_of("desk"))
    headers = OWN | origin(browser)
    transfer = {"type": "transfer", "session": CALL, "mode": "warm"}

    end = await browser.post("/commands", json={"type": "end", "session": CALL}, headers=headers)
    to_phone = await browser.post("/commands", json=transfer | {"to": "billing"}, headers=headers)
    assert await error_of(end) == (403, "the token desk lacks the permission end")
    assert (await error_of(to_phone))[1].startswith("the token desk may not name this destination in to: ")
    assert not redis.exists("conferral:commands")

    assert (await browser.post("/commands", json=transfer | {"to": "dave"}, headers=headers)).status == 202
    ((_, sent),) = redis.xrange("conferral:commands")
    assert (sent["to"], sent["by"]) == ("client:dave", "desk/console")


@pytest.mark.parametrize(
    ("name", "act", "status"),
    [("wall", "drop", 403), ("keeper", "drop", 200), ("keeper", "resend", 403), ("sender", "resend", 200)],
)
async def test_dead_letters_need_their_permission(opened, redis, name, act, status, lines):
    browser, _ = await opened(WALL, table("keeper", ["read", "dead"]), table("sender", ["read", "resend"]))
    await sign_in(browser, secret_of(name))
    asked = {"act": act, "ids": ["1-1"]}

    answer = await browser.post("/dead", json=asked, headers=OWN | origin(browser))

    assert answer.status == status
    assert [line["token_name"] for line in lines if line["event"] in ("dead_letters_handled", "console_refused")] == [
        name
    ]


# ---- reloading ---------------------------------------------------------------------------------------------------


async def test_a_token_that_was_removed_is_signed_out_at_once(opened, path, bridged):
    browser, tokens = await opened(DESK, WALL)
    await sign_in(browser, secret_of("desk"))
    page = await Page.open(browser, SESSION, headers=origin(browser))
    await page.next("session")

    write_tokens(path, WALL)
    tokens.reload()

    assert await closed(page) == 1012, "the page connects again"
    assert await closed(await Page.open(browser, headers=origin(browser))) == 4401
    answer = await browser.post("/commands", json={"type": "hold", "session": CALL, "party": "agent"}, headers=OWN)
    assert answer.status == 401
    assert (await sign_in(browser, secret_of("desk"))).status == 401
