"""Redis URLs: of a server, of Sentinels, or of a cluster's nodes.

    redis://HOST:6379/0
    redis+sentinel://USER:PASSWORD@H1:26379,H2:26379/NAME/0
    redis://H1:6379,H2:6379/?cluster=true

User and password are the primary's; with `rediss`, all connections use TLS. What Conferral does not know is redis-py's.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

Address = tuple[str, int]

_PARTS = re.compile(r"([a-z]*)(\+sentinel)?://([^/?#]*)(.*)", re.DOTALL)
_BAD_HOST = "the host or the port is not valid, or the password has a character to encode, such as / as %2F"
_SCHEMES = frozenset({"redis", "rediss", "unix"})
_SENTINEL_PORT, _SERVER_PORT = 26_379, 6_379


class Topology(Enum):
    """Where the one primary is."""

    #: The URL names it.
    SERVER = "server"
    #: Sentinels name it.
    SENTINEL = "Sentinel"
    #: It is the node of a cluster that has the prefix's slot.
    CLUSTER = "cluster"


_CLUSTER_EXAMPLE = "redis://H1:6379,H2:6379/?cluster=true with CONFERRAL_PREFIX={conferral}"
#: Examples for what a URL seems to mean; the first that matches it fits.
_EXAMPLES = {
    r"[a-z]*\+sentinel:": "redis+sentinel://H1:26379,H2:26379/NAME/0",
    r"unix:(?!.*cluster=)": "unix:///run/redis.sock",
    r".*[?&]cluster\b|[a-z]*://[^/?#]*,[^/?#@]*([/?#]|$)": _CLUSTER_EXAMPLE,
}


def example_of(url: str) -> str:
    """Return a URL of the kind that a wrong one seems to be; may be empty."""
    return next((example for kind, example in _EXAMPLES.items() if re.match(kind, url, re.DOTALL)), "")


class RedisUrlError(ValueError):
    """A Redis URL is invalid; the message may be empty, and never quotes it."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL's parts."""

    topology: Topology
    #: The servers, Sentinels, or nodes that it names; empty for a socket.
    hosts: tuple[Address, ...]
    #: For redis-py: one host, and only options that it knows.
    plain: str = field(repr=False)
    #: The primary's name at the Sentinels.
    name: str = ""
    #: The Sentinels' own user and password, as redis-py's options.
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> "RedisUrl":
        """Return the parts; raise RedisUrlError if they make no sense."""
        if (found := _PARTS.fullmatch(url)) is None:
            raise RedisUrlError("the scheme is missing or not valid")
        scheme, suffix, netloc, rest = found.groups()
        if scheme not in _SCHEMES:
            raise RedisUrlError("the scheme is missing or not valid")
        login, at, named = netloc.rpartition("@")
        first = named.partition(",")[0]
        parts, options = _split(f"{scheme}://{login}{at}{first}{rest}")
        topology = _cluster_option(options)
        if suffix and topology is Topology.CLUSTER:
            raise RedisUrlError("Sentinels name a server; leave cluster out")
        topology = Topology.SENTINEL if suffix else topology
        hosts = () if scheme == "unix" else _hosts(named, _SENTINEL_PORT if suffix else _SERVER_PORT)
        if len(hosts) > 1 and topology is Topology.SERVER:
            raise RedisUrlError("several hosts need redis+sentinel://, or ?cluster=true")
        name, database = _name_and_database(parts, topology)
        of_sentinels = {"sentinel_username": "username", "sentinel_password": "password"} if suffix else {}
        sentinel_login = {ours: value for option, value in options if (ours := of_sentinels.get(option, ""))}
        known = [(option, value) for option, value in options if option not in {"cluster", *of_sentinels}]
        path = parts.path if scheme == "unix" else f"/{database}"
        plain = parts._replace(path=path, query=urlencode(known)).geturl()
        return cls(topology, hosts, plain, name, sentinel_login)


def _split(url: str) -> tuple[SplitResult, list[tuple[str, str]]]:
    """Return a URL's parts and its options, each with a value."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises ValueError unless it is a number
    except ValueError:
        raise RedisUrlError(_BAD_HOST) from None
    # redis-py ignores a host here: with two slashes, the first folder of the path.
    if parts.scheme == "unix" and (parts.hostname or not parts.path.strip("/")):
        raise RedisUrlError("the path of the socket must follow three slashes, such as unix:///run/redis.sock")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if {value.lower() for option, value in options if option == "cluster"} not in (set(), {"true"}, {"false"}):
        raise RedisUrlError("cluster must be true or false")
    for option, value in options:
        if not value:  # redis-py ignores it
            # With an unescaped ? in the password, the rest of the password looks like an option: don't quote it.
            raise RedisUrlError(f"{option} has no value" if re.fullmatch(r"[a-z_]+", option) else "")
    return parts, options


def _cluster_option(options: list[tuple[str, str]]) -> Topology:
    is_cluster = any(option == "cluster" and value.lower() == "true" for option, value in options)
    return Topology.CLUSTER if is_cluster else Topology.SERVER


def _hosts(named: str, default_port: int) -> tuple[Address, ...]:
    hosts = []
    for one in named.split(","):
        try:
            parts = urlsplit(f"//{one}")
            host, port = unquote(parts.hostname or ""), parts.port or default_port
        except ValueError:
            raise RedisUrlError(_BAD_HOST) from None
        if re.search(r"\s", host):
            raise RedisUrlError("the host must not contain spaces")
        if not host and "," in named:
            raise RedisUrlError(_BAD_HOST)
        hosts.append((host or "localhost", port))
    return tuple(hosts)


def _name_and_database(parts: SplitResult, topology: Topology) -> tuple[str, str]:
    """Return the name at the Sentinels, and the database; or empty."""
    if parts.scheme == "unix" and topology is Topology.SERVER:
        return "", ""
    name, path = "", unquote(parts.path).strip("/")
    if topology is Topology.SENTINEL:
        name, _, path = path.partition("/")
        if parts.scheme == "unix" or not name:
            raise RedisUrlError("a name must follow the Sentinels, such as redis+sentinel://H1:26379,H2:26379/NAME/0")
    is_socket = parts.scheme == "unix"
    if not is_socket and not re.fullmatch("[0-9]*", path):
        raise RedisUrlError("the database must be a number")
    if topology is Topology.CLUSTER and (is_socket or int(path or 0)):
        raise RedisUrlError("a cluster has no socket, and no database but 0")
    return name, path
