"""Checks of the account's webhook rules, which other teams may change.

A rule decides for every URL that it matches how Twilio signs, authenticates, and repeats its requests. The first one
applies: an exact match, the longest prefix, the default rule. Source: Twilio docs, "Webhooks configuration API" (beta).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.runtime.errors import ProviderError
from conferral.runtime.redaction import without_login
from conferral.runtime.settings import ServiceSettings
from conferral.telephony import callback_urls
from conferral.telephony.errors import translate_errors
from conferral.telephony.http_client import PooledHttpClient
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import rest_client
from conferral.webhooks.status_callbacks import STATUS_PATH
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH
from conferral.webhooks.voice_client import CLIENT_PATH

NAME = "webhook rules"
#: What Twilio requests with a signature.
SIGNED_PATHS = (
    INBOUND_PATH, CONFERENCE_START_PATH, CLIENT_PATH, callback_urls.FALLBACK_PATH, callback_urls.HANDOFF_PATH,
    callback_urls.DIAL_ACTION_PATH, callback_urls.GATE_PATH, callback_urls.WAIT_PATH, callback_urls.ANNOUNCEMENT_PATH,
    callback_urls.VOICEMAIL_PATH, STATUS_PATH, callback_urls.CALL_PATH, callback_urls.CONFERENCE_PATH,
    callback_urls.RECORDING_PATH,
)  # fmt: skip
#: An account has at most 50 rules and 50 settings, and a page at most 100.
_PAGE_SIZE = 100
#: What a connection part needs in order to be no worse than our own overrides.
_RETRIES_MIN, _RETRY_ON, _ATTEMPT_MS_MAX = 2, frozenset({"HTTP_5XX", "CONNECTION_TIMEOUT", "READ_TIMEOUT"}), 5_000
_DEFAULT_PORTS = {"https": 443, "http": 80}


async def check_webhook_rules(settings: ServiceSettings, http: PooledHttpClient) -> list[CheckResult]:
    """Check each rule that applies to one of our URLs."""
    # The auth token may read everything; an API key may not.
    api = rest_client(settings, http, by_token=True).webhooks.v1
    try:
        with label_requests("check"), translate_errors():
            pages = await asyncio.gather(
                api.rules.page_async(page_size=_PAGE_SIZE), api.settings.page_async(page_size=_PAGE_SIZE)
            )
            rules, found = (list(page) for page in pages)
            return _check(settings, rules, {setting.id: setting for setting in found})
    except ProviderError as error:
        status = f"HTTP {error.http_status}" if error.http_status else "no readable answer"
        why = f"they can't be read ({status}), so it is unknown with which keys Twilio signs"
        fix = "nothing while calls work; if webhooks answer 403, see docs/faq.md"
        return [warn(NAME, why, fix)]


def _check(settings: ServiceSettings, rules: Sequence[Any], found: dict[str, Any]) -> list[CheckResult]:
    lines: list[CheckResult] = []
    for rule, count in _applying(settings.public_url, rules):
        for share in rule.settings:
            which = _describe(rule, share.get("percentage", 100), count)
            setting = found.get(share["settingId"])
            if setting is None:
                why = f"{which} has a setting that is not listed, so it is unknown how Twilio signs"
                lines.append(warn(NAME, why, "read it in the Twilio Console; if webhooks answer 403, see docs/faq.md"))
            else:
                lines += [_check_signature(settings, which, setting), *_check_delivery(which, setting)]
    return lines or [ok(NAME, "none applies to the public URL: Twilio signs with the auth token")]


def _applying(public_url: str, rules: Iterable[Any]) -> list[tuple[Any, int]]:
    """Return the rules that apply to URLs of ours, and to how many."""
    by_kind: dict[str, list[Any]] = {"EXACT_MATCH": [], "PREFIX_MATCH": [], "DEFAULT": []}
    for rule in rules:
        by_kind.get(str(rule.match_type).upper(), []).append(rule)
    prefixes = sorted(by_kind["PREFIX_MATCH"], key=lambda rule: -len(rule.prefix))
    applying: list[tuple[Any, list[str]]] = []
    for path in SIGNED_PATHS:
        url = _comparable(public_url + path)
        # Twilio doesn't say whether a query counts. Most of our URLs have one, so this and the next rule may apply.
        matching = [rule for rule in by_kind["EXACT_MATCH"] if _comparable(rule.value) == url]
        matching += [rule for rule in prefixes if url.startswith(_comparable(rule.prefix))][:1] or by_kind["DEFAULT"]
        for rule in matching:
            paths = next((paths for one, paths in applying if one is rule), None)
            if paths is None:
                applying.append((rule, paths := []))
            paths.append(path)
    return [(rule, len(paths)) for rule, paths in applying]


def _comparable(url: str) -> str:
    """Return a URL without login, default port, query, and fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else ""
    except ValueError:
        return "invalid"
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _describe(rule: Any, percentage: int, count: int) -> str:
    place = rule.prefix or rule.value
    which = f"the rule for {without_login(_comparable(place))}" if place else "the default rule"
    share = "" if percentage == 100 else f"for {percentage}% of the requests, "
    return f"{share}{which} ({count} of our {len(SIGNED_PATHS)} URLs)"


