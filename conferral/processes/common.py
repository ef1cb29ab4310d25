"""What the processes share at their start: a free port, the log, warnings."""

import socket
from ipaddress import ip_address

import structlog
from pydantic import SecretStr

from conferral.processes.settings import unknown_settings
from conferral.runtime import log as logging_setup
from conferral.runtime.settings import StoreSettings, token_weakness
from conferral.runtime.web.server import LISTEN_ERRORS, port_unavailable

log = structlog.get_logger()

#: Connections for health checks, which run one at a time; in a cluster, per node (count).
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a host of this name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
