"""Format of session and command ids, which become parts of keys and URLs."""

import re

#: Ids that refer to an existing session or command.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: New ids: not 7 to 15 digits alone, which could be a phone number in keys, logs, and conference names.
ID_PATTERN = re.compile(r"(?![0-9]{7,15}(?![A-Za-z0-9_-]))[A-Za-z0-9_-]{1,64}")
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")
ID_RULE = "must be 1 to 64 letters, digits, _, or -"
NO_PHONE_NUMBER_RULE = "must not be 7 to 15 digits alone, which could be a phone number"


def id_error(text: str) -> str:
    """Return why a text is no valid id, to follow the field's name; or empty.

    >>> id_error("order-7"), id_error("14155550123")
    ('', 'must not be 7 to 15 digits alone, which could be a phone number')
    """
    if ID_PATTERN.fullmatch(text):
        return ""
    return NO_PHONE_NUMBER_RULE if _PHONE_NUMBER.fullmatch(text) else ID_RULE
