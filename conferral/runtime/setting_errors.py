"""Messages for invalid settings: what was given, and what is valid."""

import re
from typing import Any, get_args

from conferral.runtime.limits import LANGUAGES, SPOKEN_MAX
from conferral.runtime.redaction import EXAMPLE, mask_numbers
from conferral.runtime.text import join_words

_SID = "and 32 hexadecimal digits, from Twilio's Console"
_HEX = "0123456789abcdef0123456789abcdef"
_DESTINATIONS = "a comma-separated list of regions, number prefixes, client:, and SIP domains"
_URL = "an http:// or https:// URL in ASCII, with a host, without braces and query, of at most 400 characters"
_AUDIO = "the http:// or https:// URL of an audio file, in ASCII (percent-encoded), or none for silence"
_GREETING = f"a text of 1 to {SPOKEN_MAX} characters, not only spaces, no control characters"
_PLACES = "a destination on the allow-list, voicemail, end, and a URL below CONFERRAL_RETURN_URLS, with commas between"
#: By setting: what is valid, and an example. Numbers and enumerations need no entry.
_VALID = {
    "REDIS_URL": (
        "a URL that begins with redis://, rediss://, unix://, redis+sentinel://, or rediss+sentinel://",
        "redis://localhost:6379/0",
    ),
    "CONFERRAL_PREFIX": ("1 to 64 letters, digits, and -_.:, on a cluster in braces", "conferral"),
    "TWILIO_ACCOUNT_SID": (f"AC {_SID}", f"AC{_HEX}"),
    "TWILIO_AUTH_TOKEN": ("the Auth Token from Twilio's Console, without spaces or a line end", _HEX),
    "TWILIO_AUTH_TOKEN_SECONDARY": (
        "the other Auth Token from Twilio's Console, without spaces or a line end",
        _HEX,
    ),
    "TWILIO_WEBHOOK_KEYS": (
        "up to four different KEYID=SECRET with commas between, and no spaces",
        f"webhooks_sharedkey_01k5x3m8v2fq7tbn4crw9yjzeh={_HEX}",
    ),
    "TWILIO_API_KEY": (f"SK {_SID}", f"SK{_HEX}"),
    "TWILIO_API_SECRET": ("the secret of TWILIO_API_KEY, without spaces or a line end", _HEX),
    "TWILIO_TWIML_APP_SID": (f"AP {_SID}", f"AP{_HEX}"),
    "TWILIO_API_URL": (
        "an http:// or https:// URL in ASCII, with a host, without user, password, braces, and query",
        "https://api.twilio.com",
    ),
    "TWILIO_REGION": ("us1, ie1, au1, jp1, or an older one: us2, de1, sg1, br1", "us1"),
    "TWILIO_EDGE": ("the name of an edge, in lower case", "ashburn"),
    "TWILIO_NUMBER": ("+, country code, and number: 7 to 15 digits without spaces", EXAMPLE),
    "CONFERRAL_PUBLIC_URL": (_URL, "https://voice.example.com"),
    "CONFERRAL_AGENT": ("+ and a number, client:NAME, sip:URI, or a name from the directory", "client:alice"),
    "CONFERRAL_API_TOKEN": ("at least 20 letters, digits, and -._~+/, with = only at the end", _HEX),
    "CONFERRAL_ALLOWED_DESTINATIONS": (_DESTINATIONS, "US,+4420,client:,sip:example.com"),
    "CONFERRAL_HANDOFF_DESTINATIONS": (_DESTINATIONS, "client:"),
    "CONFERRAL_TRANSFER_FALLBACK": (
        f"1 to 3 of recall, {_PLACES}",
        "recall",
    ),
    "CONFERRAL_INBOUND_FALLBACK": (
        f"1 to 3 of queue, {_PLACES}",
        "end",
    ),
    "CONFERRAL_RETURN_URLS": (
        "http:// or https:// URLs without user, query, and fragment, separated by commas",
        "https://app.example.com/calls",
    ),
    "CONFERRAL_DESK_ORIGINS": (
        "https:// origins without path, or http:// ones on loopback, separated by commas",
        "https://crm.example.com",
    ),
    "CONFERRAL_DESK_URL": (f"{_URL}; https://, or http:// on loopback", "https://desk.example.com"),
    "CONFERRAL_DESK_TOKEN_NAME": ("the name of a token: a letter, then up to 31 letters, digits, _, or -", "desk"),
    "CONFERRAL_DESK_PROXY_HEADER": ("the name of a header", "X-Forwarded-Email"),
    "CONFERRAL_DESK_PROXY_FROM": ("IP addresses and networks, separated by commas", "10.0.3.7,10.0.4.0/24"),
    "CONFERRAL_DESK_PROXY_SECRET": ("at least 20 characters, without spaces or a line end", _HEX),
    "CONFERRAL_OUTCOMES_URL": (
        "an https:// or http:// URL in ASCII, without user and fragment",
        "https://crm.example.com/outcomes",
    ),
    "CONFERRAL_OUTCOMES_SECRET": (
        "whsec_ and base64 of 24 to 64 bytes, or two of these with a space between",
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    ),
    "CONFERRAL_OUTCOMES_HEADER": (
        "Name: value in ASCII, and not Host, Content-…, Transfer-Encoding, or webhook-…",
        "Authorization: Bearer 0123456789abcdef",
    ),
    "CONFERRAL_DIRECTORY": ("the path of a TOML file", "directory.toml"),
    "CONFERRAL_TOKENS": ("the path of a TOML file", "tokens.toml"),
    "CONFERRAL_MUSIC": (_AUDIO, "https://example.com/music.mp3"),
    "CONFERRAL_RINGBACK": (_AUDIO, "none"),
    "CONFERRAL_GREETING": (_GREETING, "Thank you for calling."),
    "CONFERRAL_VOICEMAIL_GREETING": (_GREETING, "Please leave a message."),
    "CONFERRAL_LANGUAGE": (f"{join_words(LANGUAGES, 'or')}, also with a region", "en-US"),
    "CONFERRAL_VOICE": ("the name of one of Twilio's voices", "Polly.Joanna"),
}
#: Text that may be a key or token in the wrong place.
_LONG = re.compile(r"[0-9A-Za-z_+/=-]{24,}")
_SHOWN_MAX = 60


