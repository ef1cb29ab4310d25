"""The desk's page and files, and who may use them from other origins.

Only the files that are here when the process starts are served. Pages of `CONFERRAL_DESK_ORIGINS` may embed the desk:
they get its files and its requests by CORS. `POST /desk/tokens` takes an API token, so no page gets that; sign-ins are
for the desk's own page.
"""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from conferral.runtime.settings import ServiceSettings
from conferral.runtime.urls import is_twilio_url, origin_of
from conferral.runtime.web.pages import HEADERS, SHARED_FOLDER
from conferral.runtime.web.server import SharedResult
from conferral.webhooks.api.app import prefixes
from conferral.webhooks.api.parameters import KEY_HEADER

DESK_PATH = "/desk"
#: Of a server, and of the desk's own page: pages of other origins get nothing from them.
_OWN_PATHS = (f"{DESK_PATH}/tokens", f"{DESK_PATH}/session", f"{DESK_PATH}/session/token")
_FOLDER = Path(__file__).parent / "static"
_INDEX = "index.html"
_PAGE = (_FOLDER / _INDEX).read_text("utf-8")
#: Of the one script in the page itself, which loads the others.
_SCRIPT = _PAGE.partition('<script type="module">')[2].partition("</script>")[0]
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
#: Tells the page that a sign-in proxy may say who the agent is.
_PROXY_MARK = "<body data-sign-in-proxy>"
#: Twilio's Voice SDK, as vendored.
_SDK_FILE = SHARED_FOLDER / "vendor" / "twilio-voice-sdk.js"
#: The same for the local Twilio, if `TWILIO_API_URL` is its URL.
_SANDBOX_SDK_PATH = "/sandbox/voice-sdk.js"
_SDK_TIMEOUT_S, _SDK_TTL_S = 2.0, 5.0
#: What the SDK connects to and plays. Source: README of `@twilio/voice-sdk`, "Content Security Policies (CSP)"; the
#: hosts of other edges and regions are below the same domain.
_TWILIO_CONNECT = "https://*.twilio.com wss://*.twilio.com https://media.twiliocdn.com"
_TWILIO_MEDIA = "mediastream: https://media.twiliocdn.com https://sdk.twilio.com"
#: How long browsers keep a preflight's answer, seconds.
_PREFLIGHT_TTL_S = 600
_METHODS = f"{hdrs.METH_GET}, {hdrs.METH_POST}, {hdrs.METH_PUT}"
_REQUEST_HEADERS = f"{hdrs.AUTHORIZATION}, {hdrs.CONTENT_TYPE}, {KEY_HEADER}"


class VoiceSdk:
    """Where the desk gets the SDK from: this server, or a local Twilio."""

    def __init__(self, api_url: str) -> None:
        self._url = "" if is_twilio_url(api_url) else f"{api_url}{_SANDBOX_SDK_PATH}"
        self._is_there = SharedResult(self._ask, _SDK_TTL_S)

    async def sandbox_url(self) -> str:
        """Return the URL of the local Twilio's SDK; empty without one."""
        return self._url if self._url and await self._is_there() else ""

    async def _ask(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SDK_TIMEOUT_S)) as session,
                session.get(self._url, allow_redirects=False) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def content_security_policy(sdk_url: str) -> str:
    """Return the page's policy. Source: W3C, Content Security Policy Level 3."""
    script, connect = "", ""
    if sdk_url:
        origin = origin_of(sdk_url)
        script, connect = f" {origin}", f" {origin} {origin.replace('http', 'ws', 1)}"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{_HASH}'{script}",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self' {_TWILIO_CONNECT}{connect}",
            f"media-src 'self' blob: {_TWILIO_MEDIA}{script}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class DeskPages:
    """Serves the page and the files, and allows other origins."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._origins = frozenset(settings.desk_origins)
        self._sdk = VoiceSdk(settings.api_url)
        self._html = _PAGE.replace("<body>", _PROXY_MARK) if settings.desk_proxy_header else _PAGE
        self._folders = tuple(f"{prefix}{DESK_PATH}/" for prefix in prefixes(settings))

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Add the routes below a path."""
        app.router.add_get(prefix + DESK_PATH, self._page)
        app.router.add_get(f"{prefix}{DESK_PATH}/", _without_slash)
        app.router.add_get(f"{prefix}{DESK_PATH}/voice-sdk.js", self._voice_sdk)
        for name, path in _files():
            app.router.add_get(f"{prefix}{DESK_PATH}/{name}", _serving(path))

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        policy = content_security_policy(await self._sdk.sandbox_url())
        headers = {"Content-Security-Policy": policy}
        return web.Response(text=self._html, content_type="text/html", headers=headers)

    async def _voice_sdk(self, _request: web.Request) -> web.StreamResponse:
        if url := await self._sdk.sandbox_url():
            return web.Response(status=302, headers={hdrs.LOCATION: url})
        return web.FileResponse(_SDK_FILE)

    def allow_preflights(self, app: web.Application, path: str) -> None:
        """Answer the preflights of a path, which may be a pattern."""
        if self._origins and not path.endswith(_OWN_PATHS):
            app.router.add_route(hdrs.METH_OPTIONS, path, self._preflight)

    async def _preflight(self, _request: web.Request) -> web.Response:
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_TTL_S),
        }
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add headers to an answer below `/desk` (for `on_response_prepare`)."""
        if not f"{request.path}/".startswith(self._folders):
            return
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(self)"
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-cache")  # after an upgrade, no outdated modules
        if self._origins and not request.path.endswith(_OWN_PATHS):
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            response.headers[hdrs.VARY] = hdrs.ORIGIN
            if (origin := request.headers.get(hdrs.ORIGIN, "")) in self._origins:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = f"{hdrs.DATE}, {hdrs.RETRY_AFTER}"


async def _without_slash(request: web.Request) -> web.StreamResponse:
    """Lead to the page, whose files are relative to its address."""
    query = request.rel_url.raw_query_string
    return web.Response(status=308, headers={hdrs.LOCATION: f"..{DESK_PATH}{'?' * bool(query)}{query}"})


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the files' paths below `/desk`, and where they are."""
    for folder, below in ((_FOLDER, ""), (SHARED_FOLDER, "shared/")):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name != _INDEX:
                yield below + name, path


def _serving(path: Path) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return serve
