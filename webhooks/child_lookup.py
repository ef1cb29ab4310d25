"""What the webhooks need of Twilio's REST API: one question."""

from typing import Protocol


class ChildLookup(Protocol):
    """Tells what became of the call that a `<Dial>` made."""

    async def child_status(self, parent_call_sid: str) -> str | None:
        """The status, in Twilio's words, of a call's child; None when there is none.

        Raises:
            ProviderError: Twilio could not be asked, or did not answer.
        """
        ...
