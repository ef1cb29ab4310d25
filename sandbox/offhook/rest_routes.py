"""Twilio's REST API over HTTP (Twilio docs: API requests, API responses)."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote

from aiohttp import hdrs, web

from offhook.clock import monotonic_s
from offhook.faults import RestPlan
from offhook.model.media import Media
from offhook.model.messages import DebuggerEntry, RestAnswer, RestRequest
from offhook.model.rest import parameters
from offhook.model.rest.recording_routes import MEDIA_PATH
from offhook.model.rest_form import error_answer
from offhook.request_log import RestEntry
from offhook.runtime import RestHookEvent, SandboxRuntime
from offhook.web import json_text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VERSION = "/2010-04-01/Accounts/"
RECORDING_DEFAULT = "/v2/AccountDefaultConfiguration/Recording"
CONFIGURATION_PATHS = ("/v1/Webhooks/Rules", "/v1/Webhooks/Settings", RECORDING_DEFAULT)
"""What is configured for the whole account; at Twilio, each is at its product's host."""
ERRORS = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20403, "Forbidden"),
    404: (20404, "The requested resource was not found"),
    408: (16114, "The resource was not in a state to accept the recording action"),
    429: (20429, "Too Many Requests"),
    500: (20500, "An internal server error has occurred"),
    503: (20503, "Service unavailable"),
}
"""Twilio's usual code and message for the statuses of injected errors."""


def rest_handler(sandbox: SandboxRuntime) -> Handler:
    """Return the handler for the account and all paths below it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        account_sid, slash, rest = request.raw_path.partition("?")[0].removeprefix(VERSION).partition("/")
        if not slash:  # the account itself: a SID has 34 characters
            account_sid, slash, rest = account_sid.removesuffix(".json"), "", account_sid[34:]
        path = slash + "/".join(unquote(part) for part in rest.split("/"))
        if not (_is_public(sandbox, request, account_sid, path) or _is_authenticated(sandbox, request, account_sid)):
            return _respond(sandbox, error_answer(401, 20003, "Authenticate"))
        # A form is UTF-8; the charset that it names may be unknown.
        text = (await request.read()).decode(errors="replace") if request.method == "POST" else request.query_string
        params = tuple(parse_qsl(text, keep_blank_values=True))
        entry = RestEntry(sandbox.now_s, request.method, path, params)
        sandbox.request_log.rest.append(entry)
        started_s = monotonic_s()
        try:
            with sandbox.pace.request():
                return await _respond_with_faults(sandbox, request, RestRequest(request.method, path, params), entry)
        finally:
            entry.duration_ms = (monotonic_s() - started_s) * 1000
            if request.method == "GET":
                sandbox.notify_of_read()
            else:
                sandbox.notify()

    return handle


def is_twilios(request: web.Request) -> bool:
    """Whether a request is for Twilio's API, and needs its credentials."""
    return request.path.startswith(VERSION) or request.path in CONFIGURATION_PATHS


def configuration_handler(sandbox: SandboxRuntime) -> Handler:
    """Return the handler of what is configured for the account; read-only."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not _is_authenticated(sandbox, request, sandbox.account_sid):
            return _respond(sandbox, error_answer(401, 20003, "Authenticate"))
        given = RestRequest("GET", request.path, tuple(request.query.items()))
        for it in parameters.check(given, strict=sandbox.strict):
            sandbox.perform(DebuggerEntry(it.code, it.message, level=it.level, at_s=sandbox.now_s))
        if request.path != RECORDING_DEFAULT:
            kind = request.path.rpartition("/")[2].lower()
            return _respond(sandbox, RestAnswer(200, sandbox.webhook_rules.list_page(kind)))
        if not sandbox.records_all_calls:
            return _respond(sandbox, error_answer(404, *ERRORS[404]))
        configuration = {"configurationType": "Recording"}
        return _respond(sandbox, RestAnswer(200, {"account_sid": sandbox.account_sid, "configuration": configuration}))

    return handle


def _is_public(sandbox: SandboxRuntime, request: web.Request, account_sid: str, path: str) -> bool:
    """Whether it asks for a recording's file, without credentials.

    Source: Twilio docs, Recordings resource: the URLs of files need HTTP authentication if the account enforces it.
    """
    is_file = request.method == "GET" and MEDIA_PATH.fullmatch(path) is not None
    is_open = sandbox.model.behavior.recording_files == "public" and hdrs.AUTHORIZATION not in request.headers
    return is_file and is_open and account_sid == sandbox.account_sid


def _is_authenticated(sandbox: SandboxRuntime, request: web.Request, account_sid: str) -> bool:
    """Whether Basic auth has the token or API key of the path's account."""
    accepted = ((sandbox.account_sid, sandbox.auth_token), *sandbox.api_keys.items())
    given = _credentials(request.headers.get(hdrs.AUTHORIZATION, ""))
    return account_sid == sandbox.account_sid and given is not None and given in accepted


