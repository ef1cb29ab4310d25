"""Redis error states in stable words, for `/readyz` and error messages."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from redis import exceptions as redis_errors

from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import StoreError, StoreForbiddenError, StoreUnreachableError

#: Redis's error codes for operators; docs/reference/readyz.md says what to do. Source: Redis docs, shared replies.
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
    "CROSSSLOT": "a cluster, but CONFERRAL_PREFIX lacks braces (CROSSSLOT)",
    "ASK": "slots are being moved (ASK)",
    "NOPERM": "not permitted (NOPERM)",
    "NOAUTH": "password refused",
    "WRONGPASS": "password refused",
}
NO_ANSWER = "no answer"
NAME_UNKNOWN = "no Sentinel knows the name in REDIS_URL"
#: Why no connection was opened, in the words of `unreachable_reason`.
_NOT_CONNECTED = frozenset({"connection refused", "no such socket", "host name not found", "TLS failed"})
#: States in which Redis said nothing, so a request that was sent before may have taken effect.
SILENT_STATES = _NOT_CONNECTED | {NO_ANSWER, NAME_UNKNOWN}
TIMED_OUT = "did not answer in time"
LOGIN_WORDS = frozenset({"NOAUTH", "WRONGPASS"})
#: What Redis says about our user, not about one key or command: it ends when a person changes the user's rules.
FORBIDDEN_WORDS = LOGIN_WORDS | {"NOPERM"}
#: How Redis before 7.2 refuses a command, or a key, of a script.
_FORBIDDEN_IN_SCRIPT = "The user executing the script can't"
LOGIN_REFUSED = "Redis refused the login in REDIS_URL"
CLUSTER_SETTING_MISSING = "Redis is a cluster: add ?cluster=true to REDIS_URL"
CLUSTER_SETTING_WRONG = "Redis is not a cluster: remove ?cluster=true from REDIS_URL"
BRACES_MISSING = "Redis is a cluster: put CONFERRAL_PREFIX in braces, such as {conferral}"
SENTINEL_SETTING_WRONG = "REDIS_URL names no Sentinel: use redis://, or the port of the Sentinels, usually 26379"
SENTINEL_LOGIN_REFUSED = "a Sentinel refused the login in REDIS_URL (sentinel_username, sentinel_password)"
#: Said of a key whose content Conferral did not write.
FOREIGN = "belongs to another program"
NO_SUCH_DATABASE = "Redis has no database with the number in REDIS_URL"
#: What is wrong with the settings, as Redis's answers show: no wait helps, and a process stops.
SETTING_ERRORS = frozenset(
    {CLUSTER_SETTING_MISSING, CLUSTER_SETTING_WRONG, BRACES_MISSING, SENTINEL_SETTING_WRONG, NO_SUCH_DATABASE}
)
#: The server refused the command because it is not, or is no longer, the primary.
NOT_PRIMARY_WORDS = frozenset({"MOVED", "READONLY", "CLUSTERDOWN", "MASTERDOWN"})

#: Temporary refusals: the command was not executed, and may be retried later.
TRANSIENT_WORDS = frozenset(
    {
        "READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "UNBLOCKED", "TRYAGAIN", "ASK", "CLUSTERDOWN",
        "MASTERDOWN",
    }
)  # fmt: skip


class NoPrimaryError(redis_errors.ConnectionError):
    """The primary was not found; the message is ours."""


class NoSentinelError(NoPrimaryError):
    """No Sentinel answered."""


class UnknownNameError(NoPrimaryError):
    """No Sentinel that answers knows the primary's name."""


class WrongTopologyError(NoPrimaryError):
    """The servers are not what `REDIS_URL` says: see `SETTING_ERRORS`."""


class MovedAwayError(redis_errors.TryAgainError):
    """The node no longer has the slot; it did not execute the command."""


class as_connection_error(catch_unexpected):  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """Raise any unexpected error as redis-py's own `ConnectionError`.

    While a connection breaks, redis-py may raise, for instance, `AttributeError: 'NoneType' object has no attribute
    'writelines'`. The command's result is then unknown, and the connection unusable. `DataError` blames the arguments.
    """

    def __init__(self, connection: Any = None) -> None:
        super().__init__(redis_errors.RedisError, OSError)
        self._connection = connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        super().__exit__(kind, error, traceback)
        if self.unexpected is not None:
            if self._connection is not None:  # reconnects before its next use
                self._connection.mark_for_reconnect()
            raise redis_errors.ConnectionError(f"{type(error).__name__} inside the Redis client") from error
        return False


