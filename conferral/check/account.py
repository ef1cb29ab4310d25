"""Checks of what Twilio has and reaches: account and public URL.

Source: Twilio docs, Account resource; IncomingPhoneNumber resource.
"""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from twilio.request_validator import HMAC_SHA256, SIGNATURE_HEADER, SIGNATURE_SETTINGS_HEADER, RequestValidator
from twilio.rest import Client
from twilio.rest.api.v2010.account import AccountInstance
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberInstance as NumberRecord

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.check.workers import twilio_ahead_s
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderUnreachableError,
    ResultUnknownError,
    SettingsError,
)
from conferral.runtime.metrics import Metrics
from conferral.runtime.redaction import redact, without_login
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.urls import target_of
from conferral.telephony.addresses import own_number_in
from conferral.telephony.callback_urls import (
    ANNOUNCEMENT_PATH,
    CHECK_SESSION,
    FALLBACK_PATH,
    HANDOFF_PATH,
    Announcement,
)
from conferral.telephony.directory import load_directory
from conferral.telephony.errors import translate_errors
from conferral.telephony.http_client import PooledHttpClient
from conferral.telephony.own_numbers import OwnNumbers, find_number, read_account_numbers
from conferral.telephony.request_context import ignore_not_found, label_requests
from conferral.telephony.twilio_requests import rest_client
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH

URL_DEADLINE_S = 5.0
#: Statuses of webhooks that accepted the signature: 404 for an unknown phrase, 503 without Redis.
_REACHED_STATUSES = frozenset({404, 503})
_VOICE_PATHS = (INBOUND_PATH, CONFERENCE_START_PATH, HANDOFF_PATH)


