"""How Redis is when it does not do what it is asked: in stable words, for `/readyz` and for errors."""

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # of redis-py, whose names these are
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

#: What Redis's own words mean, as operators read it; docs/operating.md says what to do about each.
#: Source: Redis docs and the server's source, shared error replies.
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
    "ASK": "slots are being moved (ASK)",
    "NOPERM": "not permitted (NOPERM)",
    "NOAUTH": "password refused",
    "WRONGPASS": "password refused",
}
NO_ANSWER = "no answer"
#: Answers by which Redis refuses user or password.
LOGIN_WORDS = frozenset({"NOAUTH", "WRONGPASS"})
LOGIN_REFUSED = "Redis refused the login in REDIS_URL"

#: Answers by which Redis says "not now": the command has not happened, and may be tried again later.
TRANSIENT_WORDS = frozenset(
    {
        "READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "UNBLOCKED", "TRYAGAIN", "ASK", "CLUSTERDOWN",
        "MASTERDOWN",
    }
)  # fmt: skip
#: redis-py has classes for these, and takes the word off the text.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ReadOnlyError, "READONLY"),
    (OutOfMemoryError, "OOM"),
    (BusyLoadingError, "LOADING"),
    (TryAgainError, "TRYAGAIN"),
    (AskError, "ASK"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (NoPermissionError, "NOPERM"),
    (AuthenticationError, "WRONGPASS"),
    (AuthorizationError, "WRONGPASS"),
)


def error_word(error: object) -> str:
    """The word by which Redis names an error, empty where it is none of Redis's.

    Before Redis 7 it stands inside the text when a script met it.
    """
    for kind, word in _WORDS:
        if isinstance(error, kind):
            return word
    if not isinstance(error, ResponseError):
        # While it connects, redis-py may hide a refused login behind an error of the connection.
        cause = error.__cause__ or error.__context__ if isinstance(error, ConnectionError) else None
        return "WRONGPASS" if isinstance(cause, AuthenticationError) else ""
    text = str(error)
    if text.startswith("Error running script"):
        return next((word for word in sorted(TRANSIENT_WORDS) if f"{word} " in text), "script")
    word = text.split(" ", 1)[0]
    return word if word.isupper() else "ERR"  # which redis-py takes off too, and what follows may be anything


def state_of(error: object) -> str:
    """How Redis is, from an error that it answered, or from that it did not answer."""
    word = error_word(error)
    if not word:
        return NO_ANSWER
    return STATES.get(word, f"refuses ({word})")
