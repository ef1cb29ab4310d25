"""What webhooks read from Twilio's REST API: two queries."""

from typing import Protocol


class TwilioQueries(Protocol):
    """Reads the status of a `<Dial>`'s child call, and whether a waiting party is alone."""

    async def child_status(self, parent_call_sid: str) -> str | None:
        """Return the status, in Twilio's words, of a call's child; None without one.

        Raises:
            ProviderError: Twilio is unreachable or did not answer.
        """
        ...

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """Whether no other call is in a conference, or being dialed into it.

        Raises:
            ProviderError: Twilio is unreachable or did not answer.
        """
        ...
