"""Digits that `press` sends: kept until Twilio has requested them once.

The commit that reports the command as rejected or failed empties the text, too.
They may be a PIN, so they are in no event, session, log, effect, or dead letter, only under a key that expires soon.
"""

from conferral.storage.connection.client import Command
from conferral.storage.keys import Keys

#: How long digits may wait to be played, seconds: for an agent who confirms by a key, then for a conversion.
DIGITS_TTL_S = 120


def keep(keys: Keys, command_id: str, digits: str) -> Command:
    """Return the command that keeps digits, unless they were taken."""
    return ("SET", keys.digits(command_id), digits, "NX", "EX", DIGITS_TTL_S)


def take(keys: Keys, command_id: str) -> tuple[Command, Command]:
    """Return commands, of which the first gets the digits, once.

    The second leaves an empty text, so that a router that repeats its last command does not keep them again.
    """
    key = keys.digits(command_id)
    return ("GETDEL", key), ("SET", key, "", "EX", DIGITS_TTL_S)
