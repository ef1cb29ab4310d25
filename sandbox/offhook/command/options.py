"""The options of a sandbox's command: given, in variables, or in its file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from offhook.url_map import read_map

PORT, HOST, PORT_MAX = 8081, "127.0.0.1", 65_535
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
    map: Sequence[str] | None = None,  # noqa: A002  the option's name
) -> dict[str, Any]:
    """Return fields of `Sandbox`: as given, else of variables, else of the file.

    Raise ValueError for a wrong one; it has the name that its user wrote.
    """
    variables = {name: environment.get(f"SANDBOX_{name.upper()}") or None for name in ("port", "strict")}
    if port is not None or variables["port"] is not None:
        number = _port("--port", port) if port is not None else _port("SANDBOX_PORT", variables["port"] or "")
    else:
        number = _port("port", str(file.get("port", PORT)))
    maps = [read_map("--map", it) for it in map or ()]
    maps = maps or [read_map("SANDBOX_MAP", it) for it in environment.get("SANDBOX_MAP", "").split()]
    of_strict = variables["strict"]
    return {
        "port": number,
        "host": (environment.get("SANDBOX_HOST") or file.get("host", HOST)) if host is None else host,
        "allow_hosts": tuple(
            allow_host or environment.get("SANDBOX_ALLOW_HOST", "").split() or file.get("allow_host", ())
        ),
        "strict": strict or (_flag("SANDBOX_STRICT", of_strict) if of_strict else file.get("strict", False)),
        "control_token": environment.get("SANDBOX_TOKEN", ""),
        "maps": dict(maps) or file.get("map", {}),
    }


def read_api_key(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the API key of the variables: its secret by SID; none without.

    Raise ValueError for half a pair.
    """
    key, secret = (environment.get(name, "") for name in ("SANDBOX_API_KEY", "SANDBOX_API_SECRET"))
    if bool(key) != bool(secret):
        raise ValueError("SANDBOX_API_KEY and SANDBOX_API_SECRET: set both, or neither")
    return {key: secret} if key else {}


def _port(name: str, text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text) <= PORT_MAX:
        return int(text)
    raise ValueError(f"{name}: {text[:20]!r} is no port; choose one from 1 to {PORT_MAX}, or 0")


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError(f"{name}: {text[:20]!r} is neither true nor false")
    return _FLAGS[text.lower()]
