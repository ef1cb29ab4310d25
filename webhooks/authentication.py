"""Request authentication: accepts only requests that Twilio has signed.

Checks run from cheap to expensive. The body of an unsigned request is never read, and an oversized one never hashed.
"""

import asyncio
import hmac
from binascii import b2a_base64
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlparse

from aiohttp import hdrs, web
from twilio.request_validator import add_port, remove_port

from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.json_requests import content_length
from conferral.telephony import number_setup
from conferral.telephony.callback_events import FIELDS_READ, VOICE_FIELDS_READ
from conferral.webhooks.responses import RejectedError, Rejection
from conferral.webhooks.server import LargeBodyLimiter


class Form(dict[str, str]):
    """Fields by name, the first value of each."""

    __slots__ = ("repeated",)

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields)
        #: Names that were sent more than once, with all their values.
        self.repeated: dict[str, list[str]] = {}

    def signed_text(self) -> str:
        """Return names and values in Twilio's signing order."""
        # Source: Twilio docs, "Webhooks security"; twilio-python, `compute_signature`.
        return "".join(
            [name + value for name in sorted(self) for value in sorted(set(self.repeated.get(name, (self[name],))))]
        )

    def readable(self) -> "Form":
        """Return the fields with U+FFFD instead of bytes that are not UTF-8."""
        form = Form({})
        for name, value in self.items():
            form.setdefault(_readable(name), _readable(value))
        for name, values in self.repeated.items():
            form.repeated.setdefault(_readable(name), [_readable(value) for value in values])
        return form


def _readable(text: str) -> str:
    """Replace surrogate escapes (bytes that are not UTF-8) by U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def parse_form(body: bytes | bytearray, *, errors: str = "strict") -> Form:
    """Parse an `application/x-www-form-urlencoded` body, or a GET's query.

    `errors="surrogateescape"` keeps bytes that are not UTF-8; `strict` raises UnicodeDecodeError. Blank values are
    kept: they are signed, too. Source: WHATWG URL standard, section 5.1.
    """
    fields = parse_qsl(body.decode(errors=errors), keep_blank_values=True, errors=errors)
    form = Form(dict(reversed(fields)))  # the first value of a name wins
    if len(form) < len(fields):
        for name, value in fields:
            form.repeated.setdefault(name, []).append(value)
        form.repeated = {name: values for name, values in form.repeated.items() if len(values) > 1}
    return form


class SignatureCheck:
    """Verifies X-Twilio-Signature. Source: Twilio docs, "Webhooks security"."""

    def __init__(self, public_url: str, tokens: Sequence[str]) -> None:
        """Take a URL without a trailing slash; two tokens during a rotation."""
        parsed = urlparse(public_url)
        # Twilio signs the URL with or without its port; like the library, accept both.
        without_port, with_port = str(remove_port(parsed)), str(add_port(parsed))
        #: The path of the public URL, such as `/conferral`; empty without one.
        self._prefix = parsed.path
        bases = dict.fromkeys(base.removesuffix(parsed.path) for base in (public_url, without_port, with_port))
        self._bases = tuple(base.encode() for base in bases)
        self._tokens = tuple(token.encode() for token in tokens)

    def is_valid(self, target: str, form: Form, signature: str, *, prefix_was_kept: bool) -> bool:
        """Whether one of the tokens signed `target`, as sent (undecoded)."""
        # The URL is the configured one: anyone can put anything into Host or X-Forwarded-*. A proxy may strip its path.
        # Sort only once, for a third of the time. Twilio signs bytes, so restore those that are not UTF-8.
        text = (target if prefix_was_kept else self._prefix + target) + form.signed_text()
        signed = text.encode("utf-8", "surrogateescape")
        # Headers may hold any byte; comparing as text would fail for non-ASCII ones.
        given = signature.encode("utf-8", "surrogateescape")
        valid = False
        for token in self._tokens:  # always try every token, so that timing does not reveal which one matched
            for base in self._bases:
                expected = b2a_base64(hmac.digest(token, base + signed, "sha1"), newline=False)
                if hmac.compare_digest(expected, given):
                    valid = True
                    break
        return valid


#: Maximum body, bytes. Twilio's forms stay below 10 KiB.
BODY_BYTES_MAX = 64 * 1024
#: Maximum fields, count. Twilio sends about 25. So many take a twentieth of a second to parse.
FIELDS_MAX = 512
#: Maximum body of a voice request, bytes. Browsers and voice bots add fields of any number and size.
VOICE_BODY_BYTES_MAX = 1024 * 1024
#: Read timeout, seconds; Twilio gives up after 15 s. A body that trickles in is not Twilio's.
_READ_DEADLINE_S = 5.0
_SIGNATURE_HEADER = "X-Twilio-Signature"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a route accepts."""

    #: Whether its path still starts with the public URL's path.
    prefix_was_kept: bool
    #: Whether a caller waits for the answer. Then the body may be large.
    is_voice: bool
    #: Whether a browser's parameters may have Twilio's names. In other voice requests, a repeated field's first value
    #: counts: refusing one would cost the call.
    is_new_call: bool


