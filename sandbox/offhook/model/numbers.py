"""The account's numbers, and where events go."""

from dataclasses import dataclass
from typing import TypedDict

SIP_DOMAINS = ".sip.twilio.com"  #: Twilio docs, SIP Domain resource: every domain's name ends so.


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where to send events, and which."""

    url: str
    method: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A number, SIP domain, or application, with its URLs."""

    number: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    sms_url: str = ""
    sms_method: str = "POST"
    sms_fallback_url: str = ""
    sms_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    application_sid: str = ""  #: Of a browser application. A browser dials `number`; `To` is its own value, or empty.
    name: str = ""  #: Display name.
    byoc_trunk_sid: str = ""  #: Of a SIP domain: calls come in over this BYOC trunk. Source: Twilio docs, SIP Domain.
    voice_application_sid: str = ""  #: Of the application whose URLs a phone number has, instead of its own.
    origin: str = "twilio"  #: `verified` for another carrier's number that is a verified caller ID.

    @property
    def subscription(self) -> Subscription | None:
        """Where its calls' ends are reported; None if nowhere."""
        if not self.status_callback:
            return None
        return Subscription(self.status_callback, self.status_callback_method, ("completed",))

    @property
    def is_verified_only(self) -> bool:
        """Whether it is a verified caller ID, and no number of the account."""
        return self.origin == "verified"

    @property
    def is_sip_domain(self) -> bool:
        """Whether it is a SIP domain, such as `acme.sip.twilio.com`."""
        return self.number.endswith(SIP_DOMAINS)


class NumberFields(TypedDict, total=False):
    """What `add_number` takes besides `number` and `voice_url`."""

    voice_method: str
    voice_fallback_url: str
    voice_fallback_method: str
    sms_url: str
    sms_method: str
    sms_fallback_url: str
    sms_fallback_method: str
    status_callback: str
    status_callback_method: str
    application_sid: str
    name: str
    byoc_trunk_sid: str
    voice_application_sid: str
    origin: str
