"""What the processes share: settings that only they have, logs, and ports."""

import socket
from difflib import get_close_matches

import structlog
from pydantic import SecretStr

from conferral.runtime import log as logging_setup
from conferral.runtime.limits import NUMBER
from conferral.runtime.setting_values import HttpUrl, token_weakness
from conferral.runtime.settings import (
    ConsoleSettings,
    ServiceSettings,
    StoreSettings,
    read_sources,
    setting,
)
from conferral.runtime.urls import is_loopback as is_loopback
from conferral.runtime.web.server import LISTEN_ERRORS, port_unavailable


class SandboxSettings(StoreSettings):
    """The sandbox's settings; it needs no others."""

    account_sid: str | None = setting("TWILIO_ACCOUNT_SID", "the account's SID", None, pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: SecretStr | None = setting("TWILIO_AUTH_TOKEN", "signs requests to the webhooks", None, min_length=1)
    api_key: str | None = setting(
        "TWILIO_API_KEY", "an API key, accepted as well as the auth token", None, pattern=r"^SK[0-9a-fA-F]{32}$"
    )
    api_secret: SecretStr | None = setting("TWILIO_API_SECRET", "the secret of `TWILIO_API_KEY`", None)
    number: str | None = setting("TWILIO_NUMBER", "the number that callers dial", None, pattern=f"^{NUMBER}$")
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


log = structlog.get_logger()

#: Connections for health checks, which run one at a time (count).
READINESS_CHECKS_MAX = 4


def require_free_port(host: str, port: int) -> None:
    """Raise SettingsError if the port is taken or forbidden."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # The servers set it, too: a stopped server's TIME_WAIT doesn't count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except LISTEN_ERRORS as error:
            raise port_unavailable(host, port, error) from None


def warn_of_weak_token(token: SecretStr | None) -> None:
    """Warn of a guessable token for the control API and the console."""
    if token is not None and (weakness := token_weakness(token)):
        log.warning("api_token_weak", setting="CONFERRAL_API_TOKEN", reason=weakness)


def configure_log(settings: StoreSettings, process: str) -> None:
    """Configure logging, and warn of unknown settings: they have no effect."""
    logging_setup.configure(settings.log_format, process=process)
    for name, nearest in unknown_settings().items():
        reason = f"no setting has this name; did you mean {nearest}?" if nearest else "no setting has this name"
        log.warning("setting_unknown", setting=name, reason=reason)


def page_url(host: str, port: int) -> str:
    """Return a local browser's URL for a server listening on a host."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{named}:{port}/"
