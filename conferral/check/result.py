"""One line of the check."""

from dataclasses import dataclass

#: Hosts that nobody but this machine reaches.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: Where Twilio's own REST API is.
TWILIO_URL = "https://api.twilio.com"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, how it stands, and how to mend it."""

    #: `ok`, `warn` or `fail`.
    status: str
    #: What was looked at, one or two words.
    name: str
    #: How it stands.
    found: str
    #: What to do about it; empty when nothing is to be done.
    fix: str = ""


def ok(name: str, detail: str) -> CheckResult:
    """All is well."""
    return CheckResult("ok", name, detail)


def warn(name: str, detail: str, fix: str) -> CheckResult:
    """It works, until something else goes wrong."""
    return CheckResult("warn", name, detail, fix)


def fail(name: str, detail: str, fix: str) -> CheckResult:
    """It does not work, or calls can be lost."""
    return CheckResult("fail", name, detail, fix)
