"""Names of conferences that another app can't guess.

A session id that your app chose could be the name of another app's live conference, and the caller would join
strangers. So its name gets a digest made with the auth token: no one else can guess it, and the sweep can verify it.
Source: Twilio docs, Conference resource, `FriendlyName` (at most 128 characters).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Self

from conferral.runtime.settings import ServiceSettings

#: A generated name: the session's id, a part that differs for each opening of it, and the digest.
_NAME = re.compile(r"([A-Za-z0-9_-]{1,64})-([0-9a-f]{8})([0-9a-f]{24})")


class ConferenceNames:
    """Generates and verifies conference names for one installation."""

    def __init__(self, tokens: Sequence[str], installation: str) -> None:
        self._tokens = tuple(tokens)
        self._installation = installation

    def __repr__(self) -> str:
        return "<ConferenceNames>"  # no secrets

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Return the names of an installation; both auth tokens verify."""
        tokens = [token.get_secret_value() for token in (settings.auth_token, settings.auth_token_secondary) if token]
        return cls(tokens, f"{settings.prefix} {settings.public_url}")

    def make(self, session_id: str, opener: str) -> str:
        """Return a session's name; the same opener (SID or id) gives the same."""
        opening = hashlib.sha256(opener.encode()).hexdigest()[:8]
        return f"{session_id}-{opening}{self._digest(self._tokens[0], session_id, opening)}"

    def session_of(self, name: str) -> str:
        """Return the session id in a generated name; empty for any other name."""
        match = _NAME.fullmatch(name)
        if match is None:
            return ""
        session_id, opening, digest = match.groups()
        ours = [hmac.compare_digest(digest, self._digest(token, session_id, opening)) for token in self._tokens]
        return session_id if any(ours) else ""

    def _digest(self, token: str, session_id: str, opening: str) -> str:
        """Return a digest that only the auth token's owner can make."""
        text = f"conference\n{self._installation}\n{session_id}\n{opening}"
        return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()[:24]
