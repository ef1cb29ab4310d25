"""URLs in settings and commands."""

import base64
import binascii
import re
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from pydantic import SecretStr

#: The form of a URL with a host; `is_http_url` checks the rest. Source: RFC 3986.
_HTTP_URL = re.compile(
    r"https?://(?:[^/?#]*@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#].*)?"
)
#: What a signing secret has before its base64, and its size (bytes). Source: Standard Webhooks, "Signature scheme".
SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of all secrets
SECRET_BYTES = range(24, 65)
#: Addresses inside a network. Sources: RFC 1918; RFC 4193.
_PRIVATE = [ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
#: In these networks: where AWS, Google Cloud, Oracle, Scaleway, Linode, and Alibaba Cloud serve machines' credentials.
#: Their other such addresses are link-local. Sources: AWS docs, "IPv6 on AWS"; cloud-init's data sources.
_METADATA = [
    ip_network(one)
    for one in (
        "fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
    )
]  # fmt: skip
#: A header that may be sent along, and the names that are taken. Source: RFC 9110, sections 5.1 and 5.5.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*[!-~]([ \t!-~]{0,2046}[!-~])?")
_TAKEN_HEADERS = re.compile(r"host|content-.*|transfer-encoding|webhook-.*", re.IGNORECASE)


def is_http_url(value: str) -> bool:
    """Whether a text is an http:// or https:// URL that a client can request."""
    if not _HTTP_URL.fullmatch(value) or not re.fullmatch("[!-~]+", value):
        return False
    try:
        return urlsplit(value).port != 0
    except ValueError:  # no port, or no IPv6 address
        return False


def target_of(url: str) -> tuple[str, str | None, int | None, str] | None:
    """Return where a URL points, without query and fragment; None if invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port, parts.path  # the fragment holds Twilio's connection overrides


def origin_of(url: str) -> str:
    """Return a URL's origin as browsers send it. Source: RFC 6454, 6.2."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can connect to a host of this name."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def may_receive_plain(address: str, *, private: bool) -> bool:
    """Whether outcomes may go to an IP address unencrypted: to loopback.

    Args:
        private: Whether to private networks, too; never to link-local ones, nor where clouds serve credentials.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    is_private = any(found in network for network in _PRIVATE) and not any(found in one for one in _METADATA)
    return found.is_loopback or (private and is_private)


#: By region: the edge that the name of its host needs since April 28, 2026, when Twilio switched the shorter names off.
#: Source: Twilio changelog, February 4, 2026; Twilio docs, "Edge locations".
REGION_EDGES = {
    "ie1": "dublin", "au1": "sydney", "br1": "sao-paulo", "de1": "frankfurt", "jp1": "tokyo", "sg1": "singapore",
    "us2": "umatilla",
}  # fmt: skip


def is_twilio_url(url: str) -> bool:
    """Whether Twilio itself serves a URL, not the sandbox or a proxy."""
    return f".{urlsplit(url).hostname}".endswith(".twilio.com")


def replaced_host(url: str) -> str:
    """Return the host that replaces one that Twilio has switched off."""
    found = re.fullmatch(r"(\w+)\.(\w+)\.twilio\.com", urlsplit(url).hostname or "")
    return f"{found[1]}.{REGION_EDGES[found[2]]}.{found[2]}.twilio.com" if found and found[2] in REGION_EDGES else ""


def valid_outcomes_url(value: str) -> str:
    """Return where outcomes are sent; raise ValueError for another URL."""
    parts = urlsplit(value) if is_http_url(value) else None
    if parts is None or "@" in parts.netloc or "#" in value:
        raise ValueError("must be a URL without user and fragment")
    return value


def is_plain_beyond_loopback(url: str) -> bool:
    """Whether a URL is http:// and its host is none of this machine's."""
    parts = urlsplit(url)
    return parts.scheme != "https" and not is_loopback(parts.hostname)


def valid_header(value: SecretStr) -> SecretStr:
    """Return a header to send along; raise ValueError if it can't be sent."""
    found = _HEADER.fullmatch(value.get_secret_value())
    if found is None or _TAKEN_HEADERS.fullmatch(found[1]):
        raise ValueError("must be a header")
    return value


def valid_signing_secrets(value: SecretStr) -> SecretStr:
    """Return one or two signing secrets; raise ValueError for anything else."""
    secrets = value.get_secret_value().split(" ")
    if len(secrets) > 2 or not all(map(_is_signing_secret, secrets)):
        raise ValueError("must be one or two signing secrets")
    return value


def _is_signing_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(SECRET_PREFIX) and len(key) in SECRET_BYTES
