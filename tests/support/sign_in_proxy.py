"""A small oauth2-proxy, in both of its modes: requests pass through it, or nginx asks it who is signed in.

Source: docs of oauth2-proxy 7, "Endpoints", "Integration". Who has its cookie is signed in; `/oauth2/start` plays the
company's sign-in page, at which the person of `email` signs in without a click.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import hdrs, web

from conferral.runtime.web.server import run_server

HOST = "127.0.0.1"
COOKIE = "_oauth2_proxy"
SECRET_HEADER, EMAIL_HEADER = "X-Conferral-Desk-Secret", "X-Forwarded-Email"
_DROPPED = {hdrs.TRANSFER_ENCODING.lower(), hdrs.CONTENT_LENGTH.lower(), hdrs.CONTENT_ENCODING.lower(), "connection"}


@dataclass
class SignInProxy:
    """The proxy's state."""

    upstream: str
    secret: str
    #: The person at the company's sign-in page; empty for one who doesn't sign in.
    email: str = ""
    #: Valid cookies, each with whom it names.
    sessions: dict[str, str] = field(default_factory=dict)
    port: int = 0

    def _person(self, request: web.Request) -> str:
        return self.sessions.get(request.cookies.get(COOKIE, ""), "")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        if request.path == "/oauth2/auth":
            person = self._person(request)
            return web.Response(status=202, headers={"X-Auth-Request-Email": person}) if person else _unauthorized()
        if request.path in ("/oauth2/sign_in", "/oauth2/start"):
            if not self.email:
                return web.Response(text="<h1>Sign in with your company</h1>", content_type="text/html", status=403)
            found = web.Response(status=302, headers={hdrs.LOCATION: request.query.get("rd", "/")})
            cookie = f"session-{len(self.sessions)}"
            self.sessions[cookie] = self.email
            found.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
            return found
        return await self._pass_on(request)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        person = self._person(request)
        if not person:
            if "application/json" in request.headers.get(hdrs.ACCEPT, ""):
                return _unauthorized()
            return web.Response(status=302, headers={hdrs.LOCATION: f"/oauth2/start?rd={request.path_qs}"})
        headers = request.headers.copy()
        headers[EMAIL_HEADER], headers[SECRET_HEADER] = person, self.secret
        async with (
            aiohttp.ClientSession(auto_decompress=False) as client,
            client.request(
                request.method,
                f"{self.upstream}{request.path_qs}",
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as answer,
        ):
            passed = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _DROPPED:
                    passed.headers.add(name, value)
            if hdrs.CONTENT_ENCODING in answer.headers:
                passed.headers[hdrs.CONTENT_ENCODING] = answer.headers[hdrs.CONTENT_ENCODING]
            await passed.prepare(request)
            async for chunk in answer.content.iter_any():
                await passed.write(chunk)
            await passed.write_eof()
            return passed


def _unauthorized() -> web.Response:
    return web.json_response({}, status=401)


@asynccontextmanager
async def sign_in_proxy(upstream: str, secret: str, email: str = "") -> AsyncIterator[SignInProxy]:
    """Run one in front of a server."""
    proxy = SignInProxy(upstream, secret, email)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.answer)
    async with run_server(app, HOST, 0, shutdown_s=0.1) as port:
        proxy.port = port
        yield proxy
