"""Error classes of all packages, in families for the catcher."""


class ConferralError(Exception):
    """Base of errors raised on purpose: static message, details in attributes."""


class SettingsError(ConferralError):
    """A setting is invalid or missing: the process stops with exit code 2."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        #: One line per setting: its name, and what is valid.
        self.problems = problems


class StoreError(ConferralError):
    """An error of Redis."""

    #: State of Redis, in the words of `storage.connection.errors`; empty if unrelated.
    state: str = ""


class StoreUnreachableError(StoreError):
    """Redis did not answer in time, or refused temporarily: wait and retry."""

    state = "no answer"


class StoreForbiddenError(StoreUnreachableError):
    """Redis refuses our user or its password: retry until a person has acted."""


class StoreUnaskedError(StoreError):
    """Redis was deliberately not contacted; says nothing about Redis."""


class LeaseLostError(StoreError):
    """The lease has ended here: discard the partition's state and stop.

    Another worker has it, Redis has lost writes, or an error ended it. The partition is then claimed again.
    """


class ProviderError(ConferralError):
    """An error of Twilio's REST API; 0 stands for what it did not send."""

    def __init__(self, *, http_status: int = 0, code: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{type(self).__name__}(http_status={http_status}, code={code})")
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s


class ProviderRefusedError(ProviderError):
    """Twilio refused (4xx except 429): no effect, and a retry is useless."""


class ProviderGoneError(ProviderRefusedError):
    """The call, conference, or participant is over or unknown (20404, 21220)."""


class RateLimitedError(ProviderError):
    """429: the request had no effect; always safe to retry later."""


class ResultUnknownError(ProviderError):
    """5xx, timeout, or broken connection: verify the effect before a retry."""


class UnfinishedRecordingError(ResultUnknownError):
    """Twilio has not finished a recording: read it again later."""


class RequestTimeoutError(ResultUnknownError):
    """No answer in time: the request may still act, even if it has not yet."""


class ProviderUnreachableError(ProviderError):
    """No connection, so the request had no effect; retry later."""
