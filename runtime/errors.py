"""Error classes shared by all packages: the base class, and families that say what the catcher should do."""


class ConferralError(Exception):
    """Base class of everything raised on purpose. Messages are static; variable parts are attributes."""


class SettingsError(ConferralError):
    """A setting is invalid or missing. The process stops with exit code 2; the operator must fix it.

    Attributes:
        problems: One line per setting, which names it and says what is valid.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(ConferralError):
    """An error of Redis.

    Attributes:
        state: The state of Redis, in the words of `storage.connection.errors`; empty if unrelated.
        node: The cluster node that failed, `host:port`; empty for a single server, or if unknown.
    """

    state: str = ""
    node: str = ""


class StoreUnreachableError(StoreError):
    """Redis did not answer within its deadline, or refused temporarily: wait and retry."""

    state = "no answer"


class StoreUnaskedError(StoreError):
    """Redis was deliberately not contacted; says nothing about Redis."""


class LeaseLostError(StoreError):
    """Another worker owns the partition: discard its state and stop working on it."""


class ProviderError(ConferralError):
    """An error of Twilio's REST API.

    Attributes:
        http_status: Status of the answer; 0 without one.
        code: Twilio's error code; 0 without one.
        retry_after_s: Seconds that Twilio asks to wait; 0.0 if it did not say.
    """

    def __init__(self, *, http_status: int = 0, code: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{type(self).__name__}(http_status={http_status}, code={code})")
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s


class ProviderRefusedError(ProviderError):
    """Twilio refused (4xx other than 429): the request had no effect, and a retry is useless."""


class ProviderGoneError(ProviderRefusedError):
    """The call, conference, or participant does not exist or is over (20404, 21220)."""


class ProviderBusyError(ProviderError):
    """429: the request had no effect; always safe to retry later."""


class OutcomeUnknownError(ProviderError):
    """5xx, timeout, or broken connection: the request may have taken effect. Verify before a retry."""


class ProviderUnreachableError(ProviderError):
    """The request was never sent (no connection): it had no effect; retry later."""
