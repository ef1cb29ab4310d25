"""What ids of sessions and commands look like. Ids from outside become parts of keys and URLs: nothing else passes."""

import re

#: What may stand where a session or a command is named that exists.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What a new one may be called: letters, digits, `_` and `-`, but not only 7 to 15 digits. Those could be a phone
#: number, which would reach keys, logs, and names of conferences.
ID_PATTERN = re.compile(r"(?![0-9]{7,15}(?![A-Za-z0-9_-]))[A-Za-z0-9_-]{1,64}")
#: What else is refused, and why.
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")
#: What is right, to be put behind the field's name.
ID_RULE = "must be 1 to 64 letters, digits, _ or -"
NO_PHONE_NUMBER_RULE = "must not be 7 to 15 digits alone, which could be a phone number"


def id_error(text: str) -> str:
    """Why a text is no id, to be put behind the field's name; empty if it is one.

    >>> why_no_id("order-7"), why_no_id("14155550123")
    ('', 'must not be 7 to 15 digits alone, which could be a phone number')
    """
    if ID_PATTERN.fullmatch(text):
        return ""
    return NO_PHONE_NUMBER_RULE if _PHONE_NUMBER.fullmatch(text) else ID_RULE
