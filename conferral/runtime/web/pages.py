"""Web pages: documents, their files, and headers that restrict browsers."""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

#: Shared by all pages: libraries, style, small helpers.
SHARED_FOLDER = Path(__file__).parent / "static"
#: Import map: bare module names and their paths. Relative, so that a page can be served below any path.
_IMPORTS = {
    "preact": "vendor/preact.mjs",
    "preact/hooks": "vendor/preact-hooks.mjs",
    "htm": "vendor/htm.mjs",
    "htm/preact": "vendor/htm-preact.mjs",
    "@preact/signals": "vendor/preact-signals.mjs",
    "@preact/signals-core": "vendor/preact-signals-core.mjs",
}
_IMPORT_MAP = '{"imports":{' + ",".join(f'"{name}":"./static/shared/{path}"' for name, path in _IMPORTS.items()) + "}}"
_HASH = base64.b64encode(hashlib.sha256(_IMPORT_MAP.encode()).digest()).decode()
#: Source: W3C, Content Security Policy Level 3; OWASP, HTTP Headers Cheat Sheet.
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{_HASH}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
#: The longest `Host` (characters): a name has at most 253. Source: RFC 1035, section 2.3.4.
HOST_MAX = 255
#: The longest `Cookie` in which one is looked for (characters).
COOKIE_MAX = 4_096
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/?#@\[\]\\]+?)\.?)(?::[0-9]{0,5})?")
#: Only our own pages' scripts can send this header, with the page's name.
PAGE_HEADER = "X-Conferral"
_PAGE = """<!doctype html>
<html lang="en" translate="no">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="./static/shared/icon.svg" type="image/svg+xml">
{styles}
<script type="importmap">{imports}</script>
{modules}
</head>
<body>
<div id="page"><noscript>This page needs JavaScript.</noscript>Loading… If this stays, load the page again.</div>
</body>
</html>
"""


def page(title: str, *, styles: Sequence[str], modules: Sequence[str]) -> str:
    """Return a page's document; styles and modules are below `static/`."""
    return _PAGE.format(
        title=html.escape(title),
        styles="\n".join(f'<link rel="stylesheet" href="./static/{name}">' for name in styles),
        imports=_IMPORT_MAP,
        modules="\n".join(f'<script type="module" src="./static/{name}"></script>' for name in modules),
    )


def static_routes(folder: Path) -> list[web.StaticDef]:
    """Return the routes to a page's files, and to those that pages share."""
    return [web.static("/static/shared", SHARED_FOLDER), web.static("/static", folder)]


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer (for `on_response_prepare`)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Revalidate every time: after an upgrade, a page must not run with outdated modules.
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-cache")


def is_same_origin(request: web.Request) -> bool:
    """Whether a request comes from a page of this server, or no browser.

    Check it for every change and every WebSocket: a foreign page must not use the rights of a person who has ours open.
    Source: RFC 6454, section 7.
    """
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if not origins:
        return request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
    host = request.headers.get(hdrs.HOST, "")
    # Browsers omit the scheme's default port in both headers. No parser: anyone may send 8 KB that take it seconds.
    return len(host) <= HOST_MAX and origins == [f"{'https' if is_https(request) else 'http'}://{host.lower()}"]


def is_from_own_page(request: web.Request, page: str) -> bool:
    """Whether only a script of our own page can have sent a request's headers.

    Other sites' forms and images can't send `PAGE_HEADER`. `page` is its value.
    """
    return hdrs.ORIGIN in request.headers and request.headers.get(PAGE_HEADER) == page


def sent_cookie(request: web.Request, name: str) -> str:
    """Return a cookie's value; empty without one.

    Only this one is looked for: to parse all of a stranger's takes long. Raise HTTPException if there is too much.
    Source: RFC 6265, section 5.4.
    """
    sent = request.headers.getall(hdrs.COOKIE, [])
    if sum(map(len, sent)) > COOKIE_MAX:
        raise web.HTTPRequestHeaderFieldsTooLarge
    return "; ".join(("", *sent)).partition(f"; {name}=")[2].partition(";")[0].strip()


def is_https(request: web.Request) -> bool:
    """Whether the browser uses TLS, with us or with a proxy."""
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    return (forwarded or request.scheme) == "https"


def host_name(host: str) -> str:
    """Return a `Host` header's name in lower case; empty if there is none."""
    found = _HOST.fullmatch(host.lower()) if len(host) <= HOST_MAX and host.isascii() else None
    return (found[1] or found[2]) if found else ""


def without_target_host(make: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Return a factory of requests that ignores a host in the target.

    aiohttp would decode it, which takes 80 ms for some names of 8 KB. Ours are known by other means.
    """

    def make_request(message: RawRequestMessage, *arguments: object) -> web.BaseRequest:
        if message.url.absolute:
            message = message._replace(url=message.url.relative())
        return make(message, *arguments)

    return make_request


def is_loopback_header(host: str) -> bool:
    """Whether a `Host` header can only mean this machine.

    A foreign name may resolve to this machine, too (DNS rebinding); a browser would treat a foreign page as ours.
    """
    name = host_name(host)
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False
