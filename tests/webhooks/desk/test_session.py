"""Sign-in at the desk's own page: by a link or a proxy, for as long as it lasts, and for nothing else."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from multidict import CIMultiDict

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.web import bearer
from conferral.storage.sign_ins import SignIn, SignIns
from conferral.webhooks.desk import sign_ins
from tests.support.metric_values import value_of
from tests.support.token_files import table, write_tokens
from tests.webhooks.api.api_helpers import KEYS, eventually
from tests.webhooks.desk.desk_helpers import NAMES, first_sessions

pytestmark = pytest.mark.redis
URL = "http://127.0.0.1:8088/phones"
PAGE = {"Origin": "http://127.0.0.1:8088", "X-Conferral": "desk"}
HOUR_MS = 3_600_000
PROXY = {
    "CONFERRAL_DESK_PROXY_HEADER": "X-Forwarded-Email",
    "CONFERRAL_DESK_PROXY_FROM": "10.9.9.9,127.0.0.0/8",
    "CONFERRAL_DESK_PROXY_SECRET": "secret-between-proxy-and-desk",
}
FROM_PROXY = {"X-Conferral-Desk-Secret": PROXY["CONFERRAL_DESK_PROXY_SECRET"]}


@pytest.fixture
def stored(store):
    return SignIns(store, KEYS)


@pytest.fixture
def open_signed(open_desks):
    """Opens webhooks in whose name `crm` signs agents in."""

    async def opened(*tables, **changes):
        return await open_desks(*tables, CONFERRAL_DESK_URL=URL, CONFERRAL_DESK_TOKEN_NAME="crm", **changes)

    return opened


class Browser:
    """A browser with the desk's page: keeps cookies, as browsers do."""

    def __init__(self, desks):
        self.desks = desks
        self.cookies = {}
        self.set = ""

    async def ask(self, method, path, body=None, headers=PAGE):
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent = CIMultiDict([*CIMultiDict(headers).items(), *cookie.items()])
        async with self.desks.client.request(method, path, json=body or {}, headers=sent) as answer:
            self.set = answer.headers.get("Set-Cookie", "")
            for name, one in answer.cookies.items():
                self.cookies[name] = one.value
            return answer.status, (await answer.json() if answer.status != 204 else {})

    async def signs_in(self, stored, identity="alice", **more):
        code = await stored.add_code(SignIn(identity, "crm", for_ms=HOUR_MS, **more))
        status, answer = await self.ask("POST", "/desk/session", {"identity": identity, "code": code})
        assert status == 200, answer
        return answer

    async def bearer(self, identity="alice", headers=PAGE):
        status, answer = await self.ask("POST", "/desk/session/token", {"identity": identity}, headers)
        assert status == 200, answer
        return {"Authorization": f"Bearer {answer['token']}"}

    async def refusal(self, *arguments, **options):
        status, answer = await self.ask(*arguments, **options)
        return status, answer["error"]["reason"]


async def test_a_link_signs_in_once_and_its_cookie_gets_desk_tokens(open_signed, stored, metrics):
    desks, elsewhere = await open_signed(), await open_signed()
    browser = Browser(desks)
    code = await stored.add_code(SignIn("erin", "crm", for_ms=HOUR_MS))
    body = {"identity": "erin", "code": code}

    status, answer = await browser.ask("POST", "/desk/session", body)

    assert (status, answer["identity"], answer["name"]) == (200, "erin", "Erin E.")
    ((name, secret),) = browser.cookies.items()
    flags = {part.strip().partition("=")[0]: part.strip().partition("=")[2] for part in browser.set.split(";")[1:]}
    assert name.startswith("conferral_desk_")
    assert name.endswith("_erin")
    assert (flags["Path"], flags["SameSite"], "HttpOnly" in flags, "Secure" in flags) == (
        "/phones/", "Strict", True, False,
    )  # fmt: skip
    assert 3_590 <= int(flags["Max-Age"]) <= 3_600
    assert secret not in str(answer)

    assert (await browser.refusal("POST", "/desk/session", body))[0] == 401
    token = await browser.bearer("erin")
    status, own = await desks.ask("PUT", "/desk/presence", token, json={"status": "ready"})
    assert (status, own["name"]) == (200, "Erin E.")
    browser.desks = elsewhere  # as after a restart
    assert (await elsewhere.ask("GET", "/desk/parked", await browser.bearer("erin")))[0] == 200
    assert value_of(metrics.desk_sign_ins.labels("link")) == 1
    assert value_of(metrics.desk_sign_ins_refused.labels("code")) == 1


