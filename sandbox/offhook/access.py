"""Who may use the phones' page and the control routes.

On loopback, everyone on this machine. But other sites' pages in a browser on this machine must not place calls here,
neither through cross-site requests nor through DNS rebinding. Elsewhere, those who have the control token: a program
sends it with each request, a browser once, in the page's URL, and then as a cookie.

Pages with the Voice SDK are your application's, at another port or name of these hosts, and have an access token.
"""

from hmac import compare_digest

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from offhook.browser_routes import PATHS as BROWSER_PATHS
from offhook.rest_routes import is_twilios
from offhook.runtime import SandboxRuntime
from offhook.web.pages import host_name, is_loopback_header, is_same_origin, sent_cookie

PAGE = "/"
_COOKIE = "offhook"


def access_middleware(sandbox: SandboxRuntime) -> Middleware:
    """Return the middleware that refuses requests, with the reason.

    Twilio's paths have credentials of their own, but the demo's are public: there, pages can't change anything.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_twilios(request):
            problem = "no page of a browser may ask for this" if hdrs.ORIGIN in request.headers else ""
            return _refusal(403, problem) if problem else await handler(request)
        if problem := _origin_problem(request, sandbox.allow_hosts):
            return _refusal(403, problem)
        if not sandbox.control_token or request.path in BROWSER_PATHS:
            return await handler(request)
        if not _has_token(request, sandbox.control_token):
            return _refusal(401, "this needs the sandbox's token: `Authorization: Bearer TOKEN`, or `?token=TOKEN`")
        response = await handler(request)
        if request.path == PAGE:
            response.set_cookie(_COOKIE, sandbox.control_token, httponly=True, samesite="Strict")
        return response

    return check


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


def _origin_problem(request: web.Request, allow_hosts: tuple[str, ...]) -> str:
    """Return why a request isn't from here, or empty."""

    def is_ours(host: str) -> bool:
        return is_loopback_header(host) or host_name(host) in allow_hosts

    if not is_ours(request.headers.get(hdrs.HOST, "localhost")):
        return "open it at one of this machine's addresses, such as 127.0.0.1, or start it with --allow-host NAME"
    if request.path in BROWSER_PATHS:
        _, _, page_host = request.headers.get(hdrs.ORIGIN, "http://localhost").partition("://")
        return "" if is_ours(page_host) else "this page is on none of this machine's addresses, nor of --allow-host"
    reads_only = request.method in {"GET", "HEAD"} and request.path != "/sandbox/live"
    return "" if reads_only or is_same_origin(request) else "this request comes from another site's page"


def _has_token(request: web.Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        request.query.get("token", ""),
        sent_cookie(request, _COOKIE),
    )
    return any(compare_digest(one.encode(errors="surrogateescape"), token.encode()) for one in given)  # any bytes
