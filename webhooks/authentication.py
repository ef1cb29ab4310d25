"""Request authentication: accepts only requests that Twilio has signed.

Checks run from cheap to expensive. The body of an unsigned request is never read, and an oversized one never hashed.
"""

import asyncio
import hmac
import re
from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlparse

from aiohttp import hdrs, web
from twilio.request_validator import (
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    add_port,
    get_signature_algorithm,
    remove_port,
)
from yarl import query_to_pairs

from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.guard import protect
from conferral.runtime.web.json_requests import content_length
from conferral.runtime.webhook_keys import is_webhook_key_id
from conferral.telephony.callback_events import FIELDS_READ
from conferral.webhooks.repeated_fields import voice_form
from conferral.webhooks.responses import RejectedError, Rejection

#: A URL without these can't have what Twilio may encode otherwise than it signs.
_VARIED = re.compile("[:@'%]")
_DIGESTS = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}
#: A request's fields, each with its first value.
Form = Mapping[str, str]
#: The same, in the order and as often as they were sent.
Pairs = Sequence[tuple[str, str]]


def parse_form(body: bytes | bytearray) -> Pairs:
    """Parse an `application/x-www-form-urlencoded` body.

    Blank values are kept: they are signed, too. Bytes that are not UTF-8 become U+FFFD. Source: WHATWG URL standard,
    section 5.1.
    """
    return query_to_pairs(body.decode(errors="replace"))


def signed_text(pairs: Pairs) -> str:
    """Return names and values in Twilio's signing order, each pair once."""
    # Source: Twilio docs, "Webhooks security"; twilio-python, `compute_signature`.
    return "".join(map("".join, sorted(set(pairs))))


@dataclass(frozen=True, slots=True)
class Signature:
    """A request's signature, and how it must have been made."""

    given: str
    #: One of these, by this hash.
    secrets: tuple[bytes, ...]
    digest: str


class SigningKeys:
    """The account's auth tokens, and the shared keys of its webhook rules.

    Source: Twilio docs, "Sign webhooks with shared keys".
    """

    def __init__(self, settings: ServiceSettings) -> None:
        tokens = (settings.auth_token, settings.auth_token_secondary)
        #: By the key's id; the tokens' is empty.
        self._secrets = {"": tuple(token.get_secret_value().encode() for token in tokens if token)}
        self._secrets |= {key_id: (secret.get_secret_value().encode(),) for key_id, secret in settings.webhook_keys}

    def signature(self, request: web.Request, given: str) -> Signature:
        """Return it with the key that the request names, or raise RejectedError.

        A header without a key, like none at all, means the auth token.
        """
        named = ",".join(request.headers.getall(SIGNATURE_SETTINGS_HEADER, ()))
        parts = (part.partition("=") for part in named.split(","))
        key_id, *others = [value.strip() for name, _, value in parts if name.strip() == "key"] or [""]
        secrets = self._secrets.get(key_id)
        digest = _DIGESTS.get(get_signature_algorithm(named).upper())
        if secrets is None or digest is None or others:
            raise RejectedError(403, Rejection.UNKNOWN_KEY, key_id if is_webhook_key_id(key_id) else "")
        return Signature(given, secrets, digest)


def _encodings(url: str) -> Sequence[str]:
    """Return a URL as it came, and with `:`, `@`, and `'` plain or encoded.

    Twilio may send these in another form than it signs. Source: twilio-node, `validateRequest`.
    """
    forms = [url]
    if not _VARIED.search(url):  # as almost always
        return forms
    for character in ":@'":
        escape = f"%{ord(character):02X}"
        plain = [re.sub(escape, character, form, flags=re.IGNORECASE) for form in forms]
        forms = [*plain, *(form.replace(character, escape) for form in plain)]
    return tuple(dict.fromkeys((url, *forms)))


