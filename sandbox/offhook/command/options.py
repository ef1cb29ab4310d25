"""The options of a sandbox's command: given, in variables, or in its file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from offhook.url_map import read_map

PORT, HOST, PORT_MAX = 8081, "127.0.0.1", 65_535
#: Variables that begin with OFFHOOK_; they began with SANDBOX_.
NAMES = ("PORT", "HOST", "ALLOW_HOST", "TOKEN", "API_KEY", "API_SECRET", "STRICT")
_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def read_options(
    environment: Mapping[str, str],
    file: Mapping[str, Any] = MappingProxyType({}),
    *,
    port: str | None = None,
    host: str | None = None,
    allow_host: Sequence[str] | None = None,
    strict: bool = False,
    allow_internet: bool = False,
    map: Sequence[str] | None = None,  # noqa: A002  the option's name
) -> dict[str, Any]:
    """Return fields of `Sandbox`: as given, of variables, or of the file.

    Raise ValueError for a wrong one; it has the name that its user wrote.
    """
    check_names(environment)
    of_port = environment.get("OFFHOOK_PORT") or None
    if port is not None or of_port is not None:
        number = _port("--port", port) if port is not None else _port("OFFHOOK_PORT", of_port or "")
    else:
        number = _port("port", str(file.get("port", PORT)))
    maps = [read_map("--map", it) for it in map or ()]
    maps = maps or [read_map("OFFHOOK_MAP", it) for it in environment.get("OFFHOOK_MAP", "").split()]
    flags = {"strict": strict, "allow_internet": allow_internet}
    return {
        **{name: given or _flag(name, environment, file) for name, given in flags.items()},
        "port": number,
        "host": (environment.get("OFFHOOK_HOST") or file.get("host", HOST)) if host is None else host,
        "allow_hosts": tuple(
            allow_host or environment.get("OFFHOOK_ALLOW_HOST", "").split() or file.get("allow_host", ())
        ),
        "control_token": environment.get("OFFHOOK_TOKEN", ""),
        "maps": dict(maps) or file.get("map", {}),
    }


def check_names(environment: Mapping[str, str]) -> None:
    """Raise ValueError for a variable that had this name before."""
    for name in NAMES:
        if environment.get(f"SANDBOX_{name}"):
            raise ValueError(f"SANDBOX_{name} is OFFHOOK_{name} now: rename it")


def read_api_key(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the API key of the variables: its secret by SID; none without.

    Raise ValueError for half a pair.
    """
    key, secret = (environment.get(name, "") for name in ("OFFHOOK_API_KEY", "OFFHOOK_API_SECRET"))
    if bool(key) != bool(secret):
        raise ValueError("OFFHOOK_API_KEY and OFFHOOK_API_SECRET: set both, or neither")
    return {key: secret} if key else {}


def _port(name: str, text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text) <= PORT_MAX:
        return int(text)
    raise ValueError(f"{name}: {text[:20]!r} is no port; choose one from 1 to {PORT_MAX}, or 0")


def _flag(name: str, environment: Mapping[str, str], file: Mapping[str, Any]) -> bool:
    variable = f"OFFHOOK_{name.upper()}"
    if not (text := environment.get(variable, "").lower()):
        return bool(file.get(name, False))
    if text not in _FLAGS:
        raise ValueError(f"{variable}: {text[:20]!r} is neither true nor false")
    return _FLAGS[text]
