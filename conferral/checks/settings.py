"""Whether the settings hold together, beyond what each of them is held against when it is read."""

from urllib.parse import urlsplit, urlunsplit

from conferral.checks.line import Line, fail, ok, warn
from runtime.errors import SettingsError
from runtime.settings import SILENCE, ServiceSettings
from telephony.addresses import parse_address
from telephony.directory import agent_of, fallback_of

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TWILIO_URL = "https://api.twilio.com"
_FALLBACKS = {
    "recall": "the agent is rung again",
    "end": "the caller hears a sentence and is hung up",
}


def check_settings(settings: ServiceSettings) -> list[Line]:
    """Lines about settings that were read."""
    if settings.account_sid.strip("AC0") == "" or settings.auth_token.get_secret_value().startswith("put-your-"):
        return [
            fail(
                "settings",
                "TWILIO_ACCOUNT_SID or TWILIO_AUTH_TOKEN is still the example's",
                "take both from the first page of Twilio's Console",
            ),
            *_others(settings),
        ]
    names = ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_NUMBER", "CONFERRAL_PUBLIC_URL"]
    lines = [ok("settings", f"{', '.join(names)} are set and well formed")]
    return [*lines, *_others(settings)]


def _others(settings: ServiceSettings) -> list[Line]:
    return [_agent(settings), _fallback(settings), _audio(settings), _public_url(settings), _api(settings)]


def shown_url(url: str) -> str:
    """A URL without the user and password that it may hold.

    >>> shown_url("https://twilio:secret@calls.example/base")
    'https://…@calls.example/base'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"…@{host}" if "@" in parts.netloc else host))


def _agent(settings: ServiceSettings) -> Line:
    mend = (
        "set CONFERRAL_AGENT to +E.164, client:NAME or sip:URI, and name its region, prefix or domain in "
        "CONFERRAL_ALLOWED_DESTINATIONS (emergency, premium-rate and short numbers are never allowed)"
    )
    try:
        agent = agent_of(settings)
    except SettingsError as error:
        return fail("agent", "; ".join(error.problems), mend)
    if agent is None:
        return fail("agent", "CONFERRAL_AGENT is not set: callers hear a sentence and are hung up", mend)
    return ok("agent", f"a {agent.kind.value} that the allow-list allows")


def _fallback(settings: ServiceSettings) -> Line:
    mend = (
        "set CONFERRAL_TRANSFER_FALLBACK to recall, end, +E.164, client:NAME or sip:URI, and name its region, prefix "
        "or domain in CONFERRAL_ALLOWED_DESTINATIONS"
    )
    try:
        fallback = fallback_of(settings)
    except SettingsError as error:
        return fail("fallback", "; ".join(error.problems), mend)
    if fallback in _FALLBACKS:
        return ok("fallback", f"{fallback}: after a blind transfer that failed {_FALLBACKS[fallback]}")
    kind = parse_address(fallback).kind.value
    return ok("fallback", f"a {kind} that the allow-list allows: called after a blind transfer that failed")


def _audio(settings: ServiceSettings) -> Line:
    named = {"CONFERRAL_MUSIC": settings.music, "CONFERRAL_RINGBACK": settings.ringback}
    local = [
        name
        for name, url in named.items()
        if url and url != SILENCE and urlsplit(url).hostname in LOOPBACK and settings.api_url == TWILIO_URL
    ]
    if local:
        found = f"{' and '.join(local)}: only what runs on this machine reaches it, so Twilio would play nothing"
        return fail("audio", found, "name a URL that Twilio reaches, or none for silence; our own file without one")
    shown = (f"{name}: {_source(url)}" for name, url in named.items())
    return ok("audio", f"{', '.join(shown)}; nothing was fetched")


def _source(url: str | None) -> str:
    # The host alone: what follows it may be a key to the file.
    return "our own" if url is None else "silence" if url == SILENCE else f"from {urlsplit(url).hostname}"


def _public_url(settings: ServiceSettings) -> Line:
    parts, url = urlsplit(settings.public_url), shown_url(settings.public_url)
    if parts.scheme == "https":
        return ok("public URL", f"{url}; signatures are computed over {url}/voice/inbound")
    if parts.hostname in LOOPBACK:
        return ok("public URL", f"{url}: only what runs on this machine reaches it, as the sandbox does")
    return warn(
        "public URL",
        f"{url}: numbers and what is said about calls travel unencrypted",
        "serve it by https and say so in CONFERRAL_PUBLIC_URL",
    )


def _api(settings: ServiceSettings) -> Line:
    how = "an API key" if settings.api_key else "the auth token"
    url = shown_url(settings.api_url)
    if settings.api_url == TWILIO_URL:
        return ok("REST API", f"Twilio's, with {how}; nothing was asked of it, so a wrong one shows at the first call")
    if urlsplit(settings.api_url).scheme == "https" or urlsplit(settings.api_url).hostname in LOOPBACK:
        return ok("REST API", f"{url}, with {how}")
    return warn("REST API", f"{url}: {how} travels unencrypted", "use an https URL in TWILIO_API_URL")