async def check_round_trip(settings: ServiceSettings) -> CheckResult:
    """Send an unsigned and a signed request; neither changes anything."""
    url = f"{settings.public_url}{ANNOUNCEMENT_PATH}?{Announcement(CHECK_SESSION, CHECK_SESSION).query()}"
    form = {"AccountSid": settings.account_sid}
    token = settings.auth_token.get_secret_value()
    signatures = {"": {SIGNATURE_HEADER: RequestValidator(token).compute_signature(url, form)}}
    for key_id, secret in settings.webhook_keys:
        signature = RequestValidator(secret.get_secret_value()).compute_signature(url, form, HMAC_SHA256)
        named = f"key={key_id},algorithm={HMAC_SHA256}"
        signatures[key_id] = {SIGNATURE_HEADER: signature, SIGNATURE_SETTINGS_HEADER: named}
    timeout = aiohttp.ClientTimeout(total=URL_DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            unsigned = await _post(session, url, form, {})
            signed = {key_id: await _post(session, url, form, headers) for key_id, headers in signatures.items()}
    except aiohttp.ClientConnectorCertificateError:
        why = f"{without_login(settings.public_url)}: its certificate is not trusted here, and Twilio would reject it"
        return fail("round trip", why, "use a certificate from a public authority, with the full chain")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        why = f"{without_login(settings.public_url)} can't be reached from here ({_connection_problem(error)})"
        fix = "start the webhooks and the tunnel; ignore this if only Twilio can reach the URL"
        return warn("round trip", why, fix)
    return _result_of_all(settings, without_login(url), unsigned, signed)


def _connection_problem(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {URL_DEADLINE_S:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "host name not found"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "connection refused"
    return "no connection" if isinstance(error, aiohttp.ClientConnectorError) else "connection lost"


async def _post(session: aiohttp.ClientSession, url: str, form: dict[str, str], headers: dict[str, str]) -> int:
    async with session.post(url, data=form, headers=headers, allow_redirects=False) as response:
        return response.status


def _result_of_all(settings: ServiceSettings, url: str, unsigned: int, signed: dict[str, int]) -> CheckResult:
    """Judge the answers; `signed` is by shared key, empty for the token."""
    if unsigned != 403:  # the webhooks refuse every unsigned request with it
        why = f"{without_login(settings.public_url)}: something other than the webhooks answers there (HTTP {unsigned})"
        return fail("round trip", why, "point the tunnel or proxy to the webhooks and keep the path unchanged")
    if signed[""] in _REACHED_STATUSES:
        if refused := [key_id for key_id, status in signed.items() if status not in _REACHED_STATUSES]:
            why = f"requests to {url} that are signed with {' and '.join(refused)} are refused"
            return fail("round trip", why, "run the webhooks with the same TWILIO_WEBHOOK_KEYS as here")
        return ok("round trip", f"signed requests to {url} are accepted, unsigned ones refused")
    why = f"signed requests to {url} are refused (HTTP {signed['']})"
    fix = "run the webhooks with the same CONFERRAL_PUBLIC_URL, TWILIO_ACCOUNT_SID, and TWILIO_AUTH_TOKEN as here"
    return fail("round trip", why, fix)


DEADLINE_S = 5.0
_STATUS_PATH = "/voice/status"
#: Accounts upgraded since this date need an approved Business profile for more than a few concurrent calls.
#: Source: Twilio support, "How Fast Can I Place or Receive Phone Calls with Twilio?" (2026).
_LIMITED_SINCE = datetime(2026, 2, 3, tzinfo=UTC)


async def check_account(settings: ServiceSettings, number: str = "") -> tuple[list[CheckResult], float | None]:
    """Check the account and a number in E.164; empty for `TWILIO_NUMBER`.

    Also return how far Twilio's clock is ahead of this machine's, seconds; None if unknown.
    """
    metrics = Metrics()
    http = PooledHttpClient(api_url=settings.api_url, clock=SystemClock(), metrics=metrics, total_timeout_s=DEADLINE_S)
    try:
        account, number_results, places, recording = await asyncio.gather(
            _check_credentials(settings, http),
            _check_number(settings, http, number),
            _check_own_numbers(settings, http),
            _check_recording(settings, http),
        )
    finally:
        await http.close()
    ahead_s = twilio_ahead_s(http.twilio_clock.now_ms())
    if ahead_s is None and account.status == "ok":
        why = "its answers have no date, so a dial whose answer is lost can't be found: no one is dialed"
        account = fail("account", why, "check TWILIO_API_URL: a proxy must not remove the header Date")
    return [account, *number_results, *places, recording], ahead_s


async def _check_credentials(settings: ServiceSettings, http: PooledHttpClient) -> CheckResult:
    """Check that Twilio accepts the auth token, and what the account may do."""
    try:
        # Always use the auth token: a standard API key can't read the account, and callbacks are signed with the token.
        found = await _read_account(rest_client(settings, http, by_token=True), settings.account_sid)
    except ProviderError as error:
        if error.http_status == 401:
            why = "Twilio rejects TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN (401): wrong, or the account is suspended"
            fix = "copy both from the Twilio Console home page; the token may have been rotated"
            return fail("account", why, f"{fix}, or be another region's" if settings.region else fix)
        return _failed_query("account", error)
    if found.status != "active":
        return fail("account", f"{found.status}: it can't place or receive calls", "see the Twilio Console")
    if found.type == "Trial":
        state = "active, trial: 5 calls at a time, only to verified numbers, after an announcement by Twilio"
        return warn("account", state, "upgrade it in the Twilio Console")
    if isinstance(found.date_created, datetime) and found.date_created >= _LIMITED_SINCE:
        state = (
            "active, and new: Twilio allows 2 calls at a time (3 with an Individual profile) until a Business profile "
            "is approved; a transfer needs 3, and fails with 10004 or 16021"
        )
        return warn("account", state, "submit a Business profile in Twilio's Trust Hub; once approved, ignore this")
    return ok("account", "active; Twilio accepts the credentials")


async def _check_number(settings: ServiceSettings, http: PooledHttpClient, number: str) -> list[CheckResult]:
    """Check that a number is the account's, and that its calls arrive here."""
    # Every result names the number, because an account may have several.
    number_label = f"--number {redact(number)}" if number else f"TWILIO_NUMBER {redact(settings.number)}"
    try:
        with label_requests("check"), translate_errors():
            found = await find_number(rest_client(settings, http), number or settings.number)
    except ProviderError as error:
        if error.http_status == 401 and settings.api_key:
            why = "Twilio rejects TWILIO_API_KEY with TWILIO_API_SECRET (401)"
            return [fail("number", why, "create a new key in the Twilio Console, in the account's region")]
        return [_failed_query("number", error)]
    if found is None:
        why = f"{number_label} is not a number in this account: calls to it don't arrive here"
        fix = (
            "buy it, or set a number in the account; 21631 means that it needs an address, 21649 a regulatory bundle; "
            "a verified caller ID can still be shown"
        )
        return [warn("number", why, "give a number in the account" if number else fix)]
    return [_check_voice_url(settings, number_label, found), *_check_fallback_and_status(settings, number_label, found)]


async def _read_account(client: Client, account_sid: str) -> AccountInstance:
    """Return the account, which standard API keys may not read."""
    with label_requests("check"), translate_errors():
        account = await client.api.v2010.accounts(account_sid).fetch_async()
    if not isinstance(account.status, str):
        raise ResultUnknownError
    return account


async def _check_own_numbers(settings: ServiceSettings, http: PooledHttpClient) -> list[CheckResult]:
    """Check that no place that is dialed is a number in this account."""
    name = "own numbers"
    try:
        directory = load_directory(settings)
        numbers = OwnNumbers(settings.number, *directory.numbers)
        numbers.account = await read_account_numbers(rest_client(settings, http))
    except SettingsError:
        return []  # reported as such
    except ProviderError as error:
        return [_failed_query(name, error)]
    found = [(where, own) for where, place in directory.places() if (own := own_number_in(place, numbers))]
    if not found:
        return [ok(name, f"{len(numbers)}; none is dialed")]
    fix = "name another place: a call to your own number would come in again, so it is never dialed"
    return [fail(name, f"{where}: {redact(own)} is a number in this account", fix) for where, own in found]


async def _check_recording(settings: ServiceSettings, http: PooledHttpClient) -> CheckResult:
    """Check whether the account records calls that Conferral doesn't.

    Source: Twilio docs, Recording Account Default Configuration resource.
    """
    name = "recording"
    api = rest_client(settings, http, by_token=True).voice.v2.recording_account_default_configuration
    try:
        with label_requests("check"), ignore_not_found(), translate_errors():
            found = (await api().fetch_async()).configuration
    except ProviderError as error:
        if error.http_status != 404:
            return _failed_query(name, error)
        found = None
    if not found:
        return ok(name, "calls are recorded only as Conferral's settings and commands say")
    why = "the account has a default recording configuration: every call may be recorded, consults too"
    fix = "delete it (Twilio Console, Voice, Recordings, Configurations), or tell everyone; docs/flows/recording.md"
    return warn(name, why, fix)


def _check_voice_url(settings: ServiceSettings, number_label: str, record: NumberRecord) -> CheckResult:
    """Check that calls to a number arrive here."""
    ours = [f"{settings.public_url}{path}" for path in _VOICE_PATHS]
    fix = f"set the voice URL of {number_label} to {without_login(ours[0])} (POST) in the Twilio Console, Phone Numbers"
    if record.trunk_sid:
        return fail("number", f"calls to {number_label} go to the trunk {record.trunk_sid}, not here", fix)
    if record.voice_application_sid:
        why = f"calls to {number_label} go to the TwiML app {record.voice_application_sid}, whose URLs apply"
        return warn("number", why, f"set its voice URL to {without_login(ours[0])}, or remove it from the number")
    if target_of(record.voice_url or "") not in map(target_of, ours):
        where = _redacted_url(record.voice_url) if record.voice_url else "nowhere"
        if _is_other_app(settings, record.voice_url or ""):
            why = f"calls to {number_label} go to your own app, {where}; they reach Conferral only by a hand-off"
            return warn("number", why, f"nothing if that app hands calls over (docs/handoff.md); otherwise, {fix}")
        return fail("number", f"calls to {number_label} go to {where}, not here", fix)
    if record.voice_method != "POST":
        return fail("number", f"calls to {number_label} use {record.voice_method}, which gets 405", fix)
    return ok("number", f"calls to {number_label} go to {_redacted_url(record.voice_url)}")


def _is_other_app(settings: ServiceSettings, url: str) -> bool:
    """Whether another app answers, not an old or a mistyped URL of ours."""
    target = target_of(url)
    is_ours = url.startswith(settings.public_url) or (target is not None and target[3].endswith(_VOICE_PATHS))
    return target is not None and bool(target[1]) and not is_ours


def _check_fallback_and_status(settings: ServiceSettings, number_label: str, record: NumberRecord) -> list[CheckResult]:
    if record.trunk_sid or record.voice_application_sid:
        return []
    fallback, status = (f"{settings.public_url}{path}" for path in (FALLBACK_PATH, _STATUS_PATH))
    has_other_app = _is_other_app(settings, record.voice_url or "")
    results = []
    if target_of(record.voice_fallback_url or "") == target_of(fallback):
        results.append(ok("number's fallback", _redacted_url(record.voice_fallback_url)))
    else:
        why = f"{number_label} has no fallback URL: if the voice URL fails, callers hear Twilio's error"
        fix = f"set it to {without_login(fallback)} (POST)"
        if record.voice_fallback_url:
            why = f"{number_label} has another fallback URL: if the voice URL fails, something else answers"
        if has_other_app:
            needed = "nothing if your app needs it; otherwise, " if record.voice_fallback_url else ""
            fix = f"{needed}{fix}, which connects callers to the number's agents"
        results.append(warn("number's fallback", why, fix))
    if target_of(record.status_callback or "") == target_of(status):
        results.append(ok("number's status", _redacted_url(record.status_callback)))
    else:
        which = "another" if record.status_callback else "no"
        why = f"{number_label} has {which} status callback: the end of a call is not reported here"
        fix = f"set its status callback to {without_login(status)} (POST)"
        if has_other_app and record.status_callback:
            late = "Conferral then notices some hang-ups up to 2 s later"
            fix = f"nothing if your app needs it: {late}; otherwise, {fix}"
        results.append(warn("number's status", why, fix))
    return results


def _redacted_url(url: str) -> str:
    """Return a configured URL without what may be secret."""
    try:
        parts = urlsplit(url)
        return without_login(urlunsplit(parts._replace(query="…" if parts.query else "")))
    except ValueError:
        return "an invalid URL"


def _failed_query(name: str, error: ProviderError) -> CheckResult:
    if isinstance(error, ProviderUnreachableError):
        return warn(name, "the REST API can't be reached from here", "check TWILIO_API_URL, the network, and any proxy")
    if isinstance(error, ProviderGoneError) or error.http_status == 404:
        return warn(name, "the API has no such resource (404)", "check TWILIO_API_URL; a compatible API may lack it")
    status = f"HTTP {error.http_status}" if error.http_status else "unreadable answer"
    return warn(name, f"the REST API failed ({status})", "run the check again in a moment")
