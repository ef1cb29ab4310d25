"""Unknown callback parameters: kept for the log, never acted upon."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import orjson

from conferral.runtime.redaction import mask_numbers

#: Size limit per callback, JSON bytes: a session's log keeps thousands of entries.
STORED_BYTES_MAX = 1024
#: Longest name or value kept, characters.
_LENGTH_MAX = 200
#: Bytes reserved for the count of omitted parameters.
_MORE_BYTES_MAX = 24
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_WORD = re.compile(r"\S+")
#: Characters that terminals and JSON consumers mishandle.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def summarize_unknown(fields: Mapping[str, str], known: AbstractSet[str]) -> str:
    """Return JSON of the unknown parameters, masked; empty if there are none."""
    if known >= fields.keys():
        return ""
    names = sorted(fields.keys() - known)
    kept: dict[str, str] = {}
    for count, name in enumerate(names):
        one = {_sanitize(name): _sanitize(fields[name])}
        if len(orjson.dumps(kept | one)) > STORED_BYTES_MAX - _MORE_BYTES_MAX:
            kept["…"] = f"{len(names) - count} more"
            break
        kept |= one
    return orjson.dumps(kept).decode()


def without_urls(text: str) -> str:
    """Return a text without its URLs, which may hold secrets."""
    # A single pattern for URLs would rescan a long word from each of its characters.
    return _WORD.sub(lambda word: "…" if "://" in word[0] else word[0], text)


def _sanitize(text: str) -> str:
    """Return a text without numbers, URLs, and unsafe characters, or a SID."""
    if _SID.fullmatch(text):
        return text
    # Truncate last: a number without its first digits could not be recognized.
    return mask_numbers(_UNSAFE.sub("…", without_urls(text)))[:_LENGTH_MAX]
