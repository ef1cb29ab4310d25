"""Access tokens: the JWTs with which a browser registers.

Source: Twilio docs, Access Tokens; twilio-python 9.13, `twilio.jwt.access_token`.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from offhook.web import json_text

CONTENT_TYPE = "twilio-fpa;v=1"
#: Source: @twilio/voice-sdk 2.18, `device.ts`: it reports these as AuthenticationFailed (20151), AccessTokenInvalid
#: (20101), and AccessTokenExpired (20104). That each problem but the expiry is 31204 is our reading.
NOT_ALLOWED, INVALID, EXPIRED = 31201, 31204, 31205


class AccessTokenError(Exception):
    """A token that Twilio refuses, with its code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token allows."""

    identity: str
    expires_at_s: float
    allows_incoming: bool


def read(
    text: str, account_sid: str, api_keys: Mapping[str, str], now_s: float, *, is_shared: bool = False
) -> AccessToken:
    """Return what a token allows, or raise AccessTokenError.

    Without an API key, no one here knows the secret: any signature is accepted, or none if the sandbox is shared.
    """
    try:
        signed, _, signature = text.rpartition(".")
        header, claims = (json_text.loads(_decode(part)) for part in signed.split("."))
        given = _decode(signature)
    except ValueError:  # no base64, no JSON, or another number of parts
        raise AccessTokenError(INVALID, "the access token is no JWT") from None
    match header, claims:
        case (
            {"alg": "HS256", "cty": content_type},
            {
                "iss": str(key_sid),
                "sub": str(sub),
                "exp": int(expires_at_s),
                "grants": {"identity": str(identity), "voice": dict(grant)},
            },
        ) if content_type == CONTENT_TYPE and identity:
            pass
        case _:
            raise AccessTokenError(INVALID, "the JWT is no access token with an identity and a voice grant")
    if sub != account_sid:
        raise AccessTokenError(INVALID, "the access token is of another account than the sandbox's")
    if not api_keys and is_shared:
        raise AccessTokenError(INVALID, "others can reach this sandbox, and it has no API key to check signatures with")
    if api_keys:
        secret = api_keys.get(key_sid, "")
        expected = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
        if not secret or not hmac.compare_digest(given, expected):
            raise AccessTokenError(INVALID, "the access token is not signed with the sandbox's API key")
    if expires_at_s <= now_s:
        raise AccessTokenError(EXPIRED, "the access token has expired")
    return AccessToken(identity, expires_at_s, grant.get("incoming") == {"allow": True})


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars="-_", validate=True)
