"""Fields of Twilio's requests: read, checked, and unknown ones."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from conferral.runtime.errors import ConferralError
from conferral.runtime.limits import NO_TEXT, SURROGATES
from conferral.runtime.redaction import mask_numbers
from conferral.telephony.errors import date_ms

Fields = Mapping[str, str]

#: Source: Twilio docs, "What is a String Identifier (SID)?".
CALL_SID, CONFERENCE_SID, RECORDING_SID, SIP_DOMAIN_SID = (
    re.compile(f"{kind}[0-9a-f]{{32}}") for kind in ("CA", "CF", "RE", "SD")
)
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}")


class MalformedCallbackError(ConferralError):
    """A field is missing or malformed: publish nothing, and answer 400."""

    def __init__(self, field: str) -> None:
        super().__init__("malformed field")
        #: Twilio's name of the field; its value is never kept.
        self.field = field


def word(fields: Fields, name: str, pattern: re.Pattern[str] = _WORD) -> str:
    """Return a word or a SID; raise MalformedCallbackError unless it matches."""
    # Twilio signs names and values without separators, so a forged value could include the next field.
    value = fields.get(name, "")
    if not pattern.fullmatch(value):
        raise MalformedCallbackError(name)
    return value


def optional_word(fields: Fields, name: str, pattern: re.Pattern[str] = _WORD) -> str:
    """Return a value like `word`; empty if it is missing or empty."""
    return word(fields, name, pattern) if fields.get(name) else ""


def text(fields: Fields, name: str) -> str:
    """Return a text without phone numbers, URLs, and control characters."""
    return _sanitize(fields.get(name, ""))


def flag(fields: Fields, name: str, *, missing: bool) -> bool:
    """Whether a field is `true`; if the field is absent, return `missing`."""
    value = fields.get(name)
    return value == "true" if value else missing


def is_number(value: str) -> bool:
    """Whether a text is a count: one to nine digits."""
    return _NUMBER.fullmatch(value) is not None


def number(fields: Fields, name: str) -> int | None:
    """Return a count, None if absent; raise MalformedCallbackError otherwise."""
    value = fields.get(name)
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        raise MalformedCallbackError(name)
    return int(value)


def timestamp_ms(timestamp: str) -> int:
    """Return an RFC 2822 date as Unix ms; 0 if invalid, as it is only shown."""
    return date_ms(timestamp) or 0


#: Size limit per callback, JSON bytes: a session's log keeps thousands of entries.
STORED_BYTES_MAX = 1024
#: Longest name or value kept, characters.
_LENGTH_MAX = 200
#: Bytes reserved for the count of omitted parameters.
_MORE_BYTES_MAX = 24
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_NAME = re.compile(r"\S+")
#: Characters that terminals and JSON consumers mishandle.
_UNSAFE_VALUE = re.compile(f"[{NO_TEXT}{SURROGATES}]")


def summarize_unknown(fields: Mapping[str, str], known: AbstractSet[str]) -> str:
    """Return JSON of the unknown parameters, masked; empty if there are none."""
    if known >= fields.keys():
        return ""
    names = sorted(fields.keys() - known)
    kept: dict[str, str] = {}
    for count, name in enumerate(names):
        one = {_sanitize(name): _sanitize(fields[name])}
        if len(msgspec.json.encode(kept | one)) > STORED_BYTES_MAX - _MORE_BYTES_MAX:
            kept["…"] = f"{len(names) - count} more"
            break
        kept |= one
    return msgspec.json.encode(kept).decode()


def _sanitize(text: str) -> str:
    """Return a text without numbers, URLs, and unsafe characters, or a SID."""
    if _SID.fullmatch(text):
        return text
    # A single pattern for URLs would rescan a long word from each of its characters.
    without_urls = _NAME.sub(lambda word: "…" if "://" in word[0] else word[0], text)
    # Truncate last: a number without its first digits could not be recognized.
    return mask_numbers(_UNSAFE_VALUE.sub("…", without_urls))[:_LENGTH_MAX]
