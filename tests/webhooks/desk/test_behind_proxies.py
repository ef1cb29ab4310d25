"""Sign-in through the shipped nginx and Caddy: by links, and by a sign-in proxy, whose headers no client can forge."""

from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from conferral.storage.sign_ins import SignIn, SignIns
from tests.support.ports import free_port
from tests.support.proxies import DeskProxy, proxy
from tests.support.sign_in_proxy import sign_in_proxy
from tests.webhooks.api.api_helpers import KEYS, eventually

pytestmark = [pytest.mark.redis, pytest.mark.processes]
SECRET = "secret-between-proxy-and-desk"
ERIN = "Erin@example.com"
#: Each of these would sign Erin in, if it came from the proxy.
FORGED = {"X-Conferral-Desk-Secret": SECRET, "X-Forwarded-Email": ERIN, "X-Email": ERIN}


def proxy_settings(header):
    return {
        "CONFERRAL_DESK_PROXY_HEADER": header,
        "CONFERRAL_DESK_PROXY_FROM": "127.0.0.1",
        "CONFERRAL_DESK_PROXY_SECRET": SECRET,
    }


class Page:
    """The desk's page in a browser that keeps cookies."""

    def __init__(self, client, url, host=""):
        self.client, self.url = client, url
        self.headers = {"X-Conferral": "desk", "Accept": "application/json"}
        self.headers |= {"Host": host, "Origin": f"https://{host}"} if host else {"Origin": url}
        self.cookies = {}

    async def ask(self, method, path, body=None, headers=None):
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent = self.headers | (headers or {}) | cookie
        async with self.client.request(
            method, f"{self.url}{path}", json=body or {}, headers=sent, allow_redirects=False
        ) as answer:
            self.cookies |= {name: one.value for name, one in answer.cookies.items()}
            return answer.status, (await answer.json() if answer.content_type == "application/json" else {})


@asynccontextmanager
async def paged(url, host=""):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield Page(client, url, host)


async def bearer_of(page, identity="erin"):
    status, answer = await page.ask("POST", "/desk/session/token", {"identity": identity})
    assert status == 200, answer
    return {"Authorization": f"Bearer {answer['token']}"}


@pytest.mark.parametrize("program", ["nginx", "caddy"])
async def test_a_link_signs_in_and_forged_headers_sign_no_one_in(open_desks, store, program, tmp_path: Path):
    """The client knows the secret, and requests come from an address that is believed."""
    host = "desk.example.com"
    names = {"CONFERRAL_DESK_URL": f"https://{host}", "CONFERRAL_DESK_TOKEN_NAME": "crm"}
    opened = [await open_desks(**names, **proxy_settings(header)) for header in ("X-Forwarded-Email", "X-Email")]
    for desks in opened:
        async with paged(f"http://127.0.0.1:{desks.client.port}", host) as page:
            assert (await page.ask("POST", "/desk/session", headers=FORGED))[0] == 200, "no proxy removes them"
        with proxy(program, tmp_path, desks.client.port) as port:
            async with paged(f"http://127.0.0.1:{port}", host) as page:
                await _link_works_and_forgery_does_not(page, store)


async def _link_works_and_forgery_does_not(page, store):
    for name in ("", "voice.example.com"):
        for path in ("/desk/session", "/desk//session", "/desk/./session", "/voice/../desk/session", "/desk/session/"):
            headers = FORGED | ({"Host": name} if name else {})
            assert (await page.ask("POST", path, headers=headers))[0] in (308, 401, 404, 405), path
    lower = {header.lower().replace("-", "_"): value for header, value in FORGED.items()}
    assert (await page.ask("POST", "/desk/session", headers=lower))[0] == 401
    assert not page.cookies

    code = await SignIns(store, KEYS).add_code(SignIn("erin", "crm", for_ms=3_600_000))
    status, answer = await page.ask("POST", "/desk/session", {"identity": "erin", "code": code}, FORGED)
    assert (status, answer.get("name")) == (200, "Erin E."), answer
    token = await bearer_of(page)
    async with page.client.get(f"{page.url}/desk/events", headers=page.headers | token) as stream:
        assert (await stream.content.readline()).startswith(b"event: ")
        assert (await page.ask("DELETE", "/desk/session", {"identity": "erin"}))[0] == 204
        await stream.content.read()  # to its end

    async def refused():
        return (await page.ask("GET", "/desk/parked", headers=token))[0] == 401

    await eventually(refused)


@pytest.mark.parametrize("program", ["nginx", "caddy"])
async def test_the_shipped_proxies_remove_each_header_of_a_sign_in_proxy_on_every_path(serve, program, tmp_path: Path):
    async def echo(request):
        return web.json_response(dict(request.headers))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    upstream = await serve(app)
    hosts = {"voice.example.com": ("/voice/inbound", "/callbacks/x", "/media/x")}
    hosts["desk.example.com"] = ("/desk", "/desk/session", "/desk/session/token", "/desk/calls", "/desk/x.js")
    with proxy(program, tmp_path, upstream.port) as port:
        for host, paths in hosts.items():
            async with paged(f"http://127.0.0.1:{port}", host) as page:
                for path in paths:
                    status, arrived = await page.ask("POST", path, headers={**FORGED, "X-Kept": "yes"})
                    assert (status, arrived.get("X-Kept")) == (200, "yes")
                    assert not FORGED.keys() & {*arrived}, path
                    assert host != "desk.example.com" or arrived["Host"] == host
                    assert host != "desk.example.com" or arrived["X-Forwarded-Proto"] == "http"  # as the test asks


@pytest.mark.parametrize("is_asked", [True, False], ids=["auth-request", "reverse-proxy"])
async def test_a_sign_in_proxy_behind_nginx_says_who_the_agent_is(open_desks, is_asked, tmp_path: Path):
    port = free_port()
    desks = await open_desks(
        CONFERRAL_DESK_URL=f"http://127.0.0.1:{port}",
        CONFERRAL_DESK_TOKEN_NAME="crm",
        **proxy_settings("X-Email" if is_asked else "X-Forwarded-Email"),
    )
    webhooks = f"http://127.0.0.1:{desks.client.port}"
    async with sign_in_proxy(webhooks, SECRET, ERIN) as other, paged(f"http://127.0.0.1:{port}") as page:
        options = {"port": port, "desk": DeskProxy(other.port, is_asked, SECRET)}
        with proxy("nginx", tmp_path, desks.client.port, **options):
            assert (await page.ask("POST", "/desk/session", headers=FORGED))[0] == 401
            assert (await page.ask("GET", "/desk", headers={"Accept": "text/html"}))[0] == 302
            assert (await page.ask("GET", "/oauth2/start?rd=/desk"))[0] == 302

            others = {"X-Forwarded-Email": "dave", "X-Email": "dave"}
            status, answer = await page.ask("POST", "/desk/session", headers=others)
            assert (status, answer.get("identity")) == (200, "erin"), answer
            token = await bearer_of(page)
            assert (await page.ask("PUT", "/desk/presence", {"status": "ready"}, token))[1]["identity"] == "erin"
            assert (await page.ask("GET", "/desk", headers={"Accept": "text/html"}))[0] == 200

            other.sessions.clear()
            assert (await page.ask("POST", "/desk/session/token", {"identity": "erin"}, FORGED))[0] == 401
            # A call goes on, with the desk token, where nginx asks about the sign-in alone.
            status, answer = await page.ask("POST", "/desk/sessions/gone/commands", {"type": "end"}, token)
            assert (status, "error" in answer) == ((404, True) if is_asked else (401, False))
