"""Twilio request signatures, verified over the public URL and the form."""

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Sequence
from urllib.parse import urlparse

from twilio.request_validator import add_port, remove_port

from conferral.webhooks.form import Form


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
        self._signers = tuple(_Signer(token.encode()) for token in tokens)

    def is_valid(self, target: str, form: Form, signature: str, *, prefix_was_kept: bool) -> bool:
        """Whether one of the tokens signed `target`, as sent (undecoded)."""
        # The URL is the configured one: anyone can put anything into Host or X-Forwarded-*. A proxy may strip its path.
        # Sort only once, for a third of the time. Twilio signs bytes, so restore those that are not UTF-8.
        text = (target if prefix_was_kept else self._prefix + target) + form.signed_text()
        signed = text.encode("utf-8", "surrogateescape")
        # Headers may hold any byte; comparing as text would fail for non-ASCII ones.
        given = signature.encode("utf-8", "surrogateescape")
        valid = False
        for signer in self._signers:  # always try every token, so that timing does not reveal which one matched
            for base in self._bases:
                if hmac.compare_digest(signer.sign(base + signed), given):
                    valid = True
                    break
        return valid


class _Signer:
    """Signs bytes as the library's `RequestValidator.compute_signature` does.

    HMAC's two states are prepared once, which saves two thirds of `hmac.digest`'s time. Source: RFC 2104, section 4.
    """

    def __init__(self, key: bytes) -> None:
        block = hashlib.sha1(usedforsecurity=False).block_size
        if len(key) > block:
            key = hashlib.sha1(key, usedforsecurity=False).digest()
        padded = key.ljust(block, b"\0")
        self._inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in padded), usedforsecurity=False)
        self._outer = hashlib.sha1(bytes(byte ^ 0x5C for byte in padded), usedforsecurity=False)

    def sign(self, text: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False)
