"""Check that the webhooks at the public URL verify signatures."""

import aiohttp
from twilio.request_validator import RequestValidator

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.check.settings import redacted_url
from conferral.runtime.clock import SystemClock
from conferral.runtime.settings import ServiceSettings
from conferral.telephony import number_setup

DEADLINE_S = 5.0
#: Statuses of webhooks that accepted the signature: 404 for an unknown phrase, 503 without Redis.
_REACHED_STATUSES = frozenset({404, 503})


async def check_round_trip(settings: ServiceSettings) -> CheckResult:
    """Send an unsigned and a signed request; neither changes anything."""
    url = f"{settings.public_url}{number_setup.TARGET}"
    form = {"AccountSid": settings.account_sid}
    token = settings.auth_token.get_secret_value()
    signature = str(RequestValidator(token).compute_signature(url, form))
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            probe_id = {number_setup.HEADER: number_setup.make_probe(token, SystemClock().wall_ms() // 1000)}
            unsigned = await _post(session, url, form, probe_id)
            signed = await _post(session, url, form, {"X-Twilio-Signature": signature})
    except aiohttp.ClientConnectorCertificateError:
        why = f"{redacted_url(settings.public_url)}: its certificate is not trusted here, and Twilio would reject it"
        return fail("round trip", why, "use a certificate from a public authority, with the full chain")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        why = f"{redacted_url(settings.public_url)} can't be reached from here ({_connection_problem(error)})"
        fix = "start the webhooks and the tunnel; ignore this if only Twilio can reach the URL"
        return warn("round trip", why, fix)
    return _result_of_both(settings, redacted_url(url), unsigned, signed)


def _connection_problem(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {DEADLINE_S:g} s"
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


def _result_of_both(settings: ServiceSettings, url: str, unsigned: int, signed: int) -> CheckResult:
    if unsigned != 403:  # the webhooks refuse every unsigned request with it
        why = f"{redacted_url(settings.public_url)}: something other than the webhooks answers there (HTTP {unsigned})"
        return fail("round trip", why, "point the tunnel or proxy to the webhooks and keep the path unchanged")
    if signed in _REACHED_STATUSES:
        return ok("round trip", f"signed requests to {url} are accepted, unsigned ones refused")
    why = f"signed requests to {url} are refused (HTTP {signed})"
    fix = "run the webhooks with the same CONFERRAL_PUBLIC_URL, TWILIO_ACCOUNT_SID, and TWILIO_AUTH_TOKEN as here"
    return fail("round trip", why, fix)