class SignatureCheck:
    """Verifies X-Twilio-Signature. Source: Twilio docs, "Webhooks security"."""

    def __init__(self, public_url: str) -> None:
        """Take a URL without a trailing slash."""
        parsed = urlparse(public_url)
        # Twilio signs the URL with or without its port; like the library, accept both.
        without_port, with_port = str(remove_port(parsed)), str(add_port(parsed))
        #: The path of the public URL, such as `/conferral`; empty without one.
        self._prefix = parsed.path
        bases = dict.fromkeys(base.removesuffix(parsed.path) for base in (public_url, without_port, with_port))
        self._bases = tuple(base.encode() for base in bases)

    def is_valid(self, target: str, pairs: Pairs, signature: Signature, *, prefix_was_kept: bool) -> bool:
        """Whether the signature is of `target`, as sent (undecoded)."""
        # The URL is the configured one: anyone can put anything into Host or X-Forwarded-*. A proxy may strip its path.
        targets = _encodings(target if prefix_was_kept else self._prefix + target)
        encoded = [one.encode("utf-8", "surrogateescape") for one in targets]
        urls = [base + one for one in encoded for base in self._bases]
        form = signed_text(pairs).encode("utf-8", "surrogateescape")
        # Headers may hold any byte; comparing as text would fail for non-ASCII ones.
        given = signature.given.encode("utf-8", "surrogateescape")
        valid = False
        for secret in signature.secrets:  # always try every one, so that timing does not reveal which one matched
            for url in urls:
                expected = b2a_base64(hmac.digest(secret, url + form, signature.digest), newline=False)
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
#: Large bodies that are read or wait to be parsed, count: only then can their signatures be verified. One more refuses
#: the one that has waited longest, as with connections: it may be a stranger's, and the newest may be Twilio's.
LARGE_BODIES_MAX = 32
#: Read timeout, seconds. A body that trickles in is not Twilio's.
READ_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a route accepts."""

    #: Whether its path still starts with the public URL's path.
    prefix_was_kept: bool
    #: Whether a caller waits for the answer. Then the body may be large.
    is_voice: bool
    #: Whether a browser's parameters may have Twilio's names.
    is_new_call: bool


class RequestAuthenticator:
    """Accepts requests that Twilio signed for our account."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._signature_check = SignatureCheck(settings.public_url)
        self._keys = SigningKeys(settings)
        self._account_sid = settings.account_sid
        #: Deadlines of large bodies; the one that waits longest comes first.
        self._large_bodies: dict[asyncio.Timeout, None] = {}
        #: For parsing one large body at a time, so that the event loop keeps half of a core.
        self._parse_lock = asyncio.Lock()

    async def authenticate(self, request: web.Request, rules: Rules) -> Form:
        """Return a request's fields; raise RejectedError if it isn't Twilio's."""
        given = _check_head(request, VOICE_BODY_BYTES_MAX if rules.is_voice else BODY_BYTES_MAX)
        signature = self._keys.signature(request, given)
        body = await _read_body(request, bytearray(), BODY_BYTES_MAX)
        is_small = len(body) <= BODY_BYTES_MAX and body.count(b"&") < FIELDS_MAX
        if request.content.at_eof() and is_small:
            pairs = self._signed_pairs(request.raw_path, body, signature, rules)
        elif rules.is_voice:
            pairs = await self._large_pairs(request, body, signature, rules)
        elif len(body) > BODY_BYTES_MAX:
            raise RejectedError(413, Rejection.TOO_LARGE)
        else:
            raise RejectedError(403, Rejection.TOO_MANY_FIELDS)
        protect(request)
        if rules.is_voice:
            form = voice_form(pairs, self._account_sid, is_new_call=rules.is_new_call)
        else:
            form = dict(reversed(pairs))
        # Not every request names its account. Subaccounts sign with their own token; others under ours are not served.
        if form.get("AccountSid", "") not in (self._account_sid, ""):
            raise RejectedError(403, Rejection.FOREIGN_ACCOUNT)
        if not rules.is_voice and len(form) < len(pairs):
            values = Counter(name for name, _ in set(pairs))
            if any(values[name] > 1 for name in FIELDS_READ):
                raise RejectedError(400, Rejection.REPEATED_FIELD)
        return form

    async def _large_pairs(self, request: web.Request, body: bytearray, signature: Signature, rules: Rules) -> Pairs:
        """Read the rest of a large body beginning with `body`; return its fields."""
        try:
            async with asyncio.timeout(None) as deadline:
                with self._place_for(deadline):
                    await _read_body(request, body, VOICE_BODY_BYTES_MAX)
                    if len(body) > VOICE_BODY_BYTES_MAX:
                        raise RejectedError(413, Rejection.TOO_LARGE)
                    await self._parse_lock.acquire()
        except TimeoutError:
            raise RejectedError(503, Rejection.BUSY) from None
        try:  # in a thread: it takes long enough to delay other callers
            return await asyncio.to_thread(self._signed_pairs, request.raw_path, body, signature, rules)
        finally:
            self._parse_lock.release()

    @contextmanager
    def _place_for(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """Count a large body; if there are too many, end the longest wait."""
        self._large_bodies[deadline] = None
        if len(self._large_bodies) > LARGE_BODIES_MAX:
            oldest = next(iter(self._large_bodies))
            del self._large_bodies[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            self._large_bodies.pop(deadline, None)

    def _signed_pairs(self, target: str, body: bytearray, signature: Signature, rules: Rules) -> Pairs:
        pairs, kept = parse_form(body), rules.prefix_was_kept
        if not self._signature_check.is_valid(target, pairs, signature, prefix_was_kept=kept):
            # Twilio signs bytes. A browser or a phone network may send some that are not UTF-8.
            text = body.decode(errors="surrogateescape")
            exact = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
            if not self._signature_check.is_valid(target, exact, signature, prefix_was_kept=kept):
                raise RejectedError(403, Rejection.WRONG_SIGNATURE)
        return pairs


async def _read_body(request: web.Request, body: bytearray, bytes_max: int) -> bytearray:
    content = request.content
    try:
        if content.is_eof():  # complete already, as is usual
            body += content.read_nowait()
            return body
        async with asyncio.timeout(READ_DEADLINE_S):
            while len(body) <= bytes_max and not content.at_eof():
                body += await content.readany()
    except TimeoutError:
        raise RejectedError(408, Rejection.TIMEOUT) from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise RejectedError(400, Rejection.MALFORMED_BODY) from None
    return body


def _check_head(request: web.Request, bytes_max: int) -> str:
    """Return the signature of a request whose head is acceptable."""
    if request.method != hdrs.METH_POST:
        raise RejectedError(405, Rejection.METHOD)
    signatures = request.headers.getall(SIGNATURE_HEADER, ())
    if len(signatures) != 1:
        raise RejectedError(403, Rejection.UNSIGNED)
    if content_length(request.headers) > bytes_max:
        raise RejectedError(413, Rejection.TOO_LARGE)
    if hdrs.CONTENT_ENCODING in request.headers:  # Twilio sends none, and a small body may decompress into a huge one
        raise RejectedError(403, Rejection.CONTENT_ENCODING)
    return signatures[0]
