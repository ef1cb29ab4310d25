"""Checks of settings, the directory, and libraries."""

import stat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp.http_parser

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.processes.common import KNOWN_SETTINGS, is_loopback, unknown_settings
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact, without_login
from conferral.runtime.setting_values import SILENCE, token_weakness
from conferral.runtime.settings import ServiceSettings, read_sources
from conferral.runtime.urls import is_twilio_url
from conferral.statemachine.places import is_url
from conferral.statemachine.states import Place
from conferral.storage.agents import identity_of
from conferral.telephony.addresses import parse_address
from conferral.telephony.directory import Directory, load_directory
from conferral.telephony.token_file import load_tokens


def check_http_parser() -> CheckResult:
    """Check that aiohttp has its C parser."""
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        return fail(
            "HTTP parser",
            "aiohttp runs without its C parser; the Python parser allows request smuggling",
            "unset AIOHTTP_NO_EXTENSIONS and install a wheel of aiohttp for this platform",
        )
    return ok("HTTP parser", "aiohttp's C parser")


def check_sources() -> list[CheckResult]:
    """Report each setting's source, never its value, and unknown names."""
    environment, file = read_sources()
    both = sorted(environment.keys() & file.keys() & KNOWN_SETTINGS)
    places = {
        "environment": environment.keys() & KNOWN_SETTINGS,
        ".env": file.keys() & KNOWN_SETTINGS - environment.keys(),
    }
    sources = [f"{place}: {', '.join(sorted(names))}" for place, names in places.items() if names]
    lines = [ok("sources", "; ".join([*sources, "all others: default"]))]
    if overridden := [name for name in both if environment[name] != file[name]]:
        found = f"{', '.join(overridden)}: set differently in .env; the environment wins"
        lines.append(warn("overridden", found, "remove one of the two"))
    if unknown := unknown_settings():
        named = ", ".join(f"{name} (did you mean {nearest}?)" if nearest else name for name, nearest in unknown.items())
        found = f"{named}: not a setting of this version"
        lines.append(warn("unknown", found, "correct or remove it; docs/reference/settings.md lists all settings"))
    return [*lines, *_check_writers("environment file", Path(".env"))]


def check_settings(settings: ServiceSettings) -> list[CheckResult]:
    """Check settings that are valid by themselves, but may conflict."""
    names = "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_NUMBER, CONFERRAL_PUBLIC_URL"
    return [
        ok("settings", f"{names} are set and valid"),
        *check_directory(settings),
        _check_audio(settings),
        _check_public_url(settings),
        _check_rest_api(settings),
        _check_control_api(settings),
        *_check_tokens(settings),
        _check_browsers(settings),
    ]


def _check_control_api(settings: ServiceSettings) -> CheckResult:
    if settings.api_token is None:
        if settings.tokens is not None:
            return ok("control API", "enabled, with CONFERRAL_TOKENS")
        return ok("control API", "neither CONFERRAL_API_TOKEN nor CONFERRAL_TOKENS is set here; webhooks need one")
    if weakness := token_weakness(settings.api_token):
        return warn("control API", weakness, "set CONFERRAL_API_TOKEN to the output of `openssl rand -hex 32`")
    return ok("control API", "enabled, with CONFERRAL_API_TOKEN")


def _check_tokens(settings: ServiceSettings) -> list[CheckResult]:
    if settings.tokens is None:
        return []
    try:
        names = [token.name for token in load_tokens(settings.tokens, settings.api_token).values()]
    except SettingsError as error:
        fix = "correct the file, then send SIGHUP to webhooks and console; until then, the tokens read before apply"
        return [fail("tokens", problem, fix) for problem in error.problems]
    writers = _check_writers("tokens", settings.tokens)
    return writers or [ok("tokens", f"{settings.tokens}: {', '.join(names) or 'none'}")]


def _check_writers(name: str, path: Path) -> list[CheckResult]:
    """Warn if others may write a file.

    They could give themselves a token, or lead calls elsewhere.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return []
    if not mode & (stat.S_IWGRP | stat.S_IWOTH):
        return []
    return [warn(name, f"{path}: others than its owner may write it ({stat.filemode(mode)})", f"chmod go-w {path}")]


def _check_browsers(settings: ServiceSettings) -> CheckResult:
    if settings.twiml_app_sid is None:
        return ok("browsers", "no access tokens: TWILIO_TWIML_APP_SID is not set")
    if not settings.api_key:
        found = "TWILIO_TWIML_APP_SID is set, but access tokens need an API key"
        return fail("browsers", found, "set TWILIO_API_KEY and TWILIO_API_SECRET")
    return ok("browsers", "access tokens signed with the API key")


def _check_audio(settings: ServiceSettings) -> CheckResult:
    """Check that Twilio can reach the wait audio's URLs; none is fetched."""
    named = {"CONFERRAL_MUSIC": settings.music, "CONFERRAL_RINGBACK": settings.ringback}
    local = [
        name
        for name, url in named.items()
        if url and url != SILENCE and is_loopback(urlsplit(url).hostname) and is_twilio_url(settings.api_url)
    ]
    if local:
        found = f"{' and '.join(local)}: a loopback URL, which Twilio can't reach"
        fix = "use a URL that Twilio can reach, none for silence, or unset it for the built-in file"
        return fail("audio", found, fix)
    shown = (f"{name}: {_audio_source(url)}" for name, url in named.items())
    return ok("audio", f"{', '.join(shown)} (not fetched)")


def _audio_source(url: str | None) -> str:
    # Show the host only: the rest of the URL may be a secret.
    return "built-in file" if url is None else "silence" if url == SILENCE else f"from {urlsplit(url).hostname}"


