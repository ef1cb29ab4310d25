"""Errors of the control API."""

from enum import StrEnum

from conferral.runtime.errors import ConferralError


class ErrorType(StrEnum):
    """Kinds of errors; each has one HTTP status."""

    #: The request is not JSON, or not in the accepted format.
    MALFORMED = "malformed"
    #: The bearer token is missing or wrong.
    UNAUTHORIZED = "unauthorized"
    #: There is no such session, call, or command, or it has expired.
    UNKNOWN = "unknown"
    #: The path does not support this method.
    METHOD = "method"
    #: The body did not arrive in time.
    TOO_SLOW = "too-slow"
    #: The session does not accept the command; `allowed` lists what it accepts.
    REJECTED = "rejected"
    #: The id was already used for something else.
    TAKEN = "taken"
    #: The body is too large.
    TOO_LARGE = "too-large"
    #: A field or parameter is missing or invalid.
    INVALID = "invalid"
    #: More than 20 wrong tokens came from this address within a minute.
    TOO_MANY = "too-many"
    #: A required setting is missing.
    NOT_SET_UP = "not-set-up"
    #: Too many commands wait for a worker; this one was not accepted.
    FULL = "full"
    #: Redis is unreachable or refuses. A command may or may not have been accepted: retry with the same `id`.
    STORE = "store"


#: HTTP status by kind. Source: RFC 9110, section 15.5; RFC 6585, section 4; RFC 6750, section 3.1.
STATUS = {
    ErrorType.MALFORMED: 400,
    ErrorType.UNAUTHORIZED: 401,
    ErrorType.UNKNOWN: 404,
    ErrorType.METHOD: 405,
    ErrorType.TOO_SLOW: 408,
    ErrorType.REJECTED: 409,
    ErrorType.TAKEN: 409,
    ErrorType.TOO_LARGE: 413,
    ErrorType.INVALID: 422,
    ErrorType.TOO_MANY: 429,
    ErrorType.NOT_SET_UP: 503,
    ErrorType.FULL: 503,
    ErrorType.STORE: 503,
}


#: Default Retry-After header by kind, seconds. Source: RFC 9110, section 10.2.3.
RETRY_AFTER_S = {ErrorType.TOO_MANY: 60, ErrorType.NOT_SET_UP: 60, ErrorType.FULL: 5, ErrorType.STORE: 1}


#: The page with a section per kind, relative to the repository's root, whose files are published.
PAGE = "docs/reference/errors.md"


class ApiError(ConferralError):
    """A refused request; sent as JSON.

    Attributes:
        type: The kind of error.
        reason: The problem, in words for the client; never includes a number or name that was sent.
        allowed: What would be accepted instead: a session's commands, a path's methods.
        retry_after_s: When a retry may succeed, seconds; 0 if that does not depend on time.
    """

    def __init__(self, type_: ErrorType, reason: str, allowed: tuple[str, ...] = (), *, retry_after_s: int = 0) -> None:
        super().__init__(reason)
        self.type = type_
        self.reason = reason
        self.allowed = allowed
        self.retry_after_s = retry_after_s or RETRY_AFTER_S.get(type_, 0)

    @property
    def docs(self) -> str:
        """The section of the docs that says what to do."""
        return f"{PAGE}#{self.type.value}"

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return STATUS[self.type]
