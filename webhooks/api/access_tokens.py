"""Access tokens for browser softphones (Twilio Voice SDK)."""

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from conferral.runtime.clock import Clock
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.json_requests import RequestError
from conferral.storage.codecs.timestamps import to_iso
from conferral.webhooks.api.errors import ErrorType
from conferral.webhooks.api.models import IssuedToken, TokenRequest

#: Lifetime of a token, seconds. Source: Twilio docs, Access Tokens (24 hours at most).
TTL_S = 3600


def issue_token(settings: ServiceSettings, clock: Clock, request: TokenRequest) -> IssuedToken:
    """Issue a browser's token; raise RequestError if a setting is missing."""
    needed = {
        "TWILIO_API_KEY": settings.api_key,
        "TWILIO_API_SECRET": settings.api_secret,
        "TWILIO_TWIML_APP_SID": settings.twiml_app_sid,
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise RequestError(ErrorType.NOT_SET_UP, f"access tokens need settings that are not set: {', '.join(missing)}")
    assert settings.api_secret is not None
    expires_at_s = clock.wall_ms() // 1000 + TTL_S
    grant = VoiceGrant(incoming_allow=True, outgoing_application_sid=settings.twiml_app_sid)
    token = AccessToken(
        settings.account_sid,
        settings.api_key,
        settings.api_secret.get_secret_value(),
        grants=[grant],
        identity=request.identity,
        nbf=None,  # otherwise Twilio would refuse the token while its clock is behind ours
        valid_until=expires_at_s,
    )
    return IssuedToken(token=str(token.to_jwt()), identity=request.identity, expires_at=to_iso(expires_at_s * 1000))
