"""The root of our errors and the families that all rooms share: a family says what the catcher should do next."""


class ConferralError(Exception):
    """Root of everything raised on purpose. Messages are static; what varies stands in attributes."""


class SettingsError(ConferralError):
    """A setting is wrong or missing: the operator mends it; the process stops with exit code 2.

    Attributes:
        problems: One line for each setting at fault, which names it and says what would be right.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(ConferralError):
    """Something about Redis.

    Attributes:
        state: How Redis is, in the words of `storage.trouble`; empty where the error is not about that.
    """

    state: str = ""


class StoreUnreachableError(StoreError):
    """Redis did not answer within its deadline or refused for a passing reason: wait and try again."""

    state = "no answer"


class StoreUnaskedError(StoreError):
    """Redis was not asked, on purpose: this says nothing about Redis."""


class LeaseLostError(StoreError):
    """Another worker owns the partition: drop everything held of it, do nothing more for it."""


class ProviderError(ConferralError):
    """Something about Twilio's REST API.

    Attributes:
        http_status: Status of the answer, 0 when there was none.
        code: Twilio's error code, 0 when it named none.
        retry_after_s: Seconds that Twilio asks to wait, 0.0 when it did not say.
    """

    def __init__(self, *, http_status: int = 0, code: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{type(self).__name__}(http_status={http_status}, code={code})")
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s


class ProviderRefusedError(ProviderError):
    """Twilio said no (4xx other than 429): it has not happened; repeating is of no use."""


class ProviderGoneError(ProviderRefusedError):
    """The call, conference or participant does not exist or is over (20404, 21220)."""


class ProviderBusyError(ProviderError):
    """429: not processed, always safe to repeat later."""


class OutcomeUnknownError(ProviderError):
    """5xx, time-out, or a connection that broke: it may have happened. Look before repeating it."""


class ProviderUnreachableError(ProviderError):
    """The request never left (no connection could be made): it has not happened; repeat later."""
