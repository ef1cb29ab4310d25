"""Connection overrides: fragments of webhook URLs (Twilio docs)."""

from dataclasses import dataclass, replace
from urllib.parse import urldefrag

RETRY_WORDS = frozenset({"4xx", "5xx", "ct", "rt", "all"})


@dataclass(frozen=True, slots=True)
class ConnectionOverrides:
    """Timeouts in milliseconds, the number of retries, and what to retry."""

    connect_ms: int = 5_000
    read_ms: int = 15_000
    total_ms: int = 15_000
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    def is_retried(self, failure: str) -> bool:
        """Whether to retry a failure: `4xx`, `5xx`, `ct` (connect), `rt` (read)."""
        return failure in self.retry_on or "all" in self.retry_on


@dataclass(frozen=True, slots=True)
class Target:
    """A URL without its fragment, its overrides, and the fragment's error."""

    url: str
    overrides: ConnectionOverrides
    fragment_error: str = ""


_RANGES = {
    "ct": ("connect_ms", 100, 10_000),
    "rt": ("read_ms", 100, 15_000),
    "tt": ("total_ms", 100, 15_000),
    "rc": ("retries", 0, 5),
}


def parse_target(url: str) -> Target:
    """Split a webhook's URL into address and overrides, which are clamped."""
    address, fragment = urldefrag(url)
    overrides, fragment_error = ConnectionOverrides(), ""
    for pair in filter(None, fragment.split("&")):
        name, _, text = pair.partition("=")
        if name == "rp":  # the retry policy: which failures to retry
            is_known = RETRY_WORDS.issuperset(text.split(","))
            fragment_error = fragment_error if is_known else f"Invalid retry policy: {text}"
            overrides = replace(overrides, retry_on=frozenset(text.split(",")) if is_known else frozenset({"ct"}))
        elif name in _RANGES and text.isdecimal():
            field, least, most = _RANGES[name]
            overrides = replace(overrides, **{field: min(max(int(text), least), most)})  # type: ignore[arg-type]
    return Target(address, overrides, fragment_error)
