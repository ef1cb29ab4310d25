"""Check that the directory is readable and its addresses are allowed."""

from collections.abc import Mapping, Sequence, Sized
from urllib.parse import urlsplit

from conferral.check.result import LOOPBACK, TWILIO_URL, CheckResult, fail, ok, warn
from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.addresses import AllowList, parse_address
from conferral.telephony.directory import (
    DirectoryEntry,
    is_name,
    load_directory,
    number_loops,
    read_file,
    resolve_agent,
    resolve_fallback,
)

_FALLBACKS = {"recall": "calls the agent back", "end": "plays a sentence to the caller and hangs up"}
_DESTINATION_FORMS = "+E.164, client:NAME, sip:URI, or a name from the directory"


def check_directory(settings: ServiceSettings) -> list[CheckResult]:
    """Check the directory, the agent, and the fallback."""
    try:
        allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    except SettingsError as error:
        found = "not checked: the allow-list is invalid"
        return [
            fail("allow-list", "; ".join(error.problems), "fix CONFERRAL_ALLOWED_DESTINATIONS"),
            *(warn(name, found, "fix the allow-list first") for name in ("directory", "agent", "fallback")),
        ]
    names: Mapping[str, str] = {}
    entries: Mapping[str, DirectoryEntry] = {}
    if settings.directory is None:
        line = ok("directory", "none: every number uses CONFERRAL_AGENT, and there are no names")
    else:
        try:
            names, entries = read_file(settings.directory, allowed)
        except SettingsError as error:
            return _without_directory(settings, error.problems)
        line = _check_urls(settings, names, entries)
    agent, fallback = _check_agent(settings, names, entries), _check_fallback(settings, names)
    if settings.number and "fail" not in (agent.status, fallback.status):
        return [line, agent, fallback, *_check_loops(settings)]
    return [line, agent, fallback]


def _check_loops(settings: ServiceSettings) -> list[CheckResult]:
    """Report numbers of ours that are each other's agents."""
    fix = "give one of them an agent who is a person"
    try:
        loops = number_loops(settings, load_directory(settings))
    except SettingsError as error:
        return [fail("agent", problem, fix) for problem in error.problems]
    named = [" → ".join(redact(number) for number in (*loop, loop[0])) for loop in loops]
    return [fail("agent", f"your own numbers call each other without end: {loop}", fix) for loop in named]


def _without_directory(settings: ServiceSettings, problems: Sequence[str]) -> list[CheckResult]:
    """Report directory errors; skip the checks that need the directory."""
    *others, last = (problem.removeprefix("CONFERRAL_DIRECTORY: ") for problem in problems)
    lines = [fail("directory", found, "") for found in others]
    lines.append(fail("directory", last, "fix the entries named above; docs/directory.md has an example"))
    fix = "fix the directory first"
    unread = "the directory could not be read, so"
    if settings.agent is None:
        lines.append(warn("agent", f"CONFERRAL_AGENT is not set: {unread} its numbers' agents are unknown", fix))
    elif is_name(settings.agent):
        lines.append(warn("agent", f"CONFERRAL_AGENT is a name: {unread} it can't be resolved", fix))
    else:
        lines.append(_check_agent(settings, {}, {}))
    if settings.transfer_fallback not in _FALLBACKS and is_name(settings.transfer_fallback):
        lines.append(warn("fallback", f"CONFERRAL_TRANSFER_FALLBACK is a name: {unread} it can't be resolved", fix))
    else:
        lines.append(_check_fallback(settings, {}))
    return lines


def _check_urls(settings: ServiceSettings, names: Sized, entries: Mapping[str, DirectoryEntry]) -> CheckResult:
    urls = [url for entry in entries.values() for url in (entry.wait_url, entry.after) if url]
    if settings.api_url == TWILIO_URL and any(urlsplit(url).hostname in LOOPBACK for url in urls):
        found = "wait_url or after: a loopback URL, which Twilio can't reach"
        return fail("directory", found, "use a URL that Twilio can reach")
    return ok("directory", f"names: {len(names)}, numbers: {len(entries)}; all are allowed")


def _check_agent(
    settings: ServiceSettings, names: Mapping[str, str], entries: Mapping[str, DirectoryEntry]
) -> CheckResult:
    fix = (
        f"set CONFERRAL_AGENT to {_DESTINATION_FORMS}, and add its region, prefix, or domain to "
        "CONFERRAL_ALLOWED_DESTINATIONS (emergency, premium-rate, and short numbers are never allowed)"
    )
    try:
        agent = resolve_agent(settings, names)
    except SettingsError as error:
        return fail("agent", "; ".join(error.problems), fix)
    if agent is not None:
        return ok("agent", f"a {agent.kind.value} on the allow-list")
    if any(entry.agents for entry in entries.values()):
        found = "CONFERRAL_AGENT is not set: callers of a number without agents in the directory hear a sentence"
        return warn("agent", found, fix)
    return fail("agent", "CONFERRAL_AGENT is not set: callers hear a message and are disconnected", fix)


def _check_fallback(settings: ServiceSettings, names: Mapping[str, str]) -> CheckResult:
    fix = (
        f"set CONFERRAL_TRANSFER_FALLBACK to recall, end, {_DESTINATION_FORMS}, and add its region, prefix, or domain "
        "to CONFERRAL_ALLOWED_DESTINATIONS"
    )
    try:
        fallback = resolve_fallback(settings, names)
    except SettingsError as error:
        return fail("fallback", "; ".join(error.problems), fix)
    if fallback in _FALLBACKS:
        return ok("fallback", f"{fallback}: {_FALLBACKS[fallback]} after a failed blind transfer")
    kind = parse_address(fallback).kind.value
    return ok("fallback", f"a {kind} on the allow-list: dialed after a failed blind transfer")
