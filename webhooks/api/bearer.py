"""Who may ask: whoever has the token of the settings."""

import hmac

from aiohttp import hdrs, web
from pydantic import SecretStr

from webhooks.api.errors import ApiError, ErrorType


class Bearer:
    """Compares the token of a request with that of the settings. Source: RFC 6750, section 2.1."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value().encode() if token else None

    def check(self, request: web.Request) -> None:
        """Passes when the request may be answered.

        Raises:
            ApiError: the token is missing or wrong, or the settings name none.
        """
        if self._token is None:
            raise ApiError(ErrorType.NOT_SET_UP, "the control API is shut: CONFERRAL_API_TOKEN is not set")
        sent = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, given = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        # Headers may hold any byte; and how long the comparison takes tells nothing about where the two differ.
        is_right = hmac.compare_digest(given.strip(" ").encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise ApiError(ErrorType.UNAUTHORIZED, "needs the header Authorization: Bearer and CONFERRAL_API_TOKEN")
