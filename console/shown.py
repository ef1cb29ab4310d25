"""A session's hash as people may see it: numbers cut to their last digits, unless they are wanted whole."""

import re

from conferral.operations import words
from conferral.operations.reader import Fields

#: Fields that hold nothing but addresses, several of them with a space or a comma between.
_ADDRESSES = re.compile(r"party\..+\.(address|caller_id)|transfer\.to|agents|parked_by|called_number")


def shown(fields: Fields, *, full: bool) -> Fields:
    """The fields with numbers as they are wanted.

    >>> shown({"transfer.to": "+14155550123,client:bob", "id": "CA1"}, full=False)
    {'transfer.to': '+…23,client:bob', 'id': 'CA1'}
    """
    return fields if full else {name: _shown(name, value) for name, value in fields.items()}


def _shown(name: str, value: str) -> str:
    if not _ADDRESSES.fullmatch(name):
        return words.numbers_cut(value)
    return "".join(part if part in " ," else words.address(part) for part in re.split(r"([ ,])", value))
