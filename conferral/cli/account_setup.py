"""Set URLs of numbers and of the TwiML app at Twilio, for `setup`.

Source: Twilio docs, IncomingPhoneNumber resource; Applications resource.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from twilio.rest import Client

from conferral.operations.errors import CommandNotDoneError
from conferral.runtime.errors import ProviderError
from conferral.runtime.redaction import redact, without_login
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.urls import target_of
from conferral.telephony.callback_urls import FALLBACK_PATH, HANDOFF_PATH
from conferral.telephony.errors import translate_errors
from conferral.telephony.own_numbers import find_number
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import opened_client
from conferral.webhooks.status_callbacks import STATUS_PATH
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH
from conferral.webhooks.voice_client import CLIENT_PATH

#: Paths that a number may have, and keeps.
_KEPT = (INBOUND_PATH, CONFERENCE_START_PATH, HANDOFF_PATH)
#: By URL: the field that has its method.
_METHODS = {
    "voice_url": "voice_method",
    "voice_fallback_url": "voice_fallback_method",
    "status_callback": "status_callback_method",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A URL that differs: of what, and from what to what."""

    #: A number's last digits, or the app; and its SID.
    name: str
    sid: str
    setting: str
    #: Without a login.
    before: str
    after: str
    #: What Twilio gets.
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `setup` would change, and what it leaves as it is, with why."""

    changes: tuple[Change, ...]
    left: tuple[tuple[str, str], ...]


@asynccontextmanager
async def opened(settings: ServiceSettings) -> AsyncIterator[Client]:
    """Open Twilio; its errors become CommandNotDoneError."""
    try:
        async with opened_client(settings) as client:
            with label_requests("setup"), translate_errors():
                yield client
    except ProviderError as error:
        answer = f"HTTP {error.http_status}, code {error.code}" if error.http_status else "no answer"
        raise CommandNotDoneError(f"Twilio refused, or failed ({answer}); setup may be repeated") from None


async def make_plan(client: Client, settings: ServiceSettings, given: Sequence[str], usual: Sequence[str]) -> Plan:
    """Compare Twilio's records with the URLs here.

    Args:
        given: Numbers to set whatever answers there now. Without any, the `usual` ones that no one else answers.
    """
    changes, left = list[Change](), list[tuple[str, str]]()
    for number in given or usual:
        record, name = await find_number(client, number), redact(number)
        why = _why_left(settings, record, number, is_given=bool(given))
        if record is None or why:
            left.append((name, why))
        else:
            changes += _differences(name, record, _urls_of_number(settings, record.voice_url or ""))
    if settings.twiml_app_sid:
        app = await client.applications(settings.twiml_app_sid).fetch_async()
        changes += _differences("the TwiML app", app, _urls(settings, CLIENT_PATH))
    return Plan(tuple(changes), tuple(left))


def _why_left(settings: ServiceSettings, record: Any, number: str, *, is_given: bool) -> str:
    """Return why a number is not changed; empty if it may be."""
    if record is None:
        return "not a number in this account"
    if record.trunk_sid:
        return f"its calls go to the trunk {record.trunk_sid}"
    if record.voice_application_sid:
        return f"its calls go to the TwiML app {record.voice_application_sid}, whose URLs apply"
    if is_given or not record.voice_url or _is_ours(settings, record.voice_url):
        return ""
    return (
        f"something else answers it, at {urlsplit(record.voice_url).hostname}; to change it: conferral setup {number}"
    )


def _is_ours(settings: ServiceSettings, url: str) -> bool:
    """Whether a URL is one of the webhooks'."""
    ours, target = target_of(settings.public_url), target_of(url)
    assert ours is not None  # the setting is a URL
    return target is not None and target[:3] == ours[:3] and target[3].startswith(f"{ours[3]}/")


def _urls_of_number(settings: ServiceSettings, voice_url: str) -> dict[str, str]:
    path = (target_of(voice_url) or ("", None, None, ""))[3]
    return _urls(settings, next((one for one in _KEPT if path.endswith(one)), INBOUND_PATH))


def _urls(settings: ServiceSettings, voice_path: str) -> dict[str, str]:
    paths = dict(zip(_METHODS, (voice_path, FALLBACK_PATH, STATUS_PATH), strict=True))
    return {field: f"{settings.public_url}{path}" for field, path in paths.items()}


def _differences(name: str, record: Any, wanted: dict[str, str]) -> list[Change]:
    """Return what differs; a URL keeps its query and connection overrides."""
    changes = []
    for setting, after in wanted.items():
        before = getattr(record, setting) or ""
        is_kept = target_of(before) == target_of(after)
        method = getattr(record, _METHODS[setting]) or ""
        if not is_kept or method != "POST":
            url = before if is_kept else after
            shown = without_login(before) + (f" ({method})" if before and method != "POST" else "")
            changes.append(Change(name, record.sid, setting, shown, without_login(url), url))
    return changes


async def apply(client: Client, changes: Sequence[Change]) -> None:
    """Set the URLs, each with the method POST: one request for each record."""
    for sid in dict.fromkeys(one.sid for one in changes):
        urls = {one.setting: one.url for one in changes if one.sid == sid}
        record = client.incoming_phone_numbers(sid) if sid.startswith("PN") else client.applications(sid)
        await record.update_async(**urls, **{_METHODS[field]: "POST" for field in urls})
