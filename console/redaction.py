"""Redact a session's hash: mask phone numbers to their last digits, unless full ones were requested."""

import re

from conferral.operations import wording
from conferral.operations.session_queries import Fields

#: Fields that contain only addresses, separated by spaces or commas.
_ADDRESSES = re.compile(r"party\..+\.(address|caller_id)|transfer\.to|agents|parked_by|called_number")


def redact_fields(fields: Fields, *, full: bool) -> Fields:
    """Return the fields, with phone numbers masked unless `full`.

    >>> redact_fields({"transfer.to": "+14155550123,client:bob", "id": "CA1"}, full=False)
    {'transfer.to': '+…23,client:bob', 'id': 'CA1'}
    """
    return fields if full else {name: _redact_value(name, value) for name, value in fields.items()}


def _redact_value(name: str, value: str) -> str:
    if not _ADDRESSES.fullmatch(name):
        return wording.mask_numbers(value)
    return "".join(part if part in " ," else wording.display_address(part) for part in re.split(r"([ ,])", value))
