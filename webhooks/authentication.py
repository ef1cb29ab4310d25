"""Request authentication: accepts requests signed by Twilio and rejects all others before anything is published.

Checks run from cheap to expensive: method, size, content type, body, signature, account, fields. An oversized body is
never hashed. Of an unsigned one, only the form is checked.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from aiohttp import web

from conferral.runtime.settings import ServiceSettings
from conferral.telephony import probe
from conferral.telephony.callback_events import FIELDS_READ, VOICE_FIELDS_READ
from conferral.webhooks.errors import RejectedError, Rejection
from conferral.webhooks.form import FIELDS_MAX, Form, parse_form
from conferral.webhooks.large_bodies import LargeBodyLimiter
from conferral.webhooks.signature import SignatureCheck

#: Maximum body, bytes. Twilio's forms stay below 10 KiB.
BODY_BYTES_MAX = 64 * 1024
#: Maximum body of a voice request, bytes. Browsers and voice bots add fields of any size.
VOICE_BODY_BYTES_MAX = 1024 * 1024
#: Read timeout, seconds. Twilio gives up after 15 s in any case; a body that trickles in is not Twilio's.
_READ_DEADLINE_S = 5.0
_SIGNATURE_HEADER = "X-Twilio-Signature"
_CONTENT_TYPE = "application/x-www-form-urlencoded"


class RequestAuthenticator:
    """Accepts requests that Twilio signed for our account."""

    def __init__(self, settings: ServiceSettings) -> None:
        tokens = [token.get_secret_value() for token in (settings.auth_token, settings.auth_token_secondary) if token]
        self._signature_check = SignatureCheck(settings.public_url, tokens)
        self._tokens = tuple(tokens)
        self._account_sid = settings.account_sid
        self._large_bodies = LargeBodyLimiter()

    @property
    def prefix(self) -> str:
        """The path of the public URL; the same routes are also served below it, in case a proxy keeps it."""
        return self._signature_check.prefix

    def is_probe(self, request: web.Request, now_s: float) -> bool:
        """Return whether an unsigned request is one by which `check` verifies that it is refused."""
        marks = request.headers.getall(probe.HEADER, ())
        if len(marks) != 1 or not request.raw_path.endswith(probe.TARGET):
            return False
        return probe.is_probe(marks[0], self._tokens, now_s)

    async def authenticate(
        self,
        request: web.Request,
        *,
        prefix_was_kept: bool,
        may_get: bool = False,
        is_voice: bool = False,
        is_new_call: bool = False,
    ) -> Form:
        """Authenticate a request and return its fields.

        Args:
            request: The request.
            prefix_was_kept: Whether its path still starts with the public URL's path.
            may_get: Whether it may be a GET. Its fields are then in the query, after our own.
            is_voice: Whether a caller waits for the answer. Then the body may be large, with any number of fields: all
                are signed, and unknown ones are ignored.
            is_new_call: Whether a browser app's parameters may be among the fields, under Twilio's names. For other
                voice requests, the first value of a repeated field counts: refusing one would cost the call.

        Raises:
            RejectedError: The request is not from Twilio, or malformed; carries the status to answer.
        """
        if may_get and request.method == "GET":
            _check_path(request)
            self._check_signature(request, Form(), prefix_was_kept=prefix_was_kept)
            form = _query_form(request)
        else:
            _check_headers(request, VOICE_BODY_BYTES_MAX if is_voice else BODY_BYTES_MAX)
            body = await _read(request, bytearray(), BODY_BYTES_MAX, asyncio.timeout(_READ_DEADLINE_S))
            if request.content.at_eof() and len(body) <= BODY_BYTES_MAX:
                form = self._signed_form(request, body, prefix_was_kept=prefix_was_kept, is_voice=is_voice)
            elif is_voice:
                form = await self._large_form(request, body, prefix_was_kept=prefix_was_kept)
            else:
                raise RejectedError(413, Rejection.TOO_LARGE)
        # The signature proves the account, but not every kind of request names it. A subaccount signs with its own
        # token; another account under the same token is not served.
        if form.get("AccountSid") not in (self._account_sid, "", None):
            raise RejectedError(403, Rejection.FOREIGN_ACCOUNT)
        if is_voice:
            _resolve_from(form)
        if form.repeated and (is_new_call or not is_voice):
            read = VOICE_FIELDS_READ if is_voice else FIELDS_READ
            if any(name in read and len(set(values)) > 1 for name, values in form.repeated.items()):
                raise RejectedError(400, Rejection.REPEATED_FIELD)
        return form

    async def _large_form(self, request: web.Request, body: bytearray, *, prefix_was_kept: bool) -> Form:
        _signature(request)  # an unsigned body is not worth the memory
        async with self._large_bodies.slot():
            await _read(request, body, VOICE_BODY_BYTES_MAX, self._large_bodies.read_timeout(_READ_DEADLINE_S))
            if len(body) > VOICE_BODY_BYTES_MAX:
                raise RejectedError(413, Rejection.TOO_LARGE)
            async with self._large_bodies.parse_lock():  # in a thread: it takes long enough to delay other callers
                return await asyncio.to_thread(
                    self._signed_form, request, body, prefix_was_kept=prefix_was_kept, is_voice=True
                )

    def _signed_form(
        self, request: web.Request, body: bytes | bytearray, *, prefix_was_kept: bool, is_voice: bool
    ) -> Form:
        is_text = True
        try:
            form = parse_form(body, fields_max=None if is_voice else FIELDS_MAX)
        except ValueError:
            if not is_voice:
                raise RejectedError(400, Rejection.MALFORMED_BODY) from None
            form, is_text = parse_form(body, fields_max=None, errors="surrogateescape"), False
        self._check_signature(request, form, prefix_was_kept=prefix_was_kept)
        return form if is_text else form.readable()

    def _check_signature(self, request: web.Request, signed: Form, *, prefix_was_kept: bool) -> None:
        if not self._signature_check.is_valid(
            request.raw_path, signed, _signature(request), prefix_was_kept=prefix_was_kept
        ):
            raise RejectedError(403, Rejection.WRONG_SIGNATURE)


def _resolve_from(form: Form) -> None:
    """Keep one `From`: browser apps may send parameters under Twilio's names.

    Twilio also sends the caller as `Caller`.
    """
    if form.repeated.pop("From", None) and form.get("Caller") and "Caller" not in form.repeated:
        form["From"] = form["Caller"]


def _signature(request: web.Request) -> str:
    signatures = request.headers.getall(_SIGNATURE_HEADER, ())
    if len(signatures) != 1:
        raise RejectedError(403, Rejection.UNSIGNED)
    return signatures[0]


def _query_form(request: web.Request) -> Form:
    query = request.raw_path.partition("?")[2].encode()
    return parse_form(query, fields_max=None, errors="surrogateescape").readable()


async def _read(
    request: web.Request, body: bytearray, bytes_max: int, deadline: AbstractAsyncContextManager[object]
) -> bytearray:
    """Read until the body is complete or exceeds `bytes_max`."""
    content = request.content
    try:
        if content.is_eof():  # already complete, as is usual: no deadline needed
            deadline = nullcontext()
        async with deadline:
            while len(body) <= bytes_max and not content.at_eof():
                body += await content.readany()
    except TimeoutError:
        raise RejectedError(408, Rejection.TOO_SLOW) from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise RejectedError(400, Rejection.MALFORMED_BODY) from None
    return body


def _check_headers(request: web.Request, bytes_max: int) -> None:
    if request.method != "POST":
        raise RejectedError(405, Rejection.METHOD)
    if (request.content_length or 0) > bytes_max:
        raise RejectedError(413, Rejection.TOO_LARGE)
    headers = request.headers
    if "Content-Encoding" in headers:  # Twilio sends none, and a small body may decompress into a huge one
        raise RejectedError(400, Rejection.CONTENT_ENCODING)
    content_type = headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != _CONTENT_TYPE:
        raise RejectedError(400, Rejection.CONTENT_TYPE)
    _check_path(request)


def _check_path(request: web.Request) -> None:
    if not request.raw_path.isascii():
        raise RejectedError(400, Rejection.MALFORMED_URL)