class RequestAuthenticator:
    """Accepts requests that Twilio signed for our account."""

    def __init__(self, settings: ServiceSettings) -> None:
        tokens = [token.get_secret_value() for token in (settings.auth_token, settings.auth_token_secondary) if token]
        self._signature_check = SignatureCheck(settings.public_url, tokens)
        self._tokens = tuple(tokens)
        self._account_sid = settings.account_sid
        self._large_bodies = LargeBodyLimiter()

    def is_probe(self, request: web.Request, now_s: float) -> bool:
        """Whether `conferral check` sent it, unsigned; `now_s` is Unix time."""
        proof = _only(request, number_setup.HEADER)
        if proof is None or not request.raw_path.endswith(number_setup.TARGET):
            return False
        return number_setup.is_probe(proof, self._tokens, now_s)

    async def authenticate(self, request: web.Request, rules: Rules) -> Form:
        """Return a request's fields; raise RejectedError if it isn't Twilio's."""
        _check_head(request, VOICE_BODY_BYTES_MAX if rules.is_voice else BODY_BYTES_MAX)
        body = await _read_body(request, bytearray(), BODY_BYTES_MAX, asyncio.timeout(_READ_DEADLINE_S))
        if request.content.at_eof() and _is_small(body):
            form = self._signed_form(request, body, rules)
        elif rules.is_voice:
            form = await self._large_form(request, body, rules)
        elif len(body) > BODY_BYTES_MAX:
            raise RejectedError(413, Rejection.TOO_LARGE)
        else:
            raise RejectedError(403, Rejection.TOO_MANY_FIELDS)
        return self._checked_form(form, rules)

    def _checked_form(self, form: Form, rules: Rules) -> Form:
        # Not every request names its account. Subaccounts sign with their own token; others under ours are not served.
        # A browser may send a parameter of this name, too; both values are signed.
        accounts = form.repeated.get("AccountSid", ()) if rules.is_voice else ()
        if form.get("AccountSid") not in (self._account_sid, "", None) and self._account_sid not in accounts:
            raise RejectedError(403, Rejection.FOREIGN_ACCOUNT)
        if form.repeated and (rules.is_new_call or not rules.is_voice):
            read = VOICE_FIELDS_READ if rules.is_voice else FIELDS_READ
            if any(name in read and len(set(values)) > 1 for name, values in form.repeated.items()):
                raise RejectedError(400, Rejection.REPEATED_FIELD)
        return form

    async def _large_form(self, request: web.Request, body: bytearray, rules: Rules) -> Form:
        """Read the rest of a large body that begins with `body`; return its form."""
        async with self._large_bodies.slot():
            await _read_body(request, body, VOICE_BODY_BYTES_MAX, self._large_bodies.read_timeout(_READ_DEADLINE_S))
            if len(body) > VOICE_BODY_BYTES_MAX:
                raise RejectedError(413, Rejection.TOO_LARGE)
            async with self._large_bodies.parse_lock:  # in a thread: it takes long enough to delay other callers
                return await asyncio.to_thread(self._signed_form, request, body, rules)

    def _signed_form(self, request: web.Request, body: bytearray, rules: Rules) -> Form:
        try:
            form = parse_form(body)
        except UnicodeDecodeError:  # a browser or a phone network may send such a name
            form = parse_form(body, errors="surrogateescape")
            self._check_signature(request, form, rules)
            return form.readable()
        self._check_signature(request, form, rules)
        return form

    def _check_signature(self, request: web.Request, signed: Form, rules: Rules) -> None:
        if not self._signature_check.is_valid(
            request.raw_path, signed, _required_signature(request), prefix_was_kept=rules.prefix_was_kept
        ):
            raise RejectedError(403, Rejection.WRONG_SIGNATURE)


def _is_small(body: bytearray) -> bool:
    return len(body) <= BODY_BYTES_MAX and body.count(b"&") < FIELDS_MAX


def _only(request: web.Request, name: str) -> str | None:
    """Return a header's value; None unless it was sent once."""
    values = request.headers.getall(name, ())
    return values[0] if len(values) == 1 else None


def _required_signature(request: web.Request) -> str:
    signature = _only(request, _SIGNATURE_HEADER)
    if signature is None:
        raise RejectedError(403, Rejection.UNSIGNED)
    return signature


async def _read_body(
    request: web.Request, body: bytearray, bytes_max: int, deadline: AbstractAsyncContextManager[object]
) -> bytearray:
    content = request.content
    try:
        if content.is_eof():  # already complete, as is usual: no deadline needed
            deadline = nullcontext()
        async with deadline:
            while len(body) <= bytes_max and not content.at_eof():
                body += await content.readany()
    except TimeoutError:
        raise RejectedError(408, Rejection.TIMEOUT) from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise RejectedError(400, Rejection.MALFORMED_BODY) from None
    return body


def _check_head(request: web.Request, bytes_max: int) -> None:
    if request.method != hdrs.METH_POST:
        raise RejectedError(405, Rejection.METHOD)
    _required_signature(request)
    if content_length(request.headers) > bytes_max:
        raise RejectedError(413, Rejection.TOO_LARGE)
    if hdrs.CONTENT_ENCODING in request.headers:  # Twilio sends none, and a small body may decompress into a huge one
        raise RejectedError(403, Rejection.CONTENT_ENCODING)
