"""Connection overrides: timeouts and retries set in the fragment of a webhook's URL.

Source: Twilio docs: Webhooks connection overrides.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urldefrag

RETRY_WORDS = frozenset({"4xx", "5xx", "ct", "rt", "all"})


@dataclass(frozen=True, slots=True)
class ConnectionOverrides:
    """Timeouts in milliseconds, the number of retries, and the failures to retry."""

    connect_ms: int = 5_000
    read_ms: int = 15_000
    total_ms: int = 15_000
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    def is_retried(self, failure: str) -> bool:
        """Whether this failure (`4xx`, `5xx`, `ct`, `rt`) is retried."""
        return failure in self.retry_on or "all" in self.retry_on


@dataclass(frozen=True, slots=True)
class Target:
    """A URL without its fragment, and its overrides; `fault` describes an error in the fragment."""

    url: str
    overrides: ConnectionOverrides
    fault: str = ""


_RANGES = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}


def parse_target(url: str) -> Target:
    """Split a webhook's URL into address and overrides; values out of range are clamped."""
    address, fragment = urldefrag(url)
    values: dict[str, int] = {}
    retry_on = ConnectionOverrides().retry_on
    fault = ""
    for pair in filter(None, fragment.split("&")):
        name, _, text = pair.partition("=")
        if name == "rp":
            retry_on = frozenset(text.split(","))
            if not retry_on <= RETRY_WORDS:
                fault = f"Invalid retry policy: {text}"
                retry_on = ConnectionOverrides().retry_on
        elif name in _RANGES and text.isdecimal():
            least, most = _RANGES[name]
            values[name] = min(max(int(text), least), most)
    usual = ConnectionOverrides()
    overrides = ConnectionOverrides(
        values.get("ct", usual.connect_ms),
        values.get("rt", usual.read_ms),
        values.get("tt", usual.total_ms),
        values.get("rc", usual.retries),
        retry_on,
    )
    return Target(address, overrides, fault)