async def test_cookies_are_secure_beyond_loopback_and_for_the_pages_folder(open_desks, stored):
    desks = await open_desks(CONFERRAL_DESK_URL="https://desk.example.com", CONFERRAL_DESK_TOKEN_NAME="crm")
    browser = Browser(desks)
    code = await stored.add_code(SignIn("alice", "crm", for_ms=HOUR_MS))
    page = PAGE | {"Origin": "https://desk.example.com"}
    assert (await browser.ask("POST", "/desk/session", {"identity": "alice", "code": code}, page))[0] == 200
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in browser.set.split(";")}
    assert [name.startswith("__Host-conferral_desk_") for name in browser.cookies] == [True]
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "alice"}, page))[0] == 200


async def test_sign_ins_of_several_agents_stand_side_by_side_and_open_only_their_own(open_signed, stored):
    desks = await open_signed()
    browser = Browser(desks)
    await browser.signs_in(stored, "alice")
    await browser.signs_in(stored, "dave")

    for identity in ("alice", "dave"):
        token = await browser.bearer(identity)
        assert (await desks.ask("PUT", "/desk/presence", token, json={"status": "away"}))[1]["identity"] == identity
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "erin"}))[0] == 401
    alices = next(value for name, value in browser.cookies.items() if name.endswith("alice"))
    (daves,) = [name for name in browser.cookies if name.endswith("dave")]
    browser.cookies = {daves: alices}
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "dave"}))[0] == 401
    for path in ("/desk/parked", "/desk/events", "/agents", "/sessions"):
        assert (await browser.ask("GET", path))[0] == 401


@pytest.mark.parametrize("headers", [
    {}, {"Origin": PAGE["Origin"]}, {"X-Conferral": "desk"}, PAGE | {"X-Conferral": "console"},
    PAGE | {"Origin": "https://127.0.0.1:8088"}, PAGE | {"Origin": "http://127.0.0.1"}, PAGE | {"Origin": "null"},
    PAGE | {"Origin": f"{PAGE['Origin']}/desk"}, PAGE | {"Origin": "http://user@127.0.0.1:8088"},
    [*PAGE.items(), ("Origin", PAGE["Origin"])],
    PAGE | {"Origin": "https://crm.example.com"}, PAGE | {"Host": "evil.example.com", "Origin": "http://evil.example.com"},
])  # fmt: skip
async def test_requests_of_other_pages_do_nothing(open_signed, stored, headers):
    desks = await open_signed(CONFERRAL_DESK_ORIGINS="https://crm.example.com")
    browser = Browser(desks)
    await browser.signs_in(stored)
    code = await stored.add_code(SignIn("alice", "crm", for_ms=HOUR_MS))
    requests = (
        ("POST", "/desk/session", {"identity": "alice", "code": code}),
        ("POST", "/desk/session/token", {"identity": "alice"}),
        ("DELETE", "/desk/session", {"identity": "alice"}),
    )
    for request in requests:
        assert (await browser.ask(*request, headers=headers))[0] == 403
    for _, path, _ in requests:
        async with desks.client.options(path, headers={"Origin": "https://crm.example.com"}) as answer:
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert await browser.bearer()
    assert await stored.use_code("alice", code)


@asynccontextmanager
async def signed_in_stream(desks, token):
    async with desks.events(token) as stream:
        await first_sessions(stream)
        yield stream


