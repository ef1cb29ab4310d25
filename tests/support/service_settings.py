"""The least that a service needs in its settings."""

from conferral.runtime.settings import ServiceSettings, load

ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "12345",
    "TWILIO_NUMBER": "+14155550100",
    "CONFERRAL_PUBLIC_URL": "https://example.com",
}


def settings_with(**changes: str | None) -> ServiceSettings:
    """Its settings, some added, changed, or (None) left out."""
    return load(ServiceSettings, {name: value for name, value in (ENVIRON | changes).items() if value is not None})