class ExplainedError(ValueError):
    """A value is invalid for a reason that its setting's rule doesn't say."""


def describe_missing(name: str, field: Any) -> str:
    """Return the line about a required setting that is missing."""
    example = "" if is_secret(field) else f"; for example {name}={valid_values(name, field)[1]}"
    return f"{name}: missing; {field.description or ''}{example}"


def describe_invalid(name: str, value: object, field: Any, reason: str = "", *, example: str = "") -> str:
    """Return the line about a setting with an invalid value.

    `field` is None if only the name is known; `reason` is the specific problem, if known; `example` fits it better than
    the setting's usual one.
    """
    words, usual_example = valid_values(name, field)
    shown = show_value(value, masked=is_secret(field))
    problem = f"{reason}; given: {shown}" if reason else f"{shown} is not valid"
    return f"{name}: {problem}; it must be {words}, for example {name}={example or usual_example}"


def valid_values(name: str, field: Any) -> tuple[str, str]:
    """Return what is valid for a setting, in words, and an example."""
    if name in _VALID:
        return _VALID[name]
    words = [str(word) for kind in (field.annotation, *get_args(field.annotation)) for word in get_args(kind)]
    words = [word for word in words if re.fullmatch(r"[a-z-]+", word)]
    if field.annotation is bool:
        words = ["true", "false"]
    if words:
        return join_words(words, "or"), words[0]
    limits = {
        name: f"{word} {getattr(rule, name)}"
        for rule in field.metadata
        for name, word in (("ge", "from"), ("gt", "above"), ("le", "up to"))
        if hasattr(rule, name)
    }
    lower, upper = limits.get("ge") or limits.get("gt", ""), limits.get("le", "")
    kind = "a whole number" if field.annotation is int else "a number"
    return " ".join(filter(None, (kind, lower, upper))), str(field.default or 1)


def is_secret(field: Any) -> bool:
    """Whether a setting's value must never be shown."""
    return field is not None and "SecretStr" in str(field.annotation)


def show_value(value: object, *, masked: bool = False) -> str:
    """Return a value without secrets, phone numbers, and URL passwords.

    >>> show_value("redis://me:sec/ret@cache:port/0"), show_value("+1 415 555 0123"), show_value("x", masked=True)
    ('"redis://***@cache:port/0"', '"+…23"', 'the value (hidden, 1 character)')
    """
    text = str(value)
    if masked:
        return f"the value (hidden, {len(text)} character{'' if len(text) == 1 else 's'})"
    # Whatever is wrong with a URL, all before its last @ and all after password=, also misspelled, may be a password.
    text = re.sub(r"((?:pas|pw|token|secret|key|sig|auth)\w*=).*", r"\1***", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"^([a-z+]+:)?(/*).*@", r"\1\2***@", text, flags=re.DOTALL)
    text = mask_numbers(_LONG.sub(lambda found: f"{found[0][:2]}…", text))
    text = text if text.isprintable() else repr(text)[1:-1]
    return f'"{text[:_SHOWN_MAX]}{"…" if len(text) > _SHOWN_MAX else ""}"'
