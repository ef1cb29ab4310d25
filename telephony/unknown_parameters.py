"""Parameters of a callback that this version does not know: kept for the session's log, and never acted upon."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import orjson

from conferral.runtime.redaction import mask_numbers

#: Of one callback, JSON bytes: a session's log keeps thousands of entries.
STORED_BYTES_MAX = 1024
#: Longest name or value, characters; the rest is cut off.
_LENGTH_MAX = 200
#: Bytes that the word for what is left out needs.
_MORE_BYTES_MAX = 24
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_WORD = re.compile(r"\S+")
#: Control characters do no good on a terminal.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def summarize_unknown(fields: Mapping[str, str], known: AbstractSet[str]) -> str:
    """JSON of the parameters that are not known, by name; empty where there are none.

    Numbers of people are cut to their last two digits, as in the logs. Of what is too much the rest is counted under
    the name `…`.

    Args:
        fields: The form.
        known: Names that are read, or that are documented and tell nothing that is wanted.
    """
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
    """A text without its URLs, which may hold a secret.

    Word by word: one pattern for a whole URL would look through a long word again from each of its characters.

    >>> without_urls("see https://user:secret@example.com/a?token=b now")
    'see … now'
    """
    return _WORD.sub(lambda word: "…" if "://" in word[0] else word[0], text)


def _sanitize(text: str) -> str:
    if _SID.fullmatch(text):
        return text
    # Cut last: a number of which a part was cut off before could not be told from other digits.
    return mask_numbers(_UNSAFE.sub("…", without_urls(text)))[:_LENGTH_MAX]
