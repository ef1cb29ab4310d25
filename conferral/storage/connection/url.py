"""Redis URLs, checked before anything connects."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from redis.exceptions import RedisClusterException, RedisError

#: How redis-py names an option that it does not know, or whose value it can't use.
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")
_WRONG_VALUE = re.compile(r"Invalid value for '(\w+)'")


class RedisUrlError(ValueError):
    """A Redis URL is invalid; the message may be empty, and never quotes it."""


def split_cluster_option(url: str) -> tuple[str, bool]:
    """Return the URL without `cluster`, and that option; check the rest."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises ValueError unless it is a number
    except ValueError:
        raise RedisUrlError(
            "the host or the port is not valid, or the password has a character to encode, such as / as %2F"
        ) from None
    if re.search(r"\s", parts.hostname or ""):
        raise RedisUrlError("the host must not contain spaces")
    # redis-py ignores a host here: with two slashes, the first folder of the path.
    if parts.scheme == "unix" and (parts.hostname or not parts.path.strip("/")):
        raise RedisUrlError("the path of the socket must follow three slashes, such as unix:///run/redis.sock")
    query = parse_qsl(parts.query, keep_blank_values=True)
    named = {value.lower() for name, value in query if name == "cluster"}
    if named not in (set(), {"true"}, {"false"}):
        raise RedisUrlError("cluster must be true or false")
    for name, value in query:
        if not value:  # redis-py ignores it
            # With an unescaped ? in the password, the rest of the password looks like an option: don't quote it.
            raise RedisUrlError(f"{name} has no value" if re.fullmatch(r"[a-z_]+", name) else "")
    is_cluster = named == {"true"}
    database = "" if parts.scheme == "unix" else unquote(parts.path).strip("/")
    if not re.fullmatch("[0-9]*", database):
        raise RedisUrlError("the database must be a number")
    if is_cluster and (parts.scheme == "unix" or int(database or 0)):
        raise RedisUrlError("a cluster has no socket, and no database but 0")
    rest = urlencode([(name, value) for name, value in query if name != "cluster"])
    return urlunsplit(parts._replace(query=rest)), is_cluster


@contextmanager
def option_errors(url: str) -> Iterator[None]:
    """Raise `RedisUrlError` for wrong options, without quoting the URL."""
    try:
        yield
    except (AttributeError, TypeError, ValueError, RedisError, RedisClusterException) as error:
        scheme = url.partition(":")[0]
        if found := _UNKNOWN_OPTION.search(str(error)):
            raise RedisUrlError(f"{scheme}:// has no option {found[1]}") from None
        found = _WRONG_VALUE.search(str(error))
        raise RedisUrlError(f"the value of {found[1]} is not valid" if found else "") from None
