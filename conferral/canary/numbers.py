"""The canary's numbers: refused unless no person's phone can ring.

Source: Twilio docs, IncomingPhoneNumber resource.
"""

from dataclasses import dataclass, field
from typing import Any

import aiohttp
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from conferral.runtime.errors import ProviderError, SettingsError
from conferral.runtime.redaction import redact, without_login
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.urls import target_of
from conferral.statemachine.states import Place, SessionMode
from conferral.storage.queries.live_workers import has_live_worker
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.callback_urls import CANARY_ANSWER_PATH, CANARY_ROUTE_PATH
from conferral.telephony.directory import load_directory
from conferral.telephony.own_numbers import find_number, read_account_numbers
from conferral.telephony.twilio_requests import send
from conferral.webhooks.voice import INBOUND_PATH

DEADLINE_S = 5.0
#: Where a caller may go whom no agent takes, without anyone's phone ringing.
_QUIET_PLACES = frozenset({Place.END, Place.VOICEMAIL})


@dataclass(frozen=True, slots=True)
class CanaryNumbers:
    """Who calls, who is called, and who answers."""

    caller: str = field(repr=False)
    called: str = field(repr=False)
    answering: str = field(repr=False)


async def find_problems(
    settings: ServiceSettings, client: Client, reader: SessionReader, numbers: CanaryNumbers
) -> list[str]:
    """Return what is wrong, with the line to configure; empty if all is well."""
    if len({numbers.caller, numbers.called, numbers.answering}) < 3:
        return ["--from, --to, and --answer must be three numbers"]
    try:
        problems = [
            *await _number_problems(settings, client, "--to", numbers.called, INBOUND_PATH),
            *await _number_problems(settings, client, "--answer", numbers.answering, CANARY_ANSWER_PATH),
        ]
        problems += _directory_problems(settings, numbers, await read_account_numbers(client, settings.public_url))
    except ProviderError as error:
        status = f"HTTP {error.http_status}" if error.http_status else "no answer"
        return [f"Twilio can't be asked for the account's numbers ({status}); run conferral check"]
    if not problems and not await has_live_worker(reader.client, reader.keys):
        problems.append("no worker is running; start one: conferral worker")
    return problems or await _webhook_problems(settings, numbers)


async def _number_problems(settings: ServiceSettings, client: Client, option: str, number: str, path: str) -> list[str]:
    label, url = f"{option} {redact(number)}", without_login(settings.public_url + path)
    record = await send(find_number(client, number))
    if record is None:
        return [f"{label} is not a number in this account: buy it, and set its voice URL to {url} (POST)"]
    if record.trunk_sid or record.voice_application_sid:
        return [f"{label} leads to a trunk or a TwiML app: remove it, and set the number's voice URL to {url} (POST)"]
    if target_of(record.voice_url or "") != target_of(settings.public_url + path) or record.voice_method != "POST":
        return [f"{label} does not lead here: set its voice URL to {url} (POST)"]
    return []


def _directory_problems(settings: ServiceSettings, numbers: CanaryNumbers, account: Any) -> list[str]:
    try:
        directory = load_directory(settings, account.numbers, account.canary)
    except SettingsError as error:
        return list(error.problems)
    route = directory.numbers.get(numbers.called)
    # In full, as they were given: these are lines to copy.
    heading, agents = f'[inbound."{numbers.called}"]', f'agents = ["{numbers.answering}"]'
    if route is None or route.agents != (numbers.answering,):
        rest = f'{heading} with {agents}, mode = "bridge", and fallback = "end"'
        return [f"the directory (CONFERRAL_DIRECTORY) must name --answer as the only agent of --to: {rest}"]
    problems = []
    if route.mode is SessionMode.CONFERENCE:
        problems.append(f'{heading} must have mode = "bridge"')
    if not _QUIET_PLACES.issuperset(route.fallback):
        problems.append(f'{heading} must have fallback = "end", so that no person\'s phone rings')
    if route.attributes.after_url:
        problems.append(f"{heading} must have no after: that app may call someone")
    return problems


async def _webhook_problems(settings: ServiceSettings, numbers: CanaryNumbers) -> list[str]:
    """Ask the webhooks whom a call would ring: their directory may differ."""
    url = settings.public_url + CANARY_ROUTE_PATH
    form = {"AccountSid": settings.account_sid, "To": numbers.called, "Agent": numbers.answering}
    signature = RequestValidator(settings.auth_token.get_secret_value()).compute_signature(url, form)
    shown = without_login(settings.public_url)
    try:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=form, headers={"X-Twilio-Signature": signature}, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return [f"{shown} can't be reached from here, so it is unknown whom a call would ring; start the webhooks"]
    if status == 204:
        return []
    if status == 409:
        why = "they have read another directory, or the account's numbers too early"
        return [f"the webhooks would ring someone else: {why}; restart webhooks and workers"]
    return [f"the webhooks at {shown} refuse the canary (HTTP {status}); run conferral check"]
