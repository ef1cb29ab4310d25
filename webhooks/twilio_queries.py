"""What the webhooks need of Twilio's REST API: two questions."""

from typing import Protocol


class TwilioQueries(Protocol):
    """Tells what became of the call that a `<Dial>` made, and who is with somebody who waits."""

    async def child_status(self, parent_call_sid: str) -> str | None:
        """The status, in Twilio's words, of a call's child; None when there is none.

        Raises:
            ProviderError: Twilio could not be asked, or did not answer.
        """
        ...

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """Whether nobody but this call takes part in a conference, or is being called into it.

        Raises:
            ProviderError: Twilio could not be asked, or did not answer.
        """
        ...
