"""What isn't on this machine or its network, and Twilio's files there.

Source: Twilio docs, TwiML <Conference>, `waitUrl` (hold music); Twimlets; the sample TwiML of Twilio's quickstarts.
"""

import re
from ipaddress import ip_address
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from offhook.model.formats import split_url

#: Names that no one can register (RFC 2606, RFC 6762, RFC 8375), or that belong to a network of one's own.
_OWN = re.compile(r"[^.]+|.*\.(localhost|local|internal|lan|home\.arpa|test|example|invalid)")
_MUSIC = re.compile(r"com\.twilio\.(music|sounds)\.[a-z0-9.-]+\.s3\.amazonaws\.com")
_AUDIO = re.compile(r".*\.(mp3|wav)")


def is_on_internet(url: str) -> bool:
    """Whether a request would leave this machine and its network."""
    host = (split_url(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_global
    except ValueError:
        return _OWN.fullmatch(host) is None


def local_copy(url: str) -> tuple[str, bytes] | None:
    """Return type and content of what Twilio publishes; None for others."""
    parts = split_url(url)
    host = parts.hostname or ""
    if _MUSIC.fullmatch(host) or (host.endswith(".twilio.com") and _AUDIO.fullmatch(parts.path)):
        return "audio/mpeg", b""
    if host == "demo.twilio.com":
        return _twiml("<Say>Thanks for trying our documentation. Enjoy!</Say>")
    if host in {"twimlets.com", "www.twimlets.com"} and parts.path.rstrip("/") == "/holdmusic":
        given = parse_qs(parts.query)
        said = "".join(f"<Say>{escape(text)}</Say>" for text in given.get("Message", []))
        bucket = given.get("Bucket", ["com.twilio.music.classical"])[0]
        return _twiml(f"{said}<Play>{escape(f'http://{bucket}.s3.amazonaws.com/music.mp3')}</Play><Redirect/>")
    return None


def _twiml(verbs: str) -> tuple[str, bytes]:
    return "text/xml", f"<Response>{verbs}</Response>".encode()
