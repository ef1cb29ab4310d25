"""Request authentication: accepts only requests that Twilio has signed.

Checks run from cheap to expensive. The body of an unsigned request is never read, and an oversized one never hashed.

Anyone may send a wrong signature, and to verify one takes time in which callers wait. A connection is closed after a
wrong one. Large bodies take turns; connections that have had a verified request have turns of their own.
"""

import asyncio
import hmac
import re
from binascii import a2b_qp, b2a_base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlparse

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
from conferral.runtime.web.guard import is_known, protect
from conferral.runtime.web.json_requests import content_length
from conferral.runtime.webhook_keys import is_webhook_key_id
from conferral.telephony.callback_events import FIELDS_READ
from conferral.webhooks.repeated_fields import voice_form
from conferral.webhooks.responses import RejectedError, Rejection

#: A URL without these can't have what Twilio may encode otherwise than it signs.
_VARIED = re.compile("[:@'%]")
#: The longest signature settings (characters): one key's id and an algorithm.
_SIGNATURE_SETTINGS_MAX = 1_024
_DIGESTS = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}
#: A request's fields, each with its first value.
Form = Mapping[str, str]
#: The same, in the order and as often as they were sent.
Pairs = Sequence[tuple[str, str]]


def parse_form(body: bytes) -> Pairs:
    """Parse an `application/x-www-form-urlencoded` body.

    Blank values are kept: they are signed, too. Bytes that are not UTF-8 become U+FFFD. Source: WHATWG URL standard,
    section 5.1.
    """
    return query_to_pairs(body.decode(errors="replace"))


def signed_text(pairs: Pairs) -> str:
    """Return names and values in Twilio's signing order, each pair once."""
    # Source: Twilio docs, "Webhooks security"; twilio-python, `compute_signature`.
    return "".join(map("".join, sorted(set(pairs))))


def signed_bytes(body: bytes) -> bytes:
    """Return the same of a body whose bytes are not all UTF-8."""
    fields = (field.partition(b"=") for field in body.replace(b"+", b" ").split(b"&"))
    pairs = {(_unescaped(name), _unescaped(value)) for name, _, value in fields}
    return b"".join(map(b"".join, sorted(pairs)))


def _unescaped(text: bytes) -> bytes:
    # Quoted-printable has another escape character. The standard library's `unquote_to_bytes` needs 10 ms.
    return a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"="))


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
        if len(named) > _SIGNATURE_SETTINGS_MAX:
            raise RejectedError(403, Rejection.UNKNOWN_KEY)
        parts = (part.partition("=") for part in named.split(","))
        key_id, *others = [value.strip() for name, _, value in parts if name.strip() == "key"] or [""]
        secrets = self._secrets.get(key_id)
        digest = _DIGESTS.get(get_signature_algorithm(named).upper())
        if secrets is None or digest is None or others:
            raise RejectedError(403, Rejection.UNKNOWN_KEY, key_id if is_webhook_key_id(key_id) else "")
        return Signature(given, secrets, digest)


def encodings(url: str) -> Iterator[str]:
    """Yield a URL as it came, then with `:`, `@`, and `'` plain or encoded.

    Twilio may send these in another form than it signs. Source: twilio-node, `validateRequest`.
    """
    yield url
    if not _VARIED.search(url):
        return
    plain = url
    for character in ":@'":
        plain = re.sub(f"%{ord(character):02X}", character, plain, flags=re.IGNORECASE)
    forms = [plain, plain.replace("'", "%27")]
    forms += [form.replace(":", "%3A").replace("@", "%40") for form in forms]
    yield from dict.fromkeys(form for form in forms if form != url)


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

    def is_valid(self, target: str, form: bytes, signature: Signature, *, prefix_was_kept: bool) -> bool:
        """Whether the signature is of `target`, as sent (undecoded), and `form`."""
        # Headers may hold any byte; comparing as text would fail for non-ASCII ones.
        given = signature.given.encode("utf-8", "surrogateescape")
        # The URL is the configured one: anyone can put anything into Host or X-Forwarded-*. A proxy may strip its path.
        for encoded in encodings(target if prefix_was_kept else self._prefix + target):
            for base in self._bases:
                signed = base + encoded.encode("utf-8", "surrogateescape") + form
                # Always every secret, so that timing does not reveal which one matched.
                expected = [hmac.digest(secret, signed, signature.digest) for secret in signature.secrets]
                if any(hmac.compare_digest(b2a_base64(one, newline=False), given) for one in expected):
                    return True
        return False


#: Maximum body, bytes. Twilio's forms stay below 10 KiB.
BODY_BYTES_MAX = 64 * 1024
#: The same of a voice request: browsers and voice bots add fields.
VOICE_BODY_BYTES_MAX = 256 * 1024
#: Maximum fields, count. Twilio sends about 25.
FIELDS_MAX = 128
#: Above either, a body is large.
USUAL_BODY_BYTES, USUAL_FIELDS = 8 * 1024, 64
#: Turns of the event loop before each large body, count. To verify one needs 5 ms at most, and the loop accepts one
#: connection in each turn: callers are accepted and answered meanwhile.
TURNS_BEFORE_LARGE_BODY = 16
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
        #: Turns of large bodies, by whether their connection has had a verified request.
        self._large_turns = {is_known: asyncio.Lock() for is_known in (True, False)}

    async def authenticate(self, request: web.Request, rules: Rules) -> Form:
        """Return a request's fields; raise RejectedError if it isn't Twilio's."""
        bytes_max = VOICE_BODY_BYTES_MAX if rules.is_voice else BODY_BYTES_MAX
        given = _check_head(request, bytes_max)
        signature = self._keys.signature(request, given)
        body = await _read_body(request, bytes_max)
        fields = body.count(b"&") + 1
        if len(body) > bytes_max:
            raise RejectedError(413, Rejection.TOO_LARGE)
        if fields > FIELDS_MAX:
            raise RejectedError(403, Rejection.TOO_MANY_FIELDS)
        if len(body) <= USUAL_BODY_BYTES and fields <= USUAL_FIELDS:
            pairs = self._signed_pairs(request.raw_path, body, signature, rules)
        else:
            async with self._large_turns[is_known(request)]:
                if request.transport is None:  # otherwise, bodies of strangers who are gone would fill the memory
                    raise RejectedError(400, Rejection.SENDER_GONE)
                for _ in range(TURNS_BEFORE_LARGE_BODY):
                    await asyncio.sleep(0)
                pairs = self._signed_pairs(request.raw_path, body, signature, rules)
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

    def _signed_pairs(self, target: str, body: bytes, signature: Signature, rules: Rules) -> Pairs:
        pairs = parse_form(body)
        text = signed_text(pairs)
        # Twilio signs bytes. A browser or a phone network may send some that are not UTF-8.
        form = signed_bytes(body) if "\ufffd" in text else text.encode()
        if not self._signature_check.is_valid(target, form, signature, prefix_was_kept=rules.prefix_was_kept):
            raise RejectedError(403, Rejection.WRONG_SIGNATURE)
        return pairs


async def _read_body(request: web.Request, bytes_max: int) -> bytes:
    """Return the body, or more than `bytes_max` of it."""
    content = request.content
    try:
        if content.is_eof():  # complete already, as is usual
            return content.read_nowait()
        body = bytearray()
        async with asyncio.timeout(READ_DEADLINE_S):
            while len(body) <= bytes_max and not content.at_eof():
                body += await content.readany()
    except TimeoutError:
        raise RejectedError(408, Rejection.TIMEOUT) from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise RejectedError(400, Rejection.MALFORMED_BODY) from None
    return bytes(body)


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
