"""Shared keys with which an account's webhook rules may sign.

Source: Twilio docs, "Sign webhooks with shared keys".
"""

import re

#: Maximum number of keys: two while one is renewed, for each of two that a rule may choose between.
KEYS_MAX = 4
_KEY = re.compile(r"(?P<id>[A-Za-z0-9_-]{1,64})=(?P<secret>[!-+\--~]+)")
#: An id as Twilio makes them: words, and 26 characters. Anyone may write anything into a header.
_TWILIOS_ID = re.compile(r"[a-z]{1,20}(?:_[a-z]{1,20}){1,3}_[0-9A-Za-z]{26}")


def valid_webhook_keys(value: object) -> tuple[tuple[str, str], ...]:
    """Return each key's id and secret; raise ValueError for anything else."""
    found = [_KEY.fullmatch(one) for one in str(value).split(",")] if value else []
    keys = {one["id"]: one["secret"] for one in found if one}
    if len(keys) < len(found) or len(keys) > KEYS_MAX:
        raise ValueError("must be up to four different keys")
    return tuple(keys.items())


def is_webhook_key_id(text: str) -> bool:
    """Whether a text looks like the id of a key, so that it may be logged."""
    return _TWILIOS_ID.fullmatch(text) is not None
