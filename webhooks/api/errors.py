"""What is said to whoever asked for something that can't be had."""

from enum import StrEnum

from conferral.runtime.errors import ConferralError


class ErrorType(StrEnum):
    """The kinds of refusal; each has one HTTP status."""

    #: The request is no JSON, or not of the kind that is taken here.
    MALFORMED = "malformed"
    #: The bearer token is missing or wrong.
    UNAUTHORIZED = "unauthorized"
    #: There is no such session, call or command, or it has been forgotten.
    UNKNOWN = "unknown"
    #: The path does not have this method.
    METHOD = "method"
    #: The body did not arrive in time.
    TOO_SLOW = "too-slow"
    #: The session does not take the command; `allowed` names what it takes.
    REJECTED = "rejected"
    #: The id was given before, for something else.
    TAKEN = "taken"
    #: The body is too large.
    TOO_LARGE = "too-large"
    #: A field or a parameter is missing or wrong.
    INVALID = "invalid"
    #: More than 20 wrong tokens came from this address within a minute.
    TOO_MANY = "too-many"
    #: A setting is missing without which this can't be done.
    NOT_SET_UP = "not-set-up"
    #: Too many commands wait for a worker; this one was not taken.
    FULL = "full"
    #: Redis can't be reached, or refuses. Nobody knows whether a command was taken: ask again with the same `id`.
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


#: The header Retry-After by kind where the refusal itself does not say, seconds. Source: RFC 9110, section 10.2.3.
RETRY_AFTER_S = {ErrorType.TOO_MANY: 60, ErrorType.NOT_SET_UP: 60, ErrorType.FULL: 5, ErrorType.STORE: 1}


#: Where each kind has a section of its own, of its name: below the root of the repository, whose files are published.
PAGE = "docs/reference/errors.md"


class ApiError(ConferralError):
    """A request is refused; told as JSON.

    Attributes:
        type: What kind of refusal.
        reason: What is wrong, in words for whoever asked; never a number or a name that was sent.
        allowed: What would be taken instead: commands of a session, methods of a path.
        retry_after_s: When a new try may succeed; 0 where that does not depend on time.
    """

    def __init__(self, type_: ErrorType, reason: str, allowed: tuple[str, ...] = (), *, retry_after_s: int = 0) -> None:
        super().__init__(reason)
        self.type = type_
        self.reason = reason
        self.allowed = allowed
        self.retry_after_s = retry_after_s or RETRY_AFTER_S.get(type_, 0)

    @property
    def docs(self) -> str:
        """The section that says what to do."""
        return f"{PAGE}#{self.type.value}"

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return STATUS[self.type]
