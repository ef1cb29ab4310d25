"""The account's numbers: their setup, and the target of `conferral check`.

Source: Twilio docs, Account resource; IncomingPhoneNumber resource.
"""

from dataclasses import dataclass, field
from datetime import datetime

from twilio.rest import Client

from conferral.runtime.errors import OutcomeUnknownError
from conferral.telephony.callback_urls import ANNOUNCEMENT_PATH, Announcement
from conferral.telephony.errors import translate_errors
from conferral.telephony.http_client import label_requests

#: Numbers read (count): Twilio's filter also matches parts of numbers.
_NUMBERS_MAX = 20


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """Status of the account."""

    #: `active`, `suspended`, or `closed`.
    status: str
    #: `Trial` or `Full`.
    type: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NumberSetup:
    """What answers calls to a number. URLs are empty if not set."""

    voice_url: str = field(repr=False)
    voice_method: str
    fallback_url: str = field(repr=False)
    status_callback: str = field(repr=False)
    #: SID of the TwiML app that answers instead of the URLs.
    application_sid: str
    #: SID of the trunk that answers instead of both.
    trunk_sid: str


async def read_account(client: Client, account_sid: str) -> AccountStatus:
    """Return the account's status, which standard API keys may not read."""
    with label_requests("check"), translate_errors():
        account = await client.api.v2010.accounts(account_sid).fetch_async()
    if not isinstance(account.status, str):
        raise OutcomeUnknownError
    created_at = account.date_created
    created = created_at if isinstance(created_at, datetime) else None
    return AccountStatus(account.status, str(account.type or ""), created)


async def read_number(client: Client, number: str) -> NumberSetup | None:
    """Return the setup of a number; None if it is not in the account."""
    with label_requests("check"), translate_errors():
        found = await client.incoming_phone_numbers.list_async(phone_number=number, limit=_NUMBERS_MAX)
    for one in found:
        if one.phone_number == number:
            return NumberSetup(
                voice_url=str(one.voice_url or ""),
                voice_method=str(one.voice_method or ""),
                fallback_url=str(one.voice_fallback_url or ""),
                status_callback=str(one.status_callback or ""),
                application_sid=str(one.voice_application_sid or ""),
                trunk_sid=str(one.trunk_sid or ""),
            )
    return None


#: A session that does not exist.
SESSION = "conferral-check"
#: Path and query of the requests of `conferral check`.
TARGET = f"{ANNOUNCEMENT_PATH}?{Announcement(SESSION, SESSION).query()}"
