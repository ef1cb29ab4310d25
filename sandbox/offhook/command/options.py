"""The options of a sandbox's command, and the variables that replace them."""

from collections.abc import Mapping, Sequence
from typing import Any

from offhook.url_map import read_map

PORT, HOST, PORT_MAX = "8081", "127.0.0.1", 65_535
_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off", ""), False),
}


def read_options(
    environment: Mapping[str, str],
    *,
    port: str | None = None,
    host: str | None = None,
    allow_host: Sequence[str] | None = None,
    strict: bool = False,
    map: Sequence[str] | None = None,  # noqa: A002  the option's name
) -> dict[str, Any]:
    """Return fields of `Sandbox`: the options given, else the variables.

    Raise ValueError for a wrong one; it has the name that its user wrote.
    """
    return {
        "port": _port("SANDBOX_PORT", environment.get("SANDBOX_PORT") or PORT)
        if port is None
        else _port("--port", port),
        "host": (environment.get("SANDBOX_HOST") or HOST) if host is None else host,
        "allow_hosts": tuple(allow_host or environment.get("SANDBOX_ALLOW_HOST", "").split()),
        "strict": strict or _flag("SANDBOX_STRICT", environment.get("SANDBOX_STRICT", "")),
        "control_token": environment.get("SANDBOX_TOKEN", ""),
        "maps": dict(
            [read_map("--map", it) for it in map]
            if map
            else [read_map("SANDBOX_MAP", it) for it in environment.get("SANDBOX_MAP", "").split()]
        ),
    }


def read_api_key(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the API key's SID and secret from the variables; None without.

    Raise ValueError for half a pair.
    """
    key, secret = (environment.get(name, "") for name in ("SANDBOX_API_KEY", "SANDBOX_API_SECRET"))
    if bool(key) != bool(secret):
        raise ValueError("SANDBOX_API_KEY and SANDBOX_API_SECRET: set both, or neither")
    return (key, secret) if key else None


def _port(name: str, text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text) <= PORT_MAX:
        return int(text)
    raise ValueError(f"{name}: {text[:20]!r} is no port; choose one from 1 to {PORT_MAX}, or 0")


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError(f"{name}: {text[:20]!r} is neither true nor false")
    return _FLAGS[text.lower()]
