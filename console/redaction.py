"""A session's hash as people may see it: numbers cut to their last digits, unless they are wanted whole."""

import re

from conferral.operations import wording
from conferral.operations.session_queries import Fields

#: Fields that hold nothing but addresses, several of them with a space or a comma between.
_ADDRESSES = re.compile(r"party\..+\.(address|caller_id)|transfer\.to|agents|parked_by|called_number")


def redact_fields(fields: Fields, *, full: bool) -> Fields:
    """The fields with numbers as they are wanted.

    >>> shown({"transfer.to": "+14155550123,client:bob", "id": "CA1"}, full=False)
    {'transfer.to': '+…23,client:bob', 'id': 'CA1'}
    """
    return fields if full else {name: _redact_value(name, value) for name, value in fields.items()}


def _redact_value(name: str, value: str) -> str:
    if not _ADDRESSES.fullmatch(name):
        return wording.mask_numbers(value)
    return "".join(part if part in " ," else wording.display_address(part) for part in re.split(r"([ ,])", value))
