"""Check the directory, the agent, and the fallback as a process does."""

from urllib.parse import urlsplit

from conferral.check.result import LOOPBACK, TWILIO_URL, CheckResult, fail, ok, warn
from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.addresses import parse_address
from conferral.telephony.directory import Directory, load_directory, number_loops

#: The line for the problems of a setting; the others are the directory's.
_LINES = {
    "CONFERRAL_ALLOWED_DESTINATIONS": "allow-list",
    "CONFERRAL_AGENT": "agent",
    "CONFERRAL_TRANSFER_FALLBACK": "fallback",
    "CONFERRAL_PUBLIC_URL": "public URL",
}
_FIX = "correct it, or allow the destination in CONFERRAL_ALLOWED_DESTINATIONS; docs/directory.md has an example"
_FALLBACKS = {"recall": "calls the agent back", "end": "plays a sentence to the caller and hangs up"}


def check_directory(settings: ServiceSettings) -> list[CheckResult]:
    """Check the directory, the agent, and the fallback."""
    try:
        directory = load_directory(settings)
    except SettingsError as error:
        problems = (problem.partition(": ") for problem in error.problems)
        return [fail(_LINES.get(setting, "directory"), found, _FIX) for setting, _, found in problems]
    return [
        _check_urls(settings, directory),
        _check_agent(directory),
        _check_fallback(directory.fallback),
        *_check_loops(settings, directory),
    ]


def _check_urls(settings: ServiceSettings, directory: Directory) -> CheckResult:
    if settings.directory is None:
        return ok("directory", "none: every number uses CONFERRAL_AGENT, and there are no names")
    attributes = [route.attributes for route in directory.numbers.values()]
    urls = [url for one in attributes for url in (one.wait_url, one.after_url) if url]
    if settings.api_url == TWILIO_URL and any(urlsplit(url).hostname in LOOPBACK for url in urls):
        found = "wait_url or after: a loopback URL, which Twilio can't reach"
        return fail("directory", found, "use a URL that Twilio can reach")
    counts = f"names: {len(directory.destinations)}, numbers: {len(directory.numbers)}"
    return ok("directory", f"{counts}; all are allowed")


def _check_agent(directory: Directory) -> CheckResult:
    if directory.default.agents:
        return ok("agent", f"a {parse_address(directory.default.agents[0]).kind.value} on the allow-list")
    fix = "set CONFERRAL_AGENT to +E.164, client:NAME, sip:URI, or a name from the directory"
    if any(route.agents for route in directory.numbers.values()):
        found = "CONFERRAL_AGENT is not set: callers of a number without agents in the directory hear a sentence"
        return warn("agent", found, fix)
    return fail("agent", "CONFERRAL_AGENT is not set: callers hear a message and are disconnected", fix)


def _check_fallback(fallback: str) -> CheckResult:
    if fallback in _FALLBACKS:
        return ok("fallback", f"{fallback}: {_FALLBACKS[fallback]} after a failed blind transfer")
    kind = parse_address(fallback).kind.value
    return ok("fallback", f"a {kind} on the allow-list: dialed after a failed blind transfer")


def _check_loops(settings: ServiceSettings, directory: Directory) -> list[CheckResult]:
    """Report numbers of ours that are each other's agents."""
    loops = (" → ".join(map(redact, (*loop, loop[0]))) for loop in number_loops(settings, directory))
    fix = "give one of them an agent who is a person"
    return [fail("agent", f"your own numbers call each other without end: {loop}", fix) for loop in loops]
