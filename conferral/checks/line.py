"""One line of the check."""

from dataclasses import dataclass

#: Hosts that nobody but this machine reaches.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: Where Twilio's own REST API is.
TWILIO_URL = "https://api.twilio.com"


@dataclass(frozen=True, slots=True)
class Line:
    """What was looked at, how it stands, and how to mend it."""

    #: `ok`, `warn` or `fail`.
    status: str
    #: What was looked at, one or two words.
    name: str
    #: How it stands.
    found: str
    #: What to do about it; empty when nothing is to be done.
    mend: str = ""


def ok(name: str, found: str) -> Line:
    """All is well."""
    return Line("ok", name, found)


def warn(name: str, found: str, mend: str) -> Line:
    """It works, until something else goes wrong."""
    return Line("warn", name, found, mend)


def fail(name: str, found: str, mend: str) -> Line:
    """It does not work, or calls can be lost."""
    return Line("fail", name, found, mend)
