"""JSON as programs exchange it: compact, in UTF-8."""

import json
from typing import Any


def dumps(value: Any) -> bytes:
    """Return a value in JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def loads(text: str | bytes) -> Any:
    """Return what a text from elsewhere holds; raise ValueError for no JSON."""
    try:
        found = json.loads(text)
        dumps(found)  # UnicodeEncodeError, a ValueError, for half of a surrogate pair
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    return found