def _check_public_url(settings: ServiceSettings) -> CheckResult:
    parts, url = urlsplit(settings.public_url), without_login(settings.public_url)
    if parts.scheme == "https":
        return ok("public URL", f"{url}; signatures are computed over {url}/voice/inbound")
    if is_loopback(parts.hostname):
        return ok("public URL", f"{url}: loopback, which only the sandbox can reach")
    return warn(
        "public URL",
        f"{url}: phone numbers and call data travel unencrypted",
        "serve it over https and update CONFERRAL_PUBLIC_URL",
    )


def _check_rest_api(settings: ServiceSettings) -> CheckResult:
    how = "an API key" if settings.api_key else "the auth token"
    url = without_login(settings.api_url)
    if is_twilio_url(settings.api_url):
        region = f" in region {settings.region}" if settings.region else ""
        return ok("REST API", f"Twilio's{region}, {url}, with {how}")
    if urlsplit(settings.api_url).scheme == "https" or is_loopback(urlsplit(settings.api_url).hostname):
        return ok("REST API", f"{url}, with {how}")
    return warn("REST API", f"{url}: {how} travels unencrypted", "use an https URL in TWILIO_API_URL")


#: The line for the problems of a setting; the others are the directory's.
_LINES = {
    "CONFERRAL_ALLOWED_DESTINATIONS": "allow-list",
    "CONFERRAL_HANDOFF_DESTINATIONS": "hand-off",
    "CONFERRAL_AGENT": "agent",
    "CONFERRAL_TRANSFER_FALLBACK": "fallback",
    "CONFERRAL_INBOUND_FALLBACK": "fallback",
    "CONFERRAL_PUBLIC_URL": "public URL",
}
_FIX = "correct it, or allow the destination in CONFERRAL_ALLOWED_DESTINATIONS; docs/directory.md has an example"
_PLACES: dict[str, str] = {
    Place.RECALL: "calls the agent back",
    Place.QUEUE: "lets the caller wait for a desk",
    Place.VOICEMAIL: "records a message",
    Place.END: "plays a sentence to the caller and hangs up",
}


def check_directory(settings: ServiceSettings) -> list[CheckResult]:
    """Check the directory, the agent, and the fallback."""
    try:
        directory = load_directory(settings)
    except SettingsError as error:
        problems = (problem.partition(": ") for problem in error.problems)
        return [
            fail(_LINES.get(setting, "directory"), found, f"fix {setting}" if "_DEST" in setting else _FIX, setting)
            for setting, _, found in problems
        ]
    return [
        _check_urls(settings, directory),
        _check_agent(directory),
        _check_fallback(directory),
        *_check_queues(directory),
        *_check_hours(directory, SystemClock().wall_ms()),
        _check_return_urls(settings),
    ]


def _check_urls(settings: ServiceSettings, directory: Directory) -> CheckResult:
    if settings.directory is None:
        return ok("directory", "none: every number uses CONFERRAL_AGENT, and there are no names")
    attributes = [route.attributes for route in directory.numbers.values()]
    urls = [url for one in attributes for url in (one.wait_url, one.after_url) if url]
    if is_twilio_url(settings.api_url) and any(is_loopback(urlsplit(url).hostname) for url in urls):
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


def _check_fallback(directory: Directory) -> CheckResult:
    transfer, inbound = (describe_fallback(one) for one in (directory.transfer_fallback, directory.default.fallback))
    return ok("fallback", f"after a failed blind transfer: {transfer}; for a caller whom no agent takes: {inbound}")


def _check_queues(directory: Directory) -> list[CheckResult]:
    """Report queues, and phones among their agents: only desks are offered."""
    routes = [route for route in (directory.default, *directory.numbers.values()) if route.has_queue]
    if not routes:
        return []
    with_phones = sum(not all(map(identity_of, route.agents)) for route in routes if route.agents)
    found = f"callers wait in the queues of {len(routes)} routes until a desk is free"
    if not with_phones:
        return [ok("queue", found)]
    return [warn("queue", f"{found}; phones in agents take no one from {with_phones} of them", "have desks as agents")]


def _check_hours(directory: Directory, now_ms: int) -> list[CheckResult]:
    """Report the numbers with hours that are closed now."""
    closed, count = [], 0
    for number, route in directory.numbers.items():
        if route.hours is None:
            continue
        count += 1
        if route.at(now_ms).is_closed:
            start = route.hours.next_start(now_ms)
            until = f"until {start:%a %Y-%m-%d %H:%M}" if start else "for weeks"
            closed.append(f"{redact(number)} ({until} in {route.hours.zone.key}; {describe_fallback(route.closed)})")
    return [ok("hours", f"numbers: {count}; closed now: {', '.join(closed) or 'none'}")] if count else []


def _check_return_urls(settings: ServiceSettings) -> CheckResult:
    if not settings.return_urls:
        return ok("return URLs", "none: CONFERRAL_RETURN_URLS is not set")
    found = f"callers may return to: {', '.join(settings.return_urls)}"
    if is_twilio_url(settings.api_url) and any(is_loopback(urlsplit(one).hostname) for one in settings.return_urls):
        why = f"{found}; CONFERRAL_RETURN_URLS has a loopback URL, which Twilio can't reach"
        return warn("return URLs", why, "use a URL that Twilio can reach")
    return ok("return URLs", found)


def describe_fallback(fallback: tuple[str, ...]) -> str:
    """Return a fallback in words, without addresses."""
    return ", then ".join(_PLACES.get(place) or _describe_place(place) for place in fallback)


def _describe_place(place: str) -> str:
    return "continues at your URL" if is_url(place) else f"dials a {parse_address(place).kind.value} on the allow-list"