@pytest.mark.parametrize("how", ["by-the-page", "by-an-operator", "by-time"])
async def test_the_end_of_a_sign_in_ends_tokens_streams_and_presence_everywhere(open_signed, stored, store, how):
    desks, elsewhere = await open_signed(), await open_signed()
    browser, other = Browser(desks), Browser(elsewhere)
    await browser.signs_in(stored)
    await other.signs_in(stored)
    token, kept = await browser.bearer(), await other.bearer()
    assert (await elsewhere.ask("PUT", "/desk/presence", token, json={"status": "ready", "desk": "d1"}))[0] == 200

    async with signed_in_stream(elsewhere, token) as stream:
        if how == "by-the-page":
            assert (await browser.ask("DELETE", "/desk/session", {"identity": "alice"}))[0] == 204
            assert list(browser.cookies.values()) == [""]
        elif how == "by-an-operator":
            assert (await stored.end("alice", everything=True)).count == 2
        else:
            for digest, one in (await stored.read()).items():
                if one.until_ms:
                    over = (await store.hget(KEYS.sign_ins, digest)).replace(str(one.until_ms).encode(), b"5")
                    await store.hset(KEYS.sign_ins, digest, over)
        async with asyncio.timeout(10):
            await stream.response.content.read()  # to its end

    async def refused():
        return (await desks.ask("GET", "/desk/parked", token))[0] == 401

    await eventually(refused)
    assert not await store.hexists(KEYS.agents, "alice")
    assert (await elsewhere.ask("PUT", "/desk/presence", token, json={"status": "ready"}))[0] == 401
    assert (await elsewhere.ask("GET", "/desk/parked", kept))[0] == (200 if how == "by-the-page" else 401)
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "alice"}))[0] == 401
    mine = await desks.bearer()  # your server's tokens end with their issuer alone
    assert (await desks.ask("GET", "/desk/parked", mine))[0] == 200


@pytest.mark.parametrize("again", ["link", "proxy"])
async def test_signing_out_ends_all_that_the_browser_was_signed_in_with(open_signed, stored, again):
    """Of two tabs, the second may have signed in again: the cookie is the last one's alone."""
    desks = await open_signed(**PROXY)
    browser, elsewhere = Browser(desks), Browser(desks)
    named = PAGE | FROM_PROXY | {"X-Forwarded-Email": "erin"}
    await browser.signs_in(stored, "erin")
    tokens = [await browser.bearer("erin")]
    for _ in range(2):
        if again == "link":
            await browser.signs_in(stored, "erin")
        else:
            assert (await browser.ask("POST", "/desk/session", None, named))[0] == 200
        tokens.append(await browser.bearer("erin", named))
    await elsewhere.signs_in(stored, "erin")
    for token in tokens:
        assert (await desks.ask("GET", "/desk/parked", token))[0] == 200

    assert (await browser.ask("DELETE", "/desk/session", {"identity": "erin"}))[0] == 204

    assert [(await desks.ask("GET", "/desk/parked", token))[0] for token in tokens] == [401] * 3
    assert await elsewhere.bearer("erin")


async def test_the_issuing_token_limits_sign_ins_and_ends_them(open_signed, stored):
    desks = await open_signed(table("crm", ["desk"], desk=["alice"]), table("ops", ["read"]))
    browser = Browser(desks)
    code = await stored.add_code(SignIn("dave", "crm", for_ms=HOUR_MS))
    assert (await browser.ask("POST", "/desk/session", {"identity": "dave", "code": code}))[0] == 401
    assert await stored.use_code("dave", code), "a refusal must not use it up"
    await browser.signs_in(stored)
    token = await browser.bearer()
    write_tokens(desks.path, table("ops", ["read"]))
    desks.tokens.reload()
    assert (await desks.ask("GET", "/desk/parked", token))[0] == 401
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "alice"}))[0] == 401


async def test_wrong_codes_are_limited(open_signed, stored):
    browser = Browser(await open_signed())
    found = [
        (await browser.ask("POST", "/desk/session", {"identity": "alice", "code": "guess"}))[0]
        for _ in range(bearer.WRONG_TOKENS_MAX + 1)
    ]
    assert found == [401] * bearer.WRONG_TOKENS_MAX + [429]
    await browser.signs_in(stored)


