"""Report how far the clocks of Redis, this machine, and Twilio are apart."""

from conferral.check.result import CheckResult, ok, warn
from conferral.runtime.clock import SystemClock
from conferral.storage.connection.client import Client, server_time_ms

#: Difference above which the check warns, seconds: Twilio's times are whole seconds.
APART_MAX_S = 3
_FIX = "synchronize the machines' clocks (NTP): logs and reports show Redis's time, access tokens this machine's"


def twilio_ahead_s(twilio_ms: int | None) -> float | None:
    """Return how far Twilio's clock is ahead of this machine's, seconds."""
    # A `Date` is rounded down, by half a second on average.
    return None if twilio_ms is None else (twilio_ms + 500 - SystemClock().wall_ms()) / 1000


async def check_clocks(client: Client, key: str, twilio_s: float | None) -> CheckResult:
    """Compare the clocks; `twilio_s`: how far Twilio's is ahead, if known."""
    redis_s = (await server_time_ms(client, key) - SystemClock().wall_ms()) / 1000
    apart_s = {"Redis": redis_s - (twilio_s or 0.0)}
    if twilio_s is not None:
        apart_s["this machine"] = -twilio_s
    other = "this machine" if twilio_s is None else "Twilio"
    far_s = {name: by_s for name, by_s in apart_s.items() if abs(by_s) > APART_MAX_S}
    if far_s:
        return warn("clocks", "; ".join(_described(name, by_s, other) for name, by_s in far_s.items()), _FIX)
    return ok("clocks", f"{' and '.join(apart_s)} within {APART_MAX_S} s of {other}")


def _described(name: str, by_s: float, other: str) -> str:
    return f"{name} is {abs(by_s):.0f} s {'ahead of' if by_s > 0 else 'behind'} {other}"
