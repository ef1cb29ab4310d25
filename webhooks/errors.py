"""Why a request is turned away."""

from enum import StrEnum

from conferral.runtime.errors import ConferralError


class Rejection(StrEnum):
    """The reasons, as the log's `reason` says them; the asker learns the status alone."""

    METHOD = "method"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    #: Too many large bodies at once.
    BUSY = "busy"
    CONTENT_TYPE = "content-type"
    CONTENT_ENCODING = "content-encoding"
    MALFORMED_BODY = "malformed-body"
    MALFORMED_URL = "malformed-url"
    MALFORMED_FIELD = "malformed-field"
    REPEATED_FIELD = "repeated-field"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong-signature"
    FOREIGN_ACCOUNT = "foreign-account"


class RejectedError(ConferralError):
    """A request is not Twilio's, or not of its form: it is answered with a status and nothing is published.

    Attributes:
        status: HTTP status of the answer.
        reason: Why, for the log.
    """

    def __init__(self, status: int, reason: Rejection) -> None:
        super().__init__(reason.value)
        self.status = status
        self.reason = reason