async def test_wrong_cookies_are_limited(open_signed, stored, lines):
    browser = Browser(await open_signed())
    await browser.signs_in(stored)
    (name,) = browser.cookies
    kept, found = dict(browser.cookies), []
    browser.cookies = {name: "guess"}
    for method, path in (("POST", "/desk/session/token"), ("DELETE", "/desk/session")) * 11:
        found.append((await browser.ask(method, path, {"identity": "alice"}))[0])
    assert found == [401] * bearer.WRONG_TOKENS_MAX + [429] * 2
    assert "api_token_refused" in [line["event"] for line in lines]
    browser.cookies = {}
    assert (await browser.ask("POST", "/desk/session/token", {"identity": "alice"}))[0] == 401, "none isn't wrong"
    browser.cookies = kept
    assert await browser.bearer()


async def test_too_many_cookies_are_refused(open_signed):
    browser = Browser(await open_signed())
    browser.cookies = {"other": "x" * 4_096}
    for method, path in (("POST", "/desk/session/token"), ("DELETE", "/desk/session")):
        status, answer = await browser.ask(method, path, {"identity": "alice"})
        assert (status, answer["error"]["type"]) == (431, "headers-too-large")


async def test_guesses_never_make_redis_read_all_sign_ins(open_signed, stored, store, monkeypatch):
    """Redis would do nothing else meanwhile, for calls neither."""
    monkeypatch.setattr(sign_ins, "READ_EVERY_S", 3_600)
    desks = await open_signed()
    browser, stranger = Browser(desks), Browser(desks)
    await browser.signs_in(stored)
    await browser.bearer()

    async def reads():
        return (await store.info("commandstats"))["cmdstat_hgetall"]["calls"]

    before = await reads()
    stranger.cookies = dict.fromkeys(browser.cookies, "guess")
    assert (await stranger.ask("POST", "/desk/session", {"identity": "alice", "code": "guess"}))[0] == 401
    assert (await stranger.ask("POST", "/desk/session/token", {"identity": "alice"}))[0] == 401
    assert (await stranger.ask("DELETE", "/desk/session", {"identity": "alice"}))[0] == 401
    assert await reads() == before


@pytest.mark.parametrize("body", [{"identity": "alice"}, {"code": "x"}, {"identity": "a@b", "code": "x"}, {"x": 1}])
async def test_other_fields_are_refused(open_signed, body):
    assert (await Browser(await open_signed()).ask("POST", "/desk/session", body))[0] == 422


async def test_while_redis_is_away_known_sign_ins_last_and_new_ones_wait(open_signed, stored, monkeypatch):
    desks = await open_signed()
    browser = Browser(desks)
    await browser.signs_in(stored)
    token = await browser.bearer()
    monkeypatch.setattr(sign_ins, "READ_EVERY_S", 0)

    async def away(*_arguments, **_options):
        raise StoreUnreachableError("Redis can't be reached")

    for name in ("read", "use_code", "end"):
        monkeypatch.setattr(SignIns, name, away)
    assert (await desks.ask("POST", "/desk/access-token", token))[0] in (200, 503)
    assert await browser.bearer()
    for request in (
        ("POST", "/desk/session", {"identity": "alice", "code": "x"}),
        ("POST", "/desk/session/token", {"identity": "dave"}),
        ("DELETE", "/desk/session", {"identity": "alice"}),
    ):
        assert await browser.refusal(*request) == (503, "Redis can't be reached")


# ---- a sign-in proxy -----------------------------------------------------------------------------------------------


async def test_a_proxy_signs_in_whom_it_names_and_must_go_on_to(open_signed, metrics):
    browser = Browser(await open_signed(**PROXY))
    named = PAGE | FROM_PROXY | {"X-Forwarded-Email": "ERIN@example.com"}

    status, answer = await browser.ask("POST", "/desk/session", None, named)

    assert (status, answer["identity"], answer["name"]) == (200, "erin", "Erin E.")
    assert await browser.bearer("erin", named)
    by_identity = PAGE | FROM_PROXY | {"X-Forwarded-Email": "erin"}
    assert await browser.bearer("erin", by_identity)
    for headers in (PAGE, PAGE | FROM_PROXY, named | {"X-Forwarded-Email": "dave"}):
        assert await browser.refusal("POST", "/desk/session/token", {"identity": "erin"}, headers=headers) == (
            401, "the sign-in proxy no longer names you: sign in there again",
        )  # fmt: skip
    assert value_of(metrics.desk_sign_ins.labels("proxy")) == 1


