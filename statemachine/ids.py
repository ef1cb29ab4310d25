"""Format of session and command ids. They become parts of Redis keys and URLs, so nothing else is accepted."""

import re

#: Format of an id that refers to an existing session or command.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Format of a new id: letters, digits, `_`, and `-`, but not 7 to 15 digits alone. Those could be a phone number, which
#: would end up in keys, logs, and conference names.
ID_PATTERN = re.compile(r"(?![0-9]{7,15}(?![A-Za-z0-9_-]))[A-Za-z0-9_-]{1,64}")
#: The format that new ids must not have.
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")
#: Error messages; they follow the field's name.
ID_RULE = "must be 1 to 64 letters, digits, _, or -"
NO_PHONE_NUMBER_RULE = "must not be 7 to 15 digits alone, which could be a phone number"


def id_error(text: str) -> str:
    """Return why a text is not a valid id, as a message to follow the field's name; empty if it is valid.

    >>> id_error("order-7"), id_error("14155550123")
    ('', 'must not be 7 to 15 digits alone, which could be a phone number')
    """
    if ID_PATTERN.fullmatch(text):
        return ""
    return NO_PHONE_NUMBER_RULE if _PHONE_NUMBER.fullmatch(text) else ID_RULE
