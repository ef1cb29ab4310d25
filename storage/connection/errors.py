"""Redis error states in stable words, for `/readyz` and error messages."""

import socket
import ssl

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # of redis-py, whose names these are
    MasterDownError,
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

#: Meaning of Redis's error codes for operators; docs/operating.md says what to do about each. Source: Redis docs and
#: the server's source, shared error replies.
STATES = {
    "OOM": "full (OOM)",
    "READONLY": "read-only (READONLY)",
    "NOREPLICAS": "too few replicas (NOREPLICAS)",
    "LOADING": "loading",
    "MISCONF": "can't write to its disk (MISCONF)",
    "BUSY": "busy with a script (BUSY)",
    "CLUSTERDOWN": "cluster down (CLUSTERDOWN)",
    "MASTERDOWN": "primary down (MASTERDOWN)",
    "TRYAGAIN": "slots are being moved (TRYAGAIN)",
    "MOVED": "a cluster, but REDIS_URL lacks ?cluster=true (MOVED)",
    "ASK": "slots are being moved (ASK)",
    "NOPERM": "not permitted (NOPERM)",
    "NOAUTH": "password refused",
    "WRONGPASS": "password refused",
}
NO_ANSWER = "no answer"
#: Why no connection was opened, in the words of `unreachable_reason`.
_NOT_CONNECTED = frozenset({"connection refused", "no such socket", "host name not found", "TLS failed"})
#: States in which Redis said nothing, so a request that was sent before may have taken effect.
SILENT_STATES = _NOT_CONNECTED | {NO_ANSWER}
#: Said of Redis after a timeout.
TIMED_OUT = "did not answer in time"
#: Error codes for a refused user or password.
LOGIN_WORDS = frozenset({"NOAUTH", "WRONGPASS"})
LOGIN_REFUSED = "Redis refused the login in REDIS_URL"
#: A cluster's node redirected a client for a single server; a cluster client follows redirections.
CLUSTER_SETTING_MISSING = "Redis is a cluster: add ?cluster=true to REDIS_URL"
#: A single server was asked for a cluster's slots.
CLUSTER_SETTING_WRONG = "Redis is not a cluster: remove ?cluster=true from REDIS_URL"
#: What is wrong with `?cluster=true`. No wait helps, and each names the correction.
CLUSTER_SETTING_ERRORS = frozenset({CLUSTER_SETTING_MISSING, CLUSTER_SETTING_WRONG})
NO_SUCH_DATABASE = "Redis has no database with the number in REDIS_URL"
#: What is wrong with `REDIS_URL`, as Redis's answers show: a process stops.
URL_ERRORS = CLUSTER_SETTING_ERRORS | {NO_SUCH_DATABASE}

#: Temporary refusals: the command was not executed, and may be retried later.
TRANSIENT_WORDS = frozenset(
    {
        "READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "UNBLOCKED", "TRYAGAIN", "ASK", "CLUSTERDOWN",
        "MASTERDOWN",
    }
)  # fmt: skip
#: redis-py has classes for these, and strips the code from the text.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ReadOnlyError, "READONLY"),
    (OutOfMemoryError, "OOM"),
    (BusyLoadingError, "LOADING"),
    (TryAgainError, "TRYAGAIN"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (NoPermissionError, "NOPERM"),
    (AuthenticationError, "WRONGPASS"),
    (AuthorizationError, "WRONGPASS"),
)


class NoNodeError(ConnectionError):
    """No node of the cluster could be asked; the message is ours."""


class NoClusterError(NoNodeError):
    """The server is not part of a cluster."""


def note_node(error: Exception, node: str) -> None:
    """Store in an error which node of a cluster it comes from; `noted_node` returns it."""
    error.redis_node = node  # type: ignore[attr-defined]


def noted_node(error: object) -> str:
    """Return the node that an error comes from; empty for a single server, or if unknown."""
    return str(getattr(error, "redis_node", ""))


def unreachable_reason(error: Exception) -> str:
    """Return why Redis can't be reached, in words for operators, without the error's text or class."""
    if isinstance(error, NoNodeError):
        return str(error)
    if isinstance(error, MaxConnectionsError):
        return "all connections of this process are in use"
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(error, RedisTimeoutError) or isinstance(cause, TimeoutError | RedisTimeoutError):
        return TIMED_OUT
    if isinstance(cause, ssl.SSLError):
        return "TLS failed"
    if isinstance(cause, socket.gaierror):
        return "host name not found"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, FileNotFoundError):
        return "no such socket"
    return "connection lost"


def error_word(error: object) -> str:
    """Return Redis's code of an error, such as `OOM`; empty if the error is not from Redis.

    Before Redis 7, an error inside a script has the code in the middle of its text.
    """
    for kind, word in _WORDS:
        if isinstance(error, kind):
            return word
    if not isinstance(error, ResponseError):
        # While connecting, redis-py may hide what Redis answered behind a connection error. Another answer may only be
        # the error's context: a script that Redis did not know, sent again over a connection that then broke.
        if not isinstance(error, ConnectionError):
            return ""
        login_refused = isinstance(error.__cause__ or error.__context__, AuthenticationError)
        return "WRONGPASS" if login_refused else error_word(error.__cause__)
    text = str(error)
    if text.startswith("Error running script"):
        return next((word for word in sorted(TRANSIENT_WORDS) if f"{word} " in text), "script")
    word = text.partition(" ")[0]
    return word if word.isupper() else "ERR"  # redis-py strips ERR, too, and any text may follow


def redis_state(error: Exception) -> str:
    """Return what an error says about the state of Redis, in words for operators: those of `STATES`, if possible."""
    if isinstance(error, NoClusterError):
        return "not a cluster, but REDIS_URL has ?cluster=true"
    word = error_word(error)
    if not word:
        reason = unreachable_reason(error)
        return reason if reason in _NOT_CONNECTED else NO_ANSWER
    return STATES.get(word, f"refuses ({word})")