@pytest.mark.parametrize(("headers", "reason"), [
    ({"X-Forwarded-Email": "erin"}, "no-secret"),
    ({}, "no-secret"),
    (FROM_PROXY, "no-name"),
    ({"X-Conferral-Desk-Secret": "wrong", "X-Forwarded-Email": "erin"}, "wrong-secret"),
    (FROM_PROXY | {"X-Forwarded-Email": "erin,dave"}, "name-twice"),
    (FROM_PROXY | {"X-Forwarded-Email": "erin, "}, "name-twice"),
    (FROM_PROXY | {"X-Forwarded-Email": "alice"}, "unknown-name"),
    (FROM_PROXY | {"X-Forwarded-Email": "erin@example.org"}, "unknown-name"),
    (FROM_PROXY | {"X-Forwarded-Email": "\u00a0erin"}, "unknown-name"),
    (FROM_PROXY | {"X-Forwarded-Email": "elsewhere.example:erin"}, "unknown-name"),
    (FROM_PROXY | {"X-Forwarded-Email": ""}, "unknown-name"),
    (FROM_PROXY | {"X-Email": "erin"}, "no-name"),
])  # fmt: skip
async def test_what_does_not_clearly_name_an_agent_signs_no_one_in_and_the_log_says_why(
    open_signed, headers, reason, lines
):
    browser = Browser(await open_signed(**PROXY))
    for _ in range(2):
        assert (await browser.ask("POST", "/desk/session", None, PAGE | headers))[0] == 401
    refused = [line for line in lines if line["event"] == "desk_proxy_refused"]
    assert [(line["reason"], line["count"]) for line in refused] == [(reason, 1)]
    assert "erin" not in str(refused)
    assert ("api_token_refused" in [line["event"] for line in lines]) is (reason == "wrong-secret")


async def test_wrong_secrets_of_a_proxy_are_limited(open_signed):
    browser = Browser(await open_signed(**PROXY))
    wrong = PAGE | {"X-Conferral-Desk-Secret": "wrong", "X-Forwarded-Email": "erin"}
    found = [(await browser.ask("POST", "/desk/session", None, wrong))[0] for _ in range(bearer.WRONG_TOKENS_MAX + 1)]
    assert found == [401] * bearer.WRONG_TOKENS_MAX + [429]
    named = PAGE | FROM_PROXY | {"X-Forwarded-Email": "erin"}
    assert (await browser.ask("POST", "/desk/session", None, named))[0] == 200


@pytest.mark.parametrize(
    "named", ["accounts.google.com:Erin@example.com", "accounts.google.com:erin", "jo\u0308@example.com"]
)
async def test_googles_prefix_and_letters_of_two_characters_name_an_agent(open_signed, named, tmp_path):
    desks = await open_signed(**PROXY)
    (tmp_path / "directory.toml").write_text(NAMES + '[agents.joe]\nemail = "j\u00f6@example.com"\n')
    desks.directory.reload()
    headers = PAGE | FROM_PROXY | {"X-Forwarded-Email": named}
    status, answer = await Browser(desks).ask("POST", "/desk/session", None, headers)
    assert (status, answer["identity"]) == (200, "joe" if "jo" in named else "erin")


@pytest.mark.parametrize("doubled", ["X-Forwarded-Email", "X-Conferral-Desk-Secret"])
async def test_a_header_that_occurs_twice_is_refused(open_signed, doubled):
    desks = await open_signed(**PROXY)
    headers = list((PAGE | FROM_PROXY | {"X-Forwarded-Email": "erin"}).items())
    headers.append((doubled, dict(headers)[doubled]))
    async with ClientSession() as session:
        url = desks.client.make_url("/desk/session")
        async with session.post(url, json={}, headers=headers) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("changes", [{"CONFERRAL_DESK_PROXY_FROM": "10.0.0.0/8"}, dict.fromkeys(PROXY, "")])
async def test_the_header_counts_only_from_the_proxys_address_and_with_a_proxy(open_signed, changes):
    settings = {name: value for name, value in (PROXY | changes).items() if value}
    browser = Browser(await open_signed(**settings))
    named = PAGE | FROM_PROXY | {"X-Forwarded-Email": "erin"}
    assert (await browser.ask("POST", "/desk/session", None, named))[0] == 401