def unreachable_reason(error: Exception) -> str:
    """Return why Redis can't be reached, without the error's text or class."""
    if isinstance(error, NoPrimaryError):
        why = unreachable_reason(error.__cause__) if isinstance(error.__cause__, Exception) else ""
        return f"{error}: {why}" if why in _NOT_CONNECTED else str(error)
    if isinstance(error, redis_errors.MaxConnectionsError):
        return "all connections of this process are in use"
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(error, redis_errors.TimeoutError) or isinstance(cause, TimeoutError | redis_errors.TimeoutError):
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
    """Return an error's Redis code, such as `OOM`; empty if it has none."""
    # redis-py keeps a code that it knows, and strips it from the text. ERR says nothing.
    if (code := getattr(error, "status_code", None)) and code != "ERR":
        return str(code)
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.AuthorizationError):
        return "WRONGPASS"
    if not isinstance(error, redis_errors.ResponseError):
        # While connecting, redis-py may hide what Redis answered behind a connection error. Another answer may only be
        # the error's context: a script that Redis did not know, sent again over a connection that then broke.
        if not isinstance(error, redis_errors.ConnectionError):
            return ""
        login_refused = isinstance(error.__cause__ or error.__context__, redis_errors.AuthenticationError)
        return "WRONGPASS" if login_refused else error_word(error.__cause__)
    text = str(error)
    if _FORBIDDEN_IN_SCRIPT in text:
        return "NOPERM"
    if text.startswith("Error running script"):  # before Redis 7, the code is in the middle
        return next(
            (word for word in sorted(TRANSIENT_WORDS | FORBIDDEN_WORDS | {"WRONGTYPE"}) if f"{word} " in text), "script"
        )
    word = text.partition(" ")[0]
    return word if word.isupper() else "ERR"  # redis-py strips ERR, too, and any text may follow


def redis_state(error: Exception) -> str:
    """Return the state of Redis that an error shows, as in `STATES`."""
    if isinstance(error, UnknownNameError):
        return NAME_UNKNOWN
    word = error_word(error)
    if not word or (isinstance(error, NoPrimaryError) and word not in STATES):
        reason = unreachable_reason(error)
        return reason if reason in _NOT_CONNECTED else NO_ANSWER
    return STATES.get(word, f"refuses ({word})")


def is_transient(answer: object) -> bool:
    """Whether an answer is an error worth a retry within seconds."""
    if not isinstance(answer, Exception):
        return False
    if isinstance(answer, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return True
    return error_word(answer) in TRANSIENT_WORDS - {"OOM"}  # a full Redis rarely recovers that fast


@contextmanager
def as_store_errors(*keys: str) -> Iterator[None]:
    """Raise redis-py's errors, whose texts may quote data, as `StoreError`.

    Args:
        keys: Named if one is of the wrong type.
    """
    try:
        yield
    except redis_errors.DataError:
        raise  # a bug; a retry would not help
    except (redis_errors.RedisError, OSError) as error:
        raise to_store_error(error, *keys) from error


def to_store_error(error: Exception, *keys: str) -> StoreError:
    """Convert an error: StoreUnreachableError only if a retry may help."""
    word = error_word(error)
    ours: StoreError
    if isinstance(error, WrongTopologyError):
        ours = StoreUnreachableError(str(error))
    elif word in TRANSIENT_WORDS:
        ours = StoreUnreachableError(f"Redis can't take it now ({word})")
    elif word in FORBIDDEN_WORDS:
        refused_login = SENTINEL_LOGIN_REFUSED if isinstance(error, NoSentinelError) else LOGIN_REFUSED
        ours = StoreForbiddenError(refused_login if word in LOGIN_WORDS else f"Redis refused ({word})")
    elif word == "MOVED":
        ours = StoreError(CLUSTER_SETTING_MISSING)
    elif word == "CROSSSLOT":
        ours = StoreError(BRACES_MISSING)
    elif word == "DB":  # "DB index is out of range"
        ours = StoreError(NO_SUCH_DATABASE)
    elif word == "WRONGTYPE" and keys:
        names = keys[0] if len(keys) == 1 else f"one of {', '.join(keys)}"
        ours = StoreError(f"Redis refused (WRONGTYPE): {names} {FOREIGN}")
    elif isinstance(error, redis_errors.ResponseError):
        ours = StoreError(f"Redis refused ({word})")
    else:
        reason = unreachable_reason(error)
        problem = reason if reason == TIMED_OUT else f"can't be reached ({reason})"
        ours = StoreUnreachableError(f"Redis {problem}")
    ours.state = redis_state(error)
    return ours
