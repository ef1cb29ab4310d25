"""Twilio's time, for searches of its lists."""

from twilio.rest import Client

from conferral.runtime.clock import RemoteClock
from conferral.runtime.errors import OutcomeUnknownError, ProviderRefusedError, ProviderUnreachableError
from conferral.telephony.http_client import label_requests
from conferral.telephony.rest_requests import send


class TwilioTime:
    """Twilio's clock; without any answer yet, it asks for the account."""

    def __init__(self, clock: RemoteClock, client: Client, account_sid: str) -> None:
        """Bind the clock and a client with the auth token.

        A standard API key may not read the account. Source: Twilio docs, API keys.
        """
        self._clock = clock
        self._client = client
        self._account_sid = account_sid

    async def now_ms(self) -> int:
        """Return Twilio's time, Unix milliseconds, up to a second late.

        Raises only `ProviderError`, and never `OutcomeUnknownError`: the question can be repeated.
        """
        if (now_ms := self._clock.now_ms()) is not None:
            return now_ms
        account = self._client.api.v2010.accounts(self._account_sid)
        refusal: ProviderRefusedError | None = None
        with label_requests("account"):
            try:
                await send(account.fetch_async())
            except ProviderRefusedError as error:
                refusal = error  # its date counts as well
            except OutcomeUnknownError:
                raise ProviderUnreachableError from None
        if (now_ms := self._clock.now_ms()) is not None:
            return now_ms
        raise refusal or ProviderUnreachableError