def _check_signature(settings: ServiceSettings, which: str, setting: Any) -> CheckResult:
    signature = setting.signature or {}
    key_id, algorithm = signature.get("sharedKeyId"), signature.get("algorithm") or HMAC_SHA256
    if not key_id:
        return ok(NAME, f"{which} signs with the auth token")
    how = f"{which} signs with {key_id} ({algorithm})"
    if algorithm not in (HMAC_SHA1, HMAC_SHA256):
        fix = "ask for a setting with HMAC_SHA256, or for a newer version of Conferral"
        return fail(NAME, f"{how}, which this version does not know: its requests get 403", fix)
    if key_id not in dict(settings.webhook_keys):
        fix = (
            f"add {key_id}=SECRET, with the secret from the team that created the key, and restart the webhooks; or "
            f"ask for a rule for {without_login(settings.public_url)}/ whose setting has no signature"
        )
        return fail(NAME, f"{how}, which TWILIO_WEBHOOK_KEYS lacks: its requests get 403", fix, "TWILIO_WEBHOOK_KEYS")
    return ok(NAME, f"{how}, which TWILIO_WEBHOOK_KEYS has")


def _check_delivery(which: str, setting: Any) -> list[CheckResult]:
    """Warn of what delays or loses requests, or may."""
    lines = []
    connection = setting.connection if setting.type != "SYSTEM" else None
    if connection and not _keeps_retries(connection):
        retries = (connection.get("retryPolicy") or {}).get("retryCount") or 0
        why = f"{which} replaces the retries and timeouts that our URLs ask for (#rc, #rt): {retries} retries"
        fix = (
            "in its setting, remove the connection part, or use retryCount 2, retryOn HTTP_5XX, CONNECTION_TIMEOUT, "
            "and READ_TIMEOUT, connectTimeoutMs 1000, and readTimeoutMs 4000"
        )
        lines.append(warn(NAME, why, fix))
    if scheme := _auth_scheme(setting.auth or {}):
        why = f"{which} sends credentials ({scheme}) that the webhooks don't check"
        lines.append(warn(NAME, why, "nothing if a proxy in front checks them; the signature alone is enough"))
    zones = setting.edge_zones or {}
    if zones.get("zones") and not zones.get("allowZoneFallback"):
        why = f"{which} sends from {', '.join(map(str, zones['zones']))} only: without these, no request is sent"
        lines.append(warn(NAME, why, "set allowZoneFallback in its setting"))
    return lines


def _keeps_retries(connection: dict[str, Any]) -> bool:
    policy = connection.get("retryPolicy") or {}
    retry_on = set(policy.get("retryOn") or ())
    attempt_ms = (connection.get("connectTimeoutMs") or 15_000) + (connection.get("readTimeoutMs") or 15_000)
    repeats = (policy.get("retryCount") or 0) >= _RETRIES_MIN and ("ALL" in retry_on or retry_on >= _RETRY_ON)
    return repeats and attempt_ms <= _ATTEMPT_MS_MAX


def _auth_scheme(auth: dict[str, Any]) -> str:
    """Return the kind of credentials in words; empty if there are none."""
    scheme = str((auth.get("value") or auth).get("scheme") or "")
    if scheme.upper() == "NONE":
        return ""
    return scheme or ("an auth profile" if auth.get("authProfileId") else "")
