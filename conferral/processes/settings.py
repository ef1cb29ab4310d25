"""The settings of the sandbox, the names of all settings, and names that look like settings but aren't."""

from difflib import get_close_matches

from pydantic import Field, SecretStr

from conferral.runtime.settings import ConsoleSettings, HttpUrl, ServiceSettings, StoreSettings, read_sources


class SandboxSettings(StoreSettings):
    """The sandbox's settings; it needs no others."""

    account_sid: str | None = Field(
        default=None,
        validation_alias="TWILIO_ACCOUNT_SID",
        pattern=r"^AC[0-9a-fA-F]{32}$",
        description="the account's SID",
    )
    auth_token: SecretStr | None = Field(
        default=None,
        validation_alias="TWILIO_AUTH_TOKEN",
        min_length=1,
        description="signs the requests to the webhooks",
    )
    api_key: str | None = Field(
        default=None,
        validation_alias="TWILIO_API_KEY",
        pattern=r"^SK[0-9a-fA-F]{32}$",
        description="an API key, accepted as well as the auth token",
    )
    api_secret: SecretStr | None = Field(
        default=None, validation_alias="TWILIO_API_SECRET", description="the secret of `TWILIO_API_KEY`"
    )
    number: str | None = Field(
        default=None,
        validation_alias="TWILIO_NUMBER",
        pattern=r"^\+[1-9]\d{6,14}$",
        description="the number that callers dial",
    )
    public_url: HttpUrl | None = Field(
        default=None,
        validation_alias="CONFERRAL_PUBLIC_URL",
        description="the webhooks that the number and the TwiML app use",
    )
    twiml_app_sid: str | None = Field(
        default=None,
        validation_alias="TWILIO_TWIML_APP_SID",
        pattern=r"^AP[0-9a-fA-F]{32}$",
        description="the TwiML app of browser agents",
    )
    api_url: HttpUrl | None = Field(
        default=None,
        validation_alias="TWILIO_API_URL",
        description="the sandbox's own URL; required with a `TWILIO_AUTH_TOKEN`",
    )


#: Names of all processes' settings.
KNOWN_SETTINGS = frozenset(
    str(field.validation_alias)
    for kind in (ServiceSettings, ConsoleSettings, SandboxSettings)
    for field in kind.model_fields.values()
)
_OURS = "CONFERRAL_"
#: Settings of Conferral's own tests.
_TESTS = "CONFERRAL_TEST_"


def unknown_settings() -> dict[str, str]:
    """Return names in the environment and `.env` that match no setting, each with the most similar one, or empty."""
    environment, file = read_sources()
    ours = (name for name in environment.keys() | file.keys() if name.startswith(_OURS))
    unknown = sorted(name for name in ours if name not in KNOWN_SETTINGS and not name.startswith(_TESTS))
    return {name: next(iter(get_close_matches(name, sorted(KNOWN_SETTINGS), n=1, cutoff=0.8)), "") for name in unknown}
