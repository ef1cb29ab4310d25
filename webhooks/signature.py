"""Whether a request is Twilio's: its signature over the public URL and the form.

Source: Twilio docs, "Webhooks security", X-Twilio-Signature.
"""

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import urlparse

from twilio.request_validator import RequestValidator, add_port, remove_port

from conferral.runtime.errors import SettingsError
from conferral.webhooks.form import Form


class SignatureCheck:
    """Checks signatures with Twilio's own validator, for one public URL.

    The URL is always the configured one with the path and query exactly as they were sent. What a request says of its
    host or scheme (Host, X-Forwarded-*) is never looked at: whoever sends it could say anything.
    """

    def __init__(self, public_url: str, tokens: Sequence[str]) -> None:
        """Prepares what is the same for every request.

        Args:
            public_url: `CONFERRAL_PUBLIC_URL`, without a slash at its end.
            tokens: The auth token, and a second one while they are rotated.

        Raises:
            SettingsError: the public URL's port is no port.
        """
        try:
            parsed = urlparse(public_url)
            # Twilio signs the URL with or without its port; the library accepts both, and so do we.
            without, url_parts = str(remove_port(parsed)), str(add_port(parsed))
        except ValueError:
            raise SettingsError(("CONFERRAL_PUBLIC_URL: its port must be a number up to 65535",)) from None
        self._prefix = parsed.path
        self._bases = tuple(dict.fromkeys(self._without_prefix(base) for base in (public_url, without, url_parts)))
        self._validators = tuple(RequestValidator(token) for token in tokens)

    @property
    def prefix(self) -> str:
        """The path of the public URL, such as `/conferral`; empty when it has none."""
        return self._prefix

    def is_valid(self, target: str, form: Form, signature: str, *, prefix_was_kept: bool) -> bool:
        """Whether the signature is right for one of the tokens.

        Args:
            target: Path and query as sent, undecoded.
            form: Every field of the body.
            signature: X-Twilio-Signature.
            prefix_was_kept: Whether `target` still begins with the public URL's path. A proxy may take it away.
        """
        # The fields are put in order once, not by the library for each token and form of the URL: a third of the time.
        signed = (target if prefix_was_kept else self._prefix + target) + form.signed_text()
        # Headers may hold any byte; a comparison of texts would refuse those that are not ASCII.
        params = signature.encode("utf-8", "surrogateescape")
        valid = False
        for validator in self._validators:  # every token each time, so that the time taken does not tell them apart
            valid |= any(
                hmac.compare_digest(_signature(validator, base + signed).encode(), params) for base in self._bases
            )
        return valid

    def _without_prefix(self, url: str) -> str:
        return url.removesuffix(self._prefix) if self._prefix else url


def _signature(validator: RequestValidator, signed: str) -> str:
    try:
        return str(validator.compute_signature(signed, {}))
    except UnicodeEncodeError:  # the library takes nothing but text; Twilio signs bytes
        digest = hmac.digest(validator.token, signed.encode("utf-8", "surrogateescape"), "sha1")
        return base64.b64encode(digest).decode()
