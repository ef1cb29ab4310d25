"""The sandbox's settings, and the names of all processes' settings."""

from difflib import get_close_matches

from pydantic import SecretStr

from conferral.runtime.settings import ConsoleSettings, HttpUrl, ServiceSettings, StoreSettings, read_sources, setting


class SandboxSettings(StoreSettings):
    """The sandbox's settings; it needs no others."""

    account_sid: str | None = setting("TWILIO_ACCOUNT_SID", "the account's SID", None, pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: SecretStr | None = setting("TWILIO_AUTH_TOKEN", "signs requests to the webhooks", None, min_length=1)
    api_key: str | None = setting(
        "TWILIO_API_KEY", "an API key, accepted as well as the auth token", None, pattern=r"^SK[0-9a-fA-F]{32}$"
    )
    api_secret: SecretStr | None = setting("TWILIO_API_SECRET", "the secret of `TWILIO_API_KEY`", None)
    number: str | None = setting("TWILIO_NUMBER", "the number that callers dial", None, pattern=r"^\+[1-9][0-9]{6,14}$")
    public_url: HttpUrl | None = setting("CONFERRAL_PUBLIC_URL", "the webhooks that number and TwiML app use", None)
    twiml_app_sid: str | None = setting(
        "TWILIO_TWIML_APP_SID", "the TwiML app of browser agents", None, pattern=r"^AP[0-9a-fA-F]{32}$"
    )
    api_url: HttpUrl | None = setting("TWILIO_API_URL", "the sandbox's URL; required with a `TWILIO_AUTH_TOKEN`", None)


KNOWN_SETTINGS = frozenset(
    str(field.validation_alias)
    for kind in (ServiceSettings, ConsoleSettings, SandboxSettings)
    for field in kind.model_fields.values()
)
_OURS = "CONFERRAL_"
#: Settings of Conferral's own tests.
_TESTS = "CONFERRAL_TEST_"


def unknown_settings() -> dict[str, str]:
    """Return names that match no setting, each with the nearest, or empty."""
    environment, file = read_sources()
    ours = (name for name in environment.keys() | file.keys() if name.startswith(_OURS))
    unknown = sorted(name for name in ours if name not in KNOWN_SETTINGS and not name.startswith(_TESTS))
    return {name: next(iter(get_close_matches(name, sorted(KNOWN_SETTINGS), n=1, cutoff=0.8)), "") for name in unknown}
