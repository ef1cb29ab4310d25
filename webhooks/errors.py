"""Reasons for rejecting a request."""

from enum import StrEnum

from conferral.runtime.errors import ConferralError


class Rejection(StrEnum):
    """The reasons, as in the log's `reason`; the client only gets the status."""

    METHOD = "method"
    TOO_LARGE = "too-large"
    TOO_MANY_FIELDS = "too-many-fields"
    TIMEOUT = "timeout"
    #: Too many large bodies at once.
    BUSY = "busy"
    CONTENT_ENCODING = "content-encoding"
    MALFORMED_BODY = "malformed-body"
    MALFORMED_URL = "malformed-url"
    MALFORMED_FIELD = "malformed-field"
    REPEATED_FIELD = "repeated-field"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong-signature"
    FOREIGN_ACCOUNT = "foreign-account"


class RejectedError(ConferralError):
    """A rejected request: answered with the status, and not published."""

    def __init__(self, status: int, reason: Rejection) -> None:
        super().__init__(reason.value)
        self.status = status
        self.reason = reason