def _credentials(header: str) -> tuple[str, str] | None:
    """Return user and password of Basic auth; None for any other header.

    Source: RFC 7617, section 2: the password may have colons.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):  # no base64, or no UTF-8
        return None
    return (user, password) if colon else None


async def _respond_with_faults(
    sandbox: SandboxRuntime, request: web.Request, parsed: RestRequest, entry: RestEntry
) -> web.StreamResponse:
    """Return the model's response or a planned fault; complete the log entry.

    A fault comes before or after the model has applied the request (`plan.moment`), or cuts its response in half.
    """
    plan = sandbox.faults.plan_rest(parsed.method, parsed.path, parsed.params)
    entry.fault = plan.fault
    if plan.latency_s:
        await asyncio.sleep(plan.latency_s)
    await _run_hook(sandbox, RestHookEvent("before", parsed.method, parsed.path, parsed.params))
    is_faulty = plan.cuts_connection or plan.status or plan.corruption == "html"
    if plan.moment == "before" and is_faulty:
        return _send_fault(sandbox, request, plan, entry)
    answer = sandbox.apply(parsed).rest
    if answer is None:
        raise RuntimeError("the model gave no answer")
    entry.applied = True
    await _run_hook(sandbox, RestHookEvent("after", parsed.method, parsed.path, parsed.params, answer))
    if is_faulty:
        return _send_fault(sandbox, request, plan, entry)
    entry.status = answer.status
    entry.code = answer.body.get("code", 0) if answer.body else 0
    return await _send_half(request, answer) if plan.corruption == "half" else _respond(sandbox, answer)


async def _run_hook(sandbox: SandboxRuntime, event: RestHookEvent) -> None:
    if sandbox.on_rest is not None:
        await sandbox.on_rest(event)


def _send_fault(sandbox: SandboxRuntime, request: web.Request, plan: RestPlan, entry: RestEntry) -> web.StreamResponse:
    if plan.cuts_connection:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the connection is closed
    entry.status = plan.status or 200
    if plan.corruption:
        return web.Response(
            status=entry.status,
            text="<html>Please stand by</html>",
            content_type="text/html",
            headers={"Date": formatdate(sandbox.now_s, usegmt=True)},
        )
    usual_code, message = ERRORS.get(plan.status, (plan.status, "Refused on demand"))
    entry.code = plan.code or usual_code
    headers = {"Retry-After": str(plan.retry_after_s)} if plan.status == 429 and plan.retry_after_s else None
    return _respond(sandbox, error_answer(plan.status, entry.code, message), headers)


async def _send_half(request: web.Request, answer: RestAnswer) -> web.StreamResponse:
    body = json_text.dumps(answer.body)
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _sent_in_parts(media: Media) -> AsyncIterator[bytes]:
    for part in media.parts():
        yield part


def _respond(sandbox: SandboxRuntime, answer: RestAnswer, headers: dict[str, str] | None = None) -> web.Response:
    number = sandbox.request_log.rest.total
    all_headers = {
        "Date": formatdate(sandbox.now_s, usegmt=True),
        "Twilio-Request-Id": f"RQ{number:032x}",
        "Twilio-Concurrent-Requests": "1",
        **(headers or {}),
    }
    if (media := answer.media) is not None:
        all_headers |= {"Content-Length": str(media.size), "Content-Type": media.content_type}
        return web.Response(body=_sent_in_parts(media), status=answer.status, headers=all_headers)
    if answer.body is None:
        return web.Response(status=answer.status, headers=all_headers)
    body = json_text.dumps(answer.body)
    return web.Response(body=body, status=answer.status, content_type="application/json", headers=all_headers)
