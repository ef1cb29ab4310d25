"""Errors of the control API."""

from enum import StrEnum


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
    TIMEOUT = "timeout"
    #: The session does not accept the command; `allowed` lists what it accepts.
    REJECTED = "rejected"
    #: The id was already used for something else.
    ID_CONFLICT = "id-conflict"
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
