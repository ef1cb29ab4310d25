"""Find the primary that the settings name; say which servers they name."""

import ssl
from urllib.parse import urlsplit

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import StoreSettings
from conferral.storage.connection.client import make_client
from conferral.storage.connection.primary import PrefixError, Primary, primary_of
from conferral.storage.connection.url import RedisUrl, RedisUrlError, example_of


def redis_address(url: str) -> str:
    """Return the hosts with their ports, or the socket, in a valid Redis URL.

    >>> redis_address("redis://me:secret@cache.example:6390/2")
    'cache.example:6390'
    """
    parsed = RedisUrl.parse(url)
    if not parsed.hosts:
        return urlsplit(parsed.plain).path
    return ",".join(f"{host}:{port}" for host, port in parsed.hosts)


def find_primary(settings: StoreSettings) -> Primary:
    """Return what finds the primary; raise SettingsError for invalid settings."""
    try:
        primary = primary_of(settings.redis_url, settings.prefix)
        client = make_client(settings.redis_url, primary)
        _require_certificates(client.connection_pool.connection_kwargs.get("ssl_ca_certs"))
    except RedisUrlError as error:
        problem = setting_errors.describe_invalid(
            "REDIS_URL", settings.redis_url, None, str(error), example=example_of(settings.redis_url)
        )
        raise SettingsError((problem,)) from None
    except PrefixError as error:
        problem = setting_errors.describe_invalid(
            "CONFERRAL_PREFIX", settings.prefix, None, str(error), example="{conferral}"
        )
        raise SettingsError((problem,)) from None
    return primary


def _require_certificates(path: str | None) -> None:
    """Raise RedisUrlError if the private CA's certificate can't be used."""
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise RedisUrlError("the file of ssl_ca_certs holds no certificate in PEM form") from None
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise RedisUrlError(f"the file of ssl_ca_certs can't be read ({why})") from None
